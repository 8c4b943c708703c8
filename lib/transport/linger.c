/* linger.c: see the header. */
#include "transport/linger.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICK_MS = 50, READS = 8, READ_BYTES = 4096 };

/* Throw away what came, within bounds. False: the peer has closed. */
static bool discard(int fd)
{
    char bytes[READ_BYTES];
    int i;

    for (i = 0; i < READS; i++) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got == 0)
            return false;
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
    }
    return true;
}

void wsh_linger_answer(int fd, const void *answer, size_t len)
{
    (void)discard(fd);
    /* A fresh socket has room for it; if not, the peer gets less. */
    (void)send(fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
}

static void release(struct wsh_linger *linger, unsigned i)
{
    if (linger->fd[i] < 0)
        return;
    (void)close(linger->fd[i]);
    linger->fd[i] = -1;
    linger->count--;
}

static void on_tick(uv_timer_t *timer)
{
    struct wsh_linger *linger = timer->data;
    uint64_t now = uv_now(timer->loop);
    unsigned i;

    for (i = 0; i < WSH_LINGER_MAX; i++)
        if (linger->fd[i] >= 0 &&
            (now >= linger->until_ms[i] || !discard(linger->fd[i])))
            release(linger, i);
    if (linger->count == 0)
        (void)uv_timer_stop(timer);
}

void wsh_linger_init(struct wsh_linger *linger, uv_loop_t *uv)
{
    unsigned i;

    (void)uv_timer_init(uv, &linger->timer);
    linger->timer.data = linger;
    for (i = 0; i < WSH_LINGER_MAX; i++)
        linger->fd[i] = -1;
    linger->next = linger->count = 0;
}

void wsh_linger_refuse(struct wsh_linger *linger, int fd, const void *answer,
                       size_t len)
{
    unsigned i = linger->next;

    wsh_linger_answer(fd, answer, len);
    release(linger, i);
    linger->fd[i] = fd;
    linger->until_ms[i] = uv_now(linger->timer.loop) + WSH_LINGER_MS;
    linger->next = (i + 1) % WSH_LINGER_MAX;
    if (linger->count++ == 0)
        (void)uv_timer_start(&linger->timer, on_tick, TICK_MS, TICK_MS);
}

void wsh_linger_flush(struct wsh_linger *linger)
{
    unsigned i;

    for (i = 0; i < WSH_LINGER_MAX; i++)
        release(linger, i);
    if (!uv_is_closing((uv_handle_t *)&linger->timer))
        (void)uv_timer_stop(&linger->timer);
}

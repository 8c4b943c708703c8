/*
 * acceptor.c: see the header.
 *
 * Listeners are level-triggered: one event accepts at most BATCH sockets, and
 * what is left raises the next one, so that a storm of connections does not
 * keep the loop from its clients.
 */
#include "transport/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>
#include "base/check.h"
#include "transport/linger.h"
#include "transport/listen_url.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

enum { BATCH = 16, PAUSE_MS = 100, EPISODE_MS = 10000 };

struct listener {
    uv_poll_t poll;
    struct wsh_acceptor *acceptor;
    int fd;
    bool polled; /* poll is initialised */
};

struct bound {
    struct wsh_listen_sockets sockets;
    char *path; /* of the unix socket, else NULL */
};

struct wsh_acceptor {
    struct wsh_acceptor_config config;
    uv_loop_t *uv;
    void *refusal;
    struct bound *bound; /* per url */
    struct listener *listeners;
    size_t count;
    uv_timer_t pause;
    struct wsh_linger linger;
    int reserve;         /* a descriptor to answer with when there is none */
    int last_error;      /* of accept, logged once in a row */
    uint64_t starved_ms; /* when it last lacked a descriptor, 0: never */
    bool closing;
    size_t to_close; /* handles whose close callback is to come */
    void (*done)(void *arg);
    void *done_arg;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static void on_listener(uv_poll_t *handle, int status, int events);

static int take_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void fill_peer(struct wsh_peer *peer, const union address *addr)
{
    memset(peer, 0, sizeof *peer);
    peer->family = (uint8_t)addr->any.sa_family;
    if (addr->any.sa_family == AF_INET) {
        peer->port = ntohs(addr->v4.sin_port);
        memcpy(peer->addr, &addr->v4.sin_addr, 4);
    } else if (addr->any.sa_family == AF_INET6) {
        peer->port = ntohs(addr->v6.sin6_port);
        memcpy(peer->addr, &addr->v6.sin6_addr, 16);
        /* An inherited socket may be dual-stack: one client, one address. */
        if (IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr)) {
            peer->family = AF_INET;
            memcpy(peer->addr, &addr->v6.sin6_addr.s6_addr[12], 4);
            memset(peer->addr + 4, 0, 12);
        }
    }
}

/* Pausing */

static void on_resume(uv_timer_t *timer)
{
    struct wsh_acceptor *a = timer->data;
    size_t i;

    if (a->reserve < 0)
        a->reserve = take_reserve();
    for (i = 0; i < a->count; i++)
        (void)uv_poll_start(&a->listeners[i].poll, UV_READABLE, on_listener);
}

static void pause_all(struct wsh_acceptor *a)
{
    size_t i;

    for (i = 0; i < a->count; i++)
        (void)uv_poll_stop(&a->listeners[i].poll);
    (void)uv_timer_start(&a->pause, on_resume, PAUSE_MS, 0);
}

/* One line an episode; it is over when there was enough for a while. */
static void warn_of_shortage(struct wsh_acceptor *a, int error)
{
    uint64_t now = uv_now(a->uv);

    if (a->starved_ms == 0 || now - a->starved_ms >= EPISODE_MS)
        wsh_log(a->config.log, WS_HUB_LOG_WARN,
                "accept: %s: connections wait or are refused until there is "
                "room",
                strerror(error));
    a->starved_ms = now;
}

/*
 * No descriptor: those of the lingering are given back first, then one peer is
 * answered on the reserve's. accept says EMFILE even when nobody waits, which
 * is no reason to pause.
 */
static void starve(struct listener *l, int error)
{
    struct wsh_acceptor *a = l->acceptor;
    bool descriptors = error == EMFILE || error == ENFILE;
    bool answered = false;
    int fd;

    wsh_linger_flush(&a->linger);
    if (descriptors && a->reserve >= 0) {
        (void)close(a->reserve);
        a->reserve = -1;
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            answered = !a->config.tls;
            if (answered)
                wsh_linger_answer(fd, a->config.refusal, a->config.refusal_len);
            (void)close(fd);
        }
        a->reserve = take_reserve();
        if (fd < 0 && a->reserve >= 0)
            return;
    }
    warn_of_shortage(a, error);
    pause_all(a);
    a->config.starved(a->config.arg, answered);
}

/* Is it worth to go on accepting? */
static bool accept_failed(struct listener *l, int error)
{
    struct wsh_acceptor *a = l->acceptor;

    switch (error) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        starve(l, error);
        return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        if (error != a->last_error)
            wsh_log(a->config.log, WS_HUB_LOG_ERROR, "accept: %s",
                    strerror(error));
        a->last_error = error;
        pause_all(a);
        return false;
    default:
        return true; /* of that peer: ECONNABORTED, EPROTO, EPERM and others */
    }
}

static void refuse(struct wsh_acceptor *a, int fd)
{
    if (a->config.tls)
        (void)close(fd);
    else
        wsh_linger_refuse(&a->linger, fd, a->config.refusal,
                          a->config.refusal_len);
}

static bool accept_one(struct listener *l)
{
    struct wsh_acceptor *a = l->acceptor;
    union address addr;
    socklen_t len = sizeof addr;
    struct wsh_peer peer;
    bool refused;
    int fd;

    memset(&addr, 0, sizeof addr);
    fd = accept4(l->fd, &addr.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return accept_failed(l, errno);
    fill_peer(&peer, &addr);
    refused = a->config.admit(a->config.arg, &peer) != 0;
    if (a->closing)
        (void)close(fd); /* closed from within admit */
    else if (refused)
        refuse(a, fd);
    else
        a->config.accepted(a->config.arg, fd, &peer);
    return true;
}

static void on_listener(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;
    struct wsh_acceptor *a = l->acceptor;
    int i;

    (void)events;
    if (status < 0) {
        /* libuv has stopped the watch; the pause starts it again. */
        (void)accept_failed(l, EBADF);
        return;
    }
    for (i = 0; i < BATCH && accept_one(l); i++)
        if (a->closing)
            return; /* from within a callback */
}

/* Life */

int wsh_acceptor_check_url(const char *url)
{
    struct wsh_listen_url parsed;

    return wsh_listen_url_parse(&parsed, url);
}

unsigned wsh_acceptor_port(const struct wsh_acceptor *a, size_t index)
{
    return index < a->config.url_count ? a->bound[index].sockets.port : 0;
}

/* Only if the file is still ours: a successor may have replaced it. */
static void remove_path(const struct bound *bound)
{
    struct stat st;

    if (bound->path && lstat(bound->path, &st) == 0 &&
        st.st_dev == bound->sockets.dev && st.st_ino == bound->sockets.ino)
        (void)unlink(bound->path);
}

static void close_bound(struct bound *bound)
{
    size_t i;

    remove_path(bound);
    if (!bound->sockets.inherited)
        for (i = 0; i < bound->sockets.count; i++)
            (void)close(bound->sockets.fd[i]);
    free(bound->path);
}

static void free_acceptor(struct wsh_acceptor *a)
{
    free(a->listeners);
    free(a->bound);
    free(a->refusal);
    free(a);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct wsh_acceptor *a = handle->data;
    void (*done)(void *arg) = a->done;
    void *arg = a->done_arg;

    if (--a->to_close > 0)
        return;
    free_acceptor(a);
    if (done)
        done(arg);
}

static void close_handle(struct wsh_acceptor *a, uv_handle_t *handle)
{
    handle->data = a; /* no other callback of it comes any more */
    a->to_close++;
    uv_close(handle, on_handle_closed);
}

void wsh_acceptor_close(struct wsh_acceptor *a, void (*done)(void *arg),
                        void *arg)
{
    size_t i;

    WSH_ASSERT(!a->closing);
    a->closing = true;
    a->done = done;
    a->done_arg = arg;
    for (i = 0; i < a->count; i++)
        if (a->listeners[i].polled)
            close_handle(a, (uv_handle_t *)&a->listeners[i].poll);
    wsh_linger_flush(&a->linger);
    close_handle(a, (uv_handle_t *)&a->linger.timer);
    close_handle(a, (uv_handle_t *)&a->pause);
    for (i = 0; i < a->config.url_count; i++)
        close_bound(&a->bound[i]);
    if (a->reserve >= 0)
        (void)close(a->reserve);
}

static int bind_urls(struct wsh_acceptor *a)
{
    size_t i;
    int error = 0;

    for (i = 0; i < a->config.url_count && error == 0; i++) {
        struct bound *bound = &a->bound[i];
        const char *url = a->config.urls[i];

        error = wsh_listen_open(&bound->sockets, url, a->config.notsent_lowat,
                                a->config.log);
        if (error == 0 && strncmp(url, "unix:", 5) == 0) {
            bound->path = strdup(url + 5);
            if (!bound->path)
                error = WS_HUB_ENOMEM;
        }
        a->count += bound->sockets.count;
    }
    a->config.urls = NULL; /* borrowed until here */
    return error;
}

static int watch(struct wsh_acceptor *a, struct listener *l,
                 const struct wsh_listen_sockets *sockets, size_t i)
{
    int error;

    l->acceptor = a;
    l->fd = sockets->fd[i];
    error = uv_poll_init(a->uv, &l->poll, l->fd);
    if (error) {
        wsh_log(a->config.log, WS_HUB_LOG_ERROR, "libuv poll: %s",
                uv_strerror(error));
        return WS_HUB_ETRANSPORT;
    }
    l->poll.data = l;
    l->polled = true;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_listener);
    return 0;
}

static int watch_all(struct wsh_acceptor *a)
{
    struct listener *l = a->listeners;
    size_t url, i;
    int error = 0;

    for (url = 0; url < a->config.url_count; url++)
        for (i = 0; i < a->bound[url].sockets.count && error == 0; i++)
            error = watch(a, l++, &a->bound[url].sockets, i);
    return error;
}

/* Everything that needs memory but the sockets. NULL: none of it is left. */
static struct wsh_acceptor *make(const struct wsh_acceptor_config *config)
{
    struct wsh_acceptor *a = calloc(1, sizeof *a);
    size_t urls = config->url_count;

    if (!a)
        return NULL;
    a->config = *config;
    a->uv = config->uv_loop;
    a->reserve = -1;
    a->refusal = malloc(config->refusal_len + 1);
    a->bound = calloc(urls + 1, sizeof *a->bound);
    a->listeners = calloc(urls * WSH_LISTEN_ADDRS + 1, sizeof *a->listeners);
    if (!a->refusal || !a->bound || !a->listeners) {
        free_acceptor(a);
        return NULL;
    }
    if (config->refusal_len > 0)
        memcpy(a->refusal, config->refusal, config->refusal_len);
    a->config.refusal = a->refusal;
    return a;
}

int wsh_acceptor_create(struct wsh_acceptor **out,
                        const struct wsh_acceptor_config *config)
{
    struct wsh_acceptor *a = make(config);
    int error;

    *out = NULL;
    if (!a)
        return WS_HUB_ENOMEM;
    (void)uv_timer_init(a->uv, &a->pause);
    a->pause.data = a;
    wsh_linger_init(&a->linger, a->uv);
    error = bind_urls(a);
    if (error == 0)
        error = watch_all(a);
    if (error) {
        wsh_acceptor_close(a, NULL, NULL); /* timers close in their time */
        return error;
    }
    a->reserve = take_reserve();
    *out = a;
    return 0;
}

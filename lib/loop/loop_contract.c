/*
 * loop_contract.c: the public loop contract (ws_hub/loop.h) on libuv.
 *
 * Objects live until libuv has closed their handle; for the adapter they are
 * gone when close returns, because libuv calls back no handle that is closing.
 */
#include <stdlib.h>
#include "base/check.h"
#include "loop/uv_loop.h"
#include "ws_hub/error.h"

struct ws_hub_watch {
    uv_poll_t poll;
    struct wsh_list node; /* in wsh_loop.watches until closed */
    int fd;
    int events; /* WS_HUB_READABLE | WS_HUB_WRITABLE */
    ws_hub_watch_cb cb;
    void *user;
};

struct ws_hub_timer {
    uv_timer_t timer;
    ws_hub_timer_cb cb;
    void *user;
};

static struct wsh_loop *loop_of(ws_hub_loop *loop)
{
    return (struct wsh_loop *)(void *)loop;
}

static uint64_t now_ms(ws_hub_loop *loop)
{
    return uv_now(loop_of(loop)->uv);
}

static void on_poll(uv_poll_t *handle, int status, int events);

/* (Re)start libuv's watch. libuv stops it by itself after an error. */
static void apply(ws_hub_watch *watch)
{
    int events = 0;

    if (watch->events & WS_HUB_READABLE)
        events |= UV_READABLE;
    if (watch->events & WS_HUB_WRITABLE)
        events |= UV_WRITABLE;
    if (events)
        (void)uv_poll_start(&watch->poll, events, on_poll);
    else
        (void)uv_poll_stop(&watch->poll);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    ws_hub_watch *watch = handle->data;
    int ready = 0;

    if (status < 0) {
        /* Stays level-triggered: told again until the adapter closes it. */
        apply(watch);
        ready = WS_HUB_READABLE | WS_HUB_WRITABLE;
    } else {
        if (events & UV_READABLE)
            ready |= WS_HUB_READABLE;
        if (events & UV_WRITABLE)
            ready |= WS_HUB_WRITABLE;
    }
    watch->cb(watch, ready, watch->user);
}

/* libuv itself misses a second watch while the first one is paused. */
static bool is_watched(const struct wsh_loop *loop, int fd)
{
    const struct wsh_list *at;

    for (at = loop->watches.next; at != &loop->watches; at = at->next)
        if (WSH_CONTAINER(at, ws_hub_watch, node)->fd == fd)
            return true;
    return false;
}

static int watch_open(ws_hub_loop *handle, int fd, int events,
                      ws_hub_watch_cb cb, void *user, ws_hub_watch **out)
{
    struct wsh_loop *loop = loop_of(handle);
    ws_hub_watch *watch;
    int error;

    *out = NULL;
    if (fd < 0 || !cb || is_watched(loop, fd) ||
        (events & ~(WS_HUB_READABLE | WS_HUB_WRITABLE)))
        return WS_HUB_EINVAL;
    watch = calloc(1, sizeof *watch);
    if (!watch)
        return WS_HUB_ENOMEM;
    error = uv_poll_init(loop->uv, &watch->poll, fd);
    if (error) {
        free(watch); /* nothing was registered */
        return error == UV_ENOMEM ? WS_HUB_ENOMEM : WS_HUB_EINVAL;
    }
    watch->poll.data = watch;
    watch->fd = fd;
    watch->events = events;
    watch->cb = cb;
    watch->user = user;
    wsh_list_init(&watch->node);
    wsh_list_push(&loop->watches, &watch->node);
    apply(watch);
    *out = watch;
    return 0;
}

static void watch_set(ws_hub_watch *watch, int events)
{
    if (watch->events == events)
        return;
    watch->events = events;
    apply(watch);
}

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static void watch_close(ws_hub_watch *watch)
{
    wsh_list_remove(&watch->node);
    /* Takes the descriptor out of epoll before it returns. */
    uv_close((uv_handle_t *)&watch->poll, free_watch);
}

static void on_timer(uv_timer_t *handle)
{
    ws_hub_timer *timer = handle->data;

    timer->cb(timer, timer->user);
}

static int timer_open(ws_hub_loop *loop, ws_hub_timer_cb cb, void *user,
                      ws_hub_timer **out)
{
    ws_hub_timer *timer = calloc(1, sizeof *timer);

    *out = NULL;
    if (!timer)
        return WS_HUB_ENOMEM;
    (void)uv_timer_init(loop_of(loop)->uv, &timer->timer);
    timer->timer.data = timer;
    timer->cb = cb;
    timer->user = user;
    *out = timer;
    return 0;
}

static void timer_set(ws_hub_timer *timer, uint64_t delay_ms)
{
    (void)uv_timer_start(&timer->timer, on_timer, delay_ms, 0);
}

static void timer_cancel(ws_hub_timer *timer)
{
    (void)uv_timer_stop(&timer->timer);
}

static void free_timer(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_close(ws_hub_timer *timer)
{
    uv_close((uv_handle_t *)&timer->timer, free_timer);
}

const struct ws_hub_loop_ops *wsh_loop_contract(void)
{
    static const struct ws_hub_loop_ops ops = {
        .struct_size = sizeof ops,
        .now_ms = now_ms,
        .watch_open = watch_open,
        .watch_set = watch_set,
        .watch_close = watch_close,
        .timer_open = timer_open,
        .timer_set = timer_set,
        .timer_cancel = timer_cancel,
        .timer_close = timer_close,
    };

    return &ops;
}

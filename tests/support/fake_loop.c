#include "support/fake_loop.h"

#include <stdlib.h>

#include "ws_hub/error.h"

struct ws_hub_timer {
    struct wsh_list node;
    struct fake_loop *loop;
    uint64_t at_ms; /* UINT64_MAX: not armed */
    ws_hub_timer_cb cb;
    void *user;
};

void fake_loop_init(struct fake_loop *loop)
{
    loop->now_ms = 0;
    wsh_list_init(&loop->timers);
}

static ws_hub_timer *next_due(struct fake_loop *loop)
{
    ws_hub_timer *first = NULL;
    struct wsh_list *node;

    for (node = loop->timers.next; node != &loop->timers; node = node->next) {
        ws_hub_timer *timer = WSH_CONTAINER(node, ws_hub_timer, node);

        if (timer->at_ms <= loop->now_ms &&
            (!first || timer->at_ms < first->at_ms))
            first = timer;
    }
    return first;
}

void fake_loop_advance(struct fake_loop *loop, uint64_t now_ms)
{
    ws_hub_timer *timer;

    loop->now_ms = now_ms;
    while ((timer = next_due(loop))) {
        timer->at_ms = UINT64_MAX;
        timer->cb(timer, timer->user);
    }
}

static uint64_t now_ms(ws_hub_loop *handle)
{
    return ((struct fake_loop *)(void *)handle)->now_ms;
}

static int timer_open(ws_hub_loop *handle, ws_hub_timer_cb cb, void *user,
                      ws_hub_timer **out)
{
    ws_hub_timer *timer = calloc(1, sizeof *timer);

    *out = timer;
    if (!timer)
        return WS_HUB_ENOMEM;
    timer->loop = (struct fake_loop *)(void *)handle;
    timer->at_ms = UINT64_MAX;
    timer->cb = cb;
    timer->user = user;
    wsh_list_init(&timer->node);
    wsh_list_push(&timer->loop->timers, &timer->node);
    return 0;
}

static void timer_set(ws_hub_timer *timer, uint64_t delay_ms)
{
    timer->at_ms = timer->loop->now_ms + delay_ms;
}

static void timer_cancel(ws_hub_timer *timer)
{
    timer->at_ms = UINT64_MAX;
}

static void timer_close(ws_hub_timer *timer)
{
    wsh_list_remove(&timer->node);
    free(timer);
}

static const ws_hub_loop_ops ops = {
    .struct_size = sizeof ops,
    .now_ms = now_ms,
    .timer_open = timer_open,
    .timer_set = timer_set,
    .timer_cancel = timer_cancel,
    .timer_close = timer_close,
};

const ws_hub_loop_ops *fake_loop_ops(void)
{
    return &ops;
}

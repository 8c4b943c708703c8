/* ws_hub_stop.c: the steps of ws_hub_private.h, each a task on the lane that it
 * concerns. */
#include <stdlib.h>

#include "base/check.h"
#include "ws_hub_private.h"

static struct lane *home_of(ws_hub *top)
{
    return &top->lanes[WSH_HOME];
}

/* Post a step; steps are never refused: control tasks have no size, and the
 * mailbox closes only in the last step of its lane. */
static void post_step(struct lane *to, struct wsh_task *step)
{
    int error = wsh_shard_post(to->shard, step);

    WSH_ASSERT(!error);
    (void)error;
}

/* 5. */

static void announce(ws_hub *top)
{
    const ws_hub_callbacks *callbacks = &top->hub.settings.callbacks;

    if (callbacks->on_stopped)
        callbacks->on_stopped(top, top->hub.settings.o.user);
}

static void home_stopped(void *arg)
{
    ws_hub *top = arg;
    bool destroy;

    announce(top);
    pthread_mutex_lock(&top->lock);
    top->state = STOPPED;
    destroy = top->destroy_when_stopped;
    pthread_cond_broadcast(&top->changed);
    pthread_mutex_unlock(&top->lock);
    /* Only a hub on a host loop is freed from here: it has no thread to join.
     * Else `top` may be gone already: a waiter was woken. */
    if (destroy)
        wsh_top_free(top);
}

/* 3 and 4. */

static void lane_stopped(void *arg)
{
    struct lane *lane = arg;

    if (lane->index == WSH_HOME)
        home_stopped(lane->top);
    else
        post_step(home_of(lane->top), &lane->gone);
}

static void transport_closed(void *arg)
{
    struct lane *lane = arg;

    lane->transport = NULL;
    wsh_shard_close_mailbox(lane->shard);
    wsh_loop_stop(lane->loop, lane_stopped, lane);
}

static void close_lane(struct lane *lane)
{
    if (lane->transport)
        wsh_transport_close(lane->transport, transport_closed, lane);
    else
        transport_closed(lane);
}

static void close_home_if_last(ws_hub *top)
{
    if (top->lanes_gone == top->lane_count - 1)
        close_lane(home_of(top));
}

static void run_close(struct wsh_shard *shard, struct wsh_task *task,
                      bool canceled)
{
    (void)shard;
    (void)canceled;
    close_lane(WSH_CONTAINER(task, struct lane, close));
}

static void run_gone(struct wsh_shard *shard, struct wsh_task *task,
                     bool canceled)
{
    ws_hub *top = WSH_CONTAINER(task, struct lane, gone)->top;

    (void)shard;
    if (canceled)
        return;
    top->lanes_gone++;
    close_home_if_last(top);
}

static void driver_closed(void *arg)
{
    ws_hub *top = arg;

    for (unsigned i = 1; i < top->lane_count; i++)
        post_step(&top->lanes[i], &top->lanes[i].close);
    close_home_if_last(top);
}

/* 2. */

static void close_driver_if_idle(ws_hub *top)
{
    if (top->lanes_idle < top->lane_count || !top->acceptor_gone ||
        top->driver_closing)
        return;
    top->driver_closing = true;
    wsh_driver_close(top->driver, driver_closed, top);
}

static void run_idle(struct wsh_shard *shard, struct wsh_task *task,
                     bool canceled)
{
    ws_hub *top = WSH_CONTAINER(task, struct lane, idle)->top;

    (void)shard;
    if (canceled)
        return;
    top->lanes_idle++;
    close_driver_if_idle(top);
}

static void lane_idle(void *arg)
{
    struct lane *lane = arg;

    post_step(home_of(lane->top), &lane->idle);
}

/* 1. */

static void run_stop_lane(struct wsh_shard *shard, struct wsh_task *task,
                          bool canceled)
{
    struct lane *lane = WSH_CONTAINER(task, struct lane, stop);

    if (!canceled)
        wsh_shard_stop(shard, lane->top->abrupt, lane_idle, lane);
}

static void acceptor_closed(void *arg)
{
    ws_hub *top = arg;

    top->acceptor = NULL;
    top->acceptor_gone = true;
    close_driver_if_idle(top);
}

static void run_abrupt(struct wsh_shard *shard, struct wsh_task *task,
                       bool canceled)
{
    if (!canceled && shard->on_idle)
        wsh_shard_stop(shard, true, shard->on_idle, shard->on_idle_arg);
    free(task);
}

/* The goodbyes are under way and patience has ended. Without memory they take
 * until close_timeout_ms. */
static void hurry(ws_hub *top)
{
    for (unsigned i = 0; i < top->lane_count; i++) {
        struct wsh_task *task = calloc(1, sizeof *task);

        if (!task)
            return;
        task->run = run_abrupt;
        if (wsh_shard_post(top->lanes[i].shard, task))
            free(task);
    }
}

void wsh_top_stop(ws_hub *top, bool abrupt)
{
    if (top->stopping) {
        if (abrupt)
            hurry(top);
        return;
    }
    top->stopping = true;
    top->abrupt = abrupt;
    atomic_store(&top->hub.running, false);
    if (top->acceptor)
        wsh_acceptor_close(top->acceptor, acceptor_closed, top);
    else
        top->acceptor_gone = true;
    for (unsigned i = 0; i < top->lane_count; i++)
        post_step(&top->lanes[i], &top->lanes[i].stop);
}

static void run_stop(struct wsh_shard *shard, struct wsh_task *task,
                     bool canceled)
{
    (void)shard;
    if (!canceled)
        wsh_top_stop(WSH_CONTAINER(task, ws_hub, stop_task), false);
}

static void run_drop(struct wsh_shard *shard, struct wsh_task *task,
                     bool canceled)
{
    (void)shard;
    if (!canceled)
        wsh_top_stop(WSH_CONTAINER(task, ws_hub, drop_task), true);
}

void wsh_top_init_tasks(ws_hub *top)
{
    top->stop_task.run = run_stop;
    top->drop_task.run = run_drop;
    for (unsigned i = 0; i < top->lane_count; i++) {
        top->lanes[i].stop.run = run_stop_lane;
        top->lanes[i].idle.run = run_idle;
        top->lanes[i].close.run = run_close;
        top->lanes[i].gone.run = run_gone;
    }
}

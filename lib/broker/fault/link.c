/*
 * link.c: the states of a fault adapter's link: open, lost, frozen, closed; and
 * the tick that lets chance work.
 *
 * A link that was dropped by chance leaves the inner adapter open: a second
 * open() then finds it ready. Thread: the home loop.
 */
#include "broker/fault/fault.h"

#include <stdlib.h>

#include "ws_hub/error.h"

static void set_state(struct wsh_fault *fault, enum wsh_fault_state state)
{
    wsh_fault_lock(fault);
    fault->state = state;
    wsh_fault_unlock(fault);
}

static bool draw(struct wsh_fault *fault, ws_hub_fault what)
{
    bool happens;

    wsh_fault_lock(fault);
    happens = wsh_fault_happens(fault, what);
    wsh_fault_unlock(fault);
    return happens;
}

static void close_timer(struct wsh_fault *fault)
{
    if (fault->timer)
        fault->host.loop_ops->timer_close(fault->timer);
    fault->timer = NULL;
}

static void go_up(struct wsh_fault *fault)
{
    fault->chaos_ms = wsh_fault_now(fault) + WSH_FAULT_CHAOS_MS;
    set_state(fault, WSH_FAULT_UP);
    fault->outer->ready(fault->outer);
}

/* OPENING, and nothing is in the way of it. 0 or the inner adapter's error. */
static int connect_inner(struct wsh_fault *fault)
{
    int error;

    if (fault->inner_open) {
        if (fault->inner_ready)
            go_up(fault);
        return 0;
    }
    fault->inner_open = true;
    error = fault->inner.open(fault->inner_self, &fault->host);
    if (error)
        fault->inner_open = false;
    else
        fault->inner_started = true;
    return error;
}

/* Chance, once in a while. */
static void chaos(struct wsh_fault *fault)
{
    struct wsh_fault_channel *channel = NULL;
    struct wsh_list *at = &fault->channels;
    uint64_t now = wsh_fault_now(fault);

    if (fault->state != WSH_FAULT_UP || now < fault->chaos_ms)
        return;
    fault->chaos_ms = now + WSH_FAULT_CHAOS_MS;
    wsh_fault_lock(fault);
    if (!fault->frozen && wsh_fault_happens(fault, WS_HUB_FAULT_FREEZE)) {
        fault->frozen = true;
        fault->thaw_ms = now + wsh_fault_delay(fault, fault->options.freeze_ms);
    }
    if (fault->map.count &&
        wsh_fault_happens(fault, WS_HUB_FAULT_DROP_CHANNEL)) {
        for (uint64_t i = wsh_rng_below(&fault->rng, fault->map.count) + 1; i;
             i--)
            at = at->next;
        channel = WSH_CONTAINER(at, struct wsh_fault_channel, list);
    }
    wsh_fault_unlock(fault);
    if (channel && (channel->asked || channel->live))
        wsh_fault_lose_channel(fault, channel);
    if (fault->state == WSH_FAULT_UP && draw(fault, WS_HUB_FAULT_DROP_LINK))
        wsh_fault_lose(fault, "dropped by chance");
}

/* An open() that will not be answered has an end as well. */
static void give_up_opening(struct wsh_fault *fault)
{
    if (fault->state != WSH_FAULT_OPENING)
        return;
    if (fault->open_lost)
        wsh_fault_lose(fault, "refused by chance");
    else if (fault->frozen &&
             wsh_fault_now(fault) - fault->opened_ms >= fault->options.open_ms)
        wsh_fault_lose(fault, "no answer");
}

static void tell_ready(struct wsh_fault *fault)
{
    bool due;

    wsh_fault_lock(fault);
    due = fault->ready_ms && fault->ready_ms <= wsh_fault_now(fault) &&
          fault->state == WSH_FAULT_UP && !fault->frozen;
    if (due)
        fault->ready_ms = 0;
    wsh_fault_unlock(fault);
    if (due)
        fault->outer->ready(fault->outer);
}

static void tick(ws_hub_timer *timer, void *arg)
{
    struct wsh_fault *fault = arg;
    bool overflow;

    (void)timer;
    wsh_fault_enter(fault);
    wsh_fault_lock(fault);
    fault->now_ms = wsh_fault_now(fault);
    overflow = fault->overflow && fault->state == WSH_FAULT_UP;
    wsh_fault_unlock(fault);
    if (overflow)
        wsh_fault_lose(fault, "more came than may wait");
    give_up_opening(fault);
    if (fault->frozen && fault->thaw_ms &&
        fault->thaw_ms <= wsh_fault_now(fault))
        wsh_fault_thaw(fault);
    chaos(fault);
    wsh_fault_deliver(fault);
    tell_ready(fault);
    /* Any of these may have ended in close(). */
    if (fault->timer)
        fault->host.loop_ops->timer_set(fault->timer, WSH_FAULT_TICK_MS);
    wsh_fault_leave(fault);
}

int wsh_fault_open(void *self, const ws_hub_broker_host *host)
{
    struct wsh_fault *fault = self;
    int error = 0;

    fault->outer = host;
    fault->host.server_id = host->server_id;
    fault->host.loop = host->loop;
    fault->host.loop_ops = host->loop_ops;
    fault->host.instance = host->instance;
    if (draw(fault, WS_HUB_FAULT_OPEN_FAILS))
        return WS_HUB_EBROKER;
    if (!fault->timer)
        error =
            host->loop_ops->timer_open(host->loop, tick, fault, &fault->timer);
    if (error)
        return error;
    host->loop_ops->timer_set(fault->timer, WSH_FAULT_TICK_MS);
    fault->opened_ms = wsh_fault_now(fault);
    wsh_fault_lock(fault);
    fault->now_ms = fault->opened_ms;
    fault->home = pthread_self();
    fault->open_lost = wsh_fault_happens(fault, WS_HUB_FAULT_OPEN_LOST);
    fault->state = WSH_FAULT_OPENING;
    wsh_fault_unlock(fault);
    if (!fault->open_lost && !fault->frozen)
        error = connect_inner(fault);
    if (error) {
        set_state(fault, WSH_FAULT_DOWN);
        close_timer(fault); /* after a first open() nothing else is called */
    }
    return error;
}

void wsh_fault_in_ready(const ws_hub_broker_host *host)
{
    struct wsh_fault *fault = wsh_fault_of(host);

    fault->inner_ready = true;
    if (fault->state == WSH_FAULT_OPENING && !fault->frozen &&
        !fault->open_lost)
        go_up(fault);
    else if (fault->state == WSH_FAULT_UP && !fault->frozen)
        fault->outer->ready(fault->outer);
    else if (fault->state == WSH_FAULT_UP) {
        wsh_fault_lock(fault);
        fault->ready_ms = 1; /* when the freeze ends */
        wsh_fault_unlock(fault);
    }
}

void wsh_fault_in_lost(const ws_hub_broker_host *host, const char *why)
{
    struct wsh_fault *fault = wsh_fault_of(host);

    fault->inner_open = fault->inner_ready = false;
    if (fault->state == WSH_FAULT_UP || fault->state == WSH_FAULT_OPENING)
        wsh_fault_lose(fault, why);
}

void wsh_fault_in_stopped(const ws_hub_broker_host *host)
{
    struct wsh_fault *fault = wsh_fault_of(host);

    fault->inner_started = fault->inner_open = fault->inner_ready = false;
    set_state(fault, WSH_FAULT_CLOSED);
    close_timer(fault);
    fault->outer->stopped(fault->outer);
}

void wsh_fault_lose(struct wsh_fault *fault, const char *why)
{
    struct wsh_fault_channel *channel;

    WSH_ASSERT(fault->state == WSH_FAULT_UP ||
               fault->state == WSH_FAULT_OPENING);
    wsh_fault_lock(fault);
    fault->state = WSH_FAULT_DOWN;
    fault->open_lost = fault->overflow = false;
    fault->ready_ms = 0;
    wsh_fault_discard_all(fault);
    /* DOWN: nobody adds any. */
    while (!wsh_list_empty(&fault->channels)) {
        channel =
            WSH_LIST_FIRST(&fault->channels, struct wsh_fault_channel, list);
        channel->held++;
        wsh_fault_detach(fault, channel);
        wsh_fault_unlock(fault);
        if (fault->inner_open)
            (void)fault->inner.unsubscribe(fault->inner_self, channel->name,
                                           channel->node.key_len);
        wsh_fault_lock(fault);
        if (--channel->held == 0)
            free(channel);
    }
    wsh_fault_unlock(fault);
    fault->outer->lost(fault->outer, why);
}

void wsh_fault_lose_channel(struct wsh_fault *fault,
                            struct wsh_fault_channel *channel)
{
    if (!fault->outer->dropped) {
        wsh_fault_lose(fault, "a subscription was dropped");
        return;
    }
    wsh_fault_lock(fault);
    wsh_fault_discard_channel(fault, channel);
    channel->held++;
    wsh_fault_detach(fault, channel);
    wsh_fault_unlock(fault);
    (void)fault->inner.unsubscribe(fault->inner_self, channel->name,
                                   channel->node.key_len);
    if (fault->state == WSH_FAULT_UP)
        fault->outer->dropped(fault->outer, channel->name,
                              channel->node.key_len, "dropped by chance");
    wsh_fault_lock(fault);
    if (--channel->held == 0)
        free(channel);
    wsh_fault_unlock(fault);
}

void wsh_fault_thaw(struct wsh_fault *fault)
{
    int error = 0;

    fault->thaw_ms = 0;
    wsh_fault_replay(fault);
    if (fault->state == WSH_FAULT_OPENING && !fault->open_lost)
        error = connect_inner(fault);
    if (error)
        wsh_fault_lose(fault, ws_hub_error_text(error));
    wsh_fault_deliver(fault);
}

void wsh_fault_close(void *self)
{
    struct wsh_fault *fault = self;

    wsh_fault_lock(fault);
    fault->state = WSH_FAULT_CLOSING;
    wsh_fault_discard_all(fault);
    while (!wsh_list_empty(&fault->channels))
        wsh_fault_detach(fault, WSH_LIST_FIRST(&fault->channels,
                                               struct wsh_fault_channel, list));
    wsh_fault_unlock(fault);
    if (fault->inner_started)
        fault->inner.close(fault->inner_self);
    else
        wsh_fault_in_stopped(&fault->host);
}

/*
 * traffic.c: what passes through a fault adapter: calls on their way out,
 * answers and messages on their way in, each with the faults that chance or a
 * script has for it.
 *
 * Thread: publish and message on any; the rest on the home loop.
 */
#include "broker/fault/fault.h"

#include <stdlib.h>

#include "ws_hub/error.h"

/* Locked. */
static void ready_later(struct wsh_fault *fault)
{
    fault->ready_ms =
        fault->now_ms + wsh_fault_delay(fault, fault->options.delay_ms);
}

static int forward_subscribe(struct wsh_fault *fault, const char *name,
                             size_t len)
{
    int error = fault->inner.subscribe(fault->inner_self, name, len);
    struct wsh_fault_channel *channel;

    if (!error)
        return 0;
    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (channel) {
        channel->asked = false;
        wsh_fault_forget_if_idle(fault, channel);
    }
    wsh_fault_unlock(fault);
    return error;
}

/* 1: call the inner adapter; else what subscribe() returns. Locked. */
static int fate_of_subscribe(struct wsh_fault *fault, const char *name,
                             size_t len)
{
    struct wsh_fault_channel *channel;
    int error;

    if (fault->state != WSH_FAULT_UP)
        return WS_HUB_EAGAIN;
    if (wsh_fault_happens(fault, WS_HUB_FAULT_SUBSCRIBE_AGAIN)) {
        ready_later(fault);
        return WS_HUB_EAGAIN;
    }
    if (wsh_fault_happens(fault, WS_HUB_FAULT_SUBSCRIBE_NO_MEMORY))
        return WS_HUB_ENOMEM;
    channel = wsh_fault_get(fault, name, len);
    if (!channel)
        return WS_HUB_ENOMEM;
    if (wsh_fault_happens(fault, WS_HUB_FAULT_REFUSE_SUBSCRIBE)) {
        struct wsh_fault_item *item =
            wsh_fault_item_create(WSH_FAULT_SUBSCRIBED, name, len, NULL);

        if (item)
            item->status = WS_HUB_EFORBIDDEN;
        wsh_fault_hold_in(fault, item, channel, fault->now_ms);
        return 0;
    }
    channel->asked = true;
    if (!fault->frozen)
        return 1;
    error = wsh_fault_hold_out(
        fault, wsh_fault_item_create(WSH_FAULT_SUBSCRIBE, name, len, NULL));
    if (error) {
        channel->asked = false;
        wsh_fault_forget_if_idle(fault, channel);
    }
    if (error == WS_HUB_EAGAIN)
        ready_later(fault);
    return error;
}

int wsh_fault_subscribe(void *self, const char *name, size_t len)
{
    struct wsh_fault *fault = self;
    int fate;

    wsh_fault_lock(fault);
    fate = fate_of_subscribe(fault, name, len);
    wsh_fault_unlock(fault);
    return fate == 1 ? forward_subscribe(fault, name, len) : fate;
}

int wsh_fault_unsubscribe(void *self, const char *name, size_t len)
{
    struct wsh_fault *fault = self;
    struct wsh_fault_channel *channel;
    bool forward;
    int error = 0;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (channel) {
        channel->asked = channel->live = false;
        wsh_fault_discard_channel(fault, channel);
        wsh_fault_forget_if_idle(fault, channel);
    }
    forward = fault->state == WSH_FAULT_UP && !fault->frozen;
    if (fault->state == WSH_FAULT_UP && fault->frozen)
        error = wsh_fault_hold_out(
            fault,
            wsh_fault_item_create(WSH_FAULT_UNSUBSCRIBE, name, len, NULL));
    if (error) /* it has to be done: with the link */
        fault->overflow = true;
    wsh_fault_unlock(fault);
    return forward ? fault->inner.unsubscribe(fault->inner_self, name, len) : 0;
}

/* 1: call the inner adapter; else what publish() returns. Locked. */
static int fate_of_publish(struct wsh_fault *fault, const char *name,
                           size_t len, const ws_hub_broker_message *message)
{
    int error;

    if (fault->state != WSH_FAULT_UP ||
        wsh_fault_happens(fault, WS_HUB_FAULT_PUBLISH_BROKER))
        return WS_HUB_EBROKER;
    if (wsh_fault_happens(fault, WS_HUB_FAULT_PUBLISH_NO_MEMORY))
        return WS_HUB_ENOMEM;
    if (wsh_fault_happens(fault, WS_HUB_FAULT_PUBLISH_AGAIN)) {
        ready_later(fault);
        return WS_HUB_EAGAIN;
    }
    if (!fault->frozen)
        return 1;
    error = wsh_fault_hold_out(
        fault, wsh_fault_item_create(WSH_FAULT_PUBLISH, name, len, message));
    if (error == WS_HUB_EAGAIN)
        ready_later(fault);
    return error;
}

int wsh_fault_publish(void *self, const char *name, size_t len,
                      const ws_hub_broker_message *message)
{
    struct wsh_fault *fault = self;
    int fate;

    wsh_fault_lock(fault);
    fate = fate_of_publish(fault, name, len, message);
    wsh_fault_unlock(fault);
    return fate == 1
               ? fault->inner.publish(fault->inner_self, name, len, message)
               : fate;
}

/* Without an audit of the inner adapter's, the table here is asked. */
static int forward_audit(struct wsh_fault *fault, const char *name, size_t len)
{
    struct wsh_fault_channel *channel;
    bool live;

    if (fault->inner.audit)
        return fault->inner.audit(fault->inner_self, name, len);
    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    live = channel && channel->live;
    wsh_fault_unlock(fault);
    wsh_fault_in_audited(&fault->host, name, len, live);
    return 0;
}

int wsh_fault_audit(void *self, const char *name, size_t len)
{
    struct wsh_fault *fault = self;
    int error = 0;
    bool forward;

    wsh_fault_lock(fault);
    forward = fault->state == WSH_FAULT_UP && !fault->frozen;
    if (fault->state != WSH_FAULT_UP)
        error = WS_HUB_EAGAIN;
    else if (fault->frozen)
        error = wsh_fault_hold_out(
            fault, wsh_fault_item_create(WSH_FAULT_AUDIT, name, len, NULL));
    wsh_fault_unlock(fault);
    return forward ? forward_audit(fault, name, len) : error;
}

/* Calls that waited out a freeze. */

static void fail_held_call(struct wsh_fault *fault, const char *name,
                           size_t len, int error)
{
    struct wsh_fault_channel *channel;

    if (error != WS_HUB_EAGAIN) {
        wsh_fault_in_subscribed(&fault->host, name, len, error);
        return;
    }
    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    wsh_fault_unlock(fault);
    if (channel)
        wsh_fault_lose_channel(fault, channel);
}

static void replay_one(struct wsh_fault *fault, struct wsh_fault_item *item)
{
    const char *name = item->bytes;
    size_t len = item->name_len;
    struct wsh_fault_channel *channel;
    bool wanted;
    int error = 0;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    wanted = channel && (channel->asked || channel->live);
    wsh_fault_unlock(fault);
    if (item->kind == WSH_FAULT_UNSUBSCRIBE)
        (void)fault->inner.unsubscribe(fault->inner_self, name, len);
    else if (item->kind == WSH_FAULT_SUBSCRIBE && wanted)
        error = fault->inner.subscribe(fault->inner_self, name, len);
    else if (item->kind == WSH_FAULT_AUDIT && wanted)
        error = forward_audit(fault, name, len) ? WS_HUB_EAGAIN : 0;
    if (error)
        fail_held_call(fault, name, len, error);
    if (item->kind != WSH_FAULT_PUBLISH)
        return;
    error = fault->inner.publish(fault->inner_self, name, len, &item->message);
    if (error) { /* it was accepted: the loss has to be told */
        wsh_fault_lock(fault);
        fault->overflow = true;
        wsh_fault_unlock(fault);
    }
}

void wsh_fault_replay(struct wsh_fault *fault)
{
    struct wsh_fault_item *item;

    for (;;) {
        wsh_fault_lock(fault);
        item = wsh_fault_take_out(fault);
        if (!item)
            fault->frozen = false;
        wsh_fault_unlock(fault);
        if (!item)
            return;
        replay_one(fault, item);
        free(item);
    }
}

/* The way in. */

static int call_host(struct wsh_fault *fault, const struct wsh_fault_item *item)
{
    const ws_hub_broker_host *host = fault->outer;

    switch (item->kind) {
    case WSH_FAULT_MESSAGE:
        return host->message(host, item->bytes, item->name_len, &item->message);
    case WSH_FAULT_SUBSCRIBED:
        host->subscribed(host, item->bytes, item->name_len, item->status);
        return 0;
    case WSH_FAULT_DROPPED:
        host->dropped(host, item->bytes, item->name_len, "dropped");
        return 0;
    default:
        WSH_ASSERT(item->kind == WSH_FAULT_AUDITED);
        host->audited(host, item->bytes, item->name_len, item->listeners);
        return 0;
    }
}

void wsh_fault_deliver(struct wsh_fault *fault)
{
    struct wsh_fault_item *item;

    for (;;) {
        wsh_fault_lock(fault);
        item = fault->frozen || fault->state != WSH_FAULT_UP
                   ? NULL
                   : wsh_fault_take_due(fault, fault->now_ms);
        wsh_fault_unlock(fault);
        if (!item)
            return;
        (void)call_host(fault, item);
        wsh_fault_lock(fault);
        wsh_fault_item_done(fault, item);
        wsh_fault_unlock(fault);
    }
}

/* May it pass at once? Else it is held. Locked. */
static bool passes(struct wsh_fault *fault,
                   const struct wsh_fault_channel *channel, uint64_t delay_ms)
{
    return !fault->frozen && !channel->held && !delay_ms &&
           pthread_equal(fault->home, pthread_self());
}

int wsh_fault_in_message(const ws_hub_broker_host *host, const char *name,
                         size_t len, const ws_hub_broker_message *message)
{
    struct wsh_fault *fault = wsh_fault_of(host);
    struct wsh_fault_channel *channel;
    uint64_t delay_ms = 0;
    unsigned times = 1;
    bool now = false;
    int error = 0;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (fault->state != WSH_FAULT_UP || !channel || !channel->live ||
        wsh_fault_happens(fault, WS_HUB_FAULT_LOSE_MESSAGE))
        times = 0;
    else if (wsh_fault_happens(fault, WS_HUB_FAULT_DUPLICATE_MESSAGE))
        times = 2;
    if (times && wsh_fault_happens(fault, WS_HUB_FAULT_DELAY_MESSAGE))
        delay_ms = wsh_fault_delay(fault, fault->options.delay_ms);
    if (times)
        now = passes(fault, channel, delay_ms);
    for (unsigned i = 0; !now && i < times; i++)
        wsh_fault_hold_in(
            fault, wsh_fault_item_create(WSH_FAULT_MESSAGE, name, len, message),
            channel, fault->now_ms + delay_ms);
    wsh_fault_unlock(fault);
    for (unsigned i = 0; now && i < times; i++)
        error = fault->outer->message(fault->outer, name, len, message);
    return error;
}

void wsh_fault_in_subscribed(const ws_hub_broker_host *host, const char *name,
                             size_t len, int status)
{
    struct wsh_fault *fault = wsh_fault_of(host);
    struct wsh_fault_channel *channel;
    uint64_t delay_ms = 0;
    bool now = false;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (fault->state != WSH_FAULT_UP || !channel ||
        (!channel->asked && !channel->live)) {
        wsh_fault_unlock(fault);
        return;
    }
    channel->asked = false;
    channel->live = !status;
    if (status || !wsh_fault_happens(fault, WS_HUB_FAULT_LOSE_SUBSCRIBED)) {
        if (wsh_fault_happens(fault, WS_HUB_FAULT_DELAY_SUBSCRIBED))
            delay_ms = wsh_fault_delay(fault, fault->options.delay_ms);
        now = passes(fault, channel, delay_ms);
        if (!now) {
            struct wsh_fault_item *item =
                wsh_fault_item_create(WSH_FAULT_SUBSCRIBED, name, len, NULL);

            if (item)
                item->status = status;
            wsh_fault_hold_in(fault, item, channel, fault->now_ms + delay_ms);
        }
    }
    wsh_fault_forget_if_idle(fault, channel);
    wsh_fault_unlock(fault);
    if (now)
        fault->outer->subscribed(fault->outer, name, len, status);
}

void wsh_fault_in_dropped(const ws_hub_broker_host *host, const char *name,
                          size_t len, const char *why)
{
    struct wsh_fault *fault = wsh_fault_of(host);
    struct wsh_fault_channel *channel;
    bool now = false;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (channel && fault->state == WSH_FAULT_UP) {
        channel->asked = channel->live = false;
        now = passes(fault, channel, 0);
        if (!now)
            wsh_fault_hold_in(
                fault,
                wsh_fault_item_create(WSH_FAULT_DROPPED, name, len, NULL),
                channel, fault->now_ms);
        wsh_fault_forget_if_idle(fault, channel);
    }
    wsh_fault_unlock(fault);
    if (now)
        fault->outer->dropped(fault->outer, name, len, why);
}

void wsh_fault_in_audited(const ws_hub_broker_host *host, const char *name,
                          size_t len, uint64_t listeners)
{
    struct wsh_fault *fault = wsh_fault_of(host);
    struct wsh_fault_channel *channel;
    bool now = false;

    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    if (channel && fault->state == WSH_FAULT_UP) {
        now = passes(fault, channel, 0);
        if (!now) {
            struct wsh_fault_item *item =
                wsh_fault_item_create(WSH_FAULT_AUDITED, name, len, NULL);

            if (item)
                item->listeners = listeners;
            wsh_fault_hold_in(fault, item, channel, fault->now_ms);
        }
    }
    wsh_fault_unlock(fault);
    if (now)
        fault->outer->audited(fault->outer, name, len, listeners);
}

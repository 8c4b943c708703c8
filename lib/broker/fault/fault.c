/*
 * fault.c: making and destroying a fault adapter, the draws, and the commands
 * of ws_hub/fault.h.
 *
 * Owns: the adapter and the inner one. Thread: as ws_hub/fault.h says.
 */
#include "broker/fault/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_hub/error.h"

static const char *const names[] = {
#define NAME(name, text) [WS_HUB_FAULT_##name] = text,
    WS_HUB_FAULT_MAP(NAME)
#undef NAME
};

_Static_assert(WSH_COUNT(names) == WS_HUB_FAULT_COUNT, "fault names");
_Static_assert(WS_HUB_FAULT_COUNT <=
                   WSH_COUNT(((ws_hub_fault_options *)0)->per_thousand),
               "room for all rates");

bool wsh_fault_happens(struct wsh_fault *fault, ws_hub_fault what)
{
    unsigned rate = fault->options.per_thousand[what];

    if (fault->script[what])
        fault->script[what]--;
    else if (!rate || wsh_rng_below(&fault->rng, 1000) >= rate)
        return false;
    fault->count[what]++;
    return true;
}

uint64_t wsh_fault_delay(struct wsh_fault *fault, unsigned most)
{
    return 1 + wsh_rng_below(&fault->rng, most);
}

static void destroy_now(struct wsh_fault *fault)
{
    WSH_ASSERT(!fault->inner_started && !fault->timer);
    wsh_fault_discard_all(fault);
    while (!wsh_list_empty(&fault->channels))
        wsh_fault_detach(fault, WSH_LIST_FIRST(&fault->channels,
                                               struct wsh_fault_channel, list));
    wsh_map_fini(&fault->map);
    if (fault->inner.destroy)
        fault->inner.destroy(fault->inner_self);
    (void)pthread_mutex_destroy(&fault->lock);
    free(fault);
}

void wsh_fault_enter(struct wsh_fault *fault)
{
    fault->depth++;
}

void wsh_fault_leave(struct wsh_fault *fault)
{
    if (--fault->depth == 0 && fault->doomed)
        destroy_now(fault);
}

static void destroy(void *self)
{
    struct wsh_fault *fault = self;

    if (fault->depth)
        fault->doomed = true;
    else
        destroy_now(fault);
}

/* Probe. */

static size_t probe_channel(void *self, unsigned link, char *name)
{
    struct wsh_fault *fault = self;
    char text[64];
    int len;

    if (fault->inner.probe_channel)
        return fault->inner.probe_channel(fault->inner_self, link, name);
    if (link > 0)
        return 0;
    len = snprintf(text, sizeof text, "$ws_hub.%016llx.fault",
                   (unsigned long long)fault->host.instance);
    memcpy(name, text, (size_t)len);
    return (size_t)len;
}

static void suspect(void *self, const char *channel, size_t len)
{
    struct wsh_fault *fault = self;

    if (fault->state != WSH_FAULT_UP && fault->state != WSH_FAULT_OPENING)
        return;
    if (fault->inner.suspect && !fault->frozen)
        fault->inner.suspect(fault->inner_self, channel, len);
    else
        wsh_fault_lose(fault, "the probe did not come back");
}

static void in_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                   const char *text)
{
    const struct wsh_fault *fault = wsh_fault_of(host);

    fault->outer->log(fault->outer, level, text);
}

/* Making. */

static int copy_options(ws_hub_fault_options *to,
                        const ws_hub_fault_options *from)
{
    static const ws_hub_fault_options defaults = {
        .delay_ms = 100, .freeze_ms = 1000, .open_ms = 1000, .max_held = 4096};
    const uint8_t *bytes = (const uint8_t *)from;

    if (from && from->struct_size < sizeof(size_t))
        return WS_HUB_EINVAL;
    for (size_t i = sizeof *to; from && i < from->struct_size; i++)
        if (bytes[i])
            return WS_HUB_ENOTSUP;
    if (from)
        memcpy(to, from, WSH_MIN(from->struct_size, sizeof *to));
    to->delay_ms = to->delay_ms ? to->delay_ms : defaults.delay_ms;
    to->freeze_ms = to->freeze_ms ? to->freeze_ms : defaults.freeze_ms;
    to->open_ms = to->open_ms ? to->open_ms : defaults.open_ms;
    to->max_held = to->max_held ? to->max_held : defaults.max_held;
    for (size_t i = 0; i < WSH_COUNT(to->per_thousand); i++)
        if (to->per_thousand[i] > 1000)
            return WS_HUB_EINVAL;
    return 0;
}

static int copy_inner(ws_hub_broker_ops *to, const ws_hub_broker_ops *from)
{
    if (!from || from->struct_size < sizeof(size_t))
        return WS_HUB_EINVAL;
    memcpy(to, from, WSH_MIN(from->struct_size, sizeof *to));
    return to->name && to->open && to->subscribe && to->unsubscribe &&
                   to->publish && to->close
               ? 0
               : WS_HUB_EINVAL;
}

static void fill_tables(struct wsh_fault *fault)
{
    fault->host = (ws_hub_broker_host){
        .struct_size = sizeof fault->host,
        .message = wsh_fault_in_message,
        .subscribed = wsh_fault_in_subscribed,
        .ready = wsh_fault_in_ready,
        .lost = wsh_fault_in_lost,
        .stopped = wsh_fault_in_stopped,
        .log = in_log,
        .dropped = wsh_fault_in_dropped,
        .audited = wsh_fault_in_audited,
    };
    fault->ops = (ws_hub_broker_ops){
        .struct_size = sizeof fault->ops,
        .name = "fault",
        .flags = fault->inner.flags & ~WS_HUB_BROKER_LOCAL,
        .open = wsh_fault_open,
        .subscribe = wsh_fault_subscribe,
        .unsubscribe = wsh_fault_unsubscribe,
        .publish = wsh_fault_publish,
        .close = wsh_fault_close,
        .destroy = destroy,
        .probe_channel = probe_channel,
        .suspect = suspect,
        .audit = wsh_fault_audit,
    };
}

static void init_held(struct wsh_fault *fault)
{
    struct wsh_rng rng = {fault->options.seed};
    const uint64_t seed[2] = {wsh_rng_next(&rng), wsh_rng_next(&rng)};

    fault->rng = rng;
    wsh_map_init(&fault->map, seed);
    wsh_list_init(&fault->channels);
    wsh_list_init(&fault->in);
    wsh_list_init(&fault->out);
}

int ws_hub_fault_broker(const ws_hub_fault_options *options,
                        const ws_hub_broker_ops *inner_ops, void *inner_self,
                        const ws_hub_broker_ops **ops, void **self)
{
    struct wsh_fault *fault;
    int error;

    if (!ops || !self)
        return WS_HUB_EINVAL;
    *ops = NULL;
    *self = NULL;
    fault = calloc(1, sizeof *fault);
    if (!fault)
        return WS_HUB_ENOMEM;
    error = copy_options(&fault->options, options);
    if (!error)
        error = copy_inner(&fault->inner, inner_ops);
    if (!error && pthread_mutex_init(&fault->lock, NULL))
        error = WS_HUB_ENOMEM;
    if (error) {
        free(fault);
        return error;
    }
    fault->inner_self = inner_self;
    fill_tables(fault);
    init_held(fault);
    *ops = &fault->ops;
    *self = fault;
    return 0;
}

/* Commands. */

int ws_hub_fault_set_rate(void *self, ws_hub_fault what, unsigned per_thousand)
{
    struct wsh_fault *fault = self;

    if (!fault || (unsigned)what >= WS_HUB_FAULT_COUNT || per_thousand > 1000)
        return WS_HUB_EINVAL;
    wsh_fault_lock(fault);
    fault->options.per_thousand[what] = (uint16_t)per_thousand;
    wsh_fault_unlock(fault);
    return 0;
}

int ws_hub_fault_next(void *self, ws_hub_fault what, unsigned times)
{
    struct wsh_fault *fault = self;

    if (!fault || (unsigned)what >= WS_HUB_FAULT_COUNT)
        return WS_HUB_EINVAL;
    wsh_fault_lock(fault);
    fault->script[what] = times;
    wsh_fault_unlock(fault);
    return 0;
}

uint64_t ws_hub_fault_count(void *self, ws_hub_fault what)
{
    struct wsh_fault *fault = self;
    uint64_t count;

    if (!fault || (unsigned)what >= WS_HUB_FAULT_COUNT)
        return 0;
    wsh_fault_lock(fault);
    count = fault->count[what];
    wsh_fault_unlock(fault);
    return count;
}

const char *ws_hub_fault_name(ws_hub_fault what)
{
    return (unsigned)what < WS_HUB_FAULT_COUNT ? names[what] : "unknown";
}

static void count_command(struct wsh_fault *fault, ws_hub_fault what)
{
    wsh_fault_lock(fault);
    fault->count[what]++;
    wsh_fault_unlock(fault);
}

int ws_hub_fault_drop_link(void *self)
{
    struct wsh_fault *fault = self;

    if (fault->state != WSH_FAULT_UP && fault->state != WSH_FAULT_OPENING)
        return WS_HUB_ESTATE;
    count_command(fault, WS_HUB_FAULT_DROP_LINK);
    wsh_fault_lose(fault, "dropped by command");
    return 0;
}

int ws_hub_fault_drop_channel(void *self, const char *name, size_t len)
{
    struct wsh_fault *fault = self;
    struct wsh_fault_channel *channel;

    if (fault->state != WSH_FAULT_UP)
        return WS_HUB_ESTATE;
    wsh_fault_lock(fault);
    channel = wsh_fault_find(fault, name, len);
    wsh_fault_unlock(fault);
    if (!channel || (!channel->asked && !channel->live))
        return WS_HUB_ENOENT;
    count_command(fault, WS_HUB_FAULT_DROP_CHANNEL);
    wsh_fault_enter(fault);
    wsh_fault_lose_channel(fault, channel);
    wsh_fault_leave(fault);
    return 0;
}

void ws_hub_fault_freeze(void *self, int on)
{
    struct wsh_fault *fault = self;

    if (on) {
        wsh_fault_lock(fault);
        fault->count[WS_HUB_FAULT_FREEZE] += !fault->frozen;
        fault->frozen = true;
        fault->thaw_ms = 0;
        wsh_fault_unlock(fault);
    } else if (fault->frozen) {
        wsh_fault_enter(fault);
        wsh_fault_thaw(fault);
        wsh_fault_leave(fault);
    }
}

void ws_hub_fault_calm(void *self)
{
    struct wsh_fault *fault = self;

    wsh_fault_lock(fault);
    memset(fault->options.per_thousand, 0, sizeof fault->options.per_thousand);
    memset(fault->script, 0, sizeof fault->script);
    wsh_fault_unlock(fault);
    ws_hub_fault_freeze(fault, 0);
}

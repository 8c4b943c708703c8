#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "hub/parcel.h"
#include "hub/shard.h"
#include "protocol/channel_name.h"
#include "protocol/utf8.h"
#include "ws_hub/error.h"

/* Commas and openings of one JSON text; its heap is bounded by it. */
enum { JSON_VALUES_MAX = 16384, MESSAGE_MAX = 1 << 30 };

static void log_to_host(int level, const char *text, void *arg)
{
    const struct wsh_hub *hub = arg;

    hub->settings.callbacks.on_log((ws_hub_log_level)level, text,
                                   hub->settings.o.user);
}

int wsh_hub_init(struct wsh_hub *hub, ws_hub *handle,
                 struct wsh_settings *settings, const uint64_t seed[2])
{
    memset(hub, 0, sizeof *hub);
    hub->handle = handle;
    hub->settings = *settings;
    if (settings->callbacks.on_log) {
        hub->log.write = log_to_host;
        hub->log.user = hub;
    }
    hub->seed[0] = seed[0];
    hub->seed[1] = seed[1];
    /* A keyed hash, so that it tells nothing of the seed. */
    hub->instance = wsh_siphash(seed, "instance", 8);
    if (!hub->instance)
        hub->instance = 1;
    hub->decoder_limits.max_message = settings->o.max_message_bytes;
    hub->decoder_limits.max_fragments = settings->o.max_fragments;
    hub->json_limits.max_bytes = settings->o.max_json_bytes;
    hub->json_limits.max_depth = settings->o.max_json_depth;
    hub->json_limits.max_values = JSON_VALUES_MAX;
    wsh_registry_init(&hub->registry, seed);
    wsh_ip_table_init(&hub->ips, seed);
    return 0;
}

void wsh_hub_fini(struct wsh_hub *hub)
{
    wsh_registry_fini(&hub->registry);
    wsh_ip_table_fini(&hub->ips);
    wsh_settings_fini(&hub->settings);
}

struct wsh_shard *wsh_hub_here(const struct wsh_hub *hub)
{
    for (unsigned i = 0; i < hub->shard_count; i++)
        if (wsh_shard_here(hub->shards[i]))
            return hub->shards[i];
    return NULL;
}

void wsh_hub_count_any(struct wsh_hub *hub, unsigned which, uint64_t by)
{
    struct wsh_shard *here = wsh_hub_here(hub);

    if (here)
        wsh_count(&here->counters, which, by);
    else
        wsh_count_shared(&hub->shared, which, by);
}

static void add_feed(const struct wsh_feed_counts *counts,
                     ws_hub_stats_data *stats)
{
    for (unsigned i = 0; i < WS_HUB_BROKER_EVENT_COUNT; i++)
        stats->broker[i] =
            atomic_load_explicit(&counts->event[i], memory_order_relaxed);
    stats->broker_wanted =
        atomic_load_explicit(&counts->wanted, memory_order_relaxed);
    stats->broker_subscribed =
        atomic_load_explicit(&counts->subscribed, memory_order_relaxed);
}

void wsh_hub_stats(const struct wsh_hub *hub, ws_hub_stats_data *stats)
{
    add_feed(&hub->feed_counts, stats);
    wsh_counters_add(&hub->shared, stats);
    for (unsigned i = 0; i < hub->shard_count; i++)
        wsh_counters_add(&hub->shards[i]->counters, stats);
}

static bool json_valid(const struct wsh_hub *hub,
                       const ws_hub_broker_message *message)
{
    struct wsh_command_limits limits = hub->json_limits;

    limits.max_bytes = MESSAGE_MAX;
    limits.max_values = SIZE_MAX;
    return wsh_json_valid(message->data, message->len, &limits);
}

static bool payload_valid(const struct wsh_hub *hub,
                          const ws_hub_broker_message *message)
{
    switch (message->type) {
    case WS_HUB_TEXT:
        return wsh_utf8_valid(message->data, message->len);
    case WS_HUB_JSON:
        return json_valid(hub, message);
    case WS_HUB_BINARY:
        return true;
    case WS_HUB_DETECT: /* the broker's way in has resolved it */
        break;
    }
    return false;
}

int wsh_hub_check_message(const struct wsh_hub *hub, const char *channel,
                          size_t len, const ws_hub_broker_message *message)
{
    if (!channel || !wsh_channel_name_valid(channel, len))
        return WS_HUB_EINVAL;
    if ((!message->data && message->len) || message->len > MESSAGE_MAX)
        return WS_HUB_EINVAL;
    if (message->cls < WS_HUB_CLASS_NORMAL ||
        message->cls > WS_HUB_CLASS_VOLATILE || message->key_len > 255 ||
        (!message->key && message->key_len))
        return WS_HUB_EINVAL;
    return payload_valid(hub, message) ? 0 : WS_HUB_EINVAL;
}

static void deliver_parcel(struct wsh_shard *shard,
                           const struct wsh_parcel *parcel)
{
    (void)wsh_shard_message(shard, parcel->channel, parcel->channel_len,
                            &parcel->message);
}

static void publish_parcel(struct wsh_shard *shard,
                           const struct wsh_parcel *parcel)
{
    struct wsh_hub *hub = shard->hub;
    struct wsh_feed *feed = &hub->feed;
    int result = feed->publish(feed->driver, parcel->channel,
                               parcel->channel_len, &parcel->message);

    /* Its publisher was told that all is well. */
    if (result < 0)
        atomic_fetch_add_explicit(
            &hub->feed_counts.event[WS_HUB_BROKER_EVENT_PUBLISH_FAILED], 1,
            memory_order_relaxed);
    feed->arrive(feed->driver);
}

/* The result is what the state of the link promises. */
static int take_home(struct wsh_hub *hub, const char *channel, size_t len,
                     const ws_hub_broker_message *message)
{
    struct wsh_feed *feed = &hub->feed;
    int promise = feed->leave(feed->driver), error;

    if (promise < 0)
        return promise;
    error = wsh_parcel_send(hub, UINT64_C(1) << WSH_HOME, publish_parcel,
                            channel, len, message);
    if (!error)
        return promise;
    feed->arrive(feed->driver);
    return error;
}

int wsh_hub_publish(struct wsh_hub *hub, const char *channel, size_t len,
                    ws_hub_broker_message *message)
{
    struct wsh_feed *feed = &hub->feed;
    int result = WSH_FEED_HOME;

    message->origin = hub->instance;
    if (feed->any_thread)
        result = feed->publish_here(feed->driver, channel, len, message);
    if (result == WSH_FEED_HOME)
        result = wsh_shard_here(hub->shards[WSH_HOME])
                     ? feed->publish(feed->driver, channel, len, message)
                     : take_home(hub, channel, len, message);
    if (result >= 0)
        wsh_hub_count_any(hub, WSH_C_PUBLISHED, 1);
    return result;
}

/* The one place where WS_HUB_DETECT ends. */
static ws_hub_type detect(const struct wsh_hub *hub,
                          const ws_hub_broker_message *message)
{
    if (json_valid(hub, message))
        return WS_HUB_JSON;
    return wsh_utf8_valid(message->data, message->len) ? WS_HUB_TEXT
                                                       : WS_HUB_BINARY;
}

/* To every shard that has listeners. */
static int fan_out(struct wsh_hub *hub, const char *channel, size_t len,
                   const ws_hub_broker_message *message)
{
    struct wsh_shard *here = wsh_hub_here(hub);
    uint64_t shards, local = here ? UINT64_C(1) << here->index : 0;
    int error = 0, own = 0;

    /* A hub of one loop has all its listeners there: no look-up, no lock. */
    shards = here && hub->shard_count == 1
                 ? local
                 : wsh_registry_shards(&hub->registry, channel, len);
    if (shards & ~local)
        error = wsh_parcel_send(hub, shards & ~local, deliver_parcel, channel,
                                len, message);
    if (error == WS_HUB_ELIMIT)
        wsh_hub_count_any(hub, WSH_C_MAILBOX_REFUSED, 1);
    if (shards & local)
        own = wsh_shard_message(here, channel, len, message);
    return error ? error : own;
}

/* The type is known only after the rest is known to be sound: a message that
 * claims bytes and has none is not looked at. */
static int from_other_program(struct wsh_hub *hub, const char *channel,
                              size_t len, const ws_hub_broker_message *message)
{
    ws_hub_broker_message known = *message;

    known.type = WS_HUB_BINARY;
    if (wsh_hub_check_message(hub, channel, len, &known))
        return WS_HUB_EINVAL;
    known.type = detect(hub, message);
    return fan_out(hub, channel, len, &known);
}

/* feed.h message: from the broker, which nobody trusts but one of our own. */
static int feed_message(void *arg, const char *channel, size_t len,
                        const ws_hub_broker_message *message)
{
    struct wsh_hub *hub = arg;
    int error;

    if (hub->feed.local)
        return fan_out(hub, channel, len, message);
    if (message->type == WS_HUB_DETECT) {
        error = from_other_program(hub, channel, len, message);
    } else {
        error = wsh_hub_check_message(hub, channel, len, message);
        if (!error)
            return fan_out(hub, channel, len, message);
    }
    if (error == WS_HUB_EINVAL)
        wsh_hub_count_any(hub, WSH_C_BROKER_REJECTED, 1);
    return error;
}

/* live and gap are for one shard each: a short text goes to its loop. */
struct notice {
    struct wsh_task task;
    int status;
    bool degraded, gap;
    size_t len;
    char channel[];
};

static void notice_arrives(struct wsh_shard *shard, struct wsh_task *task,
                           bool canceled)
{
    struct notice *notice = WSH_CONTAINER(task, struct notice, task);

    if (!canceled && notice->gap)
        wsh_channel_gap(shard, notice->channel, notice->len);
    else if (!canceled)
        wsh_channel_live(shard, notice->channel, notice->len, notice->status,
                         notice->degraded);
    free(notice);
}

static void lost_arrives(struct wsh_shard *shard, struct wsh_task *task,
                         bool canceled)
{
    unsigned which = atomic_exchange(&shard->lost_notices, 0);

    (void)task;
    if (!canceled)
        wsh_shard_notices_lost(shard, which);
}

/* Nobody may wait for ever: without memory the shard hears that it does not
 * know something. The task is its own, and under way while a bit is set. */
static void lose_notice(struct wsh_shard *shard, const struct notice *lost)
{
    unsigned which = lost->gap ? WSH_LOST_GAP : WSH_LOST_LIVE;

    wsh_log(&shard->hub->log, WS_HUB_LOG_ERROR,
            "out of memory: a channel's state is not told to loop %u",
            shard->index);
    if (atomic_fetch_or(&shard->lost_notices, which))
        return;
    shard->notices_lost.run = lost_arrives;
    (void)wsh_shard_post(shard, &shard->notices_lost);
}

static void send_notice(struct wsh_shard *shard, const char *channel,
                        size_t len, const struct notice *like)
{
    struct notice *notice = malloc(sizeof *notice + len);

    if (!notice) {
        lose_notice(shard, like);
        return;
    }
    *notice = *like;
    notice->task.run = notice_arrives;
    notice->task.bytes = 0;
    notice->len = len;
    memcpy(notice->channel, channel, len);
    if (wsh_shard_post(shard, &notice->task))
        free(notice);
}

static void feed_live(void *arg, const char *channel, size_t len,
                      unsigned index, int status, bool degraded)
{
    struct wsh_hub *hub = arg;
    struct wsh_shard *shard = hub->shards[index];
    struct notice like = {.status = status, .degraded = degraded};

    if (wsh_shard_here(shard))
        wsh_channel_live(shard, channel, len, status, degraded);
    else
        send_notice(shard, channel, len, &like);
}

static void feed_gap(void *arg, const char *channel, size_t len,
                     uint64_t shards)
{
    struct wsh_hub *hub = arg;
    struct notice like = {.gap = true};

    for (unsigned i = 0; shards; i++, shards >>= 1) {
        if (!(shards & 1))
            continue;
        if (wsh_shard_here(hub->shards[i]))
            wsh_channel_gap(hub->shards[i], channel, len);
        else
            send_notice(hub->shards[i], channel, len, &like);
    }
}

struct wsh_feed_events wsh_hub_feed_events(struct wsh_hub *hub)
{
    struct wsh_feed_events events = {
        .hub = hub,
        .live = feed_live,
        .gap = feed_gap,
        .message = feed_message,
        .counts = &hub->feed_counts,
    };

    return events;
}

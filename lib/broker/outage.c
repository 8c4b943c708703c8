/*
 * outage.c: publishing, with and without the broker.
 *
 * Owns: the messages that are held for the broker. They go out marked as
 * delivered, so that their echo is dropped: own subscribers have got them
 * already or, with outage_no_local, get them when they go out.
 *
 * Order: messages of one publisher stay in order per channel. What comes while
 * messages of its channel are held queues behind them; a thread whose message
 * is on its way home (driver->away) sends the next one home as well.
 *
 * Thread: the home loop, but for publish_here, leave and arrive.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/driver_private.h"
#include "ws_hub/error.h"

struct held {
    struct wsh_list node;
    size_t size;
    size_t channel_len;
    bool late; /* own subscribers get it when it is sent */
    ws_hub_broker_message message;
    char bytes[]; /* channel, key, data */
};

static size_t bucket(struct wsh_driver *driver, const char *channel, size_t len)
{
    return wsh_map_hash(&driver->topics, channel, len) %
           WSH_COUNT(driver->hold.behind);
}

static unsigned *behind(struct wsh_driver *driver, const char *channel,
                        size_t len)
{
    return &driver->hold.behind[bucket(driver, channel, len)];
}

static struct held *copy(const char *channel, size_t len,
                         const ws_hub_broker_message *message)
{
    size_t size = sizeof(struct held) + len + message->key_len + message->len;
    struct held *held = malloc(size);

    if (!held)
        return NULL;
    held->size = size;
    held->channel_len = len;
    held->message = *message;
    held->message.key = held->bytes + len;
    held->message.data = held->bytes + len + message->key_len;
    memcpy(held->bytes, channel, len);
    if (message->key_len)
        memcpy(held->bytes + len, message->key, message->key_len);
    if (message->len)
        memcpy(held->bytes + len + message->key_len, message->data,
               message->len);
    wsh_list_init(&held->node);
    return held;
}

static bool hold(struct wsh_driver *driver, const char *channel, size_t len,
                 const ws_hub_broker_message *message)
{
    const struct wsh_driver_config *config = &driver->config;
    struct wsh_driver_hold *hold = &driver->hold;
    size_t size = sizeof(struct held) + len + message->key_len + message->len;
    struct held *held = NULL;

    if (!config->outage_hold || atomic_load(&driver->link) == WSH_CLOSING)
        return false;
    if (hold->count < config->outage_hold &&
        size <= config->hold_bytes - hold->bytes)
        held = copy(channel, len, message);
    if (!held) {
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_HOLD_OVERFLOW);
        return false;
    }
    held->message.flags |= WS_HUB_MESSAGE_DELIVERED;
    held->late = config->outage_no_local;
    if (!hold->count && wsh_driver_up(driver))
        wsh_driver_arm(driver, WSH_TIMER_HOLD, WSH_HOLD_RETRY_MS);
    wsh_list_push(&hold->held, &held->node);
    hold->count++;
    hold->bytes += held->size;
    ++*behind(driver, channel, len);
    atomic_fetch_add(&driver->away, 1);
    wsh_driver_count(driver, WS_HUB_BROKER_EVENT_HELD);
    return true;
}

static void drop(struct wsh_driver *driver, struct held *held)
{
    wsh_list_remove(&held->node);
    driver->hold.count--;
    driver->hold.bytes -= held->size;
    --*behind(driver, held->bytes, held->channel_len);
    atomic_fetch_sub(&driver->away, 1);
    free(held);
}

/* False: the adapter's output is full. */
static bool send_one(struct wsh_driver *driver, struct held *held)
{
    const struct wsh_feed_events *events = &driver->config.events;
    int error;

    if (driver->hold.kept[bucket(driver, held->bytes, held->channel_len)])
        return true; /* it must not overtake the one that stays */
    error = driver->ops.publish(driver->config.self, held->bytes,
                                held->channel_len, &held->message);
    if (error == WS_HUB_EAGAIN) {
        driver->hold.full = true;
        return false;
    }
    if (error == WS_HUB_EBROKER) { /* its server is away, others may not be */
        driver->hold.kept[bucket(driver, held->bytes, held->channel_len)] =
            true;
        return true;
    }
    if (error)
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_PUBLISH_FAILED);
    else if (held->late)
        (void)events->message(events->hub, held->bytes, held->channel_len,
                              &held->message);
    drop(driver, held);
    return true;
}

/* One pass. What is held inside of it is behind all others and waits for the
 * next one. */
void wsh_outage_flush(struct wsh_driver *driver)
{
    struct wsh_driver_hold *hold = &driver->hold;
    struct wsh_list *node, *next;

    if (hold->flushing || !hold->count)
        return;
    hold->flushing = true;
    hold->full = false;
    memset(hold->kept, 0, sizeof hold->kept);
    for (node = hold->held.next; node != &hold->held; node = next) {
        next = node->next;
        if (!wsh_driver_up(driver) ||
            !send_one(driver, WSH_CONTAINER(node, struct held, node)))
            break;
    }
    hold->flushing = false;
    if (hold->count && wsh_driver_up(driver))
        wsh_driver_arm(driver, WSH_TIMER_HOLD, WSH_HOLD_RETRY_MS);
}

void wsh_outage_flush_timer(ws_hub_timer *timer, void *driver)
{
    (void)timer;
    if (wsh_driver_up(driver))
        wsh_outage_flush(driver);
}

void wsh_outage_close(struct wsh_driver *driver)
{
    struct wsh_list *held = &driver->hold.held;

    if (driver->hold.count)
        wsh_log(driver->config.log, WS_HUB_LOG_WARN,
                "broker %s: %u held messages are lost", driver->ops.name,
                driver->hold.count);
    while (!wsh_list_empty(held)) {
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_PUBLISH_FAILED);
        drop(driver, WSH_LIST_FIRST(held, struct held, node));
    }
}

/* Held first: what own subscribers publish in answer is behind it. */
static int without_broker(struct wsh_driver *driver, const char *channel,
                          size_t len, const ws_hub_broker_message *message)
{
    const struct wsh_feed_events *events = &driver->config.events;
    bool held = hold(driver, channel, len, message);
    int error;

    if (driver->config.outage_no_local)
        return held ? WS_HUB_DEGRADED : WS_HUB_EBROKER;
    if (!held)
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_LOCAL_ONLY);
    error = events->message(events->hub, channel, len, message);
    return error && !held ? error : WS_HUB_DEGRADED;
}

static bool must_wait(struct wsh_driver *driver, const char *channel,
                      size_t len)
{
    return driver->hold.count &&
           (driver->hold.full || *behind(driver, channel, len));
}

static int to_broker(struct wsh_driver *driver, const char *channel, size_t len,
                     const ws_hub_broker_message *message)
{
    int error = driver->ops.publish(driver->config.self, channel, len, message);

    if (error == WS_HUB_EAGAIN)
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_OUTPUT_FULL);
    return error;
}

int wsh_outage_publish(void *arg, const char *channel, size_t len,
                       const ws_hub_broker_message *message)
{
    struct wsh_driver *driver = arg;
    int error = WS_HUB_EBROKER;

    if (wsh_driver_up(driver) && !must_wait(driver, channel, len))
        error = to_broker(driver, channel, len, message);
    if (error != WS_HUB_EBROKER)
        return error;
    return without_broker(driver, channel, len, message);
}

int wsh_outage_publish_here(void *arg, const char *channel, size_t len,
                            const ws_hub_broker_message *message)
{
    struct wsh_driver *driver = arg;
    int error;

    if (!wsh_driver_up(driver) || atomic_load(&driver->away))
        return WSH_FEED_HOME;
    error = to_broker(driver, channel, len, message);
    return error == WS_HUB_EBROKER ? WSH_FEED_HOME : error;
}

int wsh_outage_leave(void *arg)
{
    struct wsh_driver *driver = arg;
    const struct wsh_driver_config *config = &driver->config;
    bool up = wsh_driver_up(driver);

    if (!up && config->outage_no_local && !config->outage_hold)
        return WS_HUB_EBROKER;
    atomic_fetch_add(&driver->away, 1);
    return up ? 0 : WS_HUB_DEGRADED;
}

void wsh_outage_arrive(void *arg)
{
    struct wsh_driver *driver = arg;

    atomic_fetch_sub(&driver->away, 1);
}

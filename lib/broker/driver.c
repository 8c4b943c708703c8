/*
 * driver.c: the driver's life, the adapter's link, and who hears what the
 * adapter says (files: driver_private.h).
 *
 * Owns: the adapter from create on, the timers. Thread: the home loop, but for
 * host_message and host_log.
 */
#include "broker/driver.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/driver_private.h"
#include "ws_hub/error.h"

uint64_t wsh_backoff_ms(unsigned attempt, uint64_t random)
{
    uint64_t most = attempt >= 7
                        ? 10000
                        : WSH_MIN(UINT64_C(100) << attempt, UINT64_C(10000));

    return most / 2 + random % (most / 2 + 1);
}

static struct wsh_driver *driver_of(const ws_hub_broker_host *host)
{
    return (struct wsh_driver *)(uintptr_t)host;
}

void wsh_driver_arm(struct wsh_driver *driver, enum wsh_driver_timer which,
                    uint64_t ms)
{
    if (driver->timer[which])
        driver->host.loop_ops->timer_set(driver->timer[which], ms);
}

void wsh_driver_disarm(struct wsh_driver *driver, enum wsh_driver_timer which)
{
    if (driver->timer[which])
        driver->host.loop_ops->timer_cancel(driver->timer[which]);
}

void wsh_driver_count(struct wsh_driver *driver, ws_hub_broker_event event)
{
    atomic_fetch_add_explicit(&driver->config.events.counts->event[event], 1,
                              memory_order_relaxed);
}

struct wsh_feed wsh_driver_feed(struct wsh_driver *driver)
{
    struct wsh_feed feed = {
        .driver = driver,
        .any_thread =
            (driver->ops.flags & WS_HUB_BROKER_PUBLISH_ANY_THREAD) != 0,
        .local = driver->local,
        .want = wsh_topics_want,
        .unwant = wsh_topics_unwant,
        .publish = wsh_outage_publish,
        .publish_here = wsh_outage_publish_here,
        .leave = wsh_outage_leave,
        .arrive = wsh_outage_arrive,
    };

    return feed;
}

/* The link. */

static void schedule_open(struct wsh_driver *driver)
{
    wsh_driver_arm(
        driver, WSH_TIMER_REOPEN,
        wsh_backoff_ms(driver->attempt++, wsh_rng_next(&driver->rng)));
}

static void link_is_up(struct wsh_driver *driver)
{
    wsh_log(driver->config.log, WS_HUB_LOG_INFO, "broker %s: link is up",
            driver->ops.name);
    if (driver->was_lost)
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_LINK_RESTORED);
    driver->was_lost = false;
    driver->attempt = 0;
    atomic_store(&driver->link, WSH_UP);
    wsh_audit_ready(driver);
}

static void host_ready(const ws_hub_broker_host *host)
{
    struct wsh_driver *driver = driver_of(host);
    bool first = !wsh_driver_up(driver);

    if (atomic_load(&driver->link) == WSH_CLOSING)
        return;
    if (first)
        link_is_up(driver);
    wsh_topics_unpark(driver);
    /* The service channels first: they tell whether the rest will work. */
    wsh_probe_ready(driver, first);
    wsh_topics_pump(driver);
    wsh_outage_flush(driver);
}

static void host_lost(const ws_hub_broker_host *host, const char *why)
{
    struct wsh_driver *driver = driver_of(host);
    int before = atomic_load(&driver->link);

    if (before == WSH_CLOSING || before == WSH_DOWN)
        return;
    wsh_log(driver->config.log, WS_HUB_LOG_WARN, "broker %s: link is lost: %s",
            driver->ops.name, why ? why : "no reason given");
    if (before == WSH_UP) {
        driver->was_lost = true;
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_LINK_LOST);
    }
    atomic_store(&driver->link, WSH_DOWN);
    wsh_probe_lost(driver);
    wsh_audit_lost(driver);
    wsh_driver_disarm(driver, WSH_TIMER_HOLD);
    wsh_topics_lost(driver);
    schedule_open(driver);
}

static void reopen(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;
    int error;

    (void)timer;
    atomic_store(&driver->link, WSH_OPENING);
    error = driver->ops.open(driver->config.self, &driver->host);
    if (!error)
        return;
    wsh_log(driver->config.log, WS_HUB_LOG_WARN, "broker %s: open failed: %s",
            driver->ops.name, ws_hub_error_text(error));
    atomic_store(&driver->link, WSH_DOWN);
    schedule_open(driver);
}

static void host_stopped(const ws_hub_broker_host *host)
{
    struct wsh_driver *driver = driver_of(host);
    void (*done)(void *) = driver->done;

    driver->opened = false;
    driver->done = NULL;
    if (done)
        done(driver->done_arg);
}

/* Channels. */

static void host_subscribed(const ws_hub_broker_host *host, const char *channel,
                            size_t len, int status)
{
    if (wsh_probe_is(channel, len))
        wsh_probe_subscribed(driver_of(host), channel, len, status);
    else
        wsh_topics_subscribed(driver_of(host), channel, len, status);
}

static void host_dropped(const ws_hub_broker_host *host, const char *channel,
                         size_t len, const char *why)
{
    if (wsh_probe_is(channel, len))
        wsh_probe_dropped(driver_of(host), channel, len);
    else
        wsh_topics_dropped(driver_of(host), channel, len, why);
}

static void host_audited(const ws_hub_broker_host *host, const char *channel,
                         size_t len, uint64_t listeners)
{
    wsh_audit_answer(driver_of(host), channel, len, listeners);
}

/* Messages. */

/* The one place where another hub's `exclude` ends: its connections' numbers
 * mean other connections here. */
static int to_hub(struct wsh_driver *driver, const char *channel, size_t len,
                  const ws_hub_broker_message *message)
{
    const struct wsh_feed_events *events = &driver->config.events;
    ws_hub_broker_message own;

    if (message->exclude.id && message->origin != driver->config.instance) {
        own = *message;
        own.exclude.id = 0;
        message = &own;
    }
    return events->message(events->hub, channel, len, message);
}

static int host_message(const ws_hub_broker_host *host, const char *channel,
                        size_t len, const ws_hub_broker_message *message)
{
    struct wsh_driver *driver = driver_of(host);

    if (driver->local)
        return driver->config.events.message(driver->config.events.hub, channel,
                                             len, message);
    if (wsh_probe_is(channel, len)) {
        wsh_probe_seen(driver, message);
        return 0;
    }
    /* Topics belong to home; on other threads nobody looks for orphans. */
    if (pthread_equal(pthread_self(), driver->home))
        wsh_topics_arrived(driver, channel, len);
    if ((message->flags & WS_HUB_MESSAGE_DELIVERED) &&
        message->origin == driver->config.instance) {
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_ECHO);
        return 0;
    }
    return to_hub(driver, channel, len, message);
}

static void host_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                     const char *text)
{
    struct wsh_driver *driver = driver_of(host);

    wsh_log(driver->config.log, level, "broker %s: %s", driver->ops.name, text);
}

/* Life. */

static void (*const timer_cb[WSH_TIMERS])(ws_hub_timer *timer, void *driver) = {
    [WSH_TIMER_REOPEN] = reopen,
    [WSH_TIMER_LINGER] = wsh_topics_linger_over,
    [WSH_TIMER_LEFT] = wsh_topics_left_over,
    [WSH_TIMER_REST] = wsh_topics_rest_over,
    [WSH_TIMER_HOLD] = wsh_outage_flush_timer,
    [WSH_TIMER_PROBE] = wsh_probe_round,
    [WSH_TIMER_AUDIT] = wsh_audit_walk,
};

static int copy_ops(struct wsh_driver *driver, const ws_hub_broker_ops *ops)
{
    const ws_hub_broker_ops *o = &driver->ops;

    if (!ops || ops->struct_size < sizeof(size_t))
        return WS_HUB_EINVAL;
    memcpy(&driver->ops, ops, WSH_MIN(ops->struct_size, sizeof *ops));
    driver->local = (o->flags & WS_HUB_BROKER_LOCAL) != 0;
    return o->name && o->open && o->subscribe && o->unsubscribe && o->publish &&
                   o->close
               ? 0
               : WS_HUB_EINVAL;
}

static void init(struct wsh_driver *driver,
                 const struct wsh_driver_config *config)
{
    driver->host = (ws_hub_broker_host){
        .struct_size = sizeof driver->host,
        .server_id = config->server_id,
        .loop = config->loop,
        .loop_ops = config->loop_ops,
        .message = host_message,
        .subscribed = host_subscribed,
        .ready = host_ready,
        .lost = host_lost,
        .stopped = host_stopped,
        .log = host_log,
        .instance = config->instance,
        .dropped = host_dropped,
        .audited = host_audited,
    };
    driver->config = *config;
    driver->rng.state = config->seed[0] ^ config->seed[1];
    wsh_map_init(&driver->topics, config->seed);
    for (unsigned i = 0; i < WSH_TOPIC_STATES; i++)
        wsh_list_init(&driver->in[i]);
    wsh_list_init(&driver->hold.held);
}

int wsh_driver_create(struct wsh_driver **out,
                      const struct wsh_driver_config *config)
{
    struct wsh_driver *driver = calloc(1, sizeof *driver);
    int error;

    *out = NULL;
    if (!driver)
        return WS_HUB_ENOMEM;
    init(driver, config);
    error = copy_ops(driver, config->ops);
    if (!error)
        error = wsh_probe_init(driver);
    for (unsigned i = 0; i < WSH_TIMERS && !error; i++)
        error = config->loop_ops->timer_open(config->loop, timer_cb[i], driver,
                                             &driver->timer[i]);
    if (error) {
        driver->ops.destroy = NULL; /* the adapter stays the caller's */
        wsh_driver_destroy(driver);
        return error;
    }
    *out = driver;
    return 0;
}

int wsh_driver_open(struct wsh_driver *driver)
{
    int error;

    driver->home = pthread_self();
    atomic_store(&driver->link, WSH_OPENING);
    driver->opened = true;
    error = driver->ops.open(driver->config.self, &driver->host);
    if (error)
        driver->opened = false;
    return error;
}

static void close_timers(struct wsh_driver *driver)
{
    for (unsigned i = 0; i < WSH_TIMERS; i++) {
        if (driver->timer[i])
            driver->host.loop_ops->timer_close(driver->timer[i]);
        driver->timer[i] = NULL;
    }
}

void wsh_driver_close(struct wsh_driver *driver, void (*done)(void *arg),
                      void *arg)
{
    driver->done = done;
    driver->done_arg = arg;
    close_timers(driver);
    atomic_store(&driver->link, WSH_CLOSING);
    wsh_outage_close(driver);
    if (driver->opened)
        driver->ops.close(driver->config.self);
    else
        host_stopped(&driver->host);
}

void wsh_driver_destroy(struct wsh_driver *driver)
{
    if (!driver)
        return;
    close_timers(driver);
    wsh_outage_close(driver);
    wsh_topics_fini(driver);
    wsh_probe_fini(driver);
    if (driver->ops.destroy)
        driver->ops.destroy(driver->config.self);
    free(driver);
}

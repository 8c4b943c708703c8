/*
 * audit.c: does the broker know of what we have subscribed?
 *
 * Every audit_ms a walk goes once over the subscribed topics: it takes them
 * from the head of their list, puts them at its end, and asks the adapter, at
 * most WSH_AUDITS_IN_FLIGHT at a time. A channel that the broker has no
 * listener of is subscribed anew. Thread: the home loop.
 */
#include "base/check.h"
#include "broker/driver_private.h"
#include "ws_hub/error.h"

static bool wanted(const struct wsh_driver *driver)
{
    return !driver->local && driver->ops.audit && driver->config.audit_ms &&
           driver->config.audit_ms != UINT_MAX;
}

void wsh_audit_forget(struct wsh_driver *driver, struct wsh_topic *topic)
{
    if (!topic->auditing)
        return;
    topic->auditing = false;
    driver->audit_in_flight--;
}

/* False: not now; the next walk asks again. */
static bool ask(struct wsh_driver *driver, struct wsh_topic *topic)
{
    topic->auditing = true;
    driver->audit_in_flight++;
    topic->pins++;
    if (driver->ops.audit(driver->config.self, topic->node.key,
                          topic->node.key_len)) {
        wsh_audit_forget(driver, topic);
        driver->audit_left = 0;
    }
    wsh_topic_unpin(driver, topic);
    return driver->audit_left > 0;
}

/* Answers inside the call come back here: the outer loop goes on. */
static void pump(struct wsh_driver *driver)
{
    struct wsh_list *list = &driver->in[WSH_TOPIC_SUBSCRIBED];

    if (driver->auditing)
        return;
    driver->auditing = true;
    while (wsh_driver_up(driver) && driver->audit_left &&
           driver->audit_in_flight < WSH_AUDITS_IN_FLIGHT &&
           !wsh_list_empty(list)) {
        struct wsh_topic *topic = WSH_LIST_FIRST(list, struct wsh_topic, list);

        driver->audit_left--;
        wsh_list_remove(&topic->list);
        wsh_list_push(list, &topic->list);
        /* One that is under way still is of the last walk. */
        if (!topic->auditing && !ask(driver, topic))
            break;
    }
    driver->auditing = false;
}

void wsh_audit_walk(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;
    uint64_t count = atomic_load_explicit(
        &driver->config.events.counts->subscribed, memory_order_relaxed);

    (void)timer;
    if (!wsh_driver_up(driver))
        return;
    wsh_driver_arm(driver, WSH_TIMER_AUDIT, driver->config.audit_ms);
    driver->audit_left = (size_t)count;
    pump(driver);
}

void wsh_audit_ready(struct wsh_driver *driver)
{
    if (wanted(driver))
        wsh_driver_arm(driver, WSH_TIMER_AUDIT, driver->config.audit_ms);
}

void wsh_audit_lost(struct wsh_driver *driver)
{
    driver->audit_left = 0;
    wsh_driver_disarm(driver, WSH_TIMER_AUDIT);
}

void wsh_audit_answer(struct wsh_driver *driver, const char *channel,
                      size_t len, uint64_t listeners)
{
    struct wsh_topic *topic = wsh_topic_find(driver, channel, len);

    if (!topic || !topic->auditing) /* left meanwhile */
        return;
    WSH_ASSERT(topic->state == WSH_TOPIC_SUBSCRIBED);
    wsh_audit_forget(driver, topic);
    if (!listeners) {
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_AUDIT_MISMATCH);
        wsh_log(driver->config.log, WS_HUB_LOG_WARN,
                "broker %s: channel %.*s is not subscribed there: repaired",
                driver->ops.name, (int)topic->node.key_len, topic->node.key);
        wsh_topic_repair(driver, topic);
    }
    pump(driver);
}

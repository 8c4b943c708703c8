/*
 * topics.c: the driver's channels (states: driver.h).
 *
 * Owns: struct wsh_topic, from the first want to the last trailing message.
 * A topic is in the list of its state, always. Thread: the home loop.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/driver_private.h"
#include "ws_hub/error.h"

/* Topics that are kept only to know trailing messages: a broker that sends
 * made-up names costs no more memory than this. */
enum { LEFT_MAX = 65536 };

struct wsh_topic *wsh_topic_find(struct wsh_driver *driver, const char *channel,
                                 size_t len)
{
    struct wsh_map_node *node = wsh_map_find(&driver->topics, channel, len);

    return node ? WSH_CONTAINER(node, struct wsh_topic, node) : NULL;
}

static struct wsh_topic *add(struct wsh_driver *driver, const char *channel,
                             size_t len)
{
    struct wsh_topic *topic = calloc(1, sizeof *topic + len);

    if (!topic)
        return NULL;
    memcpy(topic->name, channel, len);
    topic->node.key = topic->name;
    topic->node.key_len = len;
    topic->state = WSH_TOPIC_TODO;
    wsh_list_init(&topic->list);
    if (wsh_map_insert(&driver->topics, &topic->node)) {
        free(topic);
        return NULL;
    }
    wsh_list_push(&driver->in[WSH_TOPIC_TODO], &topic->list);
    return topic;
}

/* Does anything keep it: a shard, the broker, or code that calls out? */
static void forget_if_idle(struct wsh_driver *driver, struct wsh_topic *topic)
{
    if (topic->shards || topic->pins)
        return;
    if (topic->state != WSH_TOPIC_TODO && topic->state != WSH_TOPIC_PARKED &&
        topic->state != WSH_TOPIC_RESTING && topic->state != WSH_TOPIC_REFUSED)
        return;
    wsh_list_remove(&topic->list);
    wsh_map_remove(&driver->topics, &topic->node);
    free(topic);
}

void wsh_topic_unpin(struct wsh_driver *driver, struct wsh_topic *topic)
{
    WSH_ASSERT(topic->pins > 0);
    topic->pins--;
    forget_if_idle(driver, topic);
}

static bool is_subscribed(enum wsh_topic_state state)
{
    return state == WSH_TOPIC_SUBSCRIBED || state == WSH_TOPIC_LINGERING;
}

static void set_state(struct wsh_driver *driver, struct wsh_topic *topic,
                      enum wsh_topic_state state)
{
    _Atomic uint64_t *subscribed = &driver->config.events.counts->subscribed;

    if (is_subscribed(topic->state) != is_subscribed(state))
        atomic_fetch_add_explicit(subscribed,
                                  is_subscribed(state) ? 1 : UINT64_MAX,
                                  memory_order_relaxed);
    if (topic->state == WSH_TOPIC_SUBSCRIBING)
        driver->in_flight--;
    if (state == WSH_TOPIC_SUBSCRIBING)
        driver->in_flight++;
    if (state != WSH_TOPIC_SUBSCRIBED)
        wsh_audit_forget(driver, topic);
    wsh_list_remove(&topic->list);
    topic->state = state;
    wsh_list_push(&driver->in[state], &topic->list);
}

static void set_shards(struct wsh_driver *driver, struct wsh_topic *topic,
                       uint64_t shards)
{
    _Atomic uint64_t *wanted = &driver->config.events.counts->wanted;

    if (!topic->shards != !shards)
        atomic_fetch_add_explicit(wanted, shards ? 1 : UINT64_MAX,
                                  memory_order_relaxed);
    topic->shards = shards;
    topic->told &= shards;
    topic->missed &= shards;
}

/* Tell each shard of the set, whatever the callbacks do to the topic, which may
 * be gone at return. */
static void tell_live(struct wsh_driver *driver, struct wsh_topic *topic,
                      uint64_t shards, int status, bool degraded)
{
    const struct wsh_feed_events *events = &driver->config.events;

    topic->pins++;
    topic->told |= shards;
    for (unsigned i = 0; shards; i++, shards >>= 1)
        if (shards & topic->shards >> i & 1)
            events->live(events->hub, topic->node.key, topic->node.key_len, i,
                         status, degraded);
    wsh_topic_unpin(driver, topic);
}

/* Lists of topics whose time ends in the order in which it began. */

static void age(struct wsh_driver *driver, struct wsh_topic *topic,
                enum wsh_topic_state state, enum wsh_driver_timer timer,
                unsigned ms)
{
    bool first = wsh_list_empty(&driver->in[state]);

    topic->until_ms = wsh_driver_now(driver) + ms;
    set_state(driver, topic, state);
    if (first)
        wsh_driver_arm(driver, timer, ms);
}

/* The next whose time has ended; NULL: none, and the timer runs for those that
 * are left. */
static struct wsh_topic *aged(struct wsh_driver *driver,
                              enum wsh_topic_state state,
                              enum wsh_driver_timer timer)
{
    uint64_t now = wsh_driver_now(driver);
    struct wsh_topic *topic;

    if (wsh_list_empty(&driver->in[state]))
        return NULL;
    topic = WSH_LIST_FIRST(&driver->in[state], struct wsh_topic, list);
    if (topic->until_ms <= now)
        return topic;
    wsh_driver_arm(driver, timer, topic->until_ms - now);
    return NULL;
}

static void linger(struct wsh_driver *driver, struct wsh_topic *topic)
{
    age(driver, topic, WSH_TOPIC_LINGERING, WSH_TIMER_LINGER,
        driver->config.linger_ms);
}

/* What comes back from nowhere else (local) does not trail. */
static void leave(struct wsh_driver *driver, struct wsh_topic *topic)
{
    if (driver->local)
        set_state(driver, topic, WSH_TOPIC_TODO);
    else
        age(driver, topic, WSH_TOPIC_LEFT, WSH_TIMER_LEFT, WSH_LEFT_MS);
    topic->pins++;
    (void)driver->ops.unsubscribe(driver->config.self, topic->node.key,
                                  topic->node.key_len);
    wsh_topic_unpin(driver, topic);
}

void wsh_topics_linger_over(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic;

    (void)timer;
    while ((topic = aged(driver, WSH_TOPIC_LINGERING, WSH_TIMER_LINGER))) {
        WSH_ASSERT(!topic->shards);
        leave(driver, topic);
    }
}

void wsh_topics_left_over(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic;

    (void)timer;
    while ((topic = aged(driver, WSH_TOPIC_LEFT, WSH_TIMER_LEFT))) {
        WSH_ASSERT(!topic->shards);
        set_state(driver, topic, WSH_TOPIC_TODO);
        forget_if_idle(driver, topic);
    }
}

/* Subscribing. */

static void refuse(struct wsh_driver *driver, struct wsh_topic *topic,
                   int status)
{
    set_state(driver, topic, WSH_TOPIC_REFUSED);
    topic->refusal = status;
    tell_live(driver, topic, topic->shards, status, false);
}

/* Nothing comes of it for now: everyone goes on, degraded. */
static void set_aside(struct wsh_driver *driver, struct wsh_topic *topic,
                      enum wsh_topic_state state)
{
    set_state(driver, topic, state);
    topic->missed = topic->shards;
    tell_live(driver, topic, topic->shards, 0, true);
}

/* Ask the broker; its answer may come inside the call. */
static void subscribe(struct wsh_driver *driver, struct wsh_topic *topic)
{
    int error;

    set_state(driver, topic, WSH_TOPIC_SUBSCRIBING);
    topic->asked_ms = wsh_driver_now(driver);
    topic->pins++;
    error = driver->ops.subscribe(driver->config.self, topic->node.key,
                                  topic->node.key_len);
    topic->pins--;
    if (!error || topic->state != WSH_TOPIC_SUBSCRIBING)
        forget_if_idle(driver, topic);
    else if (error == WS_HUB_EAGAIN)
        set_aside(driver, topic, WSH_TOPIC_PARKED);
    else
        refuse(driver, topic, WS_HUB_EBROKER);
}

/* Answers inside the calls come back here: the outer loop goes on with them, so
 * that the stack does not grow with the number of channels. */
void wsh_topics_pump(struct wsh_driver *driver)
{
    struct wsh_list *todo = &driver->in[WSH_TOPIC_TODO];

    if (driver->pumping)
        return;
    driver->pumping = true;
    while (wsh_driver_up(driver) && !wsh_list_empty(todo) &&
           driver->in_flight < WSH_SUBSCRIBES_IN_FLIGHT)
        subscribe(driver, WSH_LIST_FIRST(todo, struct wsh_topic, list));
    driver->pumping = false;
}

/* What the hub calls. */

static bool flows_later(const struct wsh_driver *driver,
                        const struct wsh_topic *topic)
{
    return !wsh_driver_up(driver) || topic->missed ||
           topic->state == WSH_TOPIC_PARKED ||
           topic->state == WSH_TOPIC_RESTING;
}

static void welcome(struct wsh_driver *driver, struct wsh_topic *topic,
                    uint64_t bit)
{
    if (topic->state == WSH_TOPIC_LINGERING)
        set_state(driver, topic, WSH_TOPIC_SUBSCRIBED);
    else if (topic->state == WSH_TOPIC_LEFT)
        set_state(driver, topic, WSH_TOPIC_TODO);
    if (topic->state == WSH_TOPIC_SUBSCRIBED) {
        tell_live(driver, topic, bit, 0, false);
    } else if (topic->state == WSH_TOPIC_REFUSED) {
        tell_live(driver, topic, bit, topic->refusal, false);
    } else if (flows_later(driver, topic)) {
        topic->missed |= bit;
        tell_live(driver, topic, bit, 0, true);
    }
}

void wsh_topics_want(void *arg, const char *channel, size_t len, unsigned shard)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic = wsh_topic_find(driver, channel, len);
    uint64_t bit = UINT64_C(1) << shard;

    if (!topic)
        topic = add(driver, channel, len);
    if (!topic) {
        driver->config.events.live(driver->config.events.hub, channel, len,
                                   shard, WS_HUB_ENOMEM, false);
        return;
    }
    set_shards(driver, topic, topic->shards | bit);
    welcome(driver, topic, bit);
    wsh_topics_pump(driver);
}

void wsh_topics_unwant(void *arg, const char *channel, size_t len,
                       unsigned shard)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic = wsh_topic_find(driver, channel, len);

    if (!topic)
        return;
    set_shards(driver, topic, topic->shards & ~(UINT64_C(1) << shard));
    if (topic->shards)
        return;
    if (topic->state == WSH_TOPIC_SUBSCRIBED &&
        atomic_load(&driver->link) != WSH_CLOSING)
        linger(driver, topic);
    else
        forget_if_idle(driver, topic);
}

/* What the adapter calls. */

static void confirmed(struct wsh_driver *driver, struct wsh_topic *topic)
{
    const struct wsh_feed_events *events = &driver->config.events;
    uint64_t missed = topic->missed;

    set_state(driver, topic, WSH_TOPIC_SUBSCRIBED);
    topic->missed = 0;
    topic->pins++;
    tell_live(driver, topic, topic->shards & ~topic->told, 0, false);
    missed &= topic->shards;
    if (missed) {
        wsh_driver_count(driver, WS_HUB_BROKER_EVENT_GAP);
        events->gap(events->hub, topic->node.key, topic->node.key_len, missed);
    }
    topic->pins--;
    if (!topic->shards && topic->state == WSH_TOPIC_SUBSCRIBED)
        linger(driver, topic);
    else
        forget_if_idle(driver, topic);
}

void wsh_topics_subscribed(struct wsh_driver *driver, const char *channel,
                           size_t len, int status)
{
    struct wsh_topic *topic = wsh_topic_find(driver, channel, len);

    /* Else it is late, or a repetition. */
    if (!topic || topic->state != WSH_TOPIC_SUBSCRIBING)
        return;
    if (status)
        refuse(driver, topic, status);
    else
        confirmed(driver, topic);
    wsh_topics_pump(driver);
}

/* Once is a slot that has moved. Again, right after subscribing, is a server
 * that will do it for ever: all such topics wait together. */
static void rest(struct wsh_driver *driver, struct wsh_topic *topic)
{
    if (wsh_list_empty(&driver->in[WSH_TOPIC_RESTING]))
        wsh_driver_arm(
            driver, WSH_TIMER_REST,
            wsh_backoff_ms(driver->rest_attempt++, wsh_rng_next(&driver->rng)));
    set_aside(driver, topic, WSH_TOPIC_RESTING);
}

void wsh_topics_rest_over(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;
    struct wsh_list *resting = &driver->in[WSH_TOPIC_RESTING];

    (void)timer;
    while (!wsh_list_empty(resting))
        set_state(driver, WSH_LIST_FIRST(resting, struct wsh_topic, list),
                  WSH_TOPIC_TODO);
    wsh_topics_pump(driver);
}

void wsh_topics_dropped(struct wsh_driver *driver, const char *channel,
                        size_t len, const char *why)
{
    struct wsh_topic *topic = wsh_topic_find(driver, channel, len);

    if (!topic ||
        (topic->state != WSH_TOPIC_SUBSCRIBING && !is_subscribed(topic->state)))
        return;
    wsh_driver_count(driver, WS_HUB_BROKER_EVENT_CHANNEL_DROPPED);
    wsh_log(driver->config.log, WS_HUB_LOG_DEBUG,
            "broker %s: channel %.*s is dropped: %s", driver->ops.name,
            (int)topic->node.key_len, topic->node.key,
            why ? why : "no reason given");
    if (wsh_driver_now(driver) - topic->asked_ms < WSH_REPEAT_MS) {
        rest(driver, topic);
    } else {
        driver->rest_attempt = 0;
        set_aside(driver, topic, WSH_TOPIC_TODO);
    }
    wsh_topics_pump(driver);
}

void wsh_topic_repair(struct wsh_driver *driver, struct wsh_topic *topic)
{
    topic->pins++;
    /* An adapter that thinks it is subscribed would not ask again. */
    (void)driver->ops.unsubscribe(driver->config.self, topic->node.key,
                                  topic->node.key_len);
    topic->pins--;
    if (topic->state == WSH_TOPIC_SUBSCRIBED)
        set_aside(driver, topic, WSH_TOPIC_TODO);
    else
        forget_if_idle(driver, topic);
    wsh_topics_pump(driver);
}

void wsh_topics_unpark(struct wsh_driver *driver)
{
    struct wsh_list *parked = &driver->in[WSH_TOPIC_PARKED];

    while (!wsh_list_empty(parked))
        set_state(driver, WSH_LIST_FIRST(parked, struct wsh_topic, list),
                  WSH_TOPIC_TODO);
}

static int unsubscribed_by_loss(struct wsh_map_node *node, void *arg)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic = WSH_CONTAINER(node, struct wsh_topic, node);

    if (topic->state != WSH_TOPIC_TODO)
        set_state(driver, topic, WSH_TOPIC_TODO);
    topic->refusal = 0;
    topic->missed = topic->shards;
    return 0;
}

/* Everyone goes on degraded, those included that wait for a first confirmation;
 * what nobody wants is forgotten. Telling calls out, so topics are taken one by
 * one off a list. */
void wsh_topics_lost(struct wsh_driver *driver)
{
    struct wsh_list all;

    wsh_driver_disarm(driver, WSH_TIMER_REST);
    wsh_map_each(&driver->topics, unsubscribed_by_loss, driver);
    wsh_list_take(&all, &driver->in[WSH_TOPIC_TODO]);
    while (!wsh_list_empty(&all)) {
        struct wsh_topic *topic = WSH_LIST_FIRST(&all, struct wsh_topic, list);

        wsh_list_remove(&topic->list);
        wsh_list_push(&driver->in[WSH_TOPIC_TODO], &topic->list);
        tell_live(driver, topic, topic->shards, 0, true);
    }
}

/* It is kept as one that has been left, so that what trails is not an orphan
 * each time. */
void wsh_topics_arrived(struct wsh_driver *driver, const char *channel,
                        size_t len)
{
    struct wsh_topic *topic;

    if (wsh_topic_find(driver, channel, len))
        return;
    wsh_driver_count(driver, WS_HUB_BROKER_EVENT_ORPHAN);
    if (driver->topics.count >=
        LEFT_MAX + atomic_load_explicit(&driver->config.events.counts->wanted,
                                        memory_order_relaxed))
        return;
    topic = add(driver, channel, len);
    if (topic)
        leave(driver, topic);
}

static int free_topic(struct wsh_map_node *node, void *arg)
{
    struct wsh_driver *driver = arg;
    struct wsh_topic *topic = WSH_CONTAINER(node, struct wsh_topic, node);

    wsh_map_remove(&driver->topics, node);
    free(topic);
    return 0;
}

void wsh_topics_fini(struct wsh_driver *driver)
{
    wsh_map_each(&driver->topics, free_topic, driver);
    wsh_map_fini(&driver->topics);
}

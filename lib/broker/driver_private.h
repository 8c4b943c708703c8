/*
 * driver_private.h: the driver's inside, shared by its files:
 *
 *   driver.c  life, link, and who hears what the adapter says
 *   topics.c  channels and their states
 *   outage.c  publishing, with and without the broker; what is held
 *   probe.c   does what is published come back?
 *   audit.c   does the broker know of what we have subscribed?
 *
 * Everything belongs to the home loop but what is atomic. Code that calls out
 * (adapter, hub) holds a pin on its topic and looks at its state again after.
 */
#ifndef WSH_BROKER_DRIVER_PRIVATE_H
#define WSH_BROKER_DRIVER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "broker/driver.h"

enum wsh_topic_state {
    WSH_TOPIC_TODO,        /* to be subscribed */
    WSH_TOPIC_PARKED,      /* its server is away: until ready() */
    WSH_TOPIC_RESTING,     /* dropped again and again: until the timer */
    WSH_TOPIC_SUBSCRIBING, /* asked */
    WSH_TOPIC_SUBSCRIBED,
    WSH_TOPIC_LINGERING, /* subscribed, and nobody wants it */
    WSH_TOPIC_LEFT,      /* unsubscribed: messages may trail */
    WSH_TOPIC_REFUSED,
    WSH_TOPIC_STATES
};

enum wsh_link_state { WSH_DOWN, WSH_OPENING, WSH_UP, WSH_CLOSING };

enum wsh_driver_timer {
    WSH_TIMER_REOPEN,
    WSH_TIMER_LINGER,
    WSH_TIMER_LEFT,
    WSH_TIMER_REST,
    WSH_TIMER_HOLD,
    WSH_TIMER_PROBE,
    WSH_TIMER_AUDIT,
    WSH_TIMERS
};

struct wsh_topic {
    struct wsh_map_node node;
    struct wsh_list list; /* driver->in[state] */
    enum wsh_topic_state state;
    bool auditing;
    uint64_t shards; /* that want it */
    uint64_t told;   /* of them, that were told it is live */
    uint64_t missed; /* of them, that may have missed messages */
    uint64_t asked_ms;
    uint64_t until_ms; /* of LINGERING and LEFT */
    unsigned pins;     /* held by code that calls out */
    int refusal;
    char name[];
};

/* outage.c: messages for the broker, oldest first. */
struct wsh_driver_hold {
    struct wsh_list held;
    size_t bytes;
    unsigned count;
    bool full;     /* the adapter's output was, so all others wait behind */
    bool flushing; /* it calls out */
    /* Held messages by a hash of the channel: another one of such a channel
     * must not overtake them. */
    unsigned behind[256];
    bool kept[256]; /* in this pass one of them could not be sent */
};

/* probe.c: one per link of the adapter. */
struct wsh_probe;

enum { WSH_PROBES_MAX = 256 };

struct wsh_driver {
    ws_hub_broker_host host; /* first: callbacks get it */
    ws_hub_broker_ops ops;
    struct wsh_driver_config config;
    bool local;     /* WS_HUB_BROKER_LOCAL */
    pthread_t home; /* from open on */
    struct wsh_rng rng;

    _Atomic int link; /* enum wsh_link_state; publish reads it on any thread */
    bool opened;      /* the adapter was opened and has not stopped */
    bool was_lost;
    unsigned attempt;
    ws_hub_timer *timer[WSH_TIMERS]; /* NULL: closed */

    struct wsh_map topics;
    struct wsh_list in[WSH_TOPIC_STATES];
    unsigned in_flight;    /* SUBSCRIBING */
    bool pumping;          /* it calls out */
    unsigned rest_attempt; /* back-off of RESTING */

    /* Publishes that are held or on their way home from another thread, which
     * others of that thread must not overtake. */
    _Atomic unsigned away;
    struct wsh_driver_hold hold;

    struct wsh_probe *probes; /* WSH_PROBES_MAX, NULL: no probe */

    size_t audit_left; /* of this walk */
    unsigned audit_in_flight;
    bool auditing; /* it calls out */

    void (*done)(void *arg);
    void *done_arg;
};

static inline bool wsh_driver_up(const struct wsh_driver *driver)
{
    return atomic_load(&driver->link) == WSH_UP;
}

static inline uint64_t wsh_driver_now(const struct wsh_driver *driver)
{
    return driver->host.loop_ops->now_ms(driver->host.loop);
}

/* driver.c */
/* No timer of a closing driver starts. */
void wsh_driver_arm(struct wsh_driver *driver, enum wsh_driver_timer which,
                    uint64_t ms);
void wsh_driver_disarm(struct wsh_driver *driver, enum wsh_driver_timer which);
/* Any thread. */
void wsh_driver_count(struct wsh_driver *driver, ws_hub_broker_event event);

/* topics.c */
struct wsh_topic *wsh_topic_find(struct wsh_driver *driver, const char *channel,
                                 size_t len);
/* feed.h */
void wsh_topics_want(void *driver, const char *channel, size_t len,
                     unsigned shard);
void wsh_topics_unwant(void *driver, const char *channel, size_t len,
                       unsigned shard);
/* Subscribe what is to be, as far as the limit of those in flight allows. */
void wsh_topics_pump(struct wsh_driver *driver);
/* ready(): what was parked is to be subscribed. */
void wsh_topics_unpark(struct wsh_driver *driver);
void wsh_topics_lost(struct wsh_driver *driver);
void wsh_topics_subscribed(struct wsh_driver *driver, const char *channel,
                           size_t len, int status);
void wsh_topics_dropped(struct wsh_driver *driver, const char *channel,
                        size_t len, const char *why);
/* A message came for it. Is it nobody's? Then the broker is told so. */
void wsh_topics_arrived(struct wsh_driver *driver, const char *channel,
                        size_t len);
/* The broker has forgotten it: subscribe anew, and tell of the gap. */
void wsh_topic_repair(struct wsh_driver *driver, struct wsh_topic *topic);
/* A pin has ended; the topic may be gone at return. */
void wsh_topic_unpin(struct wsh_driver *driver, struct wsh_topic *topic);
void wsh_topics_fini(struct wsh_driver *driver);
void wsh_topics_linger_over(ws_hub_timer *timer, void *driver);
void wsh_topics_left_over(ws_hub_timer *timer, void *driver);
void wsh_topics_rest_over(ws_hub_timer *timer, void *driver);

/* outage.c */
/* feed.h */
int wsh_outage_publish(void *driver, const char *channel, size_t len,
                       const ws_hub_broker_message *message);
int wsh_outage_publish_here(void *driver, const char *channel, size_t len,
                            const ws_hub_broker_message *message);
int wsh_outage_leave(void *driver);
void wsh_outage_arrive(void *driver);
/* Send what is held, as far as the adapter takes it. */
void wsh_outage_flush(struct wsh_driver *driver);
/* What is held is lost, and counted. */
void wsh_outage_close(struct wsh_driver *driver);
void wsh_outage_flush_timer(ws_hub_timer *timer, void *driver);

/* probe.c */
int wsh_probe_init(struct wsh_driver *driver);
void wsh_probe_fini(struct wsh_driver *driver);
/* A name of the hub's own: nothing of it concerns topics or subscribers. */
bool wsh_probe_is(const char *channel, size_t len);
/* first: the link was down. Else more of it is up. */
void wsh_probe_ready(struct wsh_driver *driver, bool first);
void wsh_probe_lost(struct wsh_driver *driver);
void wsh_probe_subscribed(struct wsh_driver *driver, const char *channel,
                          size_t len, int status);
void wsh_probe_dropped(struct wsh_driver *driver, const char *channel,
                       size_t len);
/* Any thread. */
void wsh_probe_seen(struct wsh_driver *driver,
                    const ws_hub_broker_message *message);
void wsh_probe_round(ws_hub_timer *timer, void *driver);

/* audit.c */
void wsh_audit_ready(struct wsh_driver *driver);
void wsh_audit_lost(struct wsh_driver *driver);
void wsh_audit_answer(struct wsh_driver *driver, const char *channel,
                      size_t len, uint64_t listeners);
/* The topic is not SUBSCRIBED any more: no answer counts. */
void wsh_audit_forget(struct wsh_driver *driver, struct wsh_topic *topic);
void wsh_audit_walk(ws_hub_timer *timer, void *driver);

#endif

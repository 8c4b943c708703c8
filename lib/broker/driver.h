/*
 * driver.h: everything about a broker that does not depend on which one it is.
 *
 * Per channel:
 *
 *            +--------------- dropped --------------+
 *            v                                      |
 *   TODO -> SUBSCRIBING -> SUBSCRIBED <-> LINGERING -> LEFT -> (forgotten)
 *    ^        |  |  |
 *    |        |  |  +-> REFUSED
 *    |        |  +-> PARKED    its server is away, until ready
 *    |        +-> RESTING      dropped within a second of asking: back-off
 *    +-- lost: from all of them
 *
 * A channel is subscribed when the first shard wants it. When the last one
 * leaves it lingers, so that a reconnecting client does not cost an UNSUBSCRIBE
 * and a SUBSCRIBE, and so that the two never race. After a loss the adapter is
 * opened again with exponential back-off and jitter, and what is wanted is
 * subscribed again, at most WSH_SUBSCRIBES_IN_FLIGHT at a time; then shards are
 * told of the gap. The same for a single channel that is dropped.
 *
 * While the link is down (an outage) subscribing succeeds at once ("degraded").
 * A publish is delivered to this hub's own subscribers, unless outage_no_local,
 * and held for the broker, up to outage_hold of them. The same for a channel
 * whose server is away.
 *
 * A link can be dead while everything looks alive: the driver publishes to a
 * channel of each link and waits to see it (probe). And a broker can have
 * forgotten a subscription: the driver asks for the number of listeners
 * (audit), and unsubscribes what comes though nobody wants it (orphans).
 *
 * Owner: the hub's top. Thread: the home loop, but for publishing (feed.h).
 */
#ifndef WSH_BROKER_DRIVER_H
#define WSH_BROKER_DRIVER_H

#include <limits.h>
#include <stdint.h>
#include "base/log.h"
#include "contract/feed.h"
#include "ws_hub/broker.h"

struct wsh_driver;

enum {
    WSH_SUBSCRIBES_IN_FLIGHT = 512,
    WSH_AUDITS_IN_FLIGHT = 512,
    WSH_LEFT_MS = 5000,   /* how long messages may trail an unsubscribe */
    WSH_REPEAT_MS = 1000, /* dropped again within it: back-off */
    WSH_HOLD_RETRY_MS = 100,
    WSH_PROBE_SILENT = 2 /* rounds until a link is suspect */
};

struct wsh_driver_config {
    const struct ws_hub_broker_ops *ops;
    void *self;
    ws_hub_loop *loop;
    const ws_hub_loop_ops *loop_ops;
    const char *server_id; /* stays valid */
    uint64_t instance;     /* not 0 */
    unsigned linger_ms;
    unsigned probe_ms, audit_ms; /* 0, UINT_MAX: never */
    bool outage_no_local;
    unsigned outage_hold; /* messages */
    size_t hold_bytes;
    uint64_t seed[2];
    struct wsh_feed_events events;
    const struct wsh_log *log; /* stays valid */
};

/* 0, WS_HUB_EINVAL (ops), WS_HUB_ENOMEM. Copies ops. */
int wsh_driver_create(struct wsh_driver **out,
                      const struct wsh_driver_config *config);
struct wsh_feed wsh_driver_feed(struct wsh_driver *driver);
/* 0 or the adapter's error. */
int wsh_driver_open(struct wsh_driver *driver);
/* No shard wants anything any more. done(arg) comes once, now or later. */
void wsh_driver_close(struct wsh_driver *driver, void (*done)(void *arg),
                      void *arg);
/* Closed, or never opened. Destroys the adapter. NULL is allowed. */
void wsh_driver_destroy(struct wsh_driver *driver);

/* Back-off before attempt 0, 1, 2…: 100 ms doubling to 10 s, the upper half of
 * it random. */
uint64_t wsh_backoff_ms(unsigned attempt, uint64_t random);

#endif

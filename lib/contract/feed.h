/*
 * feed.h: where the hub and the broker's driver meet.
 *
 * The hub says which channels its shards want and publishes; the driver says
 * when a channel is live, brings messages, and tells of losses. The driver
 * hides the adapter's states: outages, back-off, lingering.
 *
 * Thread: the home loop (shard 0), but for message, and for publishing:
 * publish_here, leave, arrive run on any thread. Re-entry: events may be called
 * inside of the functions.
 */
#ifndef WSH_CONTRACT_FEED_H
#define WSH_CONTRACT_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "ws_hub/broker.h"
#include "ws_hub/metrics.h"

/* publish_here: this one has to be taken home. Beside WS_HUB_DEGRADED. */
enum { WSH_FEED_HOME = 2 };

/* Hub → driver. */
struct wsh_feed {
    void *driver;
    bool any_thread; /* publish_here may do it */
    bool local;      /* messages come back as they were published */

    /* A shard has its first listener on the channel. Ends in one `live` for
     * that shard, or in `unwant` before. */
    void (*want)(void *driver, const char *channel, size_t len, unsigned shard);
    /* Its last listener left. */
    void (*unwant)(void *driver, const char *channel, size_t len,
                   unsigned shard);

    /*
     * On the home loop. 0; WS_HUB_DEGRADED (own subscribers only, or held);
     * WS_HUB_EBROKER (away, and not even those), WS_HUB_EAGAIN, WS_HUB_ELIMIT,
     * WS_HUB_ENOMEM.
     *
     * From another thread: publish_here() where any_thread is set; if it says
     * WSH_FEED_HOME, or is not set: leave(), take the message home, publish()
     * there, arrive(). leave() says what the publisher is to be told: 0,
     * WS_HUB_DEGRADED, or WS_HUB_EBROKER, after which there is nothing to take.
     */
    int (*publish)(void *driver, const char *channel, size_t len,
                   const ws_hub_broker_message *message);
    int (*publish_here)(void *driver, const char *channel, size_t len,
                        const ws_hub_broker_message *message);
    int (*leave)(void *driver);
    void (*arrive)(void *driver);
};

/* What the driver counts. The hub's, so that it can be read at any time. */
struct wsh_feed_counts {
    _Atomic uint64_t event[WS_HUB_BROKER_EVENT_COUNT];
    _Atomic uint64_t wanted;     /* gauge: channels that shards want */
    _Atomic uint64_t subscribed; /* gauge: channels that the broker sends */
};

/* Driver → hub. */
struct wsh_feed_events {
    void *hub;

    /* Messages flow to that shard from now on; or status: the broker refuses.
     * degraded: the broker is away, only local messages flow until it is back
     * (`gap`); this may be told of a channel that is live. */
    void (*live)(void *hub, const char *channel, size_t len, unsigned shard,
                 int status, bool degraded);

    /* The broker was away: subscribers of the channel may have missed any
     * number of messages. shards: bit per shard. */
    void (*gap)(void *hub, const char *channel, size_t len, uint64_t shards);

    int (*message)(void *hub, const char *channel, size_t len,
                   const ws_hub_broker_message *message);

    struct wsh_feed_counts *counts; /* stays valid */
};

#endif

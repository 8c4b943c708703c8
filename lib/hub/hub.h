/*
 * hub.h: what the shards of one hub share.
 *
 * Owner: the top (lib/ws_hub.c) makes it, wires transports, loops and the
 * driver to it, and frees it when every shard is gone. Settings, callbacks and
 * the shard array do not change after the start. Thread: as noted.
 */
#ifndef WSH_HUB_INTERNAL_H
#define WSH_HUB_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/log.h"
#include "contract/feed.h"
#include "hub/ip_table.h"
#include "hub/registry.h"
#include "hub/settings.h"
#include "metrics/counters.h"
#include "protocol/command.h"
#include "protocol/decoder.h"

struct wsh_shard;

enum { WSH_SHARDS_MAX = 64, WSH_HOME = 0 };

struct wsh_hub {
    ws_hub *handle; /* what callbacks get */
    struct wsh_settings settings;
    struct wsh_log log;
    struct wsh_decoder_limits decoder_limits;
    struct wsh_command_limits json_limits;
    uint64_t seed[2]; /* of every hash of client-chosen names */

    struct wsh_registry registry;
    struct wsh_ip_table ips;
    struct wsh_shard **shards;
    unsigned shard_count;
    struct wsh_feed feed;
    struct wsh_feed_counts feed_counts;
    uint64_t instance; /* of this run, not 0: the origin of its messages */

    struct wsh_counters shared; /* of threads that are no loop of ours */
    _Atomic bool running;       /* publish and the like are accepted */
};

/* The public handle is the top's structure, whose first member this is. */
static inline struct wsh_hub *wsh_hub_of(const ws_hub *handle)
{
    return (struct wsh_hub *)(uintptr_t)handle;
}

/* settings is moved in. 0 or WS_HUB_ENOMEM (settings is untouched then). */
int wsh_hub_init(struct wsh_hub *hub, ws_hub *handle,
                 struct wsh_settings *settings, const uint64_t seed[2]);
/* The shards are destroyed already. */
void wsh_hub_fini(struct wsh_hub *hub);

/* The events that the driver calls. */
struct wsh_feed_events wsh_hub_feed_events(struct wsh_hub *hub);

/*
 * Publish a checked message: to the broker, on this thread or through the home
 * loop. Fills in its origin. 0, WS_HUB_DEGRADED, WS_HUB_ELIMIT, WS_HUB_EBROKER,
 * WS_HUB_EAGAIN, WS_HUB_ENOMEM. Thread: any.
 */
int wsh_hub_publish(struct wsh_hub *hub, const char *channel, size_t len,
                    ws_hub_broker_message *message);

/* Is it fit for subscribers? Name, size, type (not WS_HUB_DETECT), UTF-8, JSON.
 * 0 or WS_HUB_EINVAL. */
int wsh_hub_check_message(const struct wsh_hub *hub, const char *channel,
                          size_t len, const ws_hub_broker_message *message);

/* The shard whose thread this is, NULL if none. */
struct wsh_shard *wsh_hub_here(const struct wsh_hub *hub);

/* The counters that the calling thread may write, and how: see count_any. */
void wsh_hub_count_any(struct wsh_hub *hub, unsigned which, uint64_t by);

/* Sum of all sets. Thread: any. */
void wsh_hub_stats(const struct wsh_hub *hub, ws_hub_stats_data *stats);

#endif

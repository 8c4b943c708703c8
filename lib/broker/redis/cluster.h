/*
 * cluster.h: a Redis cluster with sharded pub/sub: between cluster.c (the
 * adapter: routing, redirections) and cluster_map.c (who has which slot).
 *
 * Owns a fleet with one member per master (before the first map: per seed) and
 * the map. owners[i] is the member of map.nodes[i], NULL if it could not be
 * made for lack of memory.
 * Thread: the loop's.
 */
#ifndef WSR_CLUSTER_H
#define WSR_CLUSTER_H

#include "fleet.h"
#include "slots.h"
#include "topology.h"

struct wsr_cluster {
    struct wsr_fleet fleet; /* first: events come with it */
    struct wsr_config *config;
    struct wsr_slots map;
    struct wsr_member *owners[WSR_NODES_MAX];
    bool mapped;            /* since open(): we know whom to ask */
    bool down;              /* a node said CLUSTERDOWN, none "ok" since then */
    uint64_t epoch;         /* of the map */
    unsigned refused;       /* maps in a row that were older than ours */
    ws_hub_timer *refresh;  /* NULL: not open */
    uint64_t refreshed_ms;  /* when a map was last asked for */
    uint64_t refresh_at_ms; /* when it will be; UINT64_MAX: not armed */
};

/* Member that has the slot; NULL: nobody, as far as we know. */
struct wsr_member *wsr_cluster_owner(const struct wsr_cluster *cluster,
                                     unsigned slot);

/* 0 or WS_HUB_ENOMEM. close is idempotent. */
int wsr_cluster_map_open(struct wsr_cluster *cluster);
void wsr_cluster_map_close(struct wsr_cluster *cluster);
void wsr_cluster_map_fini(struct wsr_cluster *cluster);

/* Can anything be subscribed or published at all? */
bool wsr_cluster_is_up(const struct wsr_cluster *cluster);

/* The map may be wrong: ask for a new one soon, however often this is called.
 */
void wsr_cluster_map_doubt(struct wsr_cluster *cluster);

/* Somebody who knows (MOVED) says where a slot is. */
void wsr_cluster_map_correct(struct wsr_cluster *cluster, unsigned slot,
                             const struct wsr_endpoint *node);

#endif

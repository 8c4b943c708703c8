/*
 * registry.h: which shards have listeners on which channel: the only structure
 * that loops share.
 *
 * Striped by the name's hash, a mutex per stripe, held for one look-up. A
 * channel is in it exactly while some shard has joined it. Thread: any.
 */
#ifndef WSH_HUB_REGISTRY_H
#define WSH_HUB_REGISTRY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include "base/map.h"

enum { WSH_STRIPES = 64 };

struct wsh_registry {
    struct wsh_stripe {
        pthread_mutex_t lock;
        struct wsh_map map;
    } stripe[WSH_STRIPES];
};

void wsh_registry_init(struct wsh_registry *registry, const uint64_t seed[2]);
/* Every shard has left every channel. */
void wsh_registry_fini(struct wsh_registry *registry);

/* 0 or WS_HUB_ENOMEM. The shard has not joined it. */
int wsh_registry_join(struct wsh_registry *registry, const char *channel,
                      size_t len, unsigned shard);
void wsh_registry_leave(struct wsh_registry *registry, const char *channel,
                        size_t len, unsigned shard);
/* Bit per shard; 0: nobody. */
uint64_t wsh_registry_shards(struct wsh_registry *registry, const char *channel,
                             size_t len);

#endif

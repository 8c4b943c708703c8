#include "hub/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ws_hub/error.h"

struct record {
    struct wsh_map_node node;
    uint64_t shards;
    char name[];
};

void wsh_registry_init(struct wsh_registry *registry, const uint64_t seed[2])
{
    for (unsigned i = 0; i < WSH_STRIPES; i++) {
        pthread_mutex_init(&registry->stripe[i].lock, NULL);
        wsh_map_init(&registry->stripe[i].map, seed);
    }
}

void wsh_registry_fini(struct wsh_registry *registry)
{
    for (unsigned i = 0; i < WSH_STRIPES; i++) {
        wsh_map_fini(&registry->stripe[i].map);
        pthread_mutex_destroy(&registry->stripe[i].lock);
    }
}

/* The stripe takes the hash's top bits: the map inside uses the low ones. All
 * maps have one seed, so one hash serves both. */
static struct wsh_stripe *lock_stripe(struct wsh_registry *registry,
                                      uint64_t hash)
{
    struct wsh_stripe *stripe = &registry->stripe[(hash >> 58) % WSH_STRIPES];

    pthread_mutex_lock(&stripe->lock);
    return stripe;
}

static uint64_t hash_of(struct wsh_registry *registry, const char *channel,
                        size_t len)
{
    return wsh_map_hash(&registry->stripe[0].map, channel, len);
}

static struct record *find(struct wsh_stripe *stripe, uint64_t hash,
                           const char *channel, size_t len)
{
    struct wsh_map_node *node =
        wsh_map_find_hashed(&stripe->map, hash, channel, len);

    return node ? WSH_CONTAINER(node, struct record, node) : NULL;
}

static struct record *add(struct wsh_stripe *stripe, const char *channel,
                          size_t len)
{
    struct record *record = calloc(1, sizeof *record + len);

    if (!record)
        return NULL;
    memcpy(record->name, channel, len);
    record->node.key = record->name;
    record->node.key_len = len;
    if (wsh_map_insert(&stripe->map, &record->node)) {
        free(record);
        return NULL;
    }
    return record;
}

int wsh_registry_join(struct wsh_registry *registry, const char *channel,
                      size_t len, unsigned shard)
{
    uint64_t hash = hash_of(registry, channel, len);
    struct wsh_stripe *stripe = lock_stripe(registry, hash);
    struct record *record = find(stripe, hash, channel, len);

    if (!record)
        record = add(stripe, channel, len);
    if (record) {
        WSH_ASSERT(!(record->shards & (UINT64_C(1) << shard)));
        record->shards |= UINT64_C(1) << shard;
    }
    pthread_mutex_unlock(&stripe->lock);
    return record ? 0 : WS_HUB_ENOMEM;
}

void wsh_registry_leave(struct wsh_registry *registry, const char *channel,
                        size_t len, unsigned shard)
{
    uint64_t hash = hash_of(registry, channel, len);
    struct wsh_stripe *stripe = lock_stripe(registry, hash);
    struct record *record = find(stripe, hash, channel, len);

    WSH_ASSERT(record && (record->shards & (UINT64_C(1) << shard)));
    record->shards &= ~(UINT64_C(1) << shard);
    if (record->shards)
        record = NULL;
    else
        wsh_map_remove(&stripe->map, &record->node);
    pthread_mutex_unlock(&stripe->lock);
    free(record);
}

uint64_t wsh_registry_shards(struct wsh_registry *registry, const char *channel,
                             size_t len)
{
    uint64_t hash = hash_of(registry, channel, len);
    struct wsh_stripe *stripe = lock_stripe(registry, hash);
    struct record *record = find(stripe, hash, channel, len);
    uint64_t shards = record ? record->shards : 0;

    pthread_mutex_unlock(&stripe->lock);
    return shards;
}

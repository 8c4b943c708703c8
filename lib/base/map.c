/*
 * map.c: intrusive hash map, separate chaining.
 * Owns: the table. Invariants: size is 0 or a power of two >= 16; an empty map
 * that nobody walks has no table; a node is in the chain of its hash.
 * Thread: none of its own.
 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <ws_hub/error.h>
#include "base/check.h"

enum { FIRST_SIZE = 16 };

void wsh_map_init(struct wsh_map *map, const uint64_t seed[2])
{
    *map = (struct wsh_map){.seed = {seed[0], seed[1]}};
}

void wsh_map_fini(struct wsh_map *map)
{
    WSH_ASSERT(map->count == 0 && map->walks == 0);
    free(map->table);
    map->table = NULL;
    map->size = 0;
}

uint64_t wsh_map_hash(const struct wsh_map *map, const void *key, size_t len)
{
    return wsh_siphash(map->seed, key, len);
}

static inline struct wsh_map_node **chain(const struct wsh_map *map,
                                          uint64_t hash)
{
    return &map->table[hash & (map->size - 1)];
}

static void link_node(struct wsh_map *map, struct wsh_map_node *node)
{
    struct wsh_map_node **head = chain(map, node->hash);

    node->next = *head;
    *head = node;
}

/* Without memory the old table stays: slower, or larger than need be. */
static int resize(struct wsh_map *map, size_t size)
{
    struct wsh_map_node **old = map->table;
    size_t old_size = map->size;
    struct wsh_map_node **table = calloc(size, sizeof *table);
    size_t i;

    if (!table)
        return WS_HUB_ENOMEM;
    map->table = table;
    map->size = size;
    for (i = 0; i < old_size; i++) {
        struct wsh_map_node *node = old[i];

        while (node) {
            struct wsh_map_node *next = node->next;

            link_node(map, node);
            node = next;
        }
    }
    free(old);
    return 0;
}

/* The halving at an eighth leaves a quarter: far from both thresholds, so that
 * a map that breathes around one of them does not rehash each time. */
static void trim(struct wsh_map *map)
{
    size_t size = map->size;

    if (map->walks > 0)
        return;
    if (map->count == 0) {
        free(map->table);
        map->table = NULL;
        map->size = 0;
        return;
    }
    while (size > FIRST_SIZE && map->count <= size / 8)
        size /= 2;
    if (size < map->size)
        (void)resize(map, size);
}

struct wsh_map_node *wsh_map_find_hashed(const struct wsh_map *map,
                                         uint64_t hash, const void *key,
                                         size_t len)
{
    struct wsh_map_node *node;

    if (map->size == 0)
        return NULL;
    for (node = *chain(map, hash); node; node = node->next)
        if (node->hash == hash && node->key_len == len &&
            (len == 0 || memcmp(node->key, key, len) == 0))
            return node;
    return NULL;
}

struct wsh_map_node *wsh_map_find(const struct wsh_map *map, const void *key,
                                  size_t len)
{
    if (map->size == 0)
        return NULL;
    return wsh_map_find_hashed(map, wsh_map_hash(map, key, len), key, len);
}

int wsh_map_insert(struct wsh_map *map, struct wsh_map_node *node)
{
    node->hash = wsh_map_hash(map, node->key, node->key_len);
    WSH_ASSERT(!wsh_map_find_hashed(map, node->hash, node->key, node->key_len));
    if (map->size == 0) {
        if (resize(map, FIRST_SIZE))
            return WS_HUB_ENOMEM;
    } else if (map->count >= map->size && map->walks == 0 &&
               map->size <= SIZE_MAX / 2 / sizeof *map->table) {
        (void)resize(map, map->size * 2);
    }
    link_node(map, node);
    map->count++;
    return 0;
}

void wsh_map_remove(struct wsh_map *map, struct wsh_map_node *node)
{
    struct wsh_map_node **at;

    WSH_ASSERT(map->count > 0);
    at = chain(map, node->hash);
    while (*at != node) {
        WSH_ASSERT(*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    map->count--;
    trim(map);
}

int wsh_map_each(struct wsh_map *map,
                 int (*fn)(struct wsh_map_node *node, void *arg), void *arg)
{
    size_t i;
    int result = 0;

    if (map->size == 0)
        return 0;
    /* The count of walks keeps the table in place while fn removes. */
    map->walks++;
    for (i = 0; i < map->size && result == 0; i++) {
        struct wsh_map_node *node = map->table[i];

        while (node && result == 0) {
            struct wsh_map_node *next = node->next;

            result = fn(node, arg);
            node = next;
        }
    }
    map->walks--;
    trim(map);
    return result;
}

void wsh_map_check(const struct wsh_map *map)
{
    size_t count = 0;
    size_t i;

    WSH_ASSERT((map->size == 0) == (map->table == NULL));
    WSH_ASSERT((map->size & (map->size - 1)) == 0);
    WSH_ASSERT(map->size == 0 || map->size >= FIRST_SIZE);
    WSH_ASSERT(map->walks > 0 || (map->count == 0) == (map->size == 0));
    for (i = 0; i < map->size; i++) {
        const struct wsh_map_node *node;

        for (node = map->table[i]; node; node = node->next) {
            WSH_ASSERT((node->hash & (map->size - 1)) == i);
            WSH_ASSERT(node->hash ==
                       wsh_map_hash(map, node->key, node->key_len));
            WSH_ASSERT(wsh_map_find_hashed(map, node->hash, node->key,
                                           node->key_len) == node);
            count++;
        }
    }
    WSH_ASSERT(count == map->count);
    (void)count; /* only read by assertions */
}

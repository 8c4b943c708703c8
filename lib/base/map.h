/*
 * map.h: intrusive hash map from byte strings to nodes.
 *
 * Keyed SipHash-2-4: names are chosen by clients, and colliding ones must not
 * slow anybody down (RELIABILITY 2b-12). Separate chaining, power-of-two table,
 * grows at load 1; shrinks never below 16, by halves when an eighth full.
 * Owner: the embedding object owns node and key; the map owns only its table.
 * An empty map has no table. Growing is best effort: without memory the chains
 * get longer; only the first insert can fail.
 * Thread: none of its own.
 */
#ifndef WSH_BASE_MAP_H
#define WSH_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct wsh_map_node {
    struct wsh_map_node *next;
    uint64_t hash;
    const char *key; /* stays valid and unchanged while inserted */
    size_t key_len;
};

struct wsh_map {
    struct wsh_map_node **table;
    size_t size;    /* entries of table, 0 or a power of two */
    size_t count;   /* nodes */
    unsigned walks; /* wsh_map_each() running: the table keeps its size */
    uint64_t seed[2];
};

void wsh_map_init(struct wsh_map *map, const uint64_t seed[2]);
/* The map must be empty; safe on zeroed memory. */
void wsh_map_fini(struct wsh_map *map);

uint64_t wsh_map_hash(const struct wsh_map *map, const void *key, size_t len);
/* NULL if absent. The hash variants spare a second hashing. */
struct wsh_map_node *wsh_map_find(const struct wsh_map *map, const void *key,
                                  size_t len);
struct wsh_map_node *wsh_map_find_hashed(const struct wsh_map *map,
                                         uint64_t hash, const void *key,
                                         size_t len);
/* node->key and key_len are set, the key is absent. 0 or WS_HUB_ENOMEM. */
int wsh_map_insert(struct wsh_map *map, struct wsh_map_node *node);
/* The node is present. */
void wsh_map_remove(struct wsh_map *map, struct wsh_map_node *node);

/* Call fn for each node; fn may remove (and free) the node that it is given and
 * no other. Stops when fn returns non-zero and returns that. */
int wsh_map_each(struct wsh_map *map,
                 int (*fn)(struct wsh_map_node *node, void *arg), void *arg);

/* Walks everything and asserts the invariants above. */
void wsh_map_check(const struct wsh_map *map);

/* SipHash-2-4 of len bytes, for other users of the same defence. */
uint64_t wsh_siphash(const uint64_t seed[2], const void *data, size_t len);

#endif

#include "hub/ip_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "ws_hub/error.h"

struct record {
    struct wsh_map_node node;
    unsigned count;
    char key[];
};

/* Bytes of the address that make the key; 0: not counted. */
static size_t key_len(const struct wsh_peer *peer)
{
    switch (peer->family) {
    case AF_INET:
        return 4;
    case AF_INET6:
        return 8;
    default:
        return 0;
    }
}

void wsh_ip_table_init(struct wsh_ip_table *table, const uint64_t seed[2])
{
    pthread_mutex_init(&table->lock, NULL);
    wsh_map_init(&table->map, seed);
}

static int drop(struct wsh_map_node *node, void *arg)
{
    wsh_map_remove(arg, node);
    free(WSH_CONTAINER(node, struct record, node));
    return 0;
}

void wsh_ip_table_fini(struct wsh_ip_table *table)
{
    wsh_map_each(&table->map, drop, &table->map);
    wsh_map_fini(&table->map);
    pthread_mutex_destroy(&table->lock);
}

static struct record *find(struct wsh_ip_table *table,
                           const struct wsh_peer *peer, size_t len)
{
    struct wsh_map_node *node = wsh_map_find(&table->map, peer->addr, len);

    return node ? WSH_CONTAINER(node, struct record, node) : NULL;
}

static struct record *add(struct wsh_ip_table *table,
                          const struct wsh_peer *peer, size_t len)
{
    struct record *record = calloc(1, sizeof *record + len);

    if (!record)
        return NULL;
    memcpy(record->key, peer->addr, len);
    record->node.key = record->key;
    record->node.key_len = len;
    if (wsh_map_insert(&table->map, &record->node)) {
        free(record);
        return NULL;
    }
    return record;
}

int wsh_ip_table_join(struct wsh_ip_table *table, const struct wsh_peer *peer,
                      unsigned limit)
{
    size_t len = key_len(peer);
    struct record *record;
    int error = 0;

    if (!len)
        return 0;
    pthread_mutex_lock(&table->lock);
    record = find(table, peer, len);
    if (record && record->count >= limit)
        error = WS_HUB_ELIMIT;
    else if (!record && !(record = add(table, peer, len)))
        error = WS_HUB_ENOMEM;
    else
        record->count++;
    pthread_mutex_unlock(&table->lock);
    return error;
}

unsigned wsh_ip_table_count(struct wsh_ip_table *table,
                            const struct wsh_peer *peer)
{
    size_t len = key_len(peer);
    struct record *record;
    unsigned count;

    if (!len)
        return 0;
    pthread_mutex_lock(&table->lock);
    record = find(table, peer, len);
    count = record ? record->count : 0;
    pthread_mutex_unlock(&table->lock);
    return count;
}

void wsh_ip_table_leave(struct wsh_ip_table *table, const struct wsh_peer *peer)
{
    size_t len = key_len(peer);
    struct record *record;

    if (!len)
        return;
    pthread_mutex_lock(&table->lock);
    record = find(table, peer, len);
    WSH_ASSERT(record && record->count > 0);
    if (--record->count == 0)
        drop(&record->node, &table->map);
    pthread_mutex_unlock(&table->lock);
}

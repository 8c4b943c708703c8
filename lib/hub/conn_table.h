/*
 * conn_table.h: connection handles of a shard: shard (8 bits), slot (24),
 * generation (32). A freed slot waits at the end of a queue, and its generation
 * goes up, so a stale handle finds nothing.
 */
#ifndef WSH_HUB_CONN_TABLE_H
#define WSH_HUB_CONN_TABLE_H

#include <stdint.h>

struct wsh_conn;

struct wsh_conn_slot {
    struct wsh_conn *conn; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct wsh_conn_table {
    struct wsh_conn_slot *slots;
    uint32_t count, cap;           /* slots in use ever, and room */
    uint32_t free_head, free_tail; /* WSH_NO_SLOT: none */
    unsigned shard;
};

#define WSH_NO_SLOT UINT32_MAX

void wsh_conn_table_init(struct wsh_conn_table *table, unsigned shard);
void wsh_conn_table_fini(struct wsh_conn_table *table);
/* The handle's id, 0: out of memory (or 16 million connections). */
uint64_t wsh_conn_table_add(struct wsh_conn_table *table,
                            struct wsh_conn *conn);
void wsh_conn_table_remove(struct wsh_conn_table *table, uint64_t id);
/* NULL: none. */
struct wsh_conn *wsh_conn_table_find(const struct wsh_conn_table *table,
                                     uint64_t id);
static inline unsigned wsh_conn_id_shard(uint64_t id)
{
    return (unsigned)(id >> 56);
}

#endif

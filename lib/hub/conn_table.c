#include "hub/conn_table.h"

#include <stdlib.h>

#include "base/check.h"

enum { SLOT_BITS = 24, FIRST_CAP = 64 };

void wsh_conn_table_init(struct wsh_conn_table *table, unsigned shard)
{
    table->slots = NULL;
    table->count = table->cap = 0;
    table->free_head = table->free_tail = WSH_NO_SLOT;
    table->shard = shard;
}

void wsh_conn_table_fini(struct wsh_conn_table *table)
{
    free(table->slots);
    wsh_conn_table_init(table, table->shard);
}

static uint64_t make_id(const struct wsh_conn_table *table, uint32_t slot)
{
    return (uint64_t)table->shard << 56 | (uint64_t)slot << 32 |
           table->slots[slot].generation;
}

static uint32_t slot_of(uint64_t id)
{
    return (uint32_t)(id >> 32) & ((1u << SLOT_BITS) - 1);
}

static uint32_t fresh_slot(struct wsh_conn_table *table)
{
    if (table->count == table->cap) {
        uint32_t cap = table->cap ? table->cap * 2 : FIRST_CAP;
        struct wsh_conn_slot *slots;

        if (cap > 1u << SLOT_BITS)
            return WSH_NO_SLOT;
        slots = realloc(table->slots, cap * sizeof *slots);
        if (!slots)
            return WSH_NO_SLOT;
        table->slots = slots;
        table->cap = cap;
    }
    table->slots[table->count].generation = 1;
    return table->count++;
}

static uint32_t take_free(struct wsh_conn_table *table)
{
    uint32_t slot = table->free_head;

    table->free_head = table->slots[slot].next_free;
    if (table->free_head == WSH_NO_SLOT)
        table->free_tail = WSH_NO_SLOT;
    return slot;
}

uint64_t wsh_conn_table_add(struct wsh_conn_table *table, struct wsh_conn *conn)
{
    uint32_t slot =
        table->free_head == WSH_NO_SLOT ? fresh_slot(table) : take_free(table);

    if (slot == WSH_NO_SLOT)
        return 0;
    table->slots[slot].conn = conn;
    return make_id(table, slot);
}

void wsh_conn_table_remove(struct wsh_conn_table *table, uint64_t id)
{
    uint32_t slot = slot_of(id);

    WSH_ASSERT(wsh_conn_table_find(table, id));
    table->slots[slot].conn = NULL;
    table->slots[slot].generation++;
    if (table->slots[slot].generation == 0)
        table->slots[slot].generation = 1;
    table->slots[slot].next_free = WSH_NO_SLOT;
    if (table->free_tail == WSH_NO_SLOT)
        table->free_head = slot;
    else
        table->slots[table->free_tail].next_free = slot;
    table->free_tail = slot;
}

struct wsh_conn *wsh_conn_table_find(const struct wsh_conn_table *table,
                                     uint64_t id)
{
    uint32_t slot = slot_of(id);

    if (wsh_conn_id_shard(id) != table->shard || slot >= table->count ||
        table->slots[slot].generation != (uint32_t)id)
        return NULL;
    return table->slots[slot].conn;
}

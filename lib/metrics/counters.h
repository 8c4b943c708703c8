/*
 * counters.h: the accounts of one shard (M27), readable by any thread.
 *
 * Single writer: the shard's thread adds with plain relaxed load and store, so
 * a count costs what a plain addition costs. `shared` sets (host threads) use
 * the atomic variants. Gauges are the same, counted down.
 */
#ifndef WSH_METRICS_COUNTERS_H
#define WSH_METRICS_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>
#include "ws_hub/metrics.h"

enum wsh_counter {
    WSH_C_ACCEPTED,
    WSH_C_HANDSHAKING,
    WSH_C_OPENED,
    WSH_C_OPEN,
    WSH_C_HTTP,
    WSH_C_PUBLISHED,
    WSH_C_FANNED,
    WSH_C_NO_SUBSCRIBER,
    WSH_C_OFFERED,
    WSH_C_DELIVERED,
    WSH_C_PENDING,
    WSH_C_PENDING_BYTES,
    WSH_C_RECEIVED,
    WSH_C_RECEIVED_BYTES,
    WSH_C_SENT_BYTES,
    WSH_C_SENDS,
    WSH_C_CHANNELS,
    WSH_C_SUBSCRIPTIONS,
    WSH_C_SLOW,
    WSH_C_SLOWED,
    WSH_C_GAPS,
    WSH_C_MAILBOX_REFUSED,
    WSH_C_CLOSE_TIMEOUTS,
    WSH_C_PINGS,
    WSH_C_BROKER_REJECTED,
    WSH_C_REJECTED,
    WSH_C_CLOSED = WSH_C_REJECTED + WS_HUB_REJECT_COUNT,
    WSH_C_DROPPED = WSH_C_CLOSED + WS_HUB_CAUSE_COUNT,
    WSH_C_REFUSED = WSH_C_DROPPED + WS_HUB_DROP_COUNT,
    WSH_C_COUNT = WSH_C_REFUSED + WS_HUB_REFUSE_COUNT
};

struct wsh_counters {
    _Atomic uint64_t value[WSH_C_COUNT];
};

static inline void wsh_count(struct wsh_counters *counters, unsigned which,
                             uint64_t by)
{
    _Atomic uint64_t *value = &counters->value[which];

    atomic_store_explicit(
        value, atomic_load_explicit(value, memory_order_relaxed) + by,
        memory_order_relaxed);
}

/* Gauges. */
static inline void wsh_uncount(struct wsh_counters *counters, unsigned which,
                               uint64_t by)
{
    wsh_count(counters, which, (uint64_t)0 - by);
}

/* Several writers. */
static inline void wsh_count_shared(struct wsh_counters *counters,
                                    unsigned which, uint64_t by)
{
    atomic_fetch_add_explicit(&counters->value[which], by,
                              memory_order_relaxed);
}

static inline uint64_t wsh_counted(const struct wsh_counters *counters,
                                   unsigned which)
{
    return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}

/* Add a set to a snapshot whose struct_size is the full size. */
void wsh_counters_add(const struct wsh_counters *counters,
                      ws_hub_stats_data *to);

#endif

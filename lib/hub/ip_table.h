/*
 * ip_table.h: how many connections each address has (v6: each /64, what one
 * customer gets), for max_connections_per_ip.
 *
 * A record exists while its count is not 0, so the table is bounded by the
 * connections. Thread: any, one lock, held for a look-up per connection made or
 * ended. Unix sockets and unknown peers are not counted.
 */
#ifndef WSH_HUB_IP_TABLE_H
#define WSH_HUB_IP_TABLE_H

#include <pthread.h>
#include <stdint.h>
#include "base/map.h"
#include "contract/link.h"

struct wsh_ip_table {
    pthread_mutex_t lock;
    struct wsh_map map;
};

void wsh_ip_table_init(struct wsh_ip_table *table, const uint64_t seed[2]);
void wsh_ip_table_fini(struct wsh_ip_table *table);
/* Count one more, unless there are `limit` already. 0, WS_HUB_ELIMIT,
 * WS_HUB_ENOMEM. */
int wsh_ip_table_join(struct wsh_ip_table *table, const struct wsh_peer *peer,
                      unsigned limit);
unsigned wsh_ip_table_count(struct wsh_ip_table *table,
                            const struct wsh_peer *peer);
void wsh_ip_table_leave(struct wsh_ip_table *table,
                        const struct wsh_peer *peer);

#endif

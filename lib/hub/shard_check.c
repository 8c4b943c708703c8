/* shard_check.c: walks a shard and asserts what must hold between any two
 * events: the structures agree with each other and the accounts are exact
 * (M27). For tests; the library never calls it. */
#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"

struct sums {
    uint64_t offered, delivered, dropped, pending, pending_bytes;
    uint64_t open, handshaking, subscriptions;
};

static void check_conn(const struct wsh_conn *conn, struct sums *sums)
{
    const struct wsh_outq *out = &conn->out;

    wsh_outq_check(out);
    WSH_ASSERT(wsh_conn_table_find(&conn->shard->table, conn->id) == conn);
    WSH_ASSERT(conn->offered ==
               conn->delivered + conn->dropped + out->messages);
    WSH_ASSERT(conn->state == WSH_CONN_OPEN || conn->sub_count == 0);
    WSH_ASSERT(conn->blocked || conn->held == 0);
    WSH_ASSERT(conn->dropping || conn->blocked || out->len == 0 ||
               !wsh_list_empty(&conn->dirty));
    WSH_ASSERT(wsh_list_empty(&conn->dirty) || !conn->blocked);
    WSH_ASSERT(!conn->left_out);
    WSH_ASSERT(wsh_list_empty(&conn->behind) ==
               (conn->rest.len == conn->rest_at));
    for (uint32_t i = 0; i < conn->sub_count; i++) {
        const struct wsh_sub *sub = &conn->subs[i];
        const struct wsh_group *group = &sub->channel->group[conn->mode];

        if (sub->at == WSH_SUB_PENDING)
            continue;
        WSH_ASSERT(sub->at < group->count);
        WSH_ASSERT(group->members[sub->at].conn == conn);
        WSH_ASSERT(group->members[sub->at].sub == i);
        sums->subscriptions++;
    }
    sums->pending += out->messages;
    sums->pending_bytes += out->bytes;
    sums->open += conn->opened;
    sums->handshaking += conn->state < WSH_CONN_OPEN;
}

static int check_channel(struct wsh_map_node *node, void *arg)
{
    (void)arg;
    wsh_channel_check(WSH_CONTAINER(node, struct wsh_channel, node));
    return 0;
}

static uint64_t total(const struct wsh_counters *counters, unsigned first,
                      unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += wsh_counted(counters, first + i);
    return sum;
}

static void check_accounts(const struct wsh_counters *c,
                           const struct sums *sums)
{
    WSH_ASSERT(wsh_counted(c, WSH_C_PENDING) == sums->pending);
    WSH_ASSERT(wsh_counted(c, WSH_C_PENDING_BYTES) == sums->pending_bytes);
    WSH_ASSERT(wsh_counted(c, WSH_C_OPEN) == sums->open);
    WSH_ASSERT(wsh_counted(c, WSH_C_HANDSHAKING) == sums->handshaking);
    WSH_ASSERT(wsh_counted(c, WSH_C_SUBSCRIPTIONS) == sums->subscriptions);
    WSH_ASSERT(wsh_counted(c, WSH_C_OFFERED) ==
               wsh_counted(c, WSH_C_DELIVERED) + sums->pending +
                   total(c, WSH_C_DROPPED, WS_HUB_DROP_COUNT));
    WSH_ASSERT(wsh_counted(c, WSH_C_ACCEPTED) ==
               wsh_counted(c, WSH_C_OPENED) + wsh_counted(c, WSH_C_HTTP) +
                   sums->handshaking +
                   total(c, WSH_C_REJECTED, WS_HUB_REJECT_COUNT));
    WSH_ASSERT(wsh_counted(c, WSH_C_OPENED) ==
               sums->open + total(c, WSH_C_CLOSED, WS_HUB_CAUSE_COUNT));
}

void wsh_shard_check(const struct wsh_shard *shard)
{
    struct sums sums = {0};
    const struct wsh_list *node;

    for (node = shard->conns.next; node != &shard->conns; node = node->next)
        check_conn(WSH_CONTAINER(node, const struct wsh_conn, node), &sums);
    wsh_map_check(&shard->channels);
    wsh_map_each((struct wsh_map *)(uintptr_t)&shard->channels, check_channel,
                 NULL);
    wsh_wheel_check(&shard->wheel);
    check_accounts(&shard->counters, &sums);
}

/*
 * slow.c: a connection that does not keep up (M4, M5).
 *
 * When a message does not fit send_limit the connection becomes slow
 * ("deprioritised") until what waits has drained to half of it. Meanwhile
 * critical messages go on, up to a reserve; volatile ones are dropped; normal
 * ones follow the policy of their channel. Each lost message is counted for its
 * reason and for its subscription, and when there is room again the client is
 * told how many it missed, before it gets anything more of that channel.
 *
 * Offers run inside of walks over members, where nothing may call out: what
 * needs callbacks or ends the connection is put on shard->attention and done
 * after the flush.
 */
#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "ws_hub/error.h"

static const ws_hub_options *options(const struct wsh_conn *conn)
{
    return &conn->shard->hub->settings.o;
}

/* Bytes that wait for it. */
static size_t buffered(const struct wsh_conn *conn)
{
    return conn->out.bytes + (size_t)conn->out.len * WSH_OUT_CHARGE +
           conn->held;
}

void wsh_conn_block(struct wsh_conn *conn)
{
    const struct wsh_shard *shard = conn->shard;

    conn->blocked = true;
    conn->held = shard->transport_ops->held(shard->transport, &conn->link);
}

void wsh_conn_attend(struct wsh_conn *conn, enum wsh_attention why)
{
    if (why > conn->attention)
        conn->attention = (uint8_t)why;
    if (wsh_list_empty(&conn->waiting_attention))
        wsh_list_push(&conn->shard->attention, &conn->waiting_attention);
}

void wsh_slow_enter(struct wsh_conn *conn)
{
    if (conn->slow || conn->state != WSH_CONN_OPEN)
        return;
    conn->slow = true;
    wsh_count(&conn->shard->counters, WSH_C_SLOW, 1);
    wsh_count(&conn->shard->counters, WSH_C_SLOWED, 1);
}

void wsh_slow_drained(struct wsh_conn *conn)
{
    if (conn->slow && conn->state == WSH_CONN_OPEN &&
        buffered(conn) <= options(conn)->send_limit / 2)
        wsh_conn_attend(conn, WSH_ATTENTION_RECOVERED);
}

void wsh_slow_missed(struct wsh_conn *conn, uint32_t sub, uint64_t messages)
{
    struct wsh_sub *of = &conn->subs[sub];

    of->missed = (uint32_t)WSH_MIN(of->missed + messages, UINT32_MAX);
}

/* One loss: of a message that was offered, or of one that waited. */
static void lose(struct wsh_conn *conn, const struct wsh_offer *offer,
                 uint32_t sub, uint64_t *reason)
{
    conn->dropped++;
    (*reason)++;
    if (offer->channel)
        wsh_slow_missed(conn, sub, 1);
}

static bool push_if(struct wsh_conn *conn, struct wsh_offer *offer,
                    uint32_t sub, uint32_t index, size_t limit)
{
    size_t before = conn->out.bytes;

    limit = wsh_conn_limit(conn, limit);
    if (!wsh_outq_room(&conn->out, offer->block, index, 1, limit))
        return false;
    if (wsh_outq_push(&conn->out, offer->block, index, 1)) {
        lose(conn, offer, sub, &offer->tally.no_memory);
        return true;
    }
    offer->tally.pending++;
    offer->tally.pending_bytes += conn->out.bytes - before;
    return true;
}

/* A queued message made way. */
static void lose_queued(struct wsh_conn *conn, struct wsh_offer *offer,
                        uint32_t sub, size_t bytes, uint64_t *reason)
{
    offer->tally.pending--; /* wraps: added as a difference */
    offer->tally.pending_bytes -= bytes;
    lose(conn, offer, sub, reason);
}

/* Room for a critical message is limited as well: a client that cannot even
 * take those has to go (1013). */
static void offer_critical(struct wsh_conn *conn, struct wsh_offer *offer,
                           uint32_t sub, uint32_t index)
{
    const ws_hub_options *o = options(conn);
    size_t limit = (size_t)o->send_limit + o->critical_reserve;

    if (push_if(conn, offer, sub, index, limit))
        return;
    lose(conn, offer, sub, &offer->tally.backpressure);
    wsh_conn_attend(conn, WSH_ATTENTION_OVERFLOW);
}

static void drop_oldest(struct wsh_conn *conn, struct wsh_offer *offer,
                        uint32_t sub, uint32_t index)
{
    size_t limit = options(conn)->send_limit, bytes;

    while (!push_if(conn, offer, sub, index, limit)) {
        bytes = wsh_outq_evict(&conn->out, offer->block->channel);
        if (!bytes) {
            lose(conn, offer, sub, &offer->tally.backpressure);
            return;
        }
        lose_queued(conn, offer, sub, bytes, &offer->tally.evicted);
    }
}

static void conflate(struct wsh_conn *conn, struct wsh_offer *offer,
                     uint32_t sub, uint32_t index)
{
    uint64_t key = wsh_block_mark(offer->block, index)->key;
    size_t bytes =
        key ? wsh_outq_conflate(&conn->out, offer->block->channel, key) : 0;

    if (bytes)
        lose_queued(conn, offer, sub, bytes, &offer->tally.conflated);
    if (!key || !push_if(conn, offer, sub, index, options(conn)->send_limit))
        lose(conn, offer, sub, &offer->tally.backpressure);
}

static void drop_newest(struct wsh_conn *conn, struct wsh_offer *offer,
                        uint32_t sub, ws_hub_policy policy)
{
    lose(conn, offer, sub, &offer->tally.backpressure);
    if (policy != WS_HUB_POLICY_CLOSE || conn->grace_ms)
        return;
    conn->grace_ms =
        wsh_shard_now_ms(conn->shard) + options(conn)->slow_grace_ms;
    wsh_conn_timer_open(conn);
}

static void offer_one(struct wsh_conn *conn, struct wsh_offer *offer,
                      uint32_t sub, uint32_t index)
{
    uint8_t cls = wsh_block_mark(offer->block, index)->cls;
    ws_hub_policy policy =
        offer->channel ? offer->channel->policy : WS_HUB_POLICY_DROP_NEWEST;

    if (cls == WS_HUB_CLASS_CRITICAL)
        offer_critical(conn, offer, sub, index);
    else if (cls == WS_HUB_CLASS_VOLATILE)
        lose(conn, offer, sub, &offer->tally.backpressure);
    else if (policy == WS_HUB_POLICY_DROP_OLDEST)
        drop_oldest(conn, offer, sub, index);
    else if (policy == WS_HUB_POLICY_CONFLATE)
        conflate(conn, offer, sub, index);
    else
        drop_newest(conn, offer, sub, policy);
}

void wsh_slow_offer(struct wsh_conn *conn, struct wsh_offer *offer,
                    uint32_t sub, uint32_t first, uint32_t count)
{
    wsh_slow_enter(conn);
    for (uint32_t i = first; i < first + count; i++)
        offer_one(conn, offer, sub, i);
}

/* After the flush. */

/* False: there was no room for the notice, it stays due. A client that cannot
 * be told for lack of memory has to go: it would take what it has for all there
 * was. */
static bool send_gap(struct wsh_conn *conn, const struct wsh_sub *sub)
{
    bool known = sub->missed != WSH_MISSED_UNKNOWN;
    int error = wsh_json_gap(conn, wsh_channel_view(sub->channel),
                             known ? (int64_t)sub->missed : -1,
                             known ? "backpressure" : "broker");

    if (error == WS_HUB_ENOMEM)
        wsh_conn_attend(conn, WSH_ATTENTION_NO_MEMORY);
    return !error;
}

static bool tell_gap(struct wsh_conn *conn, struct wsh_sub *sub)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    struct wsh_channel *channel = sub->channel;
    struct wsh_view name = wsh_channel_view(channel);
    uint32_t missed = sub->missed;

    if (conn->mode == WS_HUB_MODE_JSON && !send_gap(conn, sub))
        return false;
    sub->missed = 0;
    wsh_count(&conn->shard->counters, WSH_C_GAPS, 1);
    if (conn->mode != WS_HUB_MODE_JSON && callbacks->on_gap) {
        channel->pins++; /* the callback has its name, and may unsubscribe */
        callbacks->on_gap(hub->handle, wsh_conn_handle(conn), name.data,
                          name.len,
                          missed == WSH_MISSED_UNKNOWN ? UINT64_MAX : missed,
                          hub->settings.o.user);
        wsh_channel_unpin(channel);
    }
    return true;
}

void wsh_slow_broker_gap(struct wsh_conn *conn, uint32_t sub)
{
    conn->subs[sub].missed = WSH_MISSED_UNKNOWN;
    if (conn->slow)
        return;
    if (conn->mode == WS_HUB_MODE_JSON)
        (void)tell_gap(conn, &conn->subs[sub]);
    else /* its callback may change the members that are being walked */
        wsh_conn_attend(conn, WSH_ATTENTION_GAP);
}

static void tell_gaps(struct wsh_conn *conn)
{
    uint32_t i = 0;

    /* Callbacks may change the subscriptions: start again after each. */
    while (conn->state == WSH_CONN_OPEN && i < conn->sub_count) {
        if (!conn->subs[i].missed) {
            i++;
            continue;
        }
        if (!tell_gap(conn, &conn->subs[i]))
            return; /* slow again, or about to be dropped */
        i = 0;
    }
}

static void recover(struct wsh_conn *conn)
{
    if (!conn->slow || conn->state != WSH_CONN_OPEN)
        return;
    conn->slow = false;
    conn->grace_ms = 0;
    wsh_uncount(&conn->shard->counters, WSH_C_SLOW, 1);
    tell_gaps(conn);
}

void wsh_shard_attend(struct wsh_shard *shard)
{
    struct wsh_list now;

    /* Callbacks may bring more, without end if memory is out: next turn's. */
    wsh_list_take(&now, &shard->attention);
    while (!wsh_list_empty(&now)) {
        struct wsh_conn *conn =
            WSH_LIST_FIRST(&now, struct wsh_conn, waiting_attention);
        enum wsh_attention why = (enum wsh_attention)conn->attention;

        wsh_list_remove(&conn->waiting_attention);
        conn->attention = WSH_ATTENTION_NONE;
        if (why == WSH_ATTENTION_BROKEN)
            wsh_conn_drop(conn, WS_HUB_CAUSE_PEER_GONE);
        else if (why == WSH_ATTENTION_NO_MEMORY)
            wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        else if (why == WSH_ATTENTION_OVERFLOW)
            wsh_conn_fail(conn, WS_HUB_CAUSE_SLOW, 1013);
        else if (why == WSH_ATTENTION_RECOVERED)
            recover(conn);
        else if (!conn->slow)
            tell_gaps(conn);
    }
}

/* The limit of all queues. */

enum { SIZES = 64, RELIEF_PAUSE_MS = 100 };

static unsigned size_class(size_t bytes)
{
    return bytes ? 63 - (unsigned)__builtin_clzll(bytes) : 0;
}

/* The smallest size class such that the queues from it on hold the excess. */
static unsigned class_to_slow(const struct wsh_shard *shard, uint64_t excess)
{
    uint64_t bytes[SIZES] = {0}, sum = 0;
    unsigned from = SIZES;

    for (const struct wsh_list *node = shard->conns.next; node != &shard->conns;
         node = node->next) {
        const struct wsh_conn *conn =
            WSH_CONTAINER(node, const struct wsh_conn, node);

        bytes[size_class(conn->out.bytes)] += conn->out.bytes;
    }
    while (from > 1 && sum < excess)
        sum += bytes[--from];
    return from;
}

void wsh_shard_relieve(struct wsh_shard *shard)
{
    const struct wsh_hub *hub = shard->hub;
    uint64_t limit = hub->settings.o.max_queue_bytes / hub->shard_count;
    uint64_t pending = wsh_counted(&shard->counters, WSH_C_PENDING_BYTES);
    uint64_t now = wsh_shard_now_ms(shard);
    unsigned from;

    if (WSH_LIKELY(pending <= limit) || now < shard->relief_at_ms)
        return;
    shard->relief_at_ms = now + RELIEF_PAUSE_MS;
    from = class_to_slow(shard, pending - limit);
    for (struct wsh_list *node = shard->conns.next; node != &shard->conns;
         node = node->next) {
        struct wsh_conn *conn = WSH_CONTAINER(node, struct wsh_conn, node);

        if (conn->out.bytes && size_class(conn->out.bytes) >= from)
            wsh_slow_enter(conn);
    }
}

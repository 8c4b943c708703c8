/* sending.c: what goes into a connection's queue, and the accounts (M27):
 * offered = delivered + dropped + pending, per connection and per shard. */
#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "ws_hub/error.h"

void wsh_tally_add(struct wsh_shard *shard, const struct wsh_tally *tally)
{
    struct wsh_counters *counters = &shard->counters;

    wsh_count(counters, WSH_C_OFFERED, tally->offered);
    wsh_count(counters, WSH_C_PENDING, tally->pending);
    wsh_count(counters, WSH_C_PENDING_BYTES, tally->pending_bytes);
    wsh_count(counters, WSH_C_DELIVERED, tally->delivered);
    wsh_count(counters, WSH_C_SENT_BYTES, tally->sent_bytes);
    wsh_count(counters, WSH_C_SENDS, tally->sends);
    wsh_count(counters, WSH_C_DROPPED + WS_HUB_DROP_BACKPRESSURE,
              tally->backpressure);
    wsh_count(counters, WSH_C_DROPPED + WS_HUB_DROP_EVICTED, tally->evicted);
    wsh_count(counters, WSH_C_DROPPED + WS_HUB_DROP_CONFLATED,
              tally->conflated);
    wsh_count(counters, WSH_C_DROPPED + WS_HUB_DROP_NO_MEMORY,
              tally->no_memory);
}

void wsh_conn_touch(struct wsh_conn *conn)
{
    if (conn->blocked || wsh_outq_empty(&conn->out) ||
        !wsh_list_empty(&conn->dirty))
        return;
    wsh_list_push(&conn->shard->dirty_conns, &conn->dirty);
}

/* Queue what fits, from the front; `taken` gets how many. */
static int take(struct wsh_conn *conn, struct wsh_offer *offer, uint32_t first,
                uint32_t count, uint32_t *taken)
{
    size_t limit =
        wsh_conn_limit(conn, conn->shard->hub->settings.o.send_limit);
    struct wsh_out_result result;

    if (WSH_UNLIKELY(wsh_outq_offer(&conn->out, offer->block, first, count,
                                    limit, &result)))
        return WS_HUB_ENOMEM;
    offer->tally.pending += result.messages;
    offer->tally.pending_bytes += result.bytes;
    *taken += (uint32_t)result.messages;
    return 0;
}

static void lose_for_memory(struct wsh_conn *conn, struct wsh_offer *offer,
                            uint32_t sub, uint32_t count)
{
    conn->dropped += count;
    offer->tally.no_memory += count;
    /* So that the loss is told when there is room. */
    wsh_slow_enter(conn);
    if (offer->channel)
        wsh_slow_missed(conn, sub, count);
    wsh_slow_drained(conn);
}

void wsh_conn_offer(struct wsh_conn *conn, struct wsh_offer *offer,
                    uint32_t sub, uint32_t first, uint32_t count)
{
    uint32_t taken = 0;
    int error = 0;

    conn->offered += count;
    offer->tally.offered += count;
    if (WSH_LIKELY(!conn->slow)) {
        error = take(conn, offer, first, count, &taken);
        if (WSH_UNLIKELY(taken < count && conn->held && !error)) {
            /* What was held then may be gone by now. */
            wsh_conn_block(conn);
            error = take(conn, offer, first + taken, count - taken, &taken);
        }
    }
    if (WSH_UNLIKELY(error))
        lose_for_memory(conn, offer, sub, count - taken);
    else if (WSH_UNLIKELY(taken < count))
        wsh_slow_offer(conn, offer, sub, first + taken, count - taken);
    wsh_conn_touch(conn);
}

void wsh_conn_unsent(struct wsh_conn *conn)
{
    const struct wsh_tally tally = {.offered = 1, .no_memory = 1};

    conn->offered++;
    conn->dropped++;
    wsh_tally_add(conn->shard, &tally);
}

int wsh_conn_send(struct wsh_conn *conn, enum wsh_opcode opcode,
                  const void *data, size_t len)
{
    size_t fragment = conn->shard->hub->settings.o.fragment_bytes;
    const struct wsh_mark plain = {.cls = WS_HUB_CLASS_NORMAL};
    struct wsh_piece piece = {data, len};
    struct wsh_offer offer = {.block = NULL};

    if (wsh_encode(&offer.block, opcode, &piece, 1, fragment, &plain)) {
        wsh_conn_unsent(conn);
        return WS_HUB_ENOMEM;
    }
    wsh_conn_offer(conn, &offer, 0, 0, 1);
    wsh_block_unref(offer.block);
    wsh_tally_add(conn->shard, &offer.tally);
    if (offer.tally.no_memory)
        return WS_HUB_ENOMEM;
    return offer.tally.backpressure ? WS_HUB_ELIMIT : 0;
}

int wsh_conn_control(struct wsh_conn *conn, struct wsh_block *block,
                     bool urgent)
{
    size_t bytes = block->len;

    if (wsh_outq_control(&conn->out, block, urgent)) {
        wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        return WS_HUB_ENOMEM;
    }
    wsh_count(&conn->shard->counters, WSH_C_PENDING_BYTES, bytes);
    wsh_conn_touch(conn);
    return 0;
}

int wsh_conn_control_frame(struct wsh_conn *conn, enum wsh_opcode opcode,
                           const void *data, size_t len)
{
    uint8_t frame[2 + WSH_CONTROL_MAX];
    size_t size = wsh_control_write(frame, opcode, data, len);
    struct wsh_block *block = wsh_block_control(frame, (uint32_t)size);

    if (!block) {
        wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        return WS_HUB_ENOMEM;
    }
    return wsh_conn_control(conn, block, true);
}

void wsh_conn_pong(struct wsh_conn *conn, const void *data, size_t len)
{
    uint8_t frame[2 + WSH_CONTROL_MAX];
    size_t size, before = conn->out.bytes;
    struct wsh_block *block;

    if (conn->out.urgent < WSH_PONGS_MAX) {
        (void)wsh_conn_control_frame(conn, WSH_OP_PONG, data, len);
        return;
    }
    size = wsh_control_write(frame, WSH_OP_PONG, data, len);
    block = wsh_block_control(frame, (uint32_t)size);
    if (!block || !wsh_outq_replace_urgent(&conn->out, block)) {
        wsh_block_unref(block);
        return;
    }
    wsh_count(&conn->shard->counters, WSH_C_PENDING_BYTES,
              conn->out.bytes - before);
}

void wsh_conn_discard(struct wsh_conn *conn, struct wsh_out_result what)
{
    struct wsh_counters *counters = &conn->shard->counters;

    conn->dropped += what.messages;
    wsh_uncount(counters, WSH_C_PENDING, what.messages);
    wsh_uncount(counters, WSH_C_PENDING_BYTES, what.bytes);
    wsh_count(counters, WSH_C_DROPPED + WS_HUB_DROP_CLOSED, what.messages);
}

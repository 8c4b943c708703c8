/*
 * flush.c: one write for every connection on the flush list, submitted
 * together.
 *
 * One queue entry is written straight from its shared block; several small ones
 * are gathered in the shard's arena first: a copy of a few hundred bytes is
 * cheaper than a second system call. Chunks of WSH_SENDS_MAX connections, or of
 * a full arena.
 */
#include "hub/flush.h"

#include <string.h>

#include "base/check.h"
#include "hub/conn.h"
#include "hub/channel.h"

struct chunk {
    struct wsh_shard *shard;
    size_t count;
    size_t arena_used;
    struct wsh_tally tally;
};

/* Copy entries from the front, as many bytes as one write takes. */
static size_t gather(const struct wsh_outq *queue, uint8_t *to, size_t most)
{
    size_t len = 0;

    for (uint32_t i = 0; i < queue->len && len < most; i++) {
        const struct wsh_out *out = wsh_outq_peek(queue, i);
        size_t part = WSH_MIN(out->end - out->at, most - len);

        memcpy(to + len, out->block->data + out->at, part);
        len += part;
    }
    return len;
}

/* False: the arena is full, the chunk must go first. */
static bool prepare(struct chunk *chunk, struct wsh_conn *conn)
{
    size_t most = conn->shard->hub->settings.o.write_bytes;
    const struct wsh_out *out = wsh_outq_peek(&conn->out, 0);
    struct wsh_send *send = &chunk->shard->sends[chunk->count];
    size_t len = out->end - out->at;

    send->link = &conn->link;
    send->result = 0;
    if (conn->out.len == 1 || len >= WSH_GATHER_BELOW) {
        send->data = out->block->data + out->at;
        send->len = (uint32_t)WSH_MIN(len, most);
    } else {
        uint8_t *to = chunk->shard->arena + chunk->arena_used;

        most = WSH_MIN(most, conn->out.bytes);
        if (WSH_ARENA_BYTES - chunk->arena_used < most)
            return false;
        send->data = to;
        send->len = (uint32_t)gather(&conn->out, to, most);
        chunk->arena_used += send->len;
    }
    chunk->count++;
    return true;
}

static void account(struct chunk *chunk, const struct wsh_send *send)
{
    struct wsh_conn *conn = WSH_CONTAINER(send->link, struct wsh_conn, link);
    struct wsh_out_result done;

    if (send->result < 0) {
        conn->blocked = true;
        wsh_conn_attend(conn, WSH_ATTENTION_BROKEN);
        return;
    }
    WSH_ASSERT((uint32_t)send->result <= send->len);
    done = wsh_outq_consume(&conn->out, (size_t)send->result);
    conn->delivered += done.messages;
    chunk->tally.delivered += done.messages;
    chunk->tally.sent_bytes += done.bytes;
    chunk->tally.pending -= done.messages; /* wraps: added as a difference */
    chunk->tally.pending_bytes -= done.bytes;
    if ((uint32_t)send->result < send->len)
        wsh_conn_block(conn);
    else if (wsh_outq_empty(&conn->out))
        wsh_conn_drained(conn);
    else
        wsh_conn_touch(conn);
    if (WSH_UNLIKELY(conn->slow))
        wsh_slow_drained(conn);
}

static void submit(struct chunk *chunk)
{
    struct wsh_shard *shard = chunk->shard;

    if (!chunk->count)
        return;
    chunk->tally.sends += chunk->count;
    shard->transport_ops->send(shard->transport, shard->sends, chunk->count);
    for (size_t i = 0; i < chunk->count; i++) {
        if (i + 4 < chunk->count)
            __builtin_prefetch(shard->sends[i + 4].link);
        account(chunk, &shard->sends[i]);
    }
    chunk->count = chunk->arena_used = 0;
}

void wsh_shard_flush(struct wsh_shard *shard)
{
    struct chunk chunk = {.shard = shard};
    struct wsh_list now;

    if (wsh_list_empty(&shard->dirty_conns))
        return;
    /* Those that have more to send come onto the list again, for the next turn:
     * one write per connection and turn. */
    wsh_list_take(&now, &shard->dirty_conns);
    while (!wsh_list_empty(&now)) {
        struct wsh_conn *conn = WSH_LIST_FIRST(&now, struct wsh_conn, dirty);

        if (chunk.count == WSH_SENDS_MAX || !prepare(&chunk, conn)) {
            submit(&chunk);
            continue;
        }
        wsh_list_remove(&conn->dirty);
    }
    submit(&chunk);
    wsh_tally_add(shard, &chunk.tally);
}

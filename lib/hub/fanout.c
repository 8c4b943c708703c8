/*
 * fanout.c: a message's way from the broker to the queues of a shard.
 *
 * Appending is O(1) in the subscribers. Closing a batch walks the dense arrays
 * once, whatever the number of messages.
 */
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "protocol/event.h"
#include "ws_hub/error.h"

enum { PREFETCH = 8 };

/* Nobody gets a message that could not be encoded: all pairs are accounted. */
static void count_lost(struct wsh_group *group, struct wsh_shard *shard,
                       uint64_t exclude)
{
    struct wsh_tally tally = {0};

    for (uint32_t i = 0; i < group->count; i++) {
        struct wsh_conn *conn = group->members[i].conn;

        if (conn->id == exclude)
            continue;
        conn->offered++;
        conn->dropped++;
        tally.offered++;
        tally.no_memory++;
        wsh_slow_enter(conn); /* so that the loss is told */
        wsh_slow_missed(conn, group->members[i].sub, 1);
        wsh_slow_drained(conn);
    }
    wsh_tally_add(shard, &tally);
}

static int append_raw(struct wsh_channel *channel, struct wsh_group *group,
                      const ws_hub_broker_message *message,
                      const struct wsh_mark *mark)
{
    struct wsh_piece piece = {message->data, message->len};
    enum wsh_opcode opcode =
        message->type == WS_HUB_BINARY ? WSH_OP_BINARY : WSH_OP_TEXT;

    return wsh_encode(&group->batch, opcode, &piece, 1,
                      channel->shard->hub->settings.o.fragment_bytes, mark);
}

static int append_json(struct wsh_channel *channel, struct wsh_group *group,
                       const ws_hub_broker_message *message,
                       const struct wsh_mark *mark)
{
    struct wsh_shard *shard = channel->shard;
    struct wsh_buf *head = &channel->json_head, *scratch = &shard->scratch;
    const char *tail = message->type == WS_HUB_BINARY ? WSH_EVENT_BASE64_TAIL
                                                      : WSH_EVENT_MESSAGE_TAIL;
    struct wsh_piece piece[3] = {
        {NULL, 0}, {message->data, message->len}, {tail, strlen(tail)}};
    int error = 0;

    if (!head->len)
        error = wsh_event_message_head(head, wsh_channel_view(channel));
    piece[0].data = head->data;
    piece[0].len = head->len;
    if (!error && message->type != WS_HUB_JSON) {
        scratch->len = 0;
        error = message->type == WS_HUB_BINARY
                    ? wsh_json_base64(scratch, message->data, message->len)
                    : wsh_json_string(scratch, message->data, message->len);
        piece[1].data = scratch->data;
        piece[1].len = scratch->len;
    }
    if (error)
        return error;
    return wsh_encode(&group->batch, WSH_OP_TEXT, piece, 3,
                      shard->hub->settings.o.fragment_bytes, mark);
}

static int append(struct wsh_channel *channel, ws_hub_mode mode,
                  const ws_hub_broker_message *message,
                  const struct wsh_mark *mark)
{
    struct wsh_group *group = &channel->group[mode];
    struct wsh_shard *shard = channel->shard;
    int error;

    if (!group->count)
        return 0;
    error = mode == WS_HUB_MODE_JSON
                ? append_json(channel, group, message, mark)
                : append_raw(channel, group, message, mark);
    if (error) {
        count_lost(group, shard, message->exclude.id);
        return error;
    }
    group->batch->channel = channel->serial;
    if (wsh_list_empty(&channel->dirty))
        wsh_list_push(&shard->dirty_channels, &channel->dirty);
    if (group->batch->len >= shard->hub->settings.o.flush_bytes)
        shard->hold.full = true;
    return 0;
}

/* A key is only compared: its hash stands for it. */
static struct wsh_mark mark_of(const struct wsh_shard *shard,
                               const ws_hub_broker_message *message)
{
    struct wsh_mark mark = {.exclude = message->exclude.id,
                            .cls = (uint8_t)message->cls};

    if (message->key_len)
        mark.key =
            wsh_siphash(shard->hub->seed, message->key, message->key_len) | 1;
    return mark;
}

/* A full batch is closed in the middle of a turn, so that a block stays of a
 * size that slow clients can hold on to. */
static void close_if_full(struct wsh_channel *channel)
{
    uint32_t limit = channel->shard->hub->settings.o.flush_bytes;

    for (unsigned mode = 0; mode < WSH_MODES; mode++)
        if (channel->group[mode].batch &&
            channel->group[mode].batch->len >= limit) {
            wsh_channel_close_batch(channel);
            return;
        }
}

int wsh_shard_message(struct wsh_shard *shard, const char *name, size_t len,
                      const ws_hub_broker_message *message)
{
    struct wsh_channel *channel = wsh_channel_find(shard, name, len);
    const struct wsh_mark mark = mark_of(shard, message);
    int raw, json;

    if (!channel || (!channel->group[0].count && !channel->group[1].count &&
                     wsh_list_empty(&channel->listeners))) {
        wsh_count(&shard->counters, WSH_C_NO_SUBSCRIBER, 1);
        return 0;
    }
    wsh_count(&shard->counters, WSH_C_FANNED, 1);
    shard->hold.appended++;
    raw = append(channel, WS_HUB_MODE_RAW, message, &mark);
    json = append(channel, WS_HUB_MODE_JSON, message, &mark);
    if (!wsh_list_empty(&channel->listeners))
        wsh_channel_hear(channel, message);
    close_if_full(channel);
    return raw ? raw : json;
}

/* Mark, or unmark, the members that some message of the batch leaves out. */
static void mark_left_out(struct wsh_shard *shard, struct wsh_block *block,
                          bool on)
{
    for (uint32_t i = 0; i < block->count; i++) {
        uint64_t id = wsh_block_mark(block, i)->exclude;
        struct wsh_conn *conn =
            id ? wsh_conn_table_find(&shard->table, id) : NULL;

        if (conn)
            conn->left_out = on;
    }
}

/* Offer the runs of messages that do not leave this connection out. */
static void offer_around(const struct wsh_member *member,
                         struct wsh_offer *offer)
{
    struct wsh_block *block = offer->block;
    uint32_t first = 0, i;

    for (i = 0; i < block->count; i++) {
        if (wsh_block_mark(block, i)->exclude != member->conn->id)
            continue;
        if (i > first)
            wsh_conn_offer(member->conn, offer, member->sub, first, i - first);
        first = i + 1;
    }
    if (i > first)
        wsh_conn_offer(member->conn, offer, member->sub, first, i - first);
}

static void offer_all(struct wsh_channel *channel, struct wsh_group *group)
{
    struct wsh_shard *shard = channel->shard;
    struct wsh_block *block = group->batch;
    struct wsh_offer offer = {.block = block, .channel = channel};

    group->batch = NULL;
    if (block->excludes)
        mark_left_out(shard, block, true);
    for (uint32_t i = 0; i < group->count; i++) {
        const struct wsh_member *member = &group->members[i];

        if (i + PREFETCH < group->count)
            __builtin_prefetch(&group->members[i + PREFETCH].conn->out, 1);
        if (WSH_UNLIKELY(member->conn->left_out))
            offer_around(member, &offer);
        else
            wsh_conn_offer(member->conn, &offer, member->sub, 0, block->count);
    }
    if (block->excludes)
        mark_left_out(shard, block, false);
    wsh_block_unref(block);
    wsh_tally_add(shard, &offer.tally);
}

void wsh_channel_close_batch(struct wsh_channel *channel)
{
    wsh_list_remove(&channel->dirty);
    for (unsigned mode = 0; mode < WSH_MODES; mode++)
        if (channel->group[mode].batch)
            offer_all(channel, &channel->group[mode]);
}

void wsh_shard_close_batches(struct wsh_shard *shard)
{
    while (!wsh_list_empty(&shard->dirty_channels))
        wsh_channel_close_batch(
            WSH_LIST_FIRST(&shard->dirty_channels, struct wsh_channel, dirty));
}

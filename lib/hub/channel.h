/*
 * channel.h: a channel on one shard: who is subscribed, and the open batch of
 * messages that they have not been offered yet.
 *
 * Subscribers are in dense arrays, one per wire mode, each with a batch of its
 * own encoding. Publishing appends to the batch and touches no subscriber; at
 * the end of the turn the batch is closed and offered to each member once.
 * Whoever joins or leaves first closes the batch, so everyone gets exactly what
 * was published while subscribed.
 *
 * A channel exists while it is pinned: by members, by subscriptions that wait
 * for the broker, by host listeners. With the first pin the shard joins the
 * registry and wants the channel from the driver; with the last it leaves both.
 *
 * Owner: the shard's map. Thread: the shard's loop.
 */
#ifndef WSH_HUB_CHANNEL_H
#define WSH_HUB_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"
#include "base/map.h"
#include "hub/block.h"
#include "hub/conn.h"

struct wsh_member {
    struct wsh_conn *conn;
    uint32_t sub; /* index in conn->subs */
};

struct wsh_group {
    struct wsh_member *members;
    uint32_t count, cap;
    struct wsh_block *batch; /* NULL: nothing open */
};

enum { WSH_MODES = 2 };

struct wsh_channel {
    struct wsh_map_node node;
    struct wsh_shard *shard;
    struct wsh_list dirty;     /* in shard->dirty_channels */
    struct wsh_list listeners; /* of host code */
    struct wsh_list waiting;   /* subscriptions that wait for the broker */
    struct wsh_group group[WSH_MODES];
    struct wsh_buf json_head; /* of `message` events, made at first use */
    uint32_t pins;
    uint64_t serial;      /* of this shard's channels, never reused */
    ws_hub_policy policy; /* for slow clients */
    int refused;          /* the broker's error; 0 if it has not refused */
    bool live;            /* the broker has confirmed */
    bool degraded;        /* ... that it is away */
    char name[];
};

static inline struct wsh_view
wsh_channel_view(const struct wsh_channel *channel)
{
    struct wsh_view view = {channel->node.key, channel->node.key_len};

    return view;
}

/* channel.c */
struct wsh_channel *wsh_channel_find(struct wsh_shard *shard, const char *name,
                                     size_t len);
/* Find or make, and pin. 0, WS_HUB_ELIMIT, WS_HUB_ENOMEM. The channel may be
 * live at return. */
int wsh_channel_pin(struct wsh_shard *shard, const char *name, size_t len,
                    struct wsh_channel **out);
/* The channel may be gone at return. */
void wsh_channel_unpin(struct wsh_channel *channel);
/* The driver's word (feed.h `live`, `gap`), on the shard it concerns. */
void wsh_channel_live(struct wsh_shard *shard, const char *name, size_t len,
                      int status, bool degraded);
void wsh_channel_gap(struct wsh_shard *shard, const char *name, size_t len);
/* Some of it was lost (WSH_LOST_*), nobody knows for which channels: those that
 * wait for a first word are refused with WS_HUB_ENOMEM; all subscribers may
 * have missed something. */
void wsh_shard_notices_lost(struct wsh_shard *shard, unsigned which);
void wsh_channel_check(const struct wsh_channel *channel);

/* subscribe.c */

/* id: JSON text to give back to a JSON client, may be absent. 0 (on_subscribed
 * and the answer come now or later), WS_HUB_EEXIST, WS_HUB_ELIMIT,
 * WS_HUB_ENOMEM, WS_HUB_EBROKER (refused before). */
int wsh_conn_subscribe(struct wsh_conn *conn, const char *name, size_t len,
                       struct wsh_view id);
/* A second subscribe of a JSON client while the first still waits: it gets the
 * same answer. WS_HUB_ENOENT: nothing waits; WS_HUB_ENOMEM. */
int wsh_conn_await(struct wsh_conn *conn, const char *name, size_t len,
                   struct wsh_view id);
/* 0, WS_HUB_ENOENT. */
int wsh_conn_unsubscribe(struct wsh_conn *conn, const char *name, size_t len);
void wsh_conn_leave_all(struct wsh_conn *conn);
/* Everything that waits becomes a member, or is refused. */
void wsh_channel_settle_waiting(struct wsh_channel *channel, int status);

/* fanout.c */

/* A message for this shard's subscribers. 0 or WS_HUB_ENOMEM (counted). */
int wsh_shard_message(struct wsh_shard *shard, const char *name, size_t len,
                      const ws_hub_broker_message *message);
void wsh_channel_close_batch(struct wsh_channel *channel);
void wsh_shard_close_batches(struct wsh_shard *shard);

/* encode.c: the frames of one message at the end of an open block (*block NULL:
 * a new one); `mark` says all but its end. 0 or WS_HUB_ENOMEM. */
int wsh_encode(struct wsh_block **block, enum wsh_opcode opcode,
               const struct wsh_piece *pieces, size_t count,
               size_t fragment_bytes, const struct wsh_mark *mark);

/* flush.c: one write for every connection on the flush list. */
void wsh_shard_flush(struct wsh_shard *shard);

/* listen.c */
void wsh_channel_hear(struct wsh_channel *channel,
                      const ws_hub_broker_message *message);
void wsh_shard_fini_listeners(struct wsh_shard *shard);

#endif

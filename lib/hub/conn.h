/*
 * conn.h: one connection: from the accepted socket to on_close.
 *
 *   HEAD -> DECIDING -> OPEN -> CLOSING -> ENDING
 *     |        |          |        |          ^
 *     +--------+----------+--------+----------+
 *
 *   HEAD      bytes gather until the request head is complete
 *   DECIDING  may_connect said WS_HUB_EAGAIN; nothing is read
 *   OPEN      messages flow
 *   CLOSING   our close frame is queued, the peer's has not come
 *   ENDING    nothing more is taken in; what is queued goes out, then FIN, then
 *             the peer's EOF; HTTP answers and refusals end here as well
 *
 * There is one way to be freed: the transport's `closed`, which every state can
 * meet. Until then the structure is valid, so callbacks may do what they like.
 * One timer serves all: handshake, heartbeat, close (conn_timer.c).
 *
 * Owner: the shard (list, table). Thread: the shard's loop.
 */
#ifndef WSH_HUB_CONN_H
#define WSH_HUB_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/wheel.h"
#include "contract/link.h"
#include "hub/block.h"
#include "hub/outq.h"
#include "hub/rate.h"
#include "hub/shard.h"
#include "protocol/decoder.h"
#include "protocol/http.h"
#include "ws_hub/conn.h"
#include "ws_hub/options.h"

enum wsh_conn_state {
    WSH_CONN_HEAD,
    WSH_CONN_DECIDING,
    WSH_CONN_OPEN,
    WSH_CONN_CLOSING,
    WSH_CONN_ENDING
};

struct wsh_channel;

/* A subscription: the channel, and where the connection is in its members. */
struct wsh_sub {
    struct wsh_channel *channel;
    uint32_t at;     /* WSH_SUB_PENDING: the broker has not confirmed yet */
    uint32_t missed; /* messages lost since the last gap notice */
};

#define WSH_SUB_PENDING UINT32_MAX
#define WSH_MISSED_UNKNOWN UINT32_MAX

struct wsh_conn {
    struct wsh_link link;
    struct wsh_shard *shard;

    /* What the fan-out touches comes together. */
    struct wsh_outq out;
    struct wsh_list dirty; /* in shard->dirty_conns */
    uint64_t offered, delivered, dropped;
    size_t held;   /* by the transport when a write last fell short; 0 unless
                      blocked */
    uint8_t state; /* enum wsh_conn_state */
    uint8_t mode;  /* ws_hub_mode */
    bool blocked;  /* waiting for `writable` */
    bool slow;     /* deprioritised, see slow.c */
    bool left_out; /* of the batch that is being closed */

    bool opened;      /* on_open was called */
    bool shut;        /* FIN was sent */
    bool peer_closed; /* a close frame came */
    bool dropping;

    uint8_t cause;     /* ws_hub_cause; valid when `ended` */
    uint8_t attention; /* enum wsh_attention, after the flush */
    bool subscribed;   /* was on a channel, ever */
    uint8_t rights;    /* WS_HUB_RIGHT_* */
    bool counted;      /* in hub->ips */
    bool ended;        /* the first reason to end is recorded */
    uint16_t code;     /* for on_close */
    uint8_t reason_len;
    char *reason; /* NULL if empty */

    struct wsh_list node;              /* in shard->conns */
    struct wsh_list waiting_attention; /* in shard->attention */
    struct wsh_list behind;            /* in shard->behind: `rest` is not empty,
                                          and reading is off */
    struct wsh_timer timer;
    uint64_t id;
    uint64_t last_rx_ms;
    uint64_t pinged_ms; /* a heartbeat waits since then, 0: none */
    uint64_t opened_ms;
    uint64_t grace_ms;    /* policy close: the end of patience, 0: none */
    struct wsh_rate rate; /* of its messages */
    struct wsh_decoder decoder;
    struct wsh_buf head; /* request head, while it is incomplete or undecided */
    struct wsh_buf rest; /* read, but too much for one turn: from rest_at on */
    uint32_t rest_at;
    struct wsh_sub *subs;
    uint32_t sub_count, sub_cap;
    void *user;
    char *user_id;
    struct wsh_peer peer;
};

struct ws_hub_request {
    struct wsh_head head;
    char peer[64];
};

struct ws_hub_response {
    struct wsh_conn *conn;
    bool head_only; /* a HEAD request: no body goes out */
    bool answered;
};

/* conn.c: life. */
struct wsh_conn *wsh_conn_create(struct wsh_shard *shard,
                                 const struct wsh_peer *peer);
/* The transport has closed it: last callbacks, then free. */
void wsh_conn_destroy(struct wsh_conn *conn);
struct wsh_conn *wsh_conn_find(const struct wsh_shard *shard,
                               ws_hub_conn handle);
static inline ws_hub_conn wsh_conn_handle(const struct wsh_conn *conn)
{
    ws_hub_conn handle = {conn->id};

    return handle;
}
void wsh_conn_set_state(struct wsh_conn *conn, enum wsh_conn_state state);

/* closing.c: the ways to end. All may be called in any state and repeatedly;
 * the first cause stays. */

/* What is queued goes out, then a close frame. */
void wsh_conn_close(struct wsh_conn *conn, ws_hub_cause cause, unsigned code,
                    const char *reason, size_t reason_len);
/* The stream is broken: nothing more is taken in. */
void wsh_conn_fail(struct wsh_conn *conn, ws_hub_cause cause, unsigned code);
/* The peer's close frame. */
void wsh_conn_peer_close(struct wsh_conn *conn, const uint8_t *data,
                         size_t len);
/* No close frame: the socket goes. */
void wsh_conn_drop(struct wsh_conn *conn, ws_hub_cause cause);
/* Called when the queue ran empty. */
void wsh_conn_drained(struct wsh_conn *conn);

/* sending.c: into the queue, with the accounts. */

/* What one walk over connections adds up, for the shard's counters (M27). */
struct wsh_tally {
    uint64_t offered, pending, pending_bytes, delivered;
    uint64_t backpressure, evicted, conflated, no_memory;
    uint64_t sent_bytes, sends;
};

/* A closed block on its way to queues. channel: NULL for a message of its own.
 */
struct wsh_offer {
    struct wsh_block *block;
    struct wsh_channel *channel;
    struct wsh_tally tally;
};

/* Messages first..first+count-1 are meant for it; `sub` is its subscription to
 * the offer's channel. The caller adds the tally. */
void wsh_conn_offer(struct wsh_conn *conn, struct wsh_offer *offer,
                    uint32_t sub, uint32_t first, uint32_t count);
void wsh_tally_add(struct wsh_shard *shard, const struct wsh_tally *tally);
/* One message of its own. 0, WS_HUB_ELIMIT, WS_HUB_ENOMEM; counted. */
int wsh_conn_send(struct wsh_conn *conn, enum wsh_opcode opcode,
                  const void *data, size_t len);
/* One that could not even be made, for lack of memory: counted as well. */
void wsh_conn_unsent(struct wsh_conn *conn);
/* Control bytes; takes the reference; on WS_HUB_ENOMEM the connection drops. */
int wsh_conn_control(struct wsh_conn *conn, struct wsh_block *block,
                     bool urgent);
int wsh_conn_control_frame(struct wsh_conn *conn, enum wsh_opcode opcode,
                           const void *data, size_t len);
/* Answer a ping; beyond WSH_PONGS_MAX waiting ones only the latest is answered
 * (RFC 6455 section 5.5.3 allows that). */
void wsh_conn_pong(struct wsh_conn *conn, const void *data, size_t len);
enum { WSH_PONGS_MAX = 64 };
/* Count what a clear of the queue took away. */
void wsh_conn_discard(struct wsh_conn *conn, struct wsh_out_result what);
/* Put it on the flush list if it has something to send and may. */
void wsh_conn_touch(struct wsh_conn *conn);

/* slow.c: a connection that does not keep up. */
enum wsh_attention {
    WSH_ATTENTION_NONE,
    WSH_ATTENTION_GAP,       /* the host is to hear of a gap of the broker */
    WSH_ATTENTION_RECOVERED, /* drained: gap notices are due */
    WSH_ATTENTION_OVERFLOW,  /* the critical reserve is full */
    WSH_ATTENTION_NO_MEMORY, /* it could not be told of a gap */
    WSH_ATTENTION_BROKEN     /* a write failed */
};
/* A write fell short: nothing more is sent until `writable`. */
void wsh_conn_block(struct wsh_conn *conn);
/* What is left of a limit for its queue, beside what the transport holds. */
static inline size_t wsh_conn_limit(const struct wsh_conn *conn, size_t limit)
{
    return limit > conn->held ? limit - conn->held : 0;
}
/* As wsh_conn_offer, message by message, by the channel's policy. */
void wsh_slow_offer(struct wsh_conn *conn, struct wsh_offer *offer,
                    uint32_t sub, uint32_t first, uint32_t count);
void wsh_slow_enter(struct wsh_conn *conn);
/* After a write: has it drained? */
void wsh_slow_drained(struct wsh_conn *conn);
/* Messages of a subscription were lost. */
void wsh_slow_missed(struct wsh_conn *conn, uint32_t sub, uint64_t messages);
/* The broker was away: told now, or when there is room. */
void wsh_slow_broker_gap(struct wsh_conn *conn, uint32_t sub);
/* Have it looked at after the flush, when callbacks may run. */
void wsh_conn_attend(struct wsh_conn *conn, enum wsh_attention why);
void wsh_shard_attend(struct wsh_shard *shard);
/* The hub's queues together are over their limit: the fullest become slow. */
void wsh_shard_relieve(struct wsh_shard *shard);

/* handshake.c */
void wsh_conn_head(struct wsh_conn *conn, uint8_t *data, size_t len);
/* status 0 accepts, else the HTTP status to refuse with. */
void wsh_conn_decide(struct wsh_conn *conn, int status);
void wsh_conn_refuse(struct wsh_conn *conn, int status, ws_hub_reject reject);
/* It never opens: count why, once. */
void wsh_conn_reject(struct wsh_conn *conn, ws_hub_reject reject);

/* inbound.c */
void wsh_conn_received(struct wsh_conn *conn, uint8_t *data, size_t len);
/* Once a turn: go on with some that had more than fits into one. */
void wsh_shard_catch_up(struct wsh_shard *shard);

/* json_session.c */
void wsh_json_welcome(struct wsh_conn *conn);
void wsh_json_message(struct wsh_conn *conn, enum wsh_opcode opcode,
                      const uint8_t *data, size_t len);
/* Its message was over the rate: tell it. */
void wsh_json_rate(struct wsh_conn *conn);
void wsh_json_subscribed(struct wsh_conn *conn, struct wsh_view channel,
                         struct wsh_view id, int status, bool degraded);
/* missed < 0: nobody knows how many. 0, WS_HUB_ELIMIT, WS_HUB_ENOMEM. */
int wsh_json_gap(struct wsh_conn *conn, struct wsh_view channel, int64_t missed,
                 const char *reason);

/* conn_timer.c: (re-)arm for what the state asks; cheap to call. */
void wsh_conn_timer_handshake(struct wsh_conn *conn);
void wsh_conn_timer_open(struct wsh_conn *conn);
void wsh_conn_timer_close(struct wsh_conn *conn);
void wsh_conn_timer_fired(struct wsh_timer *timer, void *shard);

#endif

/** @file metrics.h  Exact accounts of a hub. */
#ifndef WS_HUB_METRICS_H
#define WS_HUB_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/conn.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ws_hub ws_hub;

/** Why a message did not reach a subscriber: X(name, text). */
#define WS_HUB_DROP_MAP(X)                                                     \
    X(BACKPRESSURE, "backpressure") /* the client is slow */                   \
    X(EVICTED, "evicted")           /* drop oldest: made room */               \
    X(CONFLATED, "conflated")       /* a newer one of its key came */          \
    X(CLOSED, "closed")             /* the connection ended before */          \
    X(NO_MEMORY, "no_memory")

typedef enum ws_hub_drop {
#define WS_HUB_DROP_ENUM(name, text) WS_HUB_DROP_##name,
    WS_HUB_DROP_MAP(WS_HUB_DROP_ENUM)
#undef WS_HUB_DROP_ENUM
        WS_HUB_DROP_COUNT
} ws_hub_drop;

/** Why a connection never opened: X(name, text). */
#define WS_HUB_REJECT_MAP(X)                                                   \
    X(CAPACITY, "capacity")       /* max_connections: 503 */                   \
    X(ACCEPT_RATE, "accept_rate") /* 503 */                                    \
    X(PER_IP, "per_ip")           /* max_connections_per_ip: 503 */            \
    X(DESCRIPTORS, "descriptors") /* EMFILE, ENFILE: 503 or closed; a number   \
                                     above libwebsockets' table: closed */     \
    X(STOPPING, "stopping")       /* 503 */                                    \
    X(BAD_REQUEST, "bad_request") /* 400, 405, 414, 431, 505 */                \
    X(BAD_UPGRADE, "bad_upgrade") /* 400, 426 */                               \
    X(FORBIDDEN, "forbidden")     /* may_connect */                            \
    X(TIMEOUT, "handshake_timeout")                                            \
    X(GONE, "gone") /* the peer left during the handshake */                   \
    X(REJECT_NO_MEMORY, "no_memory")

typedef enum ws_hub_reject {
#define WS_HUB_REJECT_ENUM(name, text) WS_HUB_REJECT_##name,
    WS_HUB_REJECT_MAP(WS_HUB_REJECT_ENUM)
#undef WS_HUB_REJECT_ENUM
        WS_HUB_REJECT_COUNT
} ws_hub_reject;

/** Why a client's input had no effect: X(name, text). */
#define WS_HUB_REFUSE_MAP(X)                                                   \
    X(INVALID_MESSAGE, "invalid_message")                                      \
    X(UNKNOWN_OP, "unknown_op")                                                \
    X(FORBIDDEN_OP, "forbidden")                                               \
    X(BAD_CHANNEL, "bad_channel")                                              \
    X(LIMIT, "limit")                                                          \
    X(TOO_LARGE_OP, "too_large")                                               \
    X(NOT_SUBSCRIBED, "not_subscribed")                                        \
    X(RATE, "rate")                                                            \
    X(SLOW_CLIENT, "backpressure") /* input of a slow client */

typedef enum ws_hub_refuse {
#define WS_HUB_REFUSE_ENUM(name, text) WS_HUB_REFUSE_##name,
    WS_HUB_REFUSE_MAP(WS_HUB_REFUSE_ENUM)
#undef WS_HUB_REFUSE_ENUM
        WS_HUB_REFUSE_COUNT
} ws_hub_refuse;

/** What happened between hub and broker: X(name, text). */
#define WS_HUB_BROKER_EVENT_MAP(X)                                             \
    X(LINK_LOST, "link_lost")                                                  \
    X(LINK_RESTORED, "link_restored")     /* up again after a loss */          \
    X(CHANNEL_DROPPED, "channel_dropped") /* one subscription ended alone */   \
    X(GAP, "gap")               /* channels whose subscribers were told */     \
    X(LOCAL_ONLY, "local_only") /* publishes: own subscribers only */          \
    X(HELD, "held")             /* publishes held for the broker */            \
    X(HOLD_OVERFLOW, "hold_overflow")   /* publishes not held: outage_hold */  \
    X(OUTPUT_FULL, "output_full")       /* publishes refused: WS_HUB_EAGAIN */ \
    X(PUBLISH_FAILED, "publish_failed") /* after it had been accepted */       \
    X(ECHO, "echo") /* own message came back, delivered before */              \
    X(PROBE_SILENT, "probe_silent")     /* a link was suspect */               \
    X(AUDIT_MISMATCH, "audit_mismatch") /* not subscribed there: repaired */   \
    X(ORPHAN, "orphan") /* a message of a channel that nobody wants */

typedef enum ws_hub_broker_event {
#define WS_HUB_BROKER_EVENT_ENUM(name, text) WS_HUB_BROKER_EVENT_##name,
    WS_HUB_BROKER_EVENT_MAP(WS_HUB_BROKER_EVENT_ENUM)
#undef WS_HUB_BROKER_EVENT_ENUM
        WS_HUB_BROKER_EVENT_COUNT
} ws_hub_broker_event;

/** Names of the labels above: static strings. Thread: any. Since: 0.1 */
WS_HUB_API const char *ws_hub_drop_name(ws_hub_drop drop);
WS_HUB_API const char *ws_hub_reject_name(ws_hub_reject reject);
WS_HUB_API const char *ws_hub_refuse_name(ws_hub_refuse refuse);
WS_HUB_API const char *ws_hub_broker_event_name(ws_hub_broker_event event);

/**
 * Accounts since start, summed over the loops. Arrays have room to grow; only
 * the first *_COUNT entries are used.
 *
 * Exact whenever nothing moves; while loops run, each counter is exact and
 * their relation may be off by what moved during the reading:
 *   offered = delivered + sum(dropped) + pending
 *   accepted = opened + http + sum(rejected) + handshaking
 *   opened = open + sum(closed)
 */
typedef struct ws_hub_stats_data {
    size_t struct_size; /**< set by the caller */

    uint64_t accepted;     /**< sockets accepted */
    uint64_t handshaking;  /**< gauge: accepted, not yet open or answered */
    uint64_t opened;       /**< upgrades completed */
    uint64_t open;         /**< gauge: established connections */
    uint64_t http;         /**< plain HTTP requests answered */
    uint64_t rejected[32]; /**< by ws_hub_reject */
    uint64_t closed[32];   /**< by ws_hub_cause */

    uint64_t published;     /**< ws_hub_publish() and JSON publishes accepted */
    uint64_t fanned;        /**< (message, loop) pairs that had subscribers */
    uint64_t no_subscriber; /**< (message, loop) pairs that had none any more */
    uint64_t offered;       /**< (message, connection) pairs */
    uint64_t delivered;     /**< handed to the kernel whole */
    uint64_t pending;       /**< gauge: queued */
    uint64_t pending_bytes;
    uint64_t dropped[32];    /**< by ws_hub_drop */
    uint64_t refused[32];    /**< input by ws_hub_refuse */
    uint64_t received;       /**< whole messages from clients */
    uint64_t received_bytes; /**< socket bytes in */
    uint64_t sent_bytes;     /**< socket bytes out */
    uint64_t sends;          /**< writes submitted: sent messages / sends is the
                                  batching factor */
    uint64_t channels;       /**< gauge: (channel, loop) pairs that exist */
    uint64_t subscriptions;  /**< gauge */
    uint64_t slow;           /**< gauge: deprioritised connections */
    uint64_t slowed;         /**< times that a connection became slow */
    uint64_t gaps;           /**< gap notices sent (JSON) or told (raw) */
    uint64_t mailbox_refused;   /**< publishes refused with WS_HUB_ELIMIT */
    uint64_t close_timeouts;    /**< of the closed: the peer did not finish the
                                     close handshake in time */
    uint64_t pings;             /**< heartbeat pings sent */
    uint64_t broker_rejected;   /**< broker messages with a bad channel, text or
                                     JSON */
    uint64_t broker[32];        /**< by ws_hub_broker_event */
    uint64_t broker_wanted;     /**< gauge: channels with listeners here */
    uint64_t broker_subscribed; /**< gauge: of the broker's channels, lingering
                                     ones included */
    int uring; /**< 1: io_uring sends, 0: send(), of the first loop */
} ws_hub_stats_data;

/**
 * Read the accounts.
 *
 * @param hub    not NULL, any state
 * @param stats  struct_size set by the caller
 * @return 0; WS_HUB_EINVAL
 *
 * Thread: any.  Callbacks: none.  Since: 0.1
 */
WS_HUB_API int ws_hub_stats(const ws_hub *hub, ws_hub_stats_data *stats);

#ifdef __cplusplus
}
#endif
#endif

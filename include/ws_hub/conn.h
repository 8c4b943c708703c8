/** @file conn.h  Connections: handles, requests, sending, closing. */
#ifndef WS_HUB_CONN_H
#define WS_HUB_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ws_hub ws_hub;

/** What a message is. JSON reaches raw mode clients as a text frame. */
typedef enum ws_hub_type {
    WS_HUB_TEXT = 0, /**< UTF-8; a JSON mode client gets it as a JSON string */
    WS_HUB_BINARY = 1, /**< bytes; a JSON mode client gets them as a base64
                            string beside "encoding":"base64" */
    WS_HUB_JSON = 2,   /**< one JSON value in UTF-8; embedded as it is */
    WS_HUB_DETECT = 3  /**< from a broker only, another program's message: JSON
                            if it is that, else text if UTF-8, else binary */
} ws_hub_type;

/**
 * How much a message matters when a client does not keep up (article: critical
 * messages only, until the buffer drains).
 */
typedef enum ws_hub_class {
    WS_HUB_CLASS_NORMAL = 0,   /**< subject to the slow-client policy */
    WS_HUB_CLASS_CRITICAL = 1, /**< reaches a slow client as well, from a
                                  reserve above send_limit */
    WS_HUB_CLASS_VOLATILE = 2  /**< never queued for a slow client, whatever the
                                    policy: typing, cursors */
} ws_hub_class;

/** What happens to normal messages of a channel for a client whose queue is
 *  full, until it has drained to half of send_limit. */
typedef enum ws_hub_policy {
    WS_HUB_POLICY_DEFAULT = 0, /**< options.slow_policy; there: drop newest */
    WS_HUB_POLICY_DROP_NEWEST = 1, /**< what comes is dropped */
    WS_HUB_POLICY_DROP_OLDEST = 2, /**< the channel's oldest queued messages
                                      make room for what comes */
    WS_HUB_POLICY_CONFLATE = 3, /**< what comes replaces the queued message of
                                     the same key; without a key: drop newest.
                                     Searches the queue, newest first: a key
                                     that is not in it costs a walk of all */
    WS_HUB_POLICY_CLOSE = 4     /**< drop newest; after slow_grace_ms close
                                     1013 */
} ws_hub_policy;

/**
 * Handle of a connection: a number that never comes back within the life of a
 * hub (loop, generation, slot), so a stale one is harmless: calls with it
 * answer WS_HUB_ENOENT. {0} is no connection.
 */
typedef struct ws_hub_conn {
    uint64_t id;
} ws_hub_conn;

/** A request head; valid inside the callback that got it. */
typedef struct ws_hub_request ws_hub_request;
/** An answer under construction; valid inside on_http. */
typedef struct ws_hub_response ws_hub_response;

/** Who ended a connection. */
typedef enum ws_hub_side {
    WS_HUB_SIDE_PEER = 0, /**< the client */
    WS_HUB_SIDE_HOST = 1, /**< ws_hub_close() */
    WS_HUB_SIDE_HUB = 2   /**< the hub: a limit, a rule, a timeout, stop */
} ws_hub_side;

/**
 * Why a connection ended: X(name, side, text). Each is a label of
 * ws_hub_stats.closed and of ws_connections_terminated_total.
 */
#define WS_HUB_CAUSE_MAP(X)                                                    \
    X(PEER_CLOSE, PEER, "peer_close")                                          \
    X(PEER_GONE, PEER, "peer_gone")                                            \
    X(HOST_CLOSE, HOST, "host_close")                                          \
    X(PROTOCOL_ERROR, HUB, "protocol_error")                                   \
    X(BAD_UTF8, HUB, "bad_utf8")                                               \
    X(TOO_LARGE, HUB, "too_large")                                             \
    X(FRAGMENTS, HUB, "fragments")                                             \
    X(HEARTBEAT, HUB, "heartbeat_timeout")                                     \
    X(STOP, HUB, "server_stop")                                                \
    X(NO_MEMORY, HUB, "no_memory")                                             \
    X(SLOW, HUB, "slow_consumer")                                              \
    X(IDLE, HUB, "idle")                                                       \
    X(RATE, HUB, "rate")

typedef enum ws_hub_cause {
#define WS_HUB_CAUSE_ENUM(name, side, text) WS_HUB_CAUSE_##name,
    WS_HUB_CAUSE_MAP(WS_HUB_CAUSE_ENUM)
#undef WS_HUB_CAUSE_ENUM
        WS_HUB_CAUSE_COUNT
} ws_hub_cause;

/** The last word on a connection, for on_close. */
typedef struct ws_hub_close_info {
    size_t struct_size;
    unsigned code;      /**< RFC 6455 section 7.4: received, else sent, else
                             1005 (no code) or 1006 (no close frame) */
    const char *reason; /**< UTF-8 text that came with the code, may be empty */
    size_t reason_len;  /**< bytes, 0..123 */
    ws_hub_side side;   /**< who began it */
    ws_hub_cause cause;
} ws_hub_close_info;

/** Short name of a cause, such as "heartbeat_timeout". Static string.
 *  Thread: any.  Since: 0.1 */
WS_HUB_API const char *ws_hub_cause_name(ws_hub_cause cause);

/**
 * Send a message to one connection, in JSON mode as well: `data` is then a
 * whole frame of the host's own making.
 *
 * @param hub   started hub, not NULL
 * @param conn  handle
 * @param type  WS_HUB_TEXT (JSON counts as text) or WS_HUB_BINARY
 * @param data  payload; NULL only if len is 0
 * @param len   bytes, 0..1 GiB; text must be valid UTF-8
 * @return 0; WS_HUB_EINVAL; WS_HUB_ENOMEM; on the connection's loop also
 *         WS_HUB_ENOENT (no such connection, or closing) and WS_HUB_ELIMIT
 *         (send_limit: dropped and counted). On other threads 0 means accepted
 *         for the loop; a later refusal is only counted.
 *
 * Thread: any.  Callbacks: none before return.
 * Ownership: data is copied.  Since: 0.1
 */
WS_HUB_API int ws_hub_send(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                           const void *data, size_t len);

/**
 * Close a connection: what is queued is sent, then the close frame; on_close
 * comes when the peer has answered, or after close_timeout_ms. Idempotent.
 *
 * @param code        1000, 1001, 1003, 1007..1014, 3000..4999 (RFC 6455 section
 *                    7.4); 0: at once, without a close frame
 * @param reason      UTF-8, may be NULL if reason_len is 0
 * @param reason_len  bytes, 0..123
 * @return 0; WS_HUB_EINVAL; WS_HUB_ENOMEM; on the connection's loop also
 *         WS_HUB_ENOENT
 *
 * Thread: any.  Callbacks: on_close, never before return.
 * Ownership: reason is copied.  Since: 0.1
 */
WS_HUB_API int ws_hub_close(ws_hub *hub, ws_hub_conn conn, unsigned code,
                            const char *reason, size_t reason_len);

/**
 * Subscribe a connection to a channel; no may_subscribe is asked.
 *
 * @param channel      1..255 bytes of UTF-8 without control characters
 * @param channel_len  bytes
 * @return 0: on_subscribed follows exactly once; WS_HUB_EINVAL; WS_HUB_ENOMEM;
 *         on the connection's loop also WS_HUB_ENOENT, WS_HUB_EEXIST
 *         (subscribed already) and WS_HUB_ELIMIT. On other threads these come
 *         through on_subscribed.
 *
 * Thread: any.  Callbacks: on_subscribed; inside the call if the channel is
 * live already and the caller is on the loop. Ownership: channel is copied.
 * Since: 0.1
 */
WS_HUB_API int ws_hub_subscribe(ws_hub *hub, ws_hub_conn conn,
                                const char *channel, size_t channel_len);

/**
 * End a subscription. The connection still gets what was published before.
 *
 * @return 0; WS_HUB_EINVAL; WS_HUB_ENOMEM; on the connection's loop also
 *         WS_HUB_ENOENT (no such connection or subscription)
 *
 * Thread: any.  Callbacks: none.  Ownership: channel is copied.  Since: 0.1
 */
WS_HUB_API int ws_hub_unsubscribe(ws_hub *hub, ws_hub_conn conn,
                                  const char *channel, size_t channel_len);

/**
 * Answer a may_connect that returned WS_HUB_EAGAIN.
 *
 * @param status  0 to accept, 400..599 to reject with that HTTP status
 * @return 0; WS_HUB_EINVAL; WS_HUB_ENOMEM; on the connection's loop also
 *         WS_HUB_ENOENT (gone, or decided already)
 *
 * Thread: any.  Callbacks: on_open on the loop.  Since: 0.1
 */
WS_HUB_API int ws_hub_decide(ws_hub *hub, ws_hub_conn conn, int status);

/**
 * The host's pointer on a connection. Freed by nobody: on_close is the place,
 * or may_connect itself if it rejects.
 *
 * @return the pointer, NULL if none or no such connection
 *
 * Thread: loop.  Since: 0.1
 */
WS_HUB_API void *ws_hub_conn_user(ws_hub *hub, ws_hub_conn conn);

/** Set it. @return 0, WS_HUB_ENOENT.  Thread: loop, may_connect included.
 *  Since: 0.1 */
WS_HUB_API int ws_hub_conn_set_user(ws_hub *hub, ws_hub_conn conn, void *user);

/**
 * Name the user behind a connection (for presence, logs and the host).
 *
 * @param id   UTF-8, copied
 * @param len  bytes, 0..255; 0 removes it
 * @return 0; WS_HUB_EINVAL; WS_HUB_ENOENT; WS_HUB_ENOMEM
 *
 * Thread: loop, may_connect included.  Since: 0.1
 */
WS_HUB_API int ws_hub_conn_set_user_id(ws_hub *hub, ws_hub_conn conn,
                                       const char *id, size_t len);

/** The user id, NUL-terminated; NULL if none. Borrowed until it is set anew or
 *  on_close returns.  Thread: loop.  Since: 0.1 */
WS_HUB_API const char *ws_hub_conn_user_id(ws_hub *hub, ws_hub_conn conn);

/** The connection may publish critical messages (JSON mode, "class"). */
#define WS_HUB_RIGHT_CRITICAL 1u

/** Set its rights, WS_HUB_RIGHT_* or 0. @return 0, WS_HUB_ENOENT.
 *  Thread: loop, may_connect included.  Since: 0.1 */
WS_HUB_API int ws_hub_conn_set_rights(ws_hub *hub, ws_hub_conn conn,
                                      unsigned rights);

/**
 * One connection's accounts (M27): offered = delivered + dropped + pending, at
 * any moment.
 */
typedef struct ws_hub_conn_stats {
    size_t struct_size; /**< set by the caller */
    uint64_t offered;   /**< messages that were meant for it */
    uint64_t delivered; /**< handed to the kernel whole */
    uint64_t dropped;   /**< sum over reasons */
    uint64_t pending;   /**< queued */
    uint64_t pending_bytes;
    int slow; /**< 1: deprioritised */
} ws_hub_conn_stats;

/** Read them. @return 0, WS_HUB_EINVAL, WS_HUB_ENOENT.  Thread: loop.
 *  Since: 0.1 */
WS_HUB_API int ws_hub_conn_get_stats(ws_hub *hub, ws_hub_conn conn,
                                     ws_hub_conn_stats *stats);

/* Requests: borrowed views, none NUL-terminated, valid with the request. */

/** Path without the query, as sent (still percent-encoded). Thread: loop. */
WS_HUB_API const char *ws_hub_request_path(const ws_hub_request *request,
                                           size_t *len);
/** Query after '?'; length 0 if none. Thread: loop. */
WS_HUB_API const char *ws_hub_request_query(const ws_hub_request *request,
                                            size_t *len);
/** Method such as "GET". Thread: loop. */
WS_HUB_API const char *ws_hub_request_method(const ws_hub_request *request,
                                             size_t *len);
/** Value of the first header of that name (any case), NULL if none.
 *  Thread: loop. */
WS_HUB_API const char *ws_hub_request_header(const ws_hub_request *request,
                                             const char *name_cstr,
                                             size_t *len);
/** Peer's address as text, "1.2.3.4:5", "[::1]:5" or "unix", NUL-terminated.
 *  Thread: loop. */
WS_HUB_API const char *ws_hub_request_peer(const ws_hub_request *request);

/**
 * Answer an HTTP request. The connection closes after it.
 *
 * @param status   200..599
 * @param headers  more header lines, each ended by CRLF, or NULL.
 * Content-Length and Connection are the hub's
 * @param body     may be NULL if body_len is 0
 * @return 0; WS_HUB_EINVAL; WS_HUB_ESTATE (answered already); WS_HUB_ENOMEM
 *
 * Thread: loop, inside on_http.  Ownership: copied.  Since: 0.1
 */
WS_HUB_API int ws_hub_respond(ws_hub_response *response, int status,
                              const char *headers, const void *body,
                              size_t body_len);

#ifdef __cplusplus
}
#endif
#endif

/** @file options.h  Options, their defaults, and the host's callbacks. */
#ifndef WS_HUB_OPTIONS_H
#define WS_HUB_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/conn.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ws_hub ws_hub;
struct ws_hub_broker_ops;

/** What a client speaks that asks for no subprotocol (PROTOCOL: raw mode). */
typedef enum ws_hub_mode {
    WS_HUB_MODE_RAW = 0, /**< frames go to on_message as they are */
    WS_HUB_MODE_JSON = 1 /**< the ws_hub.v1 commands */
} ws_hub_mode;

/** How bytes leave (DESIGN: the two senders). */
typedef enum ws_hub_sender {
    WS_HUB_SENDER_AUTO = 0,  /**< io_uring where it works, else write */
    WS_HUB_SENDER_WRITE = 1, /**< one send() per connection and turn */
    WS_HUB_SENDER_URING = 2  /**< io_uring or start fails */
} ws_hub_sender;

/** Severity of a log event. */
typedef enum ws_hub_log_level {
    WS_HUB_LOG_ERROR = 0,
    WS_HUB_LOG_WARN = 1,
    WS_HUB_LOG_INFO = 2,
    WS_HUB_LOG_DEBUG = 3
} ws_hub_log_level;

/**
 * The host's callbacks. Every member may be NULL.
 *
 * They run on the loop thread of the connection with no lock held; any call of
 * this library is legal inside them. Pointers are borrowed until return.
 * may_* must not block. `user` is ws_hub_options.user.
 *
 * Since: 0.1
 */
typedef struct ws_hub_callbacks {
    size_t struct_size; /**< sizeof(ws_hub_callbacks) */

    /**
     * A handshake is complete and valid: let the client in?
     *
     * @return 0 to accept; 400..599 to reject with that HTTP status;
     *         WS_HUB_EAGAIN to decide later with ws_hub_decide() (the handshake
     *         timeout goes on). Anything else rejects with 500.
     * Default: accept.
     */
    int (*may_connect)(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user);

    /** The connection is established; the first call that may send to it. */
    void (*on_open)(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user);

    /**
     * A whole message of a raw mode client. Text is valid UTF-8 (RFC 6455
     * section 8.1). JSON mode clients' commands are not seen here.
     */
    void (*on_message)(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user);

    /** The connection is gone; exactly once after on_open, with the last word
     *  on why. The handle is valid until return. */
    void (*on_close)(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user);

    /**
     * May this JSON mode client subscribe? Not asked for ws_hub_subscribe().
     *
     * @return 0 or WS_HUB_EFORBIDDEN (any other error counts the same).
     * Default: allowed.
     */
    int (*may_subscribe)(ws_hub *hub, ws_hub_conn conn, const char *channel,
                         size_t channel_len, void *user);

    /** May this JSON mode client publish? As may_subscribe. `data` is the JSON
     *  text of the member "data". */
    int (*may_publish)(ws_hub *hub, ws_hub_conn conn, const char *channel,
                       size_t channel_len, const void *data, size_t len,
                       void *user);

    /**
     * A subscription ended its set-up: by ws_hub_subscribe() or by the client.
     *
     * @param status  0: messages flow from now on; WS_HUB_EBROKER: refused by
     *                the broker; WS_HUB_ECANCELED: unsubscribed or closed
     *                before; WS_HUB_ENOMEM
     */
    void (*on_subscribed)(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t channel_len, int status, void *user);

    /**
     * A plain HTTP request on the same port. Fill `response` through
     * ws_hub_respond(); unanswered requests get 404.
     */
    void (*on_http)(ws_hub *hub, const ws_hub_request *request,
                    ws_hub_response *response, void *user);

    /**
     * A raw mode client lost messages of a channel: while it was slow, and has
     * room again (called before the next message of the channel is queued), or
     * because the broker was away. JSON mode clients get a `gap` event instead.
     *
     * @param missed  exact number of messages; UINT64_MAX: the broker was away,
     *                any number
     */
    void (*on_gap)(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t channel_len, uint64_t missed, void *user);

    /** The slow-client policy of a channel; asked when a loop gets its first
     *  listener of it. Default: options.slow_policy. */
    ws_hub_policy (*policy_of)(ws_hub *hub, const char *channel,
                               size_t channel_len, void *user);

    /**
     * A log event, one line without a newline. Any thread; must not call the
     * library. Default: nothing is logged anywhere.
     */
    void (*on_log)(ws_hub_log_level level, const char *text, void *user);

    /** ws_hub_stop() has ended: no callback comes after this one. Exactly once
     *  per successful ws_hub_start(). With a host loop, ws_hub_destroy() may be
     *  called from here. */
    void (*on_stopped)(ws_hub *hub, void *user);
} ws_hub_callbacks;

/**
 * Options of a hub. Zero in any member means its default.
 *
 * Initialise with ws_hub_options_init(). Everything that is pointed to is
 * copied by ws_hub_create(), but for `user`, `uv_loop` and `broker_self`.
 *
 * Since: 0.1
 */
typedef struct ws_hub_options {
    size_t struct_size; /**< set by ws_hub_options_init() */

    /* Where to listen and on which threads. */

    /** Addresses: "tcp://HOST:PORT" (numeric or resolvable host, "[::1]" for
     *  v6, port 0 picks one: ws_hub_port()), "unix:/PATH" or "fd:NUMBER" (a
     *  listening socket that is inherited and stays the host's). Default:
     *  none: host code publishes and listens only. */
    const char *const *bind_urls;
    size_t bind_count; /**< entries of bind_urls, 0..16 */
    unsigned loops;    /**< loop threads of the hub, 1..64; default 1 */
    void *uv_loop;     /**< a uv_loop_t of the host: no thread is made, and
                            `loops` must be 0 or 1; default NULL */
    const char
        *tls_cert; /**< PEM file of the certificate chain; default no TLS */
    const char *tls_key; /**< PEM file of the private key */
    const char
        *server_id; /**< name in `welcome` and metrics; default "ws_hub" */
    ws_hub_sender sender;     /**< default AUTO */
    ws_hub_mode default_mode; /**< default RAW */

    /* Limits on who gets in. */

    /** Connections, handshakes included. Above it: 503 with Retry-After.
     *  1..1 000 000, default 65536; no more than RLIMIT_NOFILE less 64 allows.
     *  Not much above what is needed: each loop has a table of so many entries
     *  (16 bytes), and libwebsockets as Debian builds it searches it whenever a
     *  connection ends, 0.6 us per 1 000 entries. */
    unsigned max_connections;
    unsigned max_connections_per_ip; /**< of one address (v6: of one /64); above
                                          it 503; default no limit */
    unsigned accept_rate;      /**< connections per second and hub, burst of
                                    one second; above it 503; default no limit */
    unsigned retry_after_s;    /**< Retry-After of a 503, seconds; default 5 */
    unsigned max_header_bytes; /**< request head, 512..65536; default 8192 */
    unsigned handshake_timeout_ms; /**< from accept to upgrade; default 10000 */

    /* Limits on an established connection. */

    unsigned max_message_bytes; /**< inbound message; above it close 1009;
                                     default 1 MiB, at most 1 GiB */
    unsigned max_fragments;     /**< frames per message; above it close 1008;
                                     default 131072 (as npm ws maxFragments) */
    unsigned max_json_bytes;    /**< JSON mode command; above it `too_large`;
                                     default 65536. jansson takes up to 79 bytes
                                     of heap per byte while it parses */
    unsigned max_json_depth;    /**< nesting, 1..256; default 32 */
    unsigned max_channels_per_conn; /**< default 128 */
    unsigned max_channels; /**< live channels per loop; default 1000000 */
    /** Bytes that may wait for one connection, each queue entry charged with 24
     *  more; default 1 MiB (article: MAX_BACKPRESSURE). Above it the connection
     *  is deprioritised: until it has drained to half of it, normal messages
     *  follow the policy and its own messages are dropped. One message is
     *  always taken into an empty queue, whatever its size.
     *
     *  Memory of N slow clients, at most: the messages' bytes are shared, so
     *  those of one channel that stopped reading together hold them once, in
     *  2 * send_limit + 64 per message; each has 48 bytes per queue entry (what
     *  a turn brings of a channel is one entry) of its own. Who stopped at
     *  another time may hold other messages: then N times all of it. */
    unsigned send_limit;
    unsigned
        critical_reserve; /**< bytes above send_limit for critical messages;
                               beyond it close 1013; default 256 KiB */
    /** Bytes that the kernel takes for one connection and has not sent before
     *  it says "full" (TCP_NOTSENT_LOWAT), so that send_limit sees a client
     *  that has stopped reading soon; default 128 KiB: two writes of the
     *  default write_bytes, one under way while the next is made. UINT_MAX:
     *  not set, the system's net.ipv4.tcp_notsent_lowat holds (as Debian has
     *  it, a client that stops takes up to 4 MB then). TCP only. */
    unsigned notsent_lowat;
    /** 1: what the kernel holds for a connection that it takes no more bytes
     *  of (SIOCOUTQ: not sent, or sent and not acknowledged) counts against
     *  send_limit and critical_reserve; at most notsent_lowat of it is unsent,
     *  the rest under way. Looked up when a write falls short and when a
     *  message does not fit, never per delivery; default 0: bytes in the
     *  kernel are gone. */
    unsigned count_unsent;
    ws_hub_policy slow_policy; /**< default WS_HUB_POLICY_DROP_NEWEST */
    unsigned slow_grace_ms;   /**< WS_HUB_POLICY_CLOSE: from slow to close 1013;
                                   default 10000 */
    unsigned max_queue_bytes; /**< bytes that wait in all queues of the hub;
                                 above it the fullest are deprioritised first;
                                   default 1 GiB */
    /** Messages, pings and pongs per second and connection, burst of one
     *  second; default no limit. Above it a message is dropped (a JSON mode
     *  client gets the error `rate`), a ping is not answered. */
    unsigned max_inbound_messages;
    unsigned
        max_inbound_bytes;  /**< the same in payload bytes; default no limit */
    unsigned rate_grace_ms; /**< refused for one of the two for so long, never
                                 a second apart: close 1008; default 10000 */
    unsigned idle_timeout_ms; /**< for a connection that has never subscribed:
                                   close 1008; default never */
    /** Ping after so much silence; default 30000 (article); UINT_MAX: never.
     *  Each connection is pinged at a moment of its own in the second half of
     *  it, so that clients which fall silent together are not pinged together.
     */
    unsigned heartbeat_ms;
    unsigned heartbeat_timeout_ms; /**< silence after the ping until the
                                     connection is dropped; default 10000 */
    unsigned
        close_timeout_ms; /**< close handshake, then dropped; default 5000 */

    /* The hot path. */

    unsigned flush_turns;    /**< loop turns that a flush may be held back
                                  while each brings messages; default 16; 1:
                                  every turn flushes */
    unsigned flush_bytes;    /**< queued bytes of one channel that end the
                                  holding back; default 65536 */
    unsigned flush_us;       /**< age of the oldest unflushed message that
                                  ends it, microseconds; default 2000 */
    unsigned write_bytes;    /**< most bytes of one write, 4096..1 MiB;
                                  default 65536 */
    unsigned fragment_bytes; /**< larger messages are sent as fragments of
                                  this size, so that a pong never waits for a
                                  whole message; 1024..1 MiB, default 16384 */
    unsigned mailbox_bytes;  /**< bytes of messages that may wait for one
                                  loop; above it ws_hub_publish() fails with
                                  WS_HUB_ELIMIT; default 64 MiB */

    /* The broker. */

    /** Default: the memory broker. Must stay valid; the adapter is the hub's
     *  from a successful ws_hub_create() on, which calls its destroy. */
    const struct ws_hub_broker_ops *broker;
    void *broker_self;  /**< first argument of its functions */
    unsigned linger_ms; /**< from the last listener of a channel to the
                             broker's unsubscribe; default 1000 */
    unsigned probe_ms;  /**< a message of our own goes through each link so
                             often; two that do not come back, and the link is
                             made anew; default 5000; UINT_MAX: never */
    unsigned audit_ms;  /**< the broker is asked so often whether it knows of
                             every subscription; default 30000; UINT_MAX: never
                         */
    unsigned outage_no_local; /**< 1: while the broker is away, or a channel's
                                   server, own subscribers get nothing either
                                   and ws_hub_publish() fails with
                                   WS_HUB_EBROKER; default 0: they get it, and
                                   it says WS_HUB_DEGRADED */
    unsigned outage_hold;     /**< messages, 0..1048576, that are held meanwhile
                                   and sent when the broker is back, in all at
                                   most mailbox_bytes; default 0 */

    const ws_hub_callbacks *callbacks; /**< default: none */
    void *user; /**< last argument of every callback; kept */
} ws_hub_options;

/** As ws_hub_options_init(), for a given size of the caller's structure. */
WS_HUB_API void ws_hub_options_init_sized(ws_hub_options *options, size_t size);

/**
 * Fill options with the defaults above.
 *
 * @param options  uninitialised structure, not NULL
 *
 * Thread: any.  Callbacks: none.  Since: 0.1
 */
#define ws_hub_options_init(options)                                           \
    ws_hub_options_init_sized((options), sizeof(ws_hub_options))

#ifdef __cplusplus
}
#endif
#endif

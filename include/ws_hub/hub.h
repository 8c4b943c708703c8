/** @file hub.h  The hub: life cycle, publishing, listening. */
#ifndef WS_HUB_HUB_H
#define WS_HUB_HUB_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/conn.h>
#include <ws_hub/export.h>
#include <ws_hub/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest channel name, bytes (PROTOCOL). */
#define WS_HUB_CHANNEL_MAX 255

/**
 * Make a hub. Nothing runs and nothing is bound yet.
 *
 * @param out      the hub; NULL on error
 * @param options  from ws_hub_options_init(), or NULL for all defaults
 * @return 0; WS_HUB_EINVAL (the log callback says which option);
 *         WS_HUB_ENOTSUP (a larger structure with unknown members set);
 *         WS_HUB_ENOMEM
 *
 * Thread: any.  Callbacks: on_log.  Ownership: options are copied; the caller
 * owns the hub.  Since: 0.1
 */
WS_HUB_API int ws_hub_create(ws_hub **out, const ws_hub_options *options);

/**
 * Bind, start the loop threads (or attach to the host's loop) and the broker.
 * At return the ports accept.
 *
 * @return 0; WS_HUB_ESTATE (started before); WS_HUB_ETRANSPORT (an address, the
 *         certificate, io_uring if demanded, or the libuv plugin of
 *         libwebsockets: the log has the text); WS_HUB_EBROKER; WS_HUB_ENOMEM.
 *         After an error nothing runs and the hub can only be destroyed.
 *
 * While each loop is set up, RLIMIT_NOFILE of the process is lowered for some
 * milliseconds, to no less than what is open, max_connections and 4096 more:
 * libwebsockets makes a table of that size. Do not fork meanwhile.
 *
 * Thread: any; with a host loop that loop's thread.  Callbacks: on_log.
 * Since: 0.1
 */
WS_HUB_API int ws_hub_start(ws_hub *hub);

/**
 * Wait until a started hub has stopped; starts it if it is not. Not for a hub
 * on a host loop.
 *
 * @return 0; WS_HUB_ESTATE (host loop, or called on a loop thread); errors of
 *         ws_hub_start()
 *
 * Thread: any but a loop.  Since: 0.1
 */
WS_HUB_API int ws_hub_run(ws_hub *hub);

/**
 * Stop: no new connections, everything queued is sent, every connection is
 * closed with 1001, at the latest dropped after close_timeout_ms; then
 * on_stopped. Idempotent. A stopped hub is not started again.
 *
 * @return 0; WS_HUB_ESTATE (never started)
 *
 * Thread: any+signal.  Callbacks: on_close for each connection, on_stopped,
 * none before return.  Since: 0.1
 */
WS_HUB_API int ws_hub_stop(ws_hub *hub);

/**
 * Destroy. A running hub is stopped first, without the patience: connections
 * are dropped. With threads of its own the call waits for them; on a host loop
 * the handle is dead at return and the memory goes when the loop has closed the
 * hub's handles (run it until then). Inside a callback of a hub with threads it
 * takes effect when that callback has returned.
 *
 * @param hub  NULL is allowed
 *
 * Thread: any; with a host loop that loop's thread.  Callbacks: as stop, on
 * the loops, before return (host loop: before the memory goes).  Since: 0.1
 */
WS_HUB_API void ws_hub_destroy(ws_hub *hub);

/**
 * Port of a bound TCP address.
 *
 * @param index  of options.bind_urls
 * @return 1..65535; 0 if the index is out of range or not TCP, or not started
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API unsigned ws_hub_port(const ws_hub *hub, size_t index);

/** Options of one publish. All zero is the default; NULL means that too. */
typedef struct ws_hub_publish_options {
    size_t struct_size;  /**< sizeof(ws_hub_publish_options) */
    ws_hub_type type;    /**< default WS_HUB_TEXT; not WS_HUB_DETECT */
    ws_hub_conn exclude; /**< this connection does not get it */
    ws_hub_class cls;    /**< default WS_HUB_CLASS_NORMAL */
    const char *key; /**< for WS_HUB_POLICY_CONFLATE: the newest message of a
                          key counts; may be NULL */
    size_t key_len;  /**< bytes, 0..255 */
} ws_hub_publish_options;

/**
 * Send one message to every current subscriber of a channel.
 *
 * Best effort: a connection whose queue is full follows the overflow policy and
 * does not make this call fail. Messages of one thread to one channel reach
 * each connection in call order.
 *
 * @param hub          started hub, not NULL
 * @param channel      1..WS_HUB_CHANNEL_MAX bytes of UTF-8
 * @param channel_len  bytes
 * @param data         payload; NULL only if len is 0
 * @param len          bytes, 0..1 GiB; WS_HUB_TEXT must be valid UTF-8 and
 *                     WS_HUB_JSON one JSON value: one bad text frame makes
 * every conforming subscriber disconnect (RFC 6455 section 8.1)
 * @param options      may be NULL
 * While the broker, or the server of this channel, is away, own subscribers get
 * the message (options.outage_no_local, outage_hold).
 *
 * @return 0; WS_HUB_DEGRADED (own subscribers only, or held for the broker);
 *         WS_HUB_EINVAL (a length, the type, the channel, the text, or the
 *         JSON); WS_HUB_ESTATE hub not running; WS_HUB_ELIMIT (a loop's mailbox
 *         is full, or too large for the broker); WS_HUB_EBROKER (away, and
 *         outage_no_local); WS_HUB_EAGAIN (the broker takes no more for now; no
 *         callback says when it does); WS_HUB_ENOMEM. After WS_HUB_ELIMIT and
 *         WS_HUB_ENOMEM some loops may have it; after other errors nothing was
 *         sent. On threads other than the first loop's the state of the link is
 *         what decides between 0, WS_HUB_DEGRADED and WS_HUB_EBROKER; what
 *         fails later is counted (ws_hub_stats_data.broker).
 *
 * Thread: any.  Callbacks: listeners, on the loop only.
 * Ownership: channel and data are copied.  Since: 0.1
 */
WS_HUB_API int ws_hub_publish(ws_hub *hub, const char *channel,
                              size_t channel_len, const void *data, size_t len,
                              const ws_hub_publish_options *options);

/** A host's ear on a channel. */
typedef struct ws_hub_listener ws_hub_listener;

/** A message for a listener. Pointers are borrowed until return. */
typedef void (*ws_hub_listen_cb)(ws_hub *hub, const char *channel,
                                 size_t channel_len, ws_hub_type type,
                                 const void *data, size_t len, void *user);

/**
 * Hear a channel in host code, from this hub and, through the broker, others.
 *
 * @param channel  1..WS_HUB_CHANNEL_MAX bytes of UTF-8
 * @param cb       not NULL; runs on the first loop
 * @param user     kept until ws_hub_unlisten()
 * @param out      the listener; NULL on error
 * @return 0; WS_HUB_EINVAL; WS_HUB_ESTATE; WS_HUB_ENOMEM
 *
 * Thread: any.  Callbacks: none before return.
 * Ownership: channel is copied; the hub frees listeners that are left at
 * destroy. Since: 0.1
 */
WS_HUB_API int ws_hub_listen(ws_hub *hub, const char *channel,
                             size_t channel_len, ws_hub_listen_cb cb,
                             void *user, ws_hub_listener **out);

/**
 * Stop hearing. On the first loop no callback comes after return; from another
 * thread one may still be under way.
 *
 * @param listener  NULL is allowed; dead at return
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API void ws_hub_unlisten(ws_hub *hub, ws_hub_listener *listener);

#ifdef __cplusplus
}
#endif
#endif

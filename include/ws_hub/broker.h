/** @file broker.h  The broker contract: how to write an adapter. */
#ifndef WS_HUB_BROKER_H
#define WS_HUB_BROKER_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/conn.h>
#include <ws_hub/loop.h>
#include <ws_hub/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The publishing hub has given the message to its own subscribers already (an
 *  outage), so its own echo is dropped. */
#define WS_HUB_MESSAGE_DELIVERED 1u

/**
 * A message on its way through the broker. All pointers are borrowed.
 *
 * An adapter that crosses processes carries every member: see
 * ws_hub_envelope_write(). `exclude` only means something in the hub whose
 * `origin` it has.
 */
typedef struct ws_hub_broker_message {
    size_t struct_size;
    ws_hub_type type;
    const void *data;
    size_t len;
    ws_hub_conn exclude; /**< connection of the publishing hub that must not get
                              it back; {0}: none */
    ws_hub_class cls;
    const char *key; /**< NULL if key_len is 0 */
    size_t key_len;  /**< 0..255 */
    uint64_t origin; /**< instance of the publishing hub; 0: another program */
    uint64_t
        published_us; /**< wall clock, microseconds since 1970; 0: unknown */
    unsigned flags;   /**< WS_HUB_MESSAGE_* */
} ws_hub_broker_message;

/**
 * The hub, as an adapter sees it. Valid from open() until stopped() returns.
 *
 * All calls on the loop thread of `loop`, but for `message` and `log`: any
 * thread. Calls may be made inside the adapter's own functions.
 *
 * Since: 0.1
 */
typedef struct ws_hub_broker_host ws_hub_broker_host;
struct ws_hub_broker_host {
    size_t struct_size;
    const char *server_id; /**< NUL-terminated */
    ws_hub_loop *loop;
    const ws_hub_loop_ops *loop_ops;

    /**
     * A message arrived. Untrusted: text is checked, bad messages are counted
     * and dropped. Calls from one thread keep their order on every loop; so an
     * adapter that calls from one thread gives a channel one order everywhere.
     * @return 0; WS_HUB_EINVAL (channel, text or JSON); WS_HUB_ELIMIT and
     *         WS_HUB_ENOMEM (some loops may lack it)
     */
    int (*message)(const ws_hub_broker_host *host, const char *channel,
                   size_t channel_len, const ws_hub_broker_message *message);

    /** A subscribe() ended. @param status 0, or the WS_HUB_E* of a refusal that
     *  a repetition would not change (forbidden channel). */
    void (*subscribed)(const ws_hub_broker_host *host, const char *channel,
                       size_t channel_len, int status);

    /** The link (one at least of several) is up: the driver subscribes what it
     *  needs, again from zero after a lost(). Also says "try again" after
     *  WS_HUB_EAGAIN. */
    void (*ready)(const ws_hub_broker_host *host);

    /** The link is down and every subscription with it. The driver calls open()
     *  again after a back-off. */
    void (*lost)(const ws_hub_broker_host *host, const char *why);

    /** close() has ended: nothing of the adapter runs any more. */
    void (*stopped)(const ws_hub_broker_host *host);

    void (*log)(const ws_hub_broker_host *host, ws_hub_log_level level,
                const char *text);

    /** Random number of this run of the hub, never 0: its messages' origin. */
    uint64_t instance;

    /** One subscription ended by itself, others go on (a slot moved, one of
     *  several servers is away). The driver subscribes again and tells
     *  subscribers of the gap. */
    void (*dropped)(const ws_hub_broker_host *host, const char *channel,
                    size_t channel_len, const char *why);

    /** The answer to audit(). @param listeners  subscribers that the broker has
     *  of the channel, this hub included */
    void (*audited)(const ws_hub_broker_host *host, const char *channel,
                    size_t channel_len, uint64_t listeners);
};

/** publish() may be called on any thread, several at once. */
#define WS_HUB_BROKER_PUBLISH_ANY_THREAD 1u

/** What comes back through host->message is what publish() was given, and from
 *  nowhere else, so it is not checked a second time. Everything that is
 *  published comes back, subscribed or not, so that a channel is live as soon
 *  as a loop wants it; no subscription is refused. */
#define WS_HUB_BROKER_LOCAL 2u

/**
 * An adapter. The driver around it owns what every adapter needs: states per
 * channel, lingering, back-off, resubscribing; an adapter moves commands and
 * messages. Conformance: tests/contract/broker_contract.c.
 *
 * All functions run on the loop thread (publish: see flags); none may block.
 *
 * Since: 0.1
 */
typedef struct ws_hub_broker_ops {
    size_t struct_size;
    const char *name; /**< static; appears in logs and metrics */
    unsigned flags;   /**< WS_HUB_BROKER_* */

    /** Connect. Ends in host->ready or host->lost, now or later. `host` is
     * kept.
     *  @return 0; an error ends the hub's start and is not followed by calls */
    int (*open)(void *self, const ws_hub_broker_host *host);

    /** Idempotent. Ends in one host->subscribed, host->dropped, or host->lost.
     *  @return 0; WS_HUB_EAGAIN: the server of this channel is away,
     * host->ready says when to try again; any other error counts as a refusal
     */
    int (*subscribe)(void *self, const char *channel, size_t channel_len);

    /** Idempotent; needs no answer. Messages may trail behind it. */
    int (*unsubscribe)(void *self, const char *channel, size_t channel_len);

    /** Hand over a message. It comes back through host->message on every hub
     *  that is subscribed, this one included.
     *  @return 0; not sent: WS_HUB_EAGAIN (output is full), WS_HUB_EBROKER (the
     *  server of this channel is away), WS_HUB_ELIMIT (too large),
     *  WS_HUB_ENOMEM */
    int (*publish)(void *self, const char *channel, size_t channel_len,
                   const ws_hub_broker_message *message);

    /** Disconnect. Ends in one host->stopped, now or later. */
    void (*close)(void *self);

    /** Free the adapter; after stopped, or never opened. NULL: the host's. */
    void (*destroy)(void *self);

    /**
     * Name a channel that the n-th link carries, for the driver's probe: it
     * subscribes to the channel, publishes to it, and waits to see that, since
     * a link can be dead while everything looks alive. Names begin with
     * "$ws_hub." and hold host->instance, so that no other hub has them.
     *
     * @param link  from 0; links that are away count as well
     * @param name  out: WS_HUB_CHANNEL_MAX bytes, not terminated
     * @return its length; 0: no such link
     * NULL: no probe.
     */
    size_t (*probe_channel)(void *self, unsigned link, char *name);

    /** What was published to a probe channel did not come back: drop the link
     *  that carries it. Ends in host->dropped for each of its channels, or in
     *  host->lost. NULL: no probe. */
    void (*suspect)(void *self, const char *channel, size_t channel_len);

    /** How many listeners has the broker of a subscribed channel? Ends in
     *  host->audited, host->dropped or host->lost.
     *  @return 0; WS_HUB_EAGAIN: not now. NULL: no audit. */
    int (*audit)(void *self, const char *channel, size_t channel_len);
} ws_hub_broker_ops;

/** Most bytes of an envelope's head. */
#define WS_HUB_ENVELOPE_MAX 320

/**
 * Envelope of a message between hubs: the head that goes before its payload.
 *
 * The first byte is 0xFF, which no text has. Format: lib/broker/envelope.h.
 *
 * @param message  as publish() gets it; published_us 0 is filled in: now
 * @param head     out
 * @return length of the head
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API size_t ws_hub_envelope_write(const ws_hub_broker_message *message,
                                        uint8_t head[WS_HUB_ENVELOPE_MAX]);

/**
 * Read what came from the broker: an envelope, or another program's plain
 * message, whose type then is WS_HUB_DETECT.
 *
 * @param bytes    borrowed: the message points into it
 * @param message  out
 * @return 0; WS_HUB_EINVAL (an envelope that is cut off or of another version)
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API int ws_hub_envelope_read(const void *bytes, size_t len,
                                    ws_hub_broker_message *message);

/**
 * The memory broker: subscribers of this hub only, delivered at once, on the
 * publisher's thread into each loop's mailbox. The default.
 *
 * @param self  out: pass as options.broker_self
 * @return 0, WS_HUB_ENOMEM
 *
 * Thread: any.  Ownership: the hub destroys it.  Since: 0.1
 */
WS_HUB_API int ws_hub_memory_broker(const ws_hub_broker_ops **ops, void **self);

#ifdef __cplusplus
}
#endif
#endif

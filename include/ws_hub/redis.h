/** @file redis.h  The Redis broker; library ws_hub_redis. */
#ifndef WS_HUB_REDIS_H
#define WS_HUB_REDIS_H

#include <stddef.h>
#include <ws_hub/broker.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Options of the Redis broker. Zero in any member means its default.
 *
 * Initialise with ws_hub_redis_options_init(). Everything is copied by
 * ws_hub_redis_broker().
 *
 * Since: 0.1
 */
typedef struct ws_hub_redis_options {
    size_t struct_size; /**< set by ws_hub_redis_options_init() */

    /**
     * Servers:
     *   redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]  port 6379, "[::1]" for v6
     *   redis+unix:///PATH[?db=N&user=USER&password=PASSWORD]
     * USER, PASSWORD and PATH are percent-decoded. One URL: one server.
     * Several: independent servers, over which channels are spread by hashing;
     * all hubs must name the same ones. rediss:// instead of redis:// is TLS.
     */
    const char *const *urls;
    size_t url_count; /**< 1..64 */

    /** Not 0: the URLs are some nodes of one Redis Cluster (Redis 7), from
     * which the others are learned; sharded pub/sub is used. No unix, no DB. */
    int cluster;

    unsigned connect_timeout_ms; /**< name, connect and login together;
                                      1..3600000, default 3000 */
    unsigned command_timeout_ms; /**< silence of a server that owes an answer,
                                      until the link counts as dead;
                                      1..3600000, default 5000 */
    unsigned keepalive_s;        /**< TCP keepalive, 1..32767; default 15 */

    /** Largest payload. A larger publish is WS_HUB_ELIMIT, a larger message of
     *  another program is dropped. 1..256 MiB, default 1 MiB: Redis cuts off
     *  each subscriber that has more than 32 MiB to take. */
    size_t max_message_bytes;
    /** Bytes that may wait for one server; a publish beyond is WS_HUB_EAGAIN.
     *  From max_message_bytes + 4096 to 1 GiB; default 8 MiB, or the former if
     *  that is more. */
    size_t max_output_bytes;
    /** Longest string that a server may send at all; a longer one ends the link
     *  before it takes memory. From max_message_bytes + 4096 to 512 MiB;
     *  default 32 MiB, or the former if that is more. */
    size_t max_inbound_bytes;

    /* TLS, for rediss://; 1.2 or newer, and always with verification. PEM
     * files, read by ws_hub_redis_broker(). */

    const char *tls_ca;   /**< authorities that may have signed the servers'
                               certificates; default the system's */
    const char *tls_cert; /**< certificate (and chain) of the hub; default none.
                               Redis asks for one unless it has
                               tls-auth-clients no */
    const char *tls_key;  /**< its key, without a passphrase */
    const char *tls_name; /**< name that every server's certificate is for;
                               default the host of the URL, in a cluster that
                               which it announces */
} ws_hub_redis_options;

/** As ws_hub_redis_options_init(), for a given size of the caller's structure.
 */
WS_HUB_API void ws_hub_redis_options_init_sized(ws_hub_redis_options *options,
                                                size_t size);

/**
 * Fill options with the defaults above.
 *
 * @param options  uninitialised structure, not NULL
 *
 * Thread: any.  Callbacks: none.  Since: 0.1
 */
#define ws_hub_redis_options_init(options)                                     \
    ws_hub_redis_options_init_sized((options), sizeof(ws_hub_redis_options))

/**
 * Make a Redis broker, for ws_hub_options.broker and broker_self.
 *
 * Nothing is connected before ws_hub_start(). A channel of the hub is the Redis
 * channel of the same name; other programs may publish to it. Each server has
 * two connections, which live on the hub's first loop. Host names are looked up
 * on a thread of their own, which may outlive the hub by the time of one lookup
 * and touches nothing of it.
 *
 * @param options     not NULL
 * @param ops         out: NULL on failure
 * @param self        out: NULL on failure
 * @param error       out: what is wrong with the options, one line without
 *                    passwords; empty on success; NULL is allowed
 * @param error_size  bytes of `error`; 200 hold every text
 * @return 0; WS_HUB_EINVAL (a URL, a number out of range, a file of TLS);
 *         WS_HUB_ENOTSUP (an unknown tail of a larger structure that is not
 *         zero); WS_HUB_ENOMEM
 *
 * Thread: any.  Callbacks: none.
 * Ownership: options are copied; the hub destroys the adapter.  Since: 0.1
 */
WS_HUB_API int ws_hub_redis_broker(const ws_hub_redis_options *options,
                                   const ws_hub_broker_ops **ops, void **self,
                                   char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif

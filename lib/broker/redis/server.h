/*
 * server.h: one Redis server: a connection that subscribes and one that
 * publishes, opened together, up together, down together.
 *
 *   CLOSED -> OPENING -> UP
 *     ^          |        |
 *     +-- down --+--------+        (and wsr_server_close(), which is silent)
 *
 * What a topology is made of: single has one, several has a fixed set, cluster
 * has one per master. It knows nothing of envelopes, of other servers, nor of
 * which channels are wanted: the topology (and the driver above it) does.
 *
 * Events are called from the loop only, never inside a function of this header.
 * Inside an event every function of this header may be called on this server or
 * any other, close and destroy included; memory then goes when the outermost
 * event returns. Nothing blocks; close and destroy are complete when they
 * return (no event comes any more).
 *
 * Owner: a topology. Thread: the loop's.
 */
#ifndef WSR_SERVER_H
#define WSR_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ws_hub/broker.h>
#include "output.h"
#include "pending.h"
#include "reply.h"
#include "settings.h"
#include "url.h"

struct wsr_server;

/* What a redirection was about. */
enum wsr_redirected { WSR_ON_SUBSCRIBE, WSR_ON_PUBLISH, WSR_ON_COUNT };

/* -MOVED or -ASK. Everything is borrowed. */
struct wsr_redirect {
    enum wsr_redirected on;
    bool ask; /* this time only; false: MOVED, the table is old */
    unsigned slot;
    const char *host; /* of the server to ask; empty: the same host */
    size_t host_len;
    unsigned port;
    const char *channel; /* NULL, 0 for ON_PUBLISH: the slot says enough */
    size_t channel_len;
};

/* All members must be set. `user` is the one of wsr_server_create(). */
struct wsr_server_events {
    /* Both connections are up: subscribe, publish. */
    void (*up)(void *user);

    /* It is CLOSED: could not be opened, or was UP and failed. Every
     * subscription is gone and what was unanswered has ended (commands with a
     * NULL reply, subscribes without a word). wsr_server_open() may be called
     * again, inside as well. `why` is for a log line, without the name. */
    void (*down)(void *user, const char *why);

    /* A subscribe() ended. status 0; WS_HUB_EFORBIDDEN (-NOPERM);
     * WS_HUB_EBROKER (any other error that concerns this channel alone:
     * CLUSTERDOWN, say: it has been logged). Redirections go to redirect()
     * instead. */
    void (*subscribed)(void *user, const char *channel, size_t channel_len,
                       int status);

    /* The server itself has ended a subscription: in a cluster, the slot has
     * moved away. Also comes for a channel that you have just unsubscribed, so
     * look whether you still want it. */
    void (*unsubscribed)(void *user, const char *channel, size_t channel_len);

    /* A message as it stands on the channel, head and all. */
    void (*message)(void *user, const char *channel, size_t channel_len,
                    const void *bytes, size_t len);

    /* MOVED or ASK instead of what was asked for; nothing was done. After
     * ON_SUBSCRIBE there is no subscribed(), after ON_COUNT no counted(). */
    void (*redirect)(void *user, const struct wsr_redirect *redirect);

    /* A publish was refused by the server: NOPERM, CLUSTERDOWN, READONLY, OOM.
     * The text is the server's. For the log and the counters. */
    void (*publish_failed)(void *user, const char *text);

    /* The answer to count(). An error reply is counted as no listeners:
     * subscribing again, which is what follows, will show it. */
    void (*counted)(void *user, const char *channel, size_t channel_len,
                    uint64_t listeners);

    /* A publish (or subscribe) was refused with WS_HUB_EAGAIN because output
     * was full; less than half of the bound waits now. */
    void (*room)(void *user);
};

/* About wsr_command_cb (pending.h), the reply of wsr_server_command(): NULL
 * means down, closed or destroyed; in the latter two it comes inside that
 * function, the one exception to "from the loop only". An error reply is a
 * reply, MOVED and ASK as well. With NULL the server may not be opened again
 * inside. */

/* url is copied; settings and events stay valid as long as the server. 0 or
 * WS_HUB_ENOMEM. */
int wsr_server_create(struct wsr_server **out, const struct wsr_url *url,
                      const struct wsr_settings *settings,
                      const struct wsr_server_events *events, void *user);

/* Only CLOSED. `host` is kept until close or down, for its loop and its log.
 * Ends in up or down. 0 or WS_HUB_ENOMEM (still CLOSED, no event). */
int wsr_server_open(struct wsr_server *server, const ws_hub_broker_host *host);

/* Drop both connections now, without an event. Idempotent. */
void wsr_server_close(struct wsr_server *server);

/* Closes first. NULL is allowed. */
void wsr_server_destroy(struct wsr_server *server);

/* Drop it as if it had failed: ends in down, soon. No-op if CLOSED. `why` is a
 * static text. */
void wsr_server_fail(struct wsr_server *server, const char *why);

bool wsr_server_is_up(const struct wsr_server *server);
/* Neither CLOSED nor UP: open() is under way. */
bool wsr_server_is_opening(const struct wsr_server *server);
/* "host:port" or the path; as long as the server. */
const char *wsr_server_name(const struct wsr_server *server);
const struct wsr_url *wsr_server_url(const struct wsr_server *server);

/* One command per channel. Ends in subscribed, redirect or down.
 * @return 0; WS_HUB_EAGAIN: output is full (see room) or not UP (see up);
 *         WS_HUB_ENOMEM */
int wsr_server_subscribe(struct wsr_server *server, const char *channel,
                         size_t channel_len);
/* The same errors; not being UP is success, since nothing is subscribed. */
int wsr_server_unsubscribe(struct wsr_server *server, const char *channel,
                           size_t channel_len);

/* Payload is `head` and then `data`, each may be empty; both are copied once,
 * into the output buffer. Sent before the loop's next wait.
 * @return 0; WS_HUB_EBROKER: not UP; WS_HUB_EAGAIN: output is full, see room;
 *         WS_HUB_ELIMIT: data_len over settings.max_message_bytes;
 *         WS_HUB_ENOMEM */
int wsr_server_publish(struct wsr_server *server, const char *channel,
                       size_t channel_len, const void *head, size_t head_len,
                       const void *data, size_t data_len);

/* How many subscribers has the server of the channel? Ends in counted, redirect
 * or down. Errors as subscribe. */
int wsr_server_count(struct wsr_server *server, const char *channel,
                     size_t channel_len);

#define WSR_ARG(literal) ((struct wsr_arg){(literal), sizeof(literal) - 1})

enum { WSR_ARGS_MAX = 8 };

/* Any command with one reply, on the publishing connection, in order with
 * publishes: CLUSTER SHARDS; ASKING and then SPUBLISH with a copy in `user`
 * that is to be repeated elsewhere. cb NULL: the reply is thrown away. Errors
 * as publish, without ELIMIT; then cb does not come. */
int wsr_server_command(struct wsr_server *server, const struct wsr_arg *args,
                       size_t count, wsr_command_cb cb, void *user);

/* The same on the subscribing connection: ASKING before a subscribe(). It must
 * be a command that is allowed to a subscribed RESP2 connection, or nothing
 * be subscribed yet. */
int wsr_server_command_on_subscriber(struct wsr_server *server,
                                     const struct wsr_arg *args, size_t count,
                                     wsr_command_cb cb, void *user);

#endif

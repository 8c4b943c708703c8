/*
 * conn.h: one connection to a Redis server: name, connect, TLS if it is wanted,
 * AUTH and SELECT, then commands whose replies come in order, and pushes
 * between them.
 *
 *   CLOSED -> RESOLVING -> CONNECTING -> (SECURING ->) GREETING -> UP
 *     ^           |            |             |            |        |
 *     |           +------------+-- FAILED ---+------------+--------+
 *     +----- down ------------------+
 *
 * FAILED holds no descriptor and waits for the loop, so that down() is never
 * called inside a function of this header. In an event or a command's callback
 * every function may be called, destroy included; memory goes when the
 * outermost callback returns.
 *
 * Bounds: output (settings.max_output_bytes), one string of a reply (the
 * largest message and its head), bytes read per turn, time (connect, and
 * silence while an answer is due).
 *
 * Owner: server.c. Thread: the loop's.
 */
#ifndef WSR_CONN_H
#define WSR_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <ws_hub/broker.h>
#include "output.h"
#include "pending.h"
#include "settings.h"
#include "url.h"

struct wsr_conn;

struct wsr_conn_events {
    void (*up)(void *user);
    /* CLOSED; unanswered commands have ended. `why` is for a log line. */
    void (*down)(void *user, const char *why);
    /* Any reply while UP, before it counts as the answer to `oldest` (NULL:
     * nothing is unanswered): true if it was a push instead. NULL: no pushes.
     */
    bool (*push)(void *user, const struct wsr_reply *reply,
                 const struct wsr_pending *oldest);
    /* After WS_HUB_EAGAIN: less than half of the output's bound waits. */
    void (*room)(void *user);
};

/* Everything is kept. NULL: out of memory. */
struct wsr_conn *wsr_conn_create(const struct wsr_url *url,
                                 const struct wsr_settings *settings,
                                 const struct wsr_conn_events *events,
                                 void *user);

/* CLOSED. `host` is kept until it is CLOSED again. Ends in up or down.
 * 0 or WS_HUB_ENOMEM: still CLOSED. */
int wsr_conn_open(struct wsr_conn *conn, const ws_hub_broker_host *host);

/* No event comes any more; unanswered commands end with NULL, here. */
void wsr_conn_close(struct wsr_conn *conn);

/* Closes first. NULL is allowed. */
void wsr_conn_destroy(struct wsr_conn *conn);

/* It is broken: ends in down, soon. No-op if CLOSED or FAILED. */
void wsr_conn_fail(struct wsr_conn *conn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool wsr_conn_is_up(const struct wsr_conn *conn);

/* Send a command; `joined` as in output.h. 0: cb ends once. WS_HUB_EAGAIN: not
 * UP, or output is full. WS_HUB_ENOMEM. */
int wsr_conn_command(struct wsr_conn *conn, const struct wsr_arg *args,
                     size_t count, bool joined, wsr_command_cb cb, void *user);

#endif

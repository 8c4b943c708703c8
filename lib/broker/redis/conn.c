/*
 * conn.c: life of a connection: states, deadlines, commands, the end.
 */
#include "conn_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ws_hub/error.h>

/* Written at once when so much waits, else at the loop's next turn: one send
 * for all that a turn brings. */
enum { FLUSH_AT = 64 * 1024 };

static uint64_t now_ms(const struct wsr_conn *conn)
{
    return conn->host->loop_ops->now_ms(conn->host->loop);
}

struct wsr_conn *wsr_conn_create(const struct wsr_url *url,
                                 const struct wsr_settings *settings,
                                 const struct wsr_conn_events *events,
                                 void *user)
{
    struct wsr_conn *conn = malloc(sizeof *conn);

    if (!conn)
        return NULL;
    memset(conn, 0, offsetof(struct wsr_conn, scratch));
    conn->url = url;
    conn->settings = settings;
    conn->events = events;
    conn->user = user;
    conn->fd = -1;
    return conn;
}

void wsr_conn_enter(struct wsr_conn *conn)
{
    conn->depth++;
}

void wsr_conn_leave(struct wsr_conn *conn)
{
    assert(conn->depth > 0);
    if (--conn->depth == 0 && conn->doomed)
        free(conn);
}

void wsr_conn_set_soon(struct wsr_conn *conn)
{
    if (conn->soon_set)
        return;
    conn->soon_set = true;
    conn->host->loop_ops->timer_set(conn->soon, 0);
}

static void set_deadline(struct wsr_conn *conn, uint64_t delay_ms)
{
    conn->deadline_set = true;
    conn->host->loop_ops->timer_set(conn->deadline, delay_ms);
}

static void drop_socket(struct wsr_conn *conn)
{
    wsr_resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    if (conn->watch)
        conn->host->loop_ops->watch_close(conn->watch);
    conn->watch = NULL;
    wsr_tls_free(conn->tls);
    conn->tls = NULL;
    if (conn->fd >= 0)
        (void)close(conn->fd);
    conn->fd = -1;
}

/* Of a link that is given up nothing may arrive any more: what the kernel still
 * has would reach Redis when the network is back, behind newer publishes of the
 * next connection. */
static void discard_unsent(const struct wsr_conn *conn)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (conn->fd >= 0)
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once,
                         sizeof at_once);
}

void wsr_conn_fail(struct wsr_conn *conn, const char *format, ...)
{
    va_list arguments;

    if (conn->state == WSR_CLOSED || conn->state == WSR_FAILED)
        return;
    va_start(arguments, format);
    (void)vsnprintf(conn->why, sizeof conn->why, format, arguments);
    va_end(arguments);
    discard_unsent(conn);
    drop_socket(conn);
    conn->state = WSR_FAILED;
    conn->epoch++;
    wsr_conn_set_soon(conn);
}

/* Back to CLOSED: everything of this connection goes, and what was unanswered
 * ends. Its callbacks see a connection that is closed already. */
static void finish(struct wsr_conn *conn)
{
    struct wsr_pendings pendings = conn->pendings;

    drop_socket(conn);
    if (conn->deadline)
        conn->host->loop_ops->timer_close(conn->deadline);
    if (conn->soon)
        conn->host->loop_ops->timer_close(conn->soon);
    wsr_output_free(&conn->output);
    if (conn->reader != conn->reading)
        wsr_reader_free(conn->reader);
    conn->deadline = conn->soon = NULL;
    conn->deadline_set = conn->soon_set = false;
    conn->blocked = conn->wants_room = false;
    conn->reader = NULL;
    conn->host = NULL;
    memset(&conn->pendings, 0, sizeof conn->pendings);
    conn->state = WSR_CLOSED;
    conn->epoch++;
    while (wsr_pendings_first(&pendings)) {
        struct wsr_pending pending = wsr_pendings_pop(&pendings);

        if (pending.cb)
            pending.cb(pending.user, NULL);
    }
    wsr_pendings_free(&pendings);
}

/* Inside enter and leave. */
static void end(struct wsr_conn *conn)
{
    conn->epoch++; /* a down() that is about to be reported is not wanted */
    if (conn->state != WSR_CLOSED)
        finish(conn);
}

void wsr_conn_close(struct wsr_conn *conn)
{
    wsr_conn_enter(conn);
    end(conn);
    wsr_conn_leave(conn);
}

void wsr_conn_destroy(struct wsr_conn *conn)
{
    if (!conn || conn->doomed)
        return;
    wsr_conn_enter(conn);
    end(conn);
    conn->doomed = true;
    wsr_conn_leave(conn);
}

static void report_down(struct wsr_conn *conn)
{
    char why[WSR_WHY_MAX];
    unsigned finished = conn->epoch + 1;

    memcpy(why, conn->why, sizeof why);
    finish(conn);
    if (conn->epoch == finished)
        conn->events->down(conn->user, why);
}

void wsr_conn_check_room(struct wsr_conn *conn)
{
    if (!conn->wants_room || conn->state != WSR_UP ||
        wsr_output_waiting(&conn->output) >=
            conn->settings->max_output_bytes / 2)
        return;
    conn->wants_room = false;
    conn->events->room(conn->user);
}

static void on_soon(ws_hub_timer *timer, void *user)
{
    struct wsr_conn *conn = user;

    (void)timer;
    conn->soon_set = false;
    wsr_conn_enter(conn);
    if (conn->state == WSR_FAILED) {
        report_down(conn);
    } else {
        wsr_conn_flush(conn);
        wsr_conn_check_room(conn);
    }
    wsr_conn_leave(conn);
}

/* Milliseconds until silence has lasted too long. */
static uint64_t patience_left(const struct wsr_conn *conn,
                              const struct wsr_pending *oldest)
{
    uint64_t since =
        oldest->since_ms > conn->heard_ms ? oldest->since_ms : conn->heard_ms;
    uint64_t waited = now_ms(conn) - since;
    uint64_t limit = conn->settings->command_timeout_ms;

    return waited < limit ? limit - waited : 0;
}

static void check_answers(struct wsr_conn *conn)
{
    struct wsr_pending *oldest = wsr_pendings_first(&conn->pendings);
    uint64_t left = oldest ? patience_left(conn, oldest) : 0;

    if (oldest && left == 0) {
        /* A loop that was held up fires timers before it looks at sockets: the
         * answer may be there. */
        unsigned epoch = conn->epoch;

        wsr_conn_read(conn);
        if (conn->epoch != epoch)
            return;
        oldest = wsr_pendings_first(&conn->pendings);
        left = oldest ? patience_left(conn, oldest) : 0;
        if (oldest && left == 0) {
            wsr_conn_fail(conn, "no answer for %u ms",
                          conn->settings->command_timeout_ms);
            return;
        }
    }
    if (oldest)
        set_deadline(conn, left);
}

static void on_deadline(ws_hub_timer *timer, void *user)
{
    static const char *const stage[] = {
        [WSR_RESOLVING] = "the name was not resolved",
        [WSR_CONNECTING] = "no connection",
        [WSR_SECURING] = "no end of the TLS handshake",
        [WSR_GREETING] = "no answer to the greeting",
    };
    struct wsr_conn *conn = user;

    (void)timer;
    conn->deadline_set = false;
    wsr_conn_enter(conn);
    if (conn->state == WSR_UP)
        check_answers(conn);
    else if (conn->state != WSR_FAILED)
        wsr_conn_fail(conn, "%s within %u ms", stage[conn->state],
                      conn->settings->connect_timeout_ms);
    wsr_conn_leave(conn);
}

int wsr_conn_open(struct wsr_conn *conn, const ws_hub_broker_host *host)
{
    const ws_hub_loop_ops *loop = host->loop_ops;

    assert(conn->state == WSR_CLOSED);
    conn->host = host;
    conn->reader = wsr_reader_create(conn->settings->max_inbound_bytes);
    if (!conn->reader ||
        loop->timer_open(host->loop, on_deadline, conn, &conn->deadline) ||
        loop->timer_open(host->loop, on_soon, conn, &conn->soon)) {
        finish(conn);
        return WS_HUB_ENOMEM;
    }
    conn->state = WSR_RESOLVING;
    conn->next_address = 0;
    set_deadline(conn, conn->settings->connect_timeout_ms);
    if (wsr_conn_start(conn)) {
        finish(conn);
        return WS_HUB_ENOMEM;
    }
    return 0;
}

bool wsr_conn_is_up(const struct wsr_conn *conn)
{
    return conn->state == WSR_UP;
}

void wsr_conn_is_greeted(struct wsr_conn *conn)
{
    assert(conn->state == WSR_GREETING);
    conn->state = WSR_UP;
    conn->host->loop_ops->timer_cancel(conn->deadline);
    conn->deadline_set = false;
    conn->events->up(conn->user);
}

int wsr_conn_queue(struct wsr_conn *conn, const struct wsr_arg *args,
                   size_t count, bool joined, wsr_command_cb cb, void *user)
{
    size_t size = wsr_command_size(args, count, joined);
    struct wsr_pending pending = {cb, user, now_ms(conn)};

    if (!wsr_pendings_reserve(&conn->pendings) ||
        !wsr_output_reserve(&conn->output, size))
        return WS_HUB_ENOMEM;
    wsr_pendings_push(&conn->pendings, pending);
    wsr_output_command(&conn->output, args, count, joined);
    if (!conn->deadline_set)
        set_deadline(conn, conn->settings->command_timeout_ms);
    if (!conn->blocked && wsr_output_waiting(&conn->output) >= FLUSH_AT)
        wsr_conn_flush(conn);
    else if (!conn->blocked)
        wsr_conn_set_soon(conn);
    return 0;
}

int wsr_conn_command(struct wsr_conn *conn, const struct wsr_arg *args,
                     size_t count, bool joined, wsr_command_cb cb, void *user)
{
    size_t waiting = wsr_output_waiting(&conn->output);

    if (conn->state != WSR_UP)
        return WS_HUB_EAGAIN;
    if (waiting + wsr_command_size(args, count, joined) >
        conn->settings->max_output_bytes) {
        conn->wants_room = true;
        wsr_conn_set_soon(conn);
        return WS_HUB_EAGAIN;
    }
    return wsr_conn_queue(conn, args, count, joined, cb, user);
}

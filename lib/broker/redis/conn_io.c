/*
 * conn_io.c: bytes in and out of a connection. Reads are large and come first,
 * since a Redis whose output is not taken cuts its client off; they are bounded
 * per turn, since the loop has clients as well.
 */
#include "conn_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* hiredis moves what it has not consumed to the front of its buffer at every
 * reply beyond 1 KiB: with small pieces there is little to move. */
enum { READ_PER_TURN = 1024 * 1024, PIECE = 8 * 1024 };

static void dispatch(struct wsr_conn *conn, const struct wsr_reply *reply)
{
    struct wsr_pending *oldest = wsr_pendings_first(&conn->pendings);
    struct wsr_pending pending;

    if (conn->state == WSR_UP && conn->events->push &&
        conn->events->push(conn->user, reply, oldest))
        return;
    if (!oldest) {
        wsr_conn_refused(conn, "unasked for", reply);
        return;
    }
    pending = wsr_pendings_pop(&conn->pendings);
    if (pending.cb)
        pending.cb(pending.user, reply);
}

/* false: the connection has ended meanwhile. */
static bool parse(struct wsr_conn *conn, const char *bytes, size_t len)
{
    struct wsr_reader *reader = conn->reader;
    const struct wsr_reply *reply = NULL;
    unsigned epoch = conn->epoch;

    while (len > 0) {
        size_t piece = len < PIECE ? len : PIECE;

        if (!wsr_reader_feed(reader, bytes, piece))
            break;
        while (wsr_reader_next(reader, &reply) && reply) {
            dispatch(conn, reply);
            if (conn->epoch != epoch)
                return false;
        }
        bytes += piece;
        len -= piece;
    }
    if (*wsr_reader_error(reader) == '\0')
        return true;
    wsr_conn_fail(conn, "bad answer: %s", wsr_reader_error(reader));
    return false;
}

static ssize_t receive(struct wsr_conn *conn)
{
    if (conn->tls)
        return wsr_tls_recv(conn->tls, conn->scratch, sizeof conn->scratch);
    return recv(conn->fd, conn->scratch, sizeof conn->scratch, MSG_DONTWAIT);
}

static const char *reason(const struct wsr_conn *conn, int error)
{
    return conn->tls && error == EPROTO ? wsr_tls_why(conn->tls)
                                        : strerror(error);
}

static void read_some(struct wsr_conn *conn)
{
    for (size_t total = 0; total < READ_PER_TURN;) {
        ssize_t got = receive(conn);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got < 0) {
            wsr_conn_fail(conn, "read: %s", reason(conn, errno));
            return;
        }
        if (got == 0) {
            wsr_conn_fail(conn, "the server closed the connection");
            return;
        }
        conn->heard_ms = conn->host->loop_ops->now_ms(conn->host->loop);
        if (!parse(conn, conn->scratch, (size_t)got))
            return;
        /* TLS gives a record at a time. */
        if (!conn->tls && (size_t)got < sizeof conn->scratch)
            return;
        total += (size_t)got;
    }
}

void wsr_conn_read(struct wsr_conn *conn)
{
    struct wsr_reader *reader = conn->reader;

    conn->reading = reader;
    read_some(conn);
    conn->reading = NULL;
    /* Closed meanwhile, and perhaps opened again with another one. */
    if (conn->reader != reader)
        wsr_reader_free(reader);
}

void wsr_conn_flush(struct wsr_conn *conn)
{
    int error;

    if (conn->state != WSR_GREETING && conn->state != WSR_UP)
        return;
    error = wsr_output_send(&conn->output, conn->fd, conn->tls);
    if (error == EPIPE || error == ECONNRESET) {
        /* It has gone, perhaps with a word of why: reading finds it. */
        conn->blocked = true;
        conn->host->loop_ops->watch_set(conn->watch, WS_HUB_READABLE);
        return;
    }
    if (error) {
        wsr_conn_fail(conn, "write: %s", reason(conn, error));
        return;
    }
    conn->blocked = wsr_output_waiting(&conn->output) > 0;
    conn->host->loop_ops->watch_set(
        conn->watch, WS_HUB_READABLE | (conn->blocked ? WS_HUB_WRITABLE : 0));
}

void wsr_conn_on_events(ws_hub_watch *watch, int events, void *user)
{
    struct wsr_conn *conn = user;
    unsigned epoch = conn->epoch;

    (void)watch;
    wsr_conn_enter(conn);
    if (conn->state == WSR_CONNECTING) {
        wsr_conn_connected(conn);
    } else if (conn->state == WSR_SECURING) {
        wsr_conn_secure(conn);
    } else {
        if (events & WS_HUB_READABLE)
            wsr_conn_read(conn);
        if (conn->epoch == epoch && (events & WS_HUB_WRITABLE)) {
            wsr_conn_flush(conn);
            wsr_conn_check_room(conn);
        }
    }
    wsr_conn_leave(conn);
}

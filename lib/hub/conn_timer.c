/*
 * conn_timer.c: the one timer of a connection. What it means follows from the
 * state: the handshake's end; the nearest of heartbeat, idle limit and a slow
 * client's grace; the end of patience with a close handshake.
 *
 * The heartbeat is lazy: received bytes only stamp last_rx_ms; when the timer
 * fires it looks how long the silence really is. So traffic costs nothing.
 *
 * Connections that fall silent together (made in one burst, or all answering
 * one message) must not be pinged together for ever after. So each has moments
 * of its own, half a heartbeat_ms apart, and is pinged at the last of them
 * within heartbeat_ms of silence: a burst is spread over half an interval, and
 * who stays silent is pinged once an interval.
 */
#include <limits.h>

#include "base/check.h"
#include "hub/conn.h"

static void arm(struct wsh_conn *conn, uint64_t at_ms)
{
    wsh_wheel_set(&conn->shard->wheel, &conn->timer, at_ms);
}

static const ws_hub_options *options(const struct wsh_conn *conn)
{
    return &conn->shard->hub->settings.o;
}

void wsh_conn_timer_handshake(struct wsh_conn *conn)
{
    arm(conn,
        wsh_shard_now_ms(conn->shard) + options(conn)->handshake_timeout_ms);
}

void wsh_conn_timer_close(struct wsh_conn *conn)
{
    arm(conn, wsh_shard_now_ms(conn->shard) + options(conn)->close_timeout_ms);
}

/* The deadlines of an open connection; UINT64_MAX: none. */

/* A moment at or before `latest`, less than `step` earlier. Slots are numbers
 * in a row: multiples of the golden ratio spread them evenly (Knuth, volume 3,
 * section 6.4). */
static uint64_t own_moment(const struct wsh_conn *conn, uint64_t latest,
                           uint64_t step)
{
    uint32_t slot = (uint32_t)(conn->id >> 32);
    uint64_t phase = (uint64_t)(slot * 2654435769u) * step >> 32;

    return latest - (latest + step - phase) % step;
}

static uint64_t heartbeat_at(const struct wsh_conn *conn)
{
    const ws_hub_options *o = options(conn);

    if (o->heartbeat_ms == UINT_MAX)
        return UINT64_MAX;
    if (conn->pinged_ms)
        return conn->pinged_ms + o->heartbeat_timeout_ms;
    return own_moment(conn, conn->last_rx_ms + o->heartbeat_ms,
                      WSH_MAX(o->heartbeat_ms / 2, 1u));
}

static uint64_t idle_at(const struct wsh_conn *conn)
{
    if (conn->subscribed || options(conn)->idle_timeout_ms == UINT_MAX)
        return UINT64_MAX;
    return conn->opened_ms + options(conn)->idle_timeout_ms;
}

static uint64_t grace_at(const struct wsh_conn *conn)
{
    return conn->grace_ms ? conn->grace_ms : UINT64_MAX;
}

void wsh_conn_timer_open(struct wsh_conn *conn)
{
    uint64_t at = WSH_MIN(heartbeat_at(conn), idle_at(conn));

    at = WSH_MIN(at, grace_at(conn));
    if (at == UINT64_MAX)
        wsh_wheel_cancel(&conn->shard->wheel, &conn->timer);
    else
        arm(conn, at);
}

static void ping(struct wsh_conn *conn, uint64_t now)
{
    conn->pinged_ms = now;
    wsh_count(&conn->shard->counters, WSH_C_PINGS, 1);
    (void)wsh_conn_control_frame(conn, WSH_OP_PING, NULL, 0);
}

static void open_fired(struct wsh_conn *conn)
{
    uint64_t now = wsh_shard_now_ms(conn->shard);

    if (now >= grace_at(conn)) {
        wsh_conn_fail(conn, WS_HUB_CAUSE_SLOW, 1013);
    } else if (now >= idle_at(conn)) {
        wsh_conn_close(conn, WS_HUB_CAUSE_IDLE, 1008, NULL, 0);
    } else if (now >= heartbeat_at(conn)) {
        if (conn->pinged_ms)
            wsh_conn_drop(conn, WS_HUB_CAUSE_HEARTBEAT);
        else
            ping(conn, now);
    }
    if (conn->state == WSH_CONN_OPEN)
        wsh_conn_timer_open(conn);
}

void wsh_conn_timer_fired(struct wsh_timer *timer, void *shard)
{
    struct wsh_conn *conn = WSH_CONTAINER(timer, struct wsh_conn, timer);

    (void)shard;
    switch ((enum wsh_conn_state)conn->state) {
    case WSH_CONN_HEAD:
    case WSH_CONN_DECIDING:
        wsh_conn_reject(conn, WS_HUB_REJECT_TIMEOUT);
        wsh_conn_drop(conn, WS_HUB_CAUSE_PEER_GONE);
        break;
    case WSH_CONN_OPEN:
        open_fired(conn);
        break;
    case WSH_CONN_CLOSING:
    case WSH_CONN_ENDING:
        if (conn->opened)
            wsh_count(&conn->shard->counters, WSH_C_CLOSE_TIMEOUTS, 1);
        wsh_conn_drop(conn, WS_HUB_CAUSE_PEER_GONE);
        break;
    }
}

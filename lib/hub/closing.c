/* closing.c: every way in which a connection ends (conn.h has the states). */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "ws_hub/error.h"

enum { NO_CODE = 1005 };

/* The first reason to end is the one that is told and counted. */
static void record(struct wsh_conn *conn, ws_hub_cause cause, unsigned code)
{
    if (conn->ended)
        return;
    conn->ended = true;
    conn->cause = (uint8_t)cause;
    conn->code = (uint16_t)code;
}

static void record_reason(struct wsh_conn *conn, const void *reason, size_t len)
{
    char *copy = len ? malloc(len) : NULL;

    if (!copy) /* without memory the text is lost, the code is not */
        return;
    memcpy(copy, reason, len);
    free(conn->reason);
    conn->reason = copy;
    conn->reason_len = (uint8_t)len;
}

static int queue_close_frame(struct wsh_conn *conn, unsigned code,
                             const char *reason, size_t len, bool urgent)
{
    uint8_t payload[WSH_CONTROL_MAX], frame[2 + WSH_CONTROL_MAX];
    size_t size = 0;
    struct wsh_block *block;

    if (code) {
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        if (len)
            memcpy(payload + 2, reason, len);
        size = 2 + len;
    }
    size = wsh_control_write(frame, WSH_OP_CLOSE, payload, size);
    block = wsh_block_control(frame, (uint32_t)size);
    if (!block) {
        wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        return WS_HUB_ENOMEM;
    }
    return wsh_conn_control(conn, block, urgent);
}

void wsh_conn_close(struct wsh_conn *conn, ws_hub_cause cause, unsigned code,
                    const char *reason, size_t reason_len)
{
    if (conn->state != WSH_CONN_OPEN)
        return;
    record(conn, cause, code);
    record_reason(conn, reason, reason_len);
    /* What is in open batches was published while it was subscribed: leaving
     * closes them, so it is queued ahead of the close frame. */
    wsh_conn_leave_all(conn);
    if (conn->state != WSH_CONN_OPEN) /* a callback was faster */
        return;
    if (queue_close_frame(conn, code, reason, reason_len, false))
        return;
    wsh_conn_set_state(conn, WSH_CONN_CLOSING);
    wsh_conn_timer_close(conn);
}

/*
 * A close frame, then FIN. What is queued goes out first, as long as the peer
 * takes it: it was said before. A peer that does not read gets the close frame
 * at the next frame boundary instead, and what waited is dropped.
 */
static void end_with(struct wsh_conn *conn, unsigned code)
{
    bool queued_already = conn->state == WSH_CONN_CLOSING;
    bool stuck = conn->blocked;

    wsh_conn_leave_all(conn);
    if (conn->state == WSH_CONN_ENDING)
        return;
    if (stuck)
        wsh_conn_discard(conn, wsh_outq_clear_messages(&conn->out));
    if (!queued_already && queue_close_frame(conn, code, NULL, 0, stuck))
        return;
    wsh_conn_set_state(conn, WSH_CONN_ENDING);
    wsh_conn_timer_close(conn);
    wsh_conn_touch(conn);
    if (wsh_outq_empty(&conn->out))
        wsh_conn_drained(conn);
}

void wsh_conn_fail(struct wsh_conn *conn, ws_hub_cause cause, unsigned code)
{
    if (conn->state != WSH_CONN_OPEN && conn->state != WSH_CONN_CLOSING)
        return;
    record(conn, cause, code);
    end_with(conn, code);
}

void wsh_conn_peer_close(struct wsh_conn *conn, const uint8_t *data, size_t len)
{
    unsigned code = len >= 2 ? (unsigned)(data[0] << 8 | data[1]) : NO_CODE;

    if (conn->state != WSH_CONN_OPEN && conn->state != WSH_CONN_CLOSING)
        return;
    record(conn, WS_HUB_CAUSE_PEER_CLOSE, code);
    conn->peer_closed = true;
    conn->code = (uint16_t)code;
    if (len > 2)
        record_reason(conn, data + 2, len - 2);
    /* RFC 6455 section 5.5.1: answer with the code that came. */
    end_with(conn, len >= 2 ? code : 0);
}

void wsh_conn_drop(struct wsh_conn *conn, ws_hub_cause cause)
{
    record(conn, cause, 0);
    if (conn->dropping)
        return;
    conn->dropping = true;
    if (conn->state < WSH_CONN_OPEN)
        wsh_conn_reject(conn, cause == WS_HUB_CAUSE_STOP
                                  ? WS_HUB_REJECT_STOPPING
                                  : WS_HUB_REJECT_GONE);
    wsh_conn_leave_all(conn);
    if (conn->state < WSH_CONN_ENDING)
        wsh_conn_set_state(conn, WSH_CONN_ENDING);
    conn->blocked = true; /* nothing more is written */
    wsh_list_remove(&conn->dirty);
    conn->shard->transport_ops->drop(conn->shard->transport, &conn->link);
}

void wsh_conn_drained(struct wsh_conn *conn)
{
    if (conn->state != WSH_CONN_ENDING || conn->shut || conn->dropping)
        return;
    conn->shut = true;
    conn->shard->transport_ops->shut(conn->shard->transport, &conn->link);
}

/* inbound.c: bytes from the transport to messages, by the connection's state.
 */
#include <string.h>

#include "base/check.h"
#include "hub/conn.h"

/*
 * Nobody has more of a turn than this: about 28 messages, or 256 frames that
 * are no messages. One read may bring hundreds of them, and everybody else
 * would wait until they are all done. What is left over waits in conn->rest,
 * with reading off, for a next turn, which comes at once: a few connections
 * each turn, in their order, so that many together take no more of it.
 */
enum { TURN_BUDGET = 256, CAUGHT_UP_PER_TURN = 4 };

static bool within_rate(struct wsh_conn *conn, size_t len)
{
    const ws_hub_options *o = &conn->shard->hub->settings.o;

    return (o->max_inbound_messages == UINT32_MAX &&
            o->max_inbound_bytes == UINT32_MAX) ||
           wsh_rate_take(&conn->rate, o->max_inbound_messages,
                         o->max_inbound_bytes, len,
                         wsh_shard_now_ms(conn->shard) * 1000);
}

/* Who never listens to `rate` is shown out. */
static void over_rate(struct wsh_conn *conn, bool message)
{
    uint64_t grace = conn->shard->hub->settings.o.rate_grace_ms;

    if (message && conn->mode == WS_HUB_MODE_JSON)
        wsh_json_rate(conn);
    else
        wsh_count(&conn->shard->counters, WSH_C_REFUSED + WS_HUB_REFUSE_RATE,
                  1);
    if (wsh_rate_refused(&conn->rate, wsh_shard_now_ms(conn->shard) * 1000,
                         grace * 1000))
        wsh_conn_fail(conn, WS_HUB_CAUSE_RATE, 1008);
}

/* Nobody has more say than the rate allows, and a client that does not take
 * what it is sent has none (article). */
static bool admitted(struct wsh_conn *conn, size_t len)
{
    if (!within_rate(conn, len)) {
        over_rate(conn, true);
        return false;
    }
    if (!conn->slow)
        return true;
    wsh_count(&conn->shard->counters, WSH_C_REFUSED + WS_HUB_REFUSE_SLOW_CLIENT,
              1);
    return false;
}

static bool on_message(void *arg, enum wsh_opcode opcode, uint8_t *data,
                       size_t len)
{
    struct wsh_conn *conn = arg;
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;

    if (conn->state != WSH_CONN_OPEN) /* closing: only its close frame counts */
        return conn->state == WSH_CONN_CLOSING;
    wsh_count(&conn->shard->counters, WSH_C_RECEIVED, 1);
    if (!admitted(conn, len))
        return conn->state < WSH_CONN_ENDING;
    if (conn->mode == WS_HUB_MODE_JSON)
        wsh_json_message(conn, opcode, data, len);
    else if (callbacks->on_message)
        callbacks->on_message(hub->handle, wsh_conn_handle(conn),
                              opcode == WSH_OP_TEXT ? WS_HUB_TEXT
                                                    : WS_HUB_BINARY,
                              data, len, hub->settings.o.user);
    return conn->state < WSH_CONN_ENDING;
}

static bool on_control(void *arg, enum wsh_opcode opcode, uint8_t *data,
                       size_t len)
{
    struct wsh_conn *conn = arg;

    if (opcode == WSH_OP_CLOSE)
        wsh_conn_peer_close(conn, data, len);
    else if (conn->state == WSH_CONN_OPEN && !within_rate(conn, len))
        over_rate(conn, false);
    else if (opcode == WSH_OP_PING && conn->state == WSH_CONN_OPEN)
        wsh_conn_pong(conn, data, len);
    return conn->state < WSH_CONN_ENDING;
}

static const struct wsh_decoder_sink sink = {
    .message = on_message,
    .control = on_control,
};

static void broken(struct wsh_conn *conn, enum wsh_decode_error error)
{
    switch (error) {
    case WSH_DECODE_OK:
    case WSH_DECODE_STOPPED:
        break;
    case WSH_DECODE_PROTOCOL:
        wsh_conn_fail(conn, WS_HUB_CAUSE_PROTOCOL_ERROR, 1002);
        break;
    case WSH_DECODE_UTF8:
        wsh_conn_fail(conn, WS_HUB_CAUSE_BAD_UTF8, 1007);
        break;
    case WSH_DECODE_TOO_LARGE:
        wsh_conn_fail(conn, WS_HUB_CAUSE_TOO_LARGE, 1009);
        break;
    case WSH_DECODE_FRAGMENTS:
        wsh_conn_fail(conn, WS_HUB_CAUSE_FRAGMENTS, 1008);
        break;
    case WSH_DECODE_NO_MEMORY:
        wsh_conn_fail(conn, WS_HUB_CAUSE_NO_MEMORY, 1011);
        break;
    }
}

static void heard(struct wsh_conn *conn)
{
    conn->last_rx_ms = wsh_shard_now_ms(conn->shard);
    if (!conn->pinged_ms)
        return;
    conn->pinged_ms = 0; /* any frame is an answer */
    if (conn->state == WSH_CONN_OPEN)
        wsh_conn_timer_open(conn);
}

/* Bytes that were not decoded, 0 after an error. */
static size_t decode(struct wsh_conn *conn, uint8_t *data, size_t len)
{
    struct wsh_decoder_input input = {data, len, TURN_BUDGET};
    enum wsh_decode_error error = wsh_decoder_take(
        &conn->decoder, &conn->shard->hub->decoder_limits, &input, &sink, conn);

    broken(conn, error);
    return error || conn->state >= WSH_CONN_ENDING ? 0 : input.len;
}

static void read_enable(struct wsh_conn *conn, bool on)
{
    struct wsh_shard *shard = conn->shard;

    shard->transport_ops->read_enable(shard->transport, &conn->link, on);
}

static bool set_aside(struct wsh_conn *conn, const uint8_t *data, size_t len)
{
    if (!wsh_buf_append(&conn->rest, data, len))
        return true;
    wsh_conn_fail(conn, WS_HUB_CAUSE_NO_MEMORY, 1011);
    return false;
}

static void decode_or_wait(struct wsh_conn *conn, uint8_t *data, size_t len)
{
    size_t left;

    /* What was read before reading went off, as TLS may do, keeps its place. */
    if (!wsh_list_empty(&conn->behind)) {
        (void)set_aside(conn, data, len);
        return;
    }
    left = decode(conn, data, len);
    if (left == 0 || !set_aside(conn, data + len - left, left))
        return;
    wsh_list_push(&conn->shard->behind, &conn->behind);
    read_enable(conn, false);
}

static void catch_up(struct wsh_conn *conn)
{
    struct wsh_buf rest = conn->rest;
    size_t at = conn->rest_at, left = 0;

    memset(&conn->rest, 0, sizeof conn->rest);
    conn->rest_at = 0;
    if (conn->state < WSH_CONN_ENDING) {
        heard(conn);
        left = decode(conn, rest.data + at, rest.len - at);
    }
    if (left > 0) {
        conn->rest = rest;
        conn->rest_at = (uint32_t)(rest.len - left);
        wsh_list_push(&conn->shard->behind, &conn->behind);
        return;
    }
    wsh_buf_fini(&rest);
    if (!conn->dropping)
        read_enable(conn, true);
}

void wsh_shard_catch_up(struct wsh_shard *shard)
{
    const struct wsh_list *last = shard->behind.prev;
    unsigned n = 0;

    /* Those who are still behind join the list's end, behind `last`. */
    while (n++ < CAUGHT_UP_PER_TURN && !wsh_list_empty(&shard->behind)) {
        struct wsh_conn *conn =
            WSH_LIST_FIRST(&shard->behind, struct wsh_conn, behind);

        wsh_list_remove(&conn->behind);
        catch_up(conn);
        if (&conn->behind == last)
            return;
    }
}

void wsh_conn_received(struct wsh_conn *conn, uint8_t *data, size_t len)
{
    heard(conn);
    switch ((enum wsh_conn_state)conn->state) {
    case WSH_CONN_HEAD:
    case WSH_CONN_DECIDING:
        wsh_conn_head(conn, data, len);
        break;
    case WSH_CONN_OPEN:
    case WSH_CONN_CLOSING:
        decode_or_wait(conn, data, len);
        break;
    case WSH_CONN_ENDING:
        break;
    }
}

#include "hub/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "ws_hub/error.h"

/* Why it must not begin: a ws_hub_reject, or -1. */
static int count_in(struct wsh_conn *conn)
{
    struct wsh_hub *hub = conn->shard->hub;
    unsigned limit = hub->settings.o.max_connections_per_ip;
    int error;

    if (limit != UINT32_MAX) {
        error = wsh_ip_table_join(&hub->ips, &conn->peer, limit);
        if (error)
            return error == WS_HUB_ELIMIT ? WS_HUB_REJECT_PER_IP
                                          : WS_HUB_REJECT_REJECT_NO_MEMORY;
        conn->counted = true;
    }
    conn->id = wsh_conn_table_add(&conn->shard->table, conn);
    if (conn->id)
        return -1;
    if (conn->counted)
        wsh_ip_table_leave(&hub->ips, &conn->peer);
    return WS_HUB_REJECT_REJECT_NO_MEMORY;
}

struct wsh_conn *wsh_conn_create(struct wsh_shard *shard,
                                 const struct wsh_peer *peer)
{
    struct wsh_counters *counters = &shard->counters;
    struct wsh_conn *conn = shard->stopping ? NULL : calloc(1, sizeof *conn);
    int reject = shard->stopping ? WS_HUB_REJECT_STOPPING
                                 : WS_HUB_REJECT_REJECT_NO_MEMORY;

    wsh_count(counters, WSH_C_ACCEPTED, 1);
    if (conn) {
        conn->shard = shard;
        conn->peer = *peer;
        reject = count_in(conn);
    }
    if (reject >= 0) {
        wsh_count(counters, WSH_C_REJECTED + (unsigned)reject, 1);
        free(conn);
        return NULL;
    }
    conn->last_rx_ms = wsh_shard_now_ms(shard);
    wsh_outq_init(&conn->out);
    wsh_decoder_init(&conn->decoder);
    wsh_list_init(&conn->dirty);
    wsh_list_init(&conn->node);
    wsh_list_init(&conn->waiting_attention);
    wsh_list_init(&conn->behind);
    wsh_timer_init(&conn->timer);
    wsh_list_push(&shard->conns, &conn->node);
    atomic_fetch_add_explicit(&shard->links, 1, memory_order_relaxed);
    wsh_count(counters, WSH_C_HANDSHAKING, 1);
    wsh_conn_timer_handshake(conn);
    return conn;
}

struct wsh_conn *wsh_conn_find(const struct wsh_shard *shard,
                               ws_hub_conn handle)
{
    return wsh_conn_table_find(&shard->table, handle.id);
}

void wsh_conn_set_state(struct wsh_conn *conn, enum wsh_conn_state state)
{
    /* Forward only: see the picture in conn.h. */
    WSH_ASSERT(state > conn->state);
    conn->state = (uint8_t)state;
}

static void say_goodbye(struct wsh_conn *conn)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
#define SIDE(name, side, text) WS_HUB_SIDE_##side,
    static const ws_hub_side side[] = {WS_HUB_CAUSE_MAP(SIDE)};
#undef SIDE
    ws_hub_close_info info = {
        .struct_size = sizeof info,
        .code = conn->code ? conn->code : 1006,
        .reason = conn->reason ? conn->reason : "",
        .reason_len = conn->reason_len,
        .side = side[conn->cause],
        .cause = (ws_hub_cause)conn->cause,
    };

    wsh_uncount(&conn->shard->counters, WSH_C_OPEN, 1);
    wsh_count(&conn->shard->counters, WSH_C_CLOSED + conn->cause, 1);
    if (callbacks->on_close)
        callbacks->on_close(hub->handle, wsh_conn_handle(conn), &info,
                            hub->settings.o.user);
}

static void check_idle(struct wsh_shard *shard)
{
    void (*on_idle)(void *) = shard->on_idle;

    if (!shard->stopping || !on_idle || !wsh_list_empty(&shard->conns))
        return;
    shard->on_idle = NULL;
    on_idle(shard->on_idle_arg);
}

void wsh_conn_destroy(struct wsh_conn *conn)
{
    struct wsh_shard *shard = conn->shard;

    if (!conn->ended) {
        conn->ended = true;
        conn->cause = WS_HUB_CAUSE_PEER_GONE;
    }
    if (conn->state < WSH_CONN_OPEN)
        wsh_conn_reject(conn, WS_HUB_REJECT_GONE);
    if (conn->state < WSH_CONN_ENDING)
        wsh_conn_set_state(conn, WSH_CONN_ENDING);
    wsh_conn_leave_all(conn);
    wsh_conn_discard(conn, wsh_outq_clear(&conn->out));
    if (conn->opened)
        say_goodbye(conn);
    wsh_list_remove(&conn->dirty);
    wsh_list_remove(&conn->waiting_attention);
    wsh_list_remove(&conn->behind);
    wsh_list_remove(&conn->node);
    if (conn->slow)
        wsh_uncount(&shard->counters, WSH_C_SLOW, 1);
    wsh_wheel_cancel(&shard->wheel, &conn->timer);
    wsh_conn_table_remove(&shard->table, conn->id);
    if (conn->counted)
        wsh_ip_table_leave(&shard->hub->ips, &conn->peer);
    wsh_decoder_fini(&conn->decoder);
    wsh_buf_fini(&conn->head);
    wsh_buf_fini(&conn->rest);
    free(conn->subs);
    free(conn->reason);
    free(conn->user_id);
    free(conn);
    atomic_fetch_sub_explicit(&shard->links, 1, memory_order_relaxed);
    check_idle(shard);
}

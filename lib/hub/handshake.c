/*
 * handshake.c: from the first byte to an open connection, a refusal, or an HTTP
 * answer.
 *
 * Nearly every head arrives in one piece and is parsed where it lies; only an
 * incomplete or undecided one is copied to conn->head.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "hub/conn.h"
#include "protocol/upgrade.h"
#include "ws_hub/error.h"

void wsh_conn_reject(struct wsh_conn *conn, ws_hub_reject reject)
{
    struct wsh_counters *counters = &conn->shard->counters;

    if (conn->state >= WSH_CONN_OPEN)
        return;
    wsh_uncount(counters, WSH_C_HANDSHAKING, 1);
    wsh_count(counters, WSH_C_REJECTED + reject, 1);
    wsh_conn_set_state(conn, WSH_CONN_ENDING);
}

/* Queue an answer after which the connection ends. */
static void answer_and_end(struct wsh_conn *conn, struct wsh_block *block)
{
    if (!block) {
        wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        return;
    }
    wsh_conn_timer_close(conn);
    (void)wsh_conn_control(conn, block, false);
}

static void read_later(struct wsh_conn *conn, bool on)
{
    conn->shard->transport_ops->read_enable(conn->shard->transport, &conn->link,
                                            on);
}

void wsh_conn_refuse(struct wsh_conn *conn, int status, ws_hub_reject reject)
{
    char answer[WSH_ANSWER_MAX];
    size_t len = wsh_http_refusal(answer, status,
                                  conn->shard->hub->settings.o.retry_after_s);

    if (conn->state >= WSH_CONN_OPEN)
        return;
    if (conn->state == WSH_CONN_DECIDING) /* its EOF is waited for */
        read_later(conn, true);
    wsh_conn_reject(conn, reject);
    answer_and_end(conn, wsh_block_control(answer, (uint32_t)len));
}

static void format_peer(const struct wsh_peer *peer, char to[64])
{
    char address[INET6_ADDRSTRLEN] = "?";

    switch (peer->family) {
    case AF_INET:
        inet_ntop(AF_INET, peer->addr, address, sizeof address);
        snprintf(to, 64, "%s:%u", address, peer->port);
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, peer->addr, address, sizeof address);
        snprintf(to, 64, "[%s]:%u", address, peer->port);
        break;
    case AF_UNIX:
        snprintf(to, 64, "unix");
        break;
    default:
        snprintf(to, 64, "unknown");
    }
}

static void serve_http(struct wsh_conn *conn, const ws_hub_request *request)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    ws_hub_response response = {
        .conn = conn,
        .head_only = wsh_view_is(request->head.method, "HEAD"),
    };

    wsh_uncount(&conn->shard->counters, WSH_C_HANDSHAKING, 1);
    wsh_count(&conn->shard->counters, WSH_C_HTTP, 1);
    wsh_conn_set_state(conn, WSH_CONN_ENDING);
    if (callbacks->on_http)
        callbacks->on_http(hub->handle, request, &response,
                           hub->settings.o.user);
    if (!response.answered)
        (void)ws_hub_respond(&response, 404, NULL, NULL, 0);
}

int ws_hub_respond(ws_hub_response *response, int status, const char *headers,
                   const void *body, size_t body_len)
{
    struct wsh_conn *conn;
    struct wsh_block *block;
    char head[192];
    size_t len, more = headers ? strlen(headers) : 0, sent;

    if (!response || status < 200 || status > 599 || (!body && body_len) ||
        body_len > 1u << 30 || more > 1u << 20)
        return WS_HUB_EINVAL;
    if (response->answered)
        return WS_HUB_ESTATE;
    conn = response->conn;
    sent = response->head_only || status == 304 ? 0 : body_len;
    len = (size_t)snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n"
                           "Connection: close\r\n",
                           status, wsh_http_phrase(status), body_len);
    block = wsh_block_create((uint32_t)(len + more + 2 + sent));
    response->answered = true;
    if (block) {
        memcpy(block->data, head, len);
        if (more)
            memcpy(block->data + len, headers, more);
        memcpy(block->data + len + more, "\r\n", 2);
        if (sent)
            memcpy(block->data + len + more + 2, body, sent);
        block->len = (uint32_t)(len + more + 2 + sent);
    }
    answer_and_end(conn, block);
    return block ? 0 : WS_HUB_ENOMEM;
}

static void open_conn(struct wsh_conn *conn, const ws_hub_request *request)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    bool json = wsh_upgrade_offers_json(&request->head);
    char answer[WSH_ANSWER_MAX];
    size_t len = wsh_upgrade_answer(answer, &request->head, json);
    struct wsh_block *block = wsh_block_control(answer, (uint32_t)len);

    if (!block) {
        wsh_conn_reject(conn, WS_HUB_REJECT_REJECT_NO_MEMORY);
        wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
        return;
    }
    wsh_uncount(&conn->shard->counters, WSH_C_HANDSHAKING, 1);
    wsh_count(&conn->shard->counters, WSH_C_OPENED, 1);
    wsh_count(&conn->shard->counters, WSH_C_OPEN, 1);
    wsh_conn_set_state(conn, WSH_CONN_OPEN);
    conn->opened = true;
    conn->mode =
        json ? WS_HUB_MODE_JSON : (uint8_t)hub->settings.o.default_mode;
    conn->opened_ms = wsh_shard_now_ms(conn->shard);
    wsh_conn_timer_open(conn);
    /* Urgent, so that no pong can pass the answer. */
    if (wsh_conn_control(conn, block, true))
        return;
    if (conn->mode == WS_HUB_MODE_JSON)
        wsh_json_welcome(conn);
    if (callbacks->on_open)
        callbacks->on_open(hub->handle, wsh_conn_handle(conn), request,
                           hub->settings.o.user);
}

static void ask_host(struct wsh_conn *conn, const ws_hub_request *request)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    int verdict = 0;

    if (callbacks->may_connect)
        verdict = callbacks->may_connect(hub->handle, wsh_conn_handle(conn),
                                         request, hub->settings.o.user);
    if (conn->state != WSH_CONN_HEAD) /* decided or closed inside */
        return;
    if (verdict == 0)
        open_conn(conn, request);
    else if (verdict == WS_HUB_EAGAIN)
        wsh_conn_set_state(conn, WSH_CONN_DECIDING);
    else if (verdict >= 400 && verdict <= 599)
        wsh_conn_refuse(conn, verdict, WS_HUB_REJECT_FORBIDDEN);
    else
        wsh_conn_refuse(conn, 500, WS_HUB_REJECT_FORBIDDEN);
}

static void handle_head(struct wsh_conn *conn, const uint8_t *data, size_t len)
{
    ws_hub_request request;
    int status = wsh_head_parse(data, len, &request.head);

    if (status) {
        wsh_conn_refuse(conn, status, WS_HUB_REJECT_BAD_REQUEST);
        return;
    }
    format_peer(&conn->peer, request.peer);
    if (!wsh_upgrade_wanted(&request.head)) {
        serve_http(conn, &request);
        return;
    }
    status = wsh_upgrade_check(&request.head);
    if (status)
        wsh_conn_refuse(conn, status, WS_HUB_REJECT_BAD_UPGRADE);
    else
        ask_host(conn, &request);
}

/* Keep the bytes until the head is complete, or until the host has decided. */
static bool keep(struct wsh_conn *conn, const uint8_t *data, size_t len)
{
    if (!wsh_buf_append(&conn->head, data, len))
        return true;
    wsh_conn_reject(conn, WS_HUB_REJECT_REJECT_NO_MEMORY);
    wsh_conn_drop(conn, WS_HUB_CAUSE_NO_MEMORY);
    return false;
}

/* data is the stream from its start; `seen` of it was looked at before. */
static void take_head(struct wsh_conn *conn, uint8_t *data, size_t len,
                      size_t seen)
{
    size_t limit = conn->shard->hub->settings.o.max_header_bytes;
    size_t end = wsh_head_end(data, len, seen);
    bool kept = data == conn->head.data;

    if ((end ? end : len) > limit) {
        wsh_conn_refuse(conn, 431, WS_HUB_REJECT_BAD_REQUEST);
        return;
    }
    if (!end) {
        if (!kept)
            (void)keep(conn, data, len);
        return;
    }
    handle_head(conn, data, end);
    if (conn->state == WSH_CONN_DECIDING) {
        if (kept || keep(conn, data, len))
            read_later(conn, false);
    } else if (len > end) {
        wsh_conn_received(conn, data + end, len - end);
    }
}

void wsh_conn_head(struct wsh_conn *conn, uint8_t *data, size_t len)
{
    struct wsh_buf head;
    size_t seen = conn->head.len;

    if (conn->state == WSH_CONN_DECIDING || seen) {
        if (!keep(conn, data, len) || conn->state == WSH_CONN_DECIDING)
            return;
        take_head(conn, conn->head.data, conn->head.len, seen);
    } else {
        take_head(conn, data, len, 0);
    }
    if (conn->state < WSH_CONN_OPEN)
        return;
    head = conn->head;
    memset(&conn->head, 0, sizeof conn->head);
    wsh_buf_fini(&head);
}

void wsh_conn_decide(struct wsh_conn *conn, int status)
{
    struct wsh_buf head = conn->head;
    size_t end = wsh_head_end(head.data, head.len, 0);
    ws_hub_request request;

    WSH_ASSERT(conn->state == WSH_CONN_DECIDING && end);
    memset(&conn->head, 0, sizeof conn->head);
    read_later(conn, true);
    if (status) {
        wsh_conn_refuse(conn, status, WS_HUB_REJECT_FORBIDDEN);
    } else {
        (void)wsh_head_parse(head.data, end, &request.head); /* it was valid */
        format_peer(&conn->peer, request.peer);
        open_conn(conn, &request);
        if (head.len > end && conn->state >= WSH_CONN_OPEN)
            wsh_conn_received(conn, head.data + end, head.len - end);
    }
    wsh_buf_fini(&head);
}

/*
 * conn_api.c: the public calls on connections. On the connection's loop they
 * act at once; from elsewhere they become a task for it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "protocol/channel_name.h"
#include "protocol/utf8.h"
#include "ws_hub/error.h"

enum verb { SEND, CLOSE, SUBSCRIBE, UNSUBSCRIBE, DECIDE };

/* One call, as it travels. `bytes` follow in the same allocation. */
struct call {
    struct wsh_task task;
    ws_hub_conn handle;
    enum verb verb;
    int number; /* opcode, close code or status */
    size_t len;
    char bytes[];
};

static int do_send(struct wsh_conn *conn, int opcode, const void *data,
                   size_t len)
{
    if (conn->state != WSH_CONN_OPEN)
        return WS_HUB_ENOENT;
    return wsh_conn_send(conn, (enum wsh_opcode)opcode, data, len);
}

static int do_close(struct wsh_conn *conn, int code, const char *reason,
                    size_t len)
{
    if (code == 0 || conn->state < WSH_CONN_OPEN)
        wsh_conn_drop(conn, WS_HUB_CAUSE_HOST_CLOSE);
    else
        wsh_conn_close(conn, WS_HUB_CAUSE_HOST_CLOSE, (unsigned)code, reason,
                       len);
    return 0;
}

static int do_subscribe(struct wsh_conn *conn, const char *name, size_t len)
{
    struct wsh_view no_id = {NULL, 0};

    if (conn->state != WSH_CONN_OPEN)
        return WS_HUB_ENOENT;
    return wsh_conn_subscribe(conn, name, len, no_id);
}

static int do_decide(struct wsh_conn *conn, int status)
{
    if (conn->state != WSH_CONN_DECIDING)
        return WS_HUB_ENOENT;
    wsh_conn_decide(conn, status);
    return 0;
}

static int act(struct wsh_shard *shard, ws_hub_conn handle, enum verb verb,
               int number, const void *bytes, size_t len)
{
    struct wsh_conn *conn = wsh_conn_find(shard, handle);

    if (!conn)
        return WS_HUB_ENOENT;
    switch (verb) {
    case SEND:
        return do_send(conn, number, bytes, len);
    case CLOSE:
        return do_close(conn, number, bytes, len);
    case SUBSCRIBE:
        return do_subscribe(conn, bytes, len);
    case UNSUBSCRIBE:
        return wsh_conn_unsubscribe(conn, bytes, len);
    case DECIDE:
        return do_decide(conn, number);
    }
    return WS_HUB_EINVAL;
}

/* A subscribe of another thread always ends in on_subscribed. */
static void report_failure(struct wsh_shard *shard, const struct call *call,
                           int error)
{
    struct wsh_hub *hub = shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;

    if (call->verb == SUBSCRIBE && callbacks->on_subscribed)
        callbacks->on_subscribed(hub->handle, call->handle, call->bytes,
                                 call->len, error, hub->settings.o.user);
}

static void call_arrives(struct wsh_shard *shard, struct wsh_task *task,
                         bool canceled)
{
    struct call *call = WSH_CONTAINER(task, struct call, task);
    int error = canceled ? WS_HUB_ECANCELED
                         : act(shard, call->handle, call->verb, call->number,
                               call->bytes, call->len);

    if (error)
        report_failure(shard, call, error);
    free(call);
}

static int post(struct wsh_shard *shard, ws_hub_conn handle, enum verb verb,
                int number, const void *bytes, size_t len)
{
    struct call *call = malloc(sizeof *call + len);
    int error;

    if (!call)
        return WS_HUB_ENOMEM;
    *call = (struct call){.task = {.run = call_arrives},
                          .handle = handle,
                          .verb = verb,
                          .number = number,
                          .len = len};
    if (verb == SEND)
        call->task.bytes = sizeof *call + len;
    if (len)
        memcpy(call->bytes, bytes, len);
    error = wsh_shard_post(shard, &call->task);
    if (error)
        free(call);
    /* The shard has ended, and its connections with it. */
    return error == WS_HUB_ESTATE ? WS_HUB_ENOENT : error;
}

/* NULL: no such shard, or its start failed. */
static struct wsh_shard *shard_of(const struct wsh_hub *hub, ws_hub_conn conn)
{
    unsigned index = wsh_conn_id_shard(conn.id);

    return conn.id && index < hub->shard_count ? hub->shards[index] : NULL;
}

static int call(ws_hub *handle, ws_hub_conn conn, enum verb verb, int number,
                const void *bytes, size_t len)
{
    struct wsh_shard *shard = shard_of(wsh_hub_of(handle), conn);

    if (!shard)
        return WS_HUB_ENOENT;
    if (wsh_shard_here(shard))
        return act(shard, conn, verb, number, bytes, len);
    return post(shard, conn, verb, number, bytes, len);
}

int ws_hub_send(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                const void *data, size_t len)
{
    if (!hub || (!data && len) || len > 1u << 30 || type < WS_HUB_TEXT ||
        type > WS_HUB_JSON)
        return WS_HUB_EINVAL;
    if (type != WS_HUB_BINARY && !wsh_utf8_valid(data, len))
        return WS_HUB_EINVAL;
    return call(hub, conn, SEND,
                type == WS_HUB_BINARY ? WSH_OP_BINARY : WSH_OP_TEXT, data, len);
}

int ws_hub_close(ws_hub *hub, ws_hub_conn conn, unsigned code,
                 const char *reason, size_t reason_len)
{
    if (!hub || (!reason && reason_len) || reason_len > WSH_CONTROL_MAX - 2)
        return WS_HUB_EINVAL;
    if ((code && !wsh_close_code_valid(code)) ||
        !wsh_utf8_valid(reason, reason_len))
        return WS_HUB_EINVAL;
    return call(hub, conn, CLOSE, (int)code, reason, reason_len);
}

static bool name_ok(const char *channel, size_t len)
{
    return channel && wsh_channel_name_valid(channel, len);
}

int ws_hub_subscribe(ws_hub *hub, ws_hub_conn conn, const char *channel,
                     size_t channel_len)
{
    if (!hub || !name_ok(channel, channel_len))
        return WS_HUB_EINVAL;
    return call(hub, conn, SUBSCRIBE, 0, channel, channel_len);
}

int ws_hub_unsubscribe(ws_hub *hub, ws_hub_conn conn, const char *channel,
                       size_t channel_len)
{
    if (!hub || !name_ok(channel, channel_len))
        return WS_HUB_EINVAL;
    return call(hub, conn, UNSUBSCRIBE, 0, channel, channel_len);
}

int ws_hub_decide(ws_hub *hub, ws_hub_conn conn, int status)
{
    if (!hub || (status != 0 && (status < 400 || status > 599)))
        return WS_HUB_EINVAL;
    return call(hub, conn, DECIDE, status, NULL, 0);
}

/* What only makes sense on the connection's own loop. */
static struct wsh_conn *find_here(ws_hub *handle, ws_hub_conn conn)
{
    struct wsh_shard *shard = shard_of(wsh_hub_of(handle), conn);

    return shard && wsh_shard_here(shard) ? wsh_conn_find(shard, conn) : NULL;
}

void *ws_hub_conn_user(ws_hub *hub, ws_hub_conn handle)
{
    struct wsh_conn *conn = hub ? find_here(hub, handle) : NULL;

    return conn ? conn->user : NULL;
}

int ws_hub_conn_set_user(ws_hub *hub, ws_hub_conn handle, void *user)
{
    struct wsh_conn *conn = hub ? find_here(hub, handle) : NULL;

    if (!conn)
        return WS_HUB_ENOENT;
    conn->user = user;
    return 0;
}

int ws_hub_conn_set_rights(ws_hub *hub, ws_hub_conn handle, unsigned rights)
{
    struct wsh_conn *conn = hub ? find_here(hub, handle) : NULL;

    if (!conn)
        return WS_HUB_ENOENT;
    conn->rights = (uint8_t)(rights & WS_HUB_RIGHT_CRITICAL);
    return 0;
}

int ws_hub_conn_set_user_id(ws_hub *hub, ws_hub_conn handle, const char *id,
                            size_t len)
{
    struct wsh_conn *conn = hub ? find_here(hub, handle) : NULL;
    char *copy = NULL;

    if ((!id && len) || len > 255 || !wsh_utf8_valid(id, len))
        return WS_HUB_EINVAL;
    if (!conn)
        return WS_HUB_ENOENT;
    if (len) {
        copy = strndup(id, len);
        if (!copy)
            return WS_HUB_ENOMEM;
    }
    free(conn->user_id);
    conn->user_id = copy;
    return 0;
}

const char *ws_hub_conn_user_id(ws_hub *hub, ws_hub_conn handle)
{
    struct wsh_conn *conn = hub ? find_here(hub, handle) : NULL;

    return conn ? conn->user_id : NULL;
}

int ws_hub_conn_get_stats(ws_hub *hub, ws_hub_conn handle,
                          ws_hub_conn_stats *stats)
{
    struct wsh_conn *conn;
    ws_hub_conn_stats full = {0};

    if (!hub || !stats || stats->struct_size < sizeof(size_t))
        return WS_HUB_EINVAL;
    conn = find_here(hub, handle);
    if (!conn)
        return WS_HUB_ENOENT;
    full.struct_size = stats->struct_size;
    full.offered = conn->offered;
    full.delivered = conn->delivered;
    full.dropped = conn->dropped;
    full.pending = conn->out.messages;
    full.pending_bytes = conn->out.bytes;
    full.slow = conn->slow;
    memcpy(stats, &full, WSH_MIN(stats->struct_size, sizeof full));
    return 0;
}

static const char *give(struct wsh_view view, size_t *len)
{
    if (len)
        *len = view.len;
    return view.data;
}

const char *ws_hub_request_path(const ws_hub_request *request, size_t *len)
{
    return give(request->head.path, len);
}

const char *ws_hub_request_query(const ws_hub_request *request, size_t *len)
{
    return give(request->head.query, len);
}

const char *ws_hub_request_method(const ws_hub_request *request, size_t *len)
{
    return give(request->head.method, len);
}

const char *ws_hub_request_header(const ws_hub_request *request,
                                  const char *name_cstr, size_t *len)
{
    return give(wsh_head_find(&request->head, name_cstr), len);
}

const char *ws_hub_request_peer(const ws_hub_request *request)
{
    return request->peer;
}

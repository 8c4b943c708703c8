/* rig_client.c: the clients of a rig, the host's callbacks and its calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault/rig.h"
#include "ws_hub/error.h"

enum { WINDOW = 10000 };

static struct rig *rig_of(ws_hub *hub)
{
    return (struct rig *)(void *)hub;
}

/* Callbacks: all of them are outside of the library again. */

static struct rig_client *client_of(struct rig *rig, ws_hub_conn conn)
{
    struct wsh_conn *found = wsh_conn_find(rig->current->shard, conn);

    RIG_CHECK(found);
    return WSH_CONTAINER(found->link.impl, struct rig_client, end);
}

static bool path_is(const ws_hub_request *request, const char *path)
{
    size_t len;
    const char *at = ws_hub_request_path(request, &len);

    return len == strlen(path) && memcmp(at, path, len) == 0;
}

static int may_connect(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user)
{
    bool before = alloc_outside(true);
    int verdict = 0, error;

    (void)user;
    client_of(rig_of(hub), conn)->conn = conn;
    IN_LIBRARY(error = ws_hub_conn_set_user_id(hub, conn, "someone", 7));
    RIG_CHECK(!error || error == WS_HUB_ENOMEM);
    if (path_is(request, "/no"))
        verdict = 403;
    else if (path_is(request, "/later"))
        verdict = WS_HUB_EAGAIN;
    (void)alloc_outside(before);
    return verdict;
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct rig_client *client = client_of(rig_of(hub), conn);

    (void)request;
    (void)user;
    RIG_CHECK(!client->opened && client->conn.id == conn.id);
    client->opened = true;
    client->rig->opened++;
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    bool before = alloc_outside(true);

    (void)user;
    rig_send(client_of(rig_of(hub), conn), type, data, len);
    (void)alloc_outside(before);
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct rig_client *client = client_of(rig_of(hub), conn);

    (void)info;
    (void)user;
    RIG_CHECK(client->opened && !client->gone);
    client->gone = true;
    client->rig->closed++;
}

static int may_subscribe(ws_hub *hub, ws_hub_conn conn, const char *channel,
                         size_t len, void *user)
{
    (void)hub;
    (void)conn;
    (void)user;
    return len == 6 && memcmp(channel, "secret", 6) == 0 ? WS_HUB_EFORBIDDEN
                                                         : 0;
}

static int may_publish(ws_hub *hub, ws_hub_conn conn, const char *channel,
                       size_t len, const void *data, size_t data_len,
                       void *user)
{
    (void)data;
    (void)data_len;
    return may_subscribe(hub, conn, channel, len, user);
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t len, int status, void *user)
{
    struct rig *rig = rig_of(hub);
    struct wsh_conn *found = wsh_conn_find(rig->current->shard, conn);

    (void)user;
    RIG_CHECK(!status || !rig->strict);
    if (found && len == 4 && memcmp(channel, "news", 4) == 0)
        client_of(rig, conn)->on_news = !status;
    /* Not found: a call from another thread came too late. */
    if (!found || found->mode == WS_HUB_MODE_RAW)
        rig->told++;
}

static void on_http(ws_hub *hub, const ws_hub_request *request,
                    ws_hub_response *response, void *user)
{
    bool before = alloc_outside(true);
    int error = 0;

    (void)user;
    rig_of(hub)->http++;
    if (path_is(request, "/page"))
        IN_LIBRARY(error = ws_hub_respond(response, 200, "X-Test: 1\r\n",
                                          "a page", 6));
    RIG_CHECK(!error || (alloc_failed() && error == WS_HUB_ENOMEM));
    (void)alloc_outside(before);
}

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t len, uint64_t missed, void *user)
{
    bool before = alloc_outside(true);
    struct rig_client *client = client_of(rig_of(hub), conn);

    (void)channel;
    (void)len;
    (void)user;
    client->gaps++;
    if (missed !=
        UINT64_MAX) /* the broker was away: nothing that was offered */
        client->missed += missed;
    if (client->rig->echo_gaps && client->rig->echo_gaps--)
        rig_publish(client->rig, "gaps", WS_HUB_TEXT, "gap", 3, NULL);
    (void)alloc_outside(before);
}

static ws_hub_policy policy_of(ws_hub *hub, const char *channel, size_t len,
                               void *user)
{
    (void)hub;
    (void)user;
    if (len == 6 && memcmp(channel, "oldest", 6) == 0)
        return WS_HUB_POLICY_DROP_OLDEST;
    if (len == 5 && memcmp(channel, "keyed", 5) == 0)
        return WS_HUB_POLICY_CONFLATE;
    if (len == 7 && memcmp(channel, "closing", 7) == 0)
        return WS_HUB_POLICY_CLOSE;
    return WS_HUB_POLICY_DEFAULT;
}

static void on_log(ws_hub_log_level level, const char *text, void *user)
{
    (void)level;
    (void)text;
    (void)user;
}

const ws_hub_callbacks rig_callbacks = {
    .struct_size = sizeof rig_callbacks,
    .may_connect = may_connect,
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .may_subscribe = may_subscribe,
    .may_publish = may_publish,
    .on_subscribed = on_subscribed,
    .on_http = on_http,
    .on_gap = on_gap,
    .policy_of = policy_of,
    .on_log = on_log,
};

/* Clients. */

static bool text_has(const uint8_t *data, size_t len, const char *what)
{
    return memmem(data, len, what, strlen(what)) != NULL;
}

/* "missed" is null in the broker's, which counts as nothing. */
static void take_gap(struct rig_client *client, const uint8_t *data, size_t len)
{
    static const char member[] = "\"missed\":";
    const char *at = memmem(data, len, member, sizeof member - 1);

    RIG_CHECK(at);
    client->gaps++;
    client->missed += strtoull(at + sizeof member - 1, NULL, 10);
}

static void take_answer(struct rig_client *client, const uint8_t *data,
                        size_t len)
{
    client->answers++;
    client->degraded += text_has(data, len, ",\"degraded\":true}");
    if (!text_has(data, len, "\"channel\":\"news\""))
        return;
    if (text_has(data, len, "{\"op\":\"subscribed\""))
        client->on_news = true;
    else if (text_has(data, len, "{\"op\":\"unsubscribed\""))
        client->on_news = false;
}

static void on_ws_message(void *arg, uint8_t opcode, const uint8_t *data,
                          size_t len)
{
    struct rig_client *client = arg;

    if (!client->json || opcode != 1 || !text_has(data, len, "{\"op\":"))
        client->messages++;
    else if (text_has(data, len, "{\"op\":\"message\""))
        client->messages++;
    else if (text_has(data, len, "{\"op\":\"gap\""))
        take_gap(client, data, len);
    else if (text_has(data, len, "{\"op\":\"welcome\""))
        client->welcomed = true;
    else
        take_answer(client, data, len);
}

static void on_ws_ping(void *arg, const uint8_t *data, size_t len)
{
    rig_frame(arg, true, 10, data, len);
}

struct rig_client *rig_dial(struct rig *rig, unsigned lane)
{
    struct rig_client *client = &rig->clients[rig->client_count++];

    RIG_CHECK(rig->client_count <= RIG_CLIENTS && lane < rig->lane_count);
    client->rig = rig;
    client->lane = &rig->lanes[lane];
    client->ws.on_message = on_ws_message;
    client->ws.on_ping = on_ws_ping;
    client->ws.arg = client;
    rig->current = client->lane;
    RIG_CHECK(pipe_connect(&client->lane->pipe, &client->end, WINDOW) ||
              (alloc_failed() && !rig->strict));
    rig->current = NULL;
    return client;
}

struct rig_client *rig_connect(struct rig *rig, unsigned lane, const char *path,
                               bool json)
{
    struct rig_client *client = rig_dial(rig, lane);
    struct wsh_buf request = {0};

    client->json = json;
    ws_peer_request(&request, path, json ? "ws_hub.v1" : NULL);
    rig_write(client, request.data, request.len);
    wsh_buf_fini(&request);
    rig_settle(rig);
    return client;
}

void rig_write(struct rig_client *client, const void *data, size_t len)
{
    if (client->end.link && !client->end.far_ended && !client->sent_close)
        pipe_write(&client->end, data, len);
}

void rig_frame(struct rig_client *client, bool fin, uint8_t opcode,
               const void *data, size_t len)
{
    struct wsh_buf frame = {0};

    if (!client->ws.upgraded)
        return;
    ws_peer_frame(&frame, fin, opcode, 0x1a2b3c4d, data, len);
    rig_write(client, frame.data, frame.len);
    wsh_buf_fini(&frame);
    if (opcode == 8)
        client->sent_close = true;
}

void rig_command(struct rig_client *client, const char *json)
{
    if (!client->ws.upgraded)
        return;
    client->commands++;
    rig_frame(client, true, 1, json, strlen(json));
}

bool rig_client_read(struct rig_client *client)
{
    size_t len = client->stalled ? 0 : client->end.to_far.len;

    if (len) {
        ws_peer_feed(&client->ws, client->end.to_far.data, len);
        pipe_consumed(&client->end, len);
    }
    if (client->ws.closed && !client->sent_close)
        rig_frame(client, true, 8, "\3\350", 2);
    if (client->end.shut && client->end.to_far.len == 0)
        client->end.far_ended = true;
    return len > 0;
}

void rig_client_fini(struct rig_client *client)
{
    ws_peer_fini(&client->ws);
    pipe_end_fini(&client->end);
}

/* The host's calls. A connection may have gone for lack of memory, and calls of
 * another thread do not know it. */
static void check_result(struct rig *rig, int error)
{
    if (!error || (alloc_failed() && !rig->strict &&
                   (error == WS_HUB_ENOMEM || error == WS_HUB_ENOENT)))
        return;
    rig_fail(ws_hub_error_name(error), __FILE__, __LINE__);
}

void rig_subscribe(struct rig_client *client, const char *channel)
{
    struct rig *rig = client->rig;
    int error;

    if (!client->opened)
        return;
    rig->promised++;
    IN_LIBRARY(error = ws_hub_subscribe(rig_handle(rig), client->conn, channel,
                                        strlen(channel)));
    check_result(rig, error);
    if (error)
        rig->promised--;
}

void rig_unsubscribe(struct rig_client *client, const char *channel)
{
    struct rig *rig = client->rig;
    int error;

    if (!client->opened)
        return;
    IN_LIBRARY(error = ws_hub_unsubscribe(rig_handle(rig), client->conn,
                                          channel, strlen(channel)));
    check_result(rig, error);
    client->left = true;
    client->on_news = client->on_news && strcmp(channel, "news") != 0;
}

void rig_send(struct rig_client *client, ws_hub_type type, const void *data,
              size_t len)
{
    struct rig *rig = client->rig;
    int error;

    if (!client->opened)
        return;
    IN_LIBRARY(error =
                   ws_hub_send(rig_handle(rig), client->conn, type, data, len));
    check_result(rig, error);
    client->direct_lost += error != 0;
    client->left |= rig->current != client->lane;
}

void rig_close(struct rig_client *client, unsigned code, const char *reason)
{
    struct rig *rig = client->rig;
    int error;

    if (!client->opened)
        return;
    IN_LIBRARY(error = ws_hub_close(rig_handle(rig), client->conn, code, reason,
                                    strlen(reason)));
    check_result(rig, error);
}

void rig_publish(struct rig *rig, const char *channel, ws_hub_type type,
                 const void *data, size_t len, const struct rig_client *exclude)
{
    ws_hub_publish_options options = {.struct_size = sizeof options,
                                      .type = type};
    int error;

    if (exclude)
        options.exclude = exclude->conn;
    IN_LIBRARY(error = ws_hub_publish(rig_handle(rig), channel, strlen(channel),
                                      data, len, &options));
    /* It says so exactly while the link is down. */
    RIG_CHECK((error == WS_HUB_DEGRADED) <= rig->broker.down);
    if (error == WS_HUB_DEGRADED)
        return;
    /* jansson says of most failures that the text is bad. */
    if (error != WS_HUB_EINVAL || type != WS_HUB_JSON || rig->strict ||
        !alloc_failed())
        check_result(rig, error);
}

void rig_publish_as(struct rig *rig, const char *channel, ws_hub_class cls,
                    const char *key, size_t len)
{
    static char data[4096];
    ws_hub_publish_options options = {.struct_size = sizeof options,
                                      .type = WS_HUB_BINARY,
                                      .cls = cls,
                                      .key = key,
                                      .key_len = key ? strlen(key) : 0};
    int error;

    RIG_CHECK(len <= sizeof data);
    IN_LIBRARY(error = ws_hub_publish(rig_handle(rig), channel, strlen(channel),
                                      data, len, &options));
    check_result(rig, error);
}

/* A listener that is rig->listener ends at the first message. */
static void on_heard(ws_hub *hub, const char *channel, size_t channel_len,
                     ws_hub_type type, const void *data, size_t len, void *user)
{
    bool before = alloc_outside(true);
    struct rig *rig = user;

    (void)hub;
    (void)channel;
    (void)channel_len;
    (void)type;
    (void)data;
    (void)len;
    rig->heard++;
    rig_unlisten(rig, rig->listener);
    rig->listener = NULL;
    (void)alloc_outside(before);
}

ws_hub_listener *rig_listen(struct rig *rig, const char *channel)
{
    ws_hub_listener *listener;
    int error;

    IN_LIBRARY(error = ws_hub_listen(rig_handle(rig), channel, strlen(channel),
                                     on_heard, rig, &listener));
    check_result(rig, error);
    RIG_CHECK(!error == (listener != NULL));
    return listener;
}

void rig_unlisten(struct rig *rig, ws_hub_listener *listener)
{
    IN_LIBRARY(ws_hub_unlisten(rig_handle(rig), listener));
}

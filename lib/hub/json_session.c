/* json_session.c: what the commands of a JSON mode client do. Every command
 * gets an answer or an error, and the connection lives. */
#include <stdio.h>
#include <string.h>

#include "hub/channel.h"
#include "hub/conn.h"
#include "protocol/command.h"
#include "protocol/event.h"
#include "ws_hub/error.h"

static const struct wsh_view absent = {NULL, 0};

/* An event is small and rare beside messages, so it is built in the shard's
 * scratch buffer and copied once. `failed`: the text could not be built, which
 * is a loss like any other. 0, WS_HUB_ELIMIT, WS_HUB_ENOMEM; counted. */
static int send_event(struct wsh_conn *conn, int failed)
{
    struct wsh_buf *text = &conn->shard->scratch;
    int error = failed;

    if (conn->state == WSH_CONN_OPEN && failed)
        wsh_conn_unsent(conn);
    else if (conn->state == WSH_CONN_OPEN)
        error = wsh_conn_send(conn, WSH_OP_TEXT, text->data, text->len);
    text->len = 0;
    return error;
}

static struct wsh_buf *scratch(struct wsh_conn *conn)
{
    conn->shard->scratch.len = 0;
    return &conn->shard->scratch;
}

static void refuse(struct wsh_conn *conn, ws_hub_refuse why,
                   struct wsh_view channel, struct wsh_view id,
                   const char *detail)
{
    wsh_count(&conn->shard->counters, WSH_C_REFUSED + why, 1);
    (void)send_event(conn,
                     wsh_event_error(scratch(conn), ws_hub_refuse_name(why),
                                     channel, id, detail));
}

static struct wsh_view id_of(const struct wsh_command *command)
{
    struct wsh_view id = {command->id_len ? command->id : NULL,
                          command->id_len};

    return id;
}

void wsh_json_welcome(struct wsh_conn *conn)
{
    const ws_hub_options *o = &conn->shard->hub->settings.o;

    (void)send_event(conn, wsh_event_welcome(scratch(conn), conn->id,
                                             o->server_id, o->heartbeat_ms));
}

void wsh_json_subscribed(struct wsh_conn *conn, struct wsh_view channel,
                         struct wsh_view id, int status, bool degraded)
{
    if (status == WS_HUB_ECANCELED)
        refuse(conn, WS_HUB_REFUSE_NOT_SUBSCRIBED, channel, id,
               "unsubscribed before it was confirmed");
    else if (status == WS_HUB_ENOMEM)
        refuse(conn, WS_HUB_REFUSE_LIMIT, channel, id, "out of memory");
    else if (status)
        refuse(conn, WS_HUB_REFUSE_FORBIDDEN_OP, channel, id,
               "the broker refused the channel");
    else
        (void)send_event(
            conn, wsh_event_subscribed(scratch(conn), channel, id, degraded));
}

int wsh_json_gap(struct wsh_conn *conn, struct wsh_view channel, int64_t missed,
                 const char *reason)
{
    return send_event(conn,
                      wsh_event_gap(scratch(conn), channel, missed, reason));
}

static void subscribe(struct wsh_conn *conn, const struct wsh_command *command)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    struct wsh_view channel = command->channel, id = id_of(command);
    int error;

    if (callbacks->may_subscribe &&
        callbacks->may_subscribe(hub->handle, wsh_conn_handle(conn),
                                 channel.data, channel.len,
                                 hub->settings.o.user)) {
        refuse(conn, WS_HUB_REFUSE_FORBIDDEN_OP, channel, id, NULL);
        return;
    }
    if (conn->state != WSH_CONN_OPEN) /* closed inside the callback */
        return;
    error = wsh_conn_subscribe(conn, channel.data, channel.len, id);
    if (error == WS_HUB_EEXIST) {
        const struct wsh_channel *known =
            wsh_channel_find(conn->shard, channel.data, channel.len);
        bool degraded = known && known->degraded;

        /* Subscribing is idempotent; the answer is the first one's. */
        error = wsh_conn_await(conn, channel.data, channel.len, id);
        if (error == WS_HUB_ENOENT)
            wsh_json_subscribed(conn, channel, id, 0, degraded);
    }
    if (error == WS_HUB_EBROKER)
        wsh_json_subscribed(conn, channel, id, error, false);
    else if (error == WS_HUB_ELIMIT || error == WS_HUB_ENOMEM)
        refuse(conn, WS_HUB_REFUSE_LIMIT, channel, id,
               error == WS_HUB_ENOMEM ? "out of memory" : "channels");
}

static void unsubscribe(struct wsh_conn *conn,
                        const struct wsh_command *command)
{
    struct wsh_view channel = command->channel, id = id_of(command);

    if (wsh_conn_unsubscribe(conn, channel.data, channel.len))
        refuse(conn, WS_HUB_REFUSE_NOT_SUBSCRIBED, channel, id, NULL);
    else
        (void)send_event(conn,
                         wsh_event_unsubscribed(scratch(conn), channel, id));
}

static bool class_of(const struct wsh_command *command, ws_hub_class *cls)
{
    if (wsh_view_is(command->cls, "normal"))
        *cls = WS_HUB_CLASS_NORMAL;
    else if (wsh_view_is(command->cls, "critical"))
        *cls = WS_HUB_CLASS_CRITICAL;
    else if (wsh_view_is(command->cls, "volatile"))
        *cls = WS_HUB_CLASS_VOLATILE;
    else
        return false;
    return true;
}

static bool may_publish(struct wsh_conn *conn,
                        const struct wsh_command *command, ws_hub_class cls)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;

    if (cls == WS_HUB_CLASS_CRITICAL && !(conn->rights & WS_HUB_RIGHT_CRITICAL))
        return false;
    return !callbacks->may_publish ||
           !callbacks->may_publish(hub->handle, wsh_conn_handle(conn),
                                   command->channel.data, command->channel.len,
                                   command->data.data, command->data.len,
                                   hub->settings.o.user);
}

static void publish(struct wsh_conn *conn, const struct wsh_command *command)
{
    struct wsh_view channel = command->channel, id = id_of(command);
    ws_hub_broker_message message = {
        .struct_size = sizeof message,
        .type = WS_HUB_JSON,
        .data = command->data.data,
        .len = command->data.len,
        .key = command->key.data,
        .key_len = command->key.len,
    };
    int result;

    if (!class_of(command, &message.cls) || message.key_len > 255) {
        refuse(conn, WS_HUB_REFUSE_INVALID_MESSAGE, channel, id,
               "class or key");
        return;
    }
    if (!may_publish(conn, command, message.cls)) {
        refuse(conn, WS_HUB_REFUSE_FORBIDDEN_OP, channel, id, NULL);
        return;
    }
    if (!command->echo)
        message.exclude = wsh_conn_handle(conn);
    result =
        wsh_hub_publish(conn->shard->hub, channel.data, channel.len, &message);
    if (result < 0)
        refuse(conn, WS_HUB_REFUSE_LIMIT, channel, id,
               ws_hub_error_text(result));
    else if (id.data)
        (void)send_event(conn, wsh_event_published(scratch(conn), id,
                                                   result == WS_HUB_DEGRADED));
}

static void execute(struct wsh_conn *conn, const struct wsh_command *command)
{
    switch (command->op) {
    case WSH_CMD_SUBSCRIBE:
        subscribe(conn, command);
        break;
    case WSH_CMD_UNSUBSCRIBE:
        unsubscribe(conn, command);
        break;
    case WSH_CMD_PUBLISH:
        publish(conn, command);
        break;
    case WSH_CMD_PRESENCE:
        refuse(conn, WS_HUB_REFUSE_UNKNOWN_OP, command->channel, id_of(command),
               "presence is not available");
        break;
    case WSH_CMD_PING:
        (void)send_event(conn, wsh_event_pong(scratch(conn), id_of(command)));
        break;
    }
}

void wsh_json_rate(struct wsh_conn *conn)
{
    refuse(conn, WS_HUB_REFUSE_RATE, absent, absent, NULL);
}

void wsh_json_message(struct wsh_conn *conn, enum wsh_opcode opcode,
                      const uint8_t *data, size_t len)
{
    struct wsh_command command;
    const char *detail = NULL;
    int why;

    if (opcode != WSH_OP_TEXT) {
        refuse(conn, WS_HUB_REFUSE_INVALID_MESSAGE, absent, absent,
               "a binary frame");
        return;
    }
    why = wsh_command_decode(&command, data, len,
                             &conn->shard->hub->json_limits, &detail);
    if (why >= 0)
        refuse(conn, (ws_hub_refuse)why, absent, id_of(&command), detail);
    else
        execute(conn, &command);
    wsh_command_fini(&command);
}

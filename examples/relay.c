/*
 * relay: raw publish and subscribe. The path of the URL is the channel: whoever
 * connects to /news gets what anybody sends on a connection to /news, the
 * sender included, text as text and binary as binary.
 */
#include "common.h"

#include <stdlib.h>
#include <string.h>

struct channel {
    size_t len;
    char name[];
};

static int may_connect(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user)
{
    size_t len;

    (void)hub, (void)conn, (void)user;
    ws_hub_request_path(request, &len);
    return len <= WS_HUB_CHANNEL_MAX ? 0 : 414;
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    size_t len;
    const char *path = ws_hub_request_path(request, &len);
    struct channel *channel = malloc(sizeof(*channel) + len);

    (void)user;
    if (!channel) {
        ws_hub_close(hub, conn, 1011, NULL, 0);
        return;
    }
    channel->len = len;
    memcpy(channel->name, path, len);
    ws_hub_conn_set_user(hub, conn, channel);
    if (ws_hub_subscribe(hub, conn, channel->name, len))
        ws_hub_close(hub, conn, 1011, NULL, 0);
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    const struct channel *channel = ws_hub_conn_user(hub, conn);
    ws_hub_publish_options options = {.struct_size = sizeof(options),
                                      .type = type};
    int status;

    if (!channel)
        return;
    status =
        ws_hub_publish(hub, channel->name, channel->len, data, len, &options);
    if (status)
        example_log(WS_HUB_LOG_WARN, ws_hub_error_text(status), user);
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    (void)info, (void)user;
    free(ws_hub_conn_user(hub, conn));
}

int main(int argc, char **argv)
{
    struct example ex;
    ws_hub *hub;
    int status;

    example_init(&ex, 9002);
    ex.callbacks.may_connect = may_connect;
    ex.callbacks.on_http = example_stats;
    ex.callbacks.on_open = on_open;
    ex.callbacks.on_message = on_message;
    ex.callbacks.on_close = on_close;
    status = example_parse(
        &ex, argc, argv, "Publish and subscribe; the URL path is the channel.");
    if (status >= 0)
        return status;
    status = example_open(&ex, &hub);
    if (status)
        return status;
    example_announce(&ex, hub, "listening on", "ws");
    return example_wait(&hub, 1);
}

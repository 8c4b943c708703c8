/*
 * single.c: all channels on one server: SUBSCRIBE and PUBLISH. The server's
 * events are the host's, more or less.
 */
#include "topology.h"

#include <stdio.h>
#include <stdlib.h>

#include <ws_hub/error.h>

enum { LOG_EVERY_MS = 1000, WHY_MAX = WSR_NAME_MAX + 256 };

struct single {
    struct wsr_config *config;
    struct wsr_server *server;
    const ws_hub_broker_host *host; /* from open to stopped */
    uint64_t complained_ms;
};

static void on_up(void *user)
{
    struct single *single = user;

    wsr_log(single->host, WS_HUB_LOG_INFO, wsr_server_name(single->server),
            "connected");
    single->host->ready(single->host);
}

static void on_down(void *user, const char *why)
{
    struct single *single = user;
    char text[WHY_MAX];

    (void)snprintf(text, sizeof text, "redis %s: %s",
                   wsr_server_name(single->server), why);
    single->host->lost(single->host, text);
}

/* Only a lack of rights is there to stay; the driver tries anything else again.
 */
static void on_subscribed(void *user, const char *channel, size_t channel_len,
                          int status)
{
    struct single *single = user;

    if (status && status != WS_HUB_EFORBIDDEN)
        single->host->dropped(single->host, channel, channel_len,
                              "the server refused the subscription");
    else
        single->host->subscribed(single->host, channel, channel_len, status);
}

static void on_unsubscribed(void *user, const char *channel, size_t channel_len)
{
    struct single *single = user;

    single->host->dropped(single->host, channel, channel_len,
                          "the server ended the subscription");
}

static void on_message(void *user, const char *channel, size_t channel_len,
                       const void *bytes, size_t len)
{
    struct single *single = user;

    wsr_deliver(single->host, channel, channel_len, bytes, len);
}

static void on_publish_failed(void *user, const char *text)
{
    struct single *single = user;
    const ws_hub_broker_host *host = single->host;
    uint64_t now = host->loop_ops->now_ms(host->loop);

    if (single->complained_ms && now - single->complained_ms < LOG_EVERY_MS)
        return;
    single->complained_ms = now ? now : 1;
    wsr_log(host, WS_HUB_LOG_WARN, wsr_server_name(single->server),
            "a publish was refused: %.150s", text);
}

/* Plain pub/sub is never redirected. */
static void on_redirect(void *user, const struct wsr_redirect *redirect)
{
    static const char text[] = "redirected: is this a cluster?";

    if (redirect->on == WSR_ON_PUBLISH)
        on_publish_failed(user, text);
    else
        on_unsubscribed(user, redirect->channel, redirect->channel_len);
}

static void on_counted(void *user, const char *channel, size_t channel_len,
                       uint64_t listeners)
{
    struct single *single = user;

    single->host->audited(single->host, channel, channel_len, listeners);
}

static void on_room(void *user)
{
    struct single *single = user;

    single->host->ready(single->host);
}

static const struct wsr_server_events events = {
    .up = on_up,
    .down = on_down,
    .subscribed = on_subscribed,
    .unsubscribed = on_unsubscribed,
    .message = on_message,
    .redirect = on_redirect,
    .publish_failed = on_publish_failed,
    .counted = on_counted,
    .room = on_room,
};

static int single_open(void *self, const ws_hub_broker_host *host)
{
    struct single *single = self;

    single->host = host;
    return wsr_server_open(single->server, host);
}

static int single_subscribe(void *self, const char *channel, size_t channel_len)
{
    struct single *single = self;

    return wsr_server_subscribe(single->server, channel, channel_len);
}

static int single_unsubscribe(void *self, const char *channel,
                              size_t channel_len)
{
    struct single *single = self;

    return wsr_server_unsubscribe(single->server, channel, channel_len);
}

static int single_publish(void *self, const char *channel, size_t channel_len,
                          const ws_hub_broker_message *message)
{
    struct single *single = self;

    return wsr_publish(single->server, channel, channel_len, message);
}

static void single_close(void *self)
{
    struct single *single = self;

    wsr_server_close(single->server);
    single->host->stopped(single->host);
}

static void single_destroy(void *self)
{
    struct single *single = self;

    wsr_server_destroy(single->server);
    wsr_config_free(single->config);
    free(single);
}

static size_t single_probe_channel(void *self, unsigned link, char *name)
{
    struct single *single = self;

    return link == 0 && single->host ? wsr_probe_name(single->host, 0, name)
                                     : 0;
}

static void single_suspect(void *self, const char *channel, size_t channel_len)
{
    struct single *single = self;

    (void)channel;
    (void)channel_len;
    wsr_server_fail(single->server, "the probe did not come back");
}

static int single_audit(void *self, const char *channel, size_t channel_len)
{
    struct single *single = self;

    return wsr_server_count(single->server, channel, channel_len);
}

static const ws_hub_broker_ops ops = {
    .struct_size = sizeof ops,
    .name = "redis",
    .open = single_open,
    .subscribe = single_subscribe,
    .unsubscribe = single_unsubscribe,
    .publish = single_publish,
    .close = single_close,
    .destroy = single_destroy,
    .probe_channel = single_probe_channel,
    .suspect = single_suspect,
    .audit = single_audit,
};

int wsr_single_create(struct wsr_config *config,
                      const ws_hub_broker_ops **out_ops, void **self)
{
    struct single *single = calloc(1, sizeof *single);

    if (!single)
        return WS_HUB_ENOMEM;
    if (wsr_server_create(&single->server, &config->urls[0], &config->settings,
                          &events, single)) {
        free(single);
        return WS_HUB_ENOMEM;
    }
    single->config = config;
    *out_ops = &ops;
    *self = single;
    return 0;
}

#include "server_rig.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/uv_rig.h"

static void go_inside(struct rig *rig)
{
    void (*inside)(struct rig *) = rig->inside;

    rig->inside = NULL;
    if (inside)
        inside(rig);
}

static void keep(char *to, size_t size, const char *from, size_t len)
{
    (void)snprintf(to, size, "%.*s", (int)len, from ? from : "");
}

static void on_up(void *user)
{
    struct rig *rig = user;

    rig->ups++;
    go_inside(rig);
}

static void on_down(void *user, const char *why)
{
    struct rig *rig = user;

    rig->downs++;
    keep(rig->why, sizeof rig->why, why, strlen(why));
    go_inside(rig);
}

static void on_subscribed(void *user, const char *channel, size_t len,
                          int status)
{
    struct rig *rig = user;

    rig->subscribed++;
    rig->status = status;
    keep(rig->channel, sizeof rig->channel, channel, len);
    go_inside(rig);
}

static void on_unsubscribed(void *user, const char *channel, size_t len)
{
    struct rig *rig = user;

    rig->unsubscribed++;
    keep(rig->channel, sizeof rig->channel, channel, len);
}

static void on_message(void *user, const char *channel, size_t channel_len,
                       const void *bytes, size_t len)
{
    struct rig *rig = user;

    rig->messages++;
    rig->len = len;
    keep(rig->channel, sizeof rig->channel, channel, channel_len);
    keep(rig->text, sizeof rig->text, bytes, len);
    go_inside(rig);
}

static void on_redirect(void *user, const struct wsr_redirect *redirect)
{
    struct rig *rig = user;

    rig->redirects++;
    rig->on = redirect->on;
    rig->ask = redirect->ask;
    rig->slot = redirect->slot;
    rig->port = redirect->port;
    keep(rig->text, sizeof rig->text, redirect->host, redirect->host_len);
    keep(rig->channel, sizeof rig->channel, redirect->channel,
         redirect->channel_len);
}

static void on_publish_failed(void *user, const char *text)
{
    struct rig *rig = user;

    rig->publish_failures++;
    keep(rig->text, sizeof rig->text, text, strlen(text));
}

static void on_counted(void *user, const char *channel, size_t len,
                       uint64_t listeners)
{
    struct rig *rig = user;

    rig->counts++;
    rig->listeners = listeners;
    keep(rig->channel, sizeof rig->channel, channel, len);
}

static void on_room(void *user)
{
    struct rig *rig = user;

    rig->rooms++;
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

static void on_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                   const char *text)
{
    struct rig *rig = (struct rig *)(uintptr_t)host;

    (void)level;
    rig->logged++;
    keep(rig->log, sizeof rig->log, text, strlen(text));
}

struct rig *rig_open(const struct fake_rule *rules)
{
    struct rig *rig = calloc(1, sizeof *rig);
    const char *why;
    char url[64];

    assert_non_null(rig);
    rig->loop = uv_rig_open(&rig->ops);
    rig->fake = fake_redis_open(rig->loop, rig->ops, rules);
    rig->host.struct_size = sizeof rig->host;
    rig->host.server_id = "rig";
    rig->host.loop = rig->loop;
    rig->host.loop_ops = rig->ops;
    rig->host.log = on_log;
    rig->settings = (struct wsr_settings){.connect_timeout_ms = 60000,
                                          .command_timeout_ms = 60000,
                                          .keepalive_s = 15,
                                          .max_output_bytes = 100000,
                                          .max_message_bytes = 20000,
                                          .max_inbound_bytes = 40000};
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u",
                   fake_redis_port(rig->fake));
    assert_int_equal(wsr_url_parse(url, &rig->url, &why), 0);
    return rig;
}

void rig_make(struct rig *rig)
{
    assert_int_equal(wsr_server_create(&rig->server, &rig->url, &rig->settings,
                                       &events, rig),
                     0);
}

void rig_start(struct rig *rig)
{
    rig_make(rig);
    assert_int_equal(wsr_server_open(rig->server, &rig->host), 0);
    assert_true(wsr_server_is_opening(rig->server));
}

void rig_go_up(struct rig *rig)
{
    rig_start(rig);
    rig_wait(rig, &rig->ups, 1);
    assert_true(wsr_server_is_up(rig->server));
}

void rig_close(struct rig *rig)
{
    wsr_server_destroy(rig->server);
    fake_redis_close(rig->fake);
    uv_rig_close(rig->loop);
    free(rig);
}

struct count {
    const unsigned *counter;
    unsigned least;
};

static bool has_counted(void *arg)
{
    const struct count *count = arg;

    return *count->counter >= count->least;
}

void rig_wait(struct rig *rig, const unsigned *counter, unsigned least)
{
    struct count count = {counter, least};

    if (!uv_rig_turn_until(rig->loop, has_counted, &count))
        fail_msg("waited in vain; down because: %s", rig->why);
}

struct sight {
    struct rig *rig;
    const char *text;
};

static bool has_seen(void *arg)
{
    const struct sight *sight = arg;

    return strstr(fake_redis_seen(sight->rig->fake), sight->text) != NULL;
}

void rig_wait_seen(struct rig *rig, const char *text)
{
    struct sight sight = {rig, text};

    if (!uv_rig_turn_until(rig->loop, has_seen, &sight))
        fail_msg("'%s' is not in '%s'", text, fake_redis_seen(rig->fake));
}

void rig_wait_down(struct rig *rig, const char *why)
{
    rig_wait(rig, &rig->downs, 1);
    assert_int_equal(rig->downs, 1);
    assert_false(wsr_server_is_up(rig->server));
    if (!strstr(rig->why, why))
        fail_msg("'%s' instead of '%s'", rig->why, why);
}

void rig_subscribe(struct rig *rig, const char *channel)
{
    unsigned before = rig->subscribed;

    assert_int_equal(
        wsr_server_subscribe(rig->server, channel, strlen(channel)), 0);
    rig_wait(rig, &rig->subscribed, before + 1);
    assert_string_equal(rig->channel, channel);
}

int rig_publish(struct rig *rig, const char *channel, const char *text)
{
    return wsr_server_publish(rig->server, channel, strlen(channel), "h:", 2,
                              text, strlen(text));
}

void rig_on_reply(void *user, const struct wsr_reply *reply)
{
    struct rig *rig = user;

    if (reply)
        rig->replies++;
    else
        rig->null_replies++;
}

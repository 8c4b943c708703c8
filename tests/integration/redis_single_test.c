/*
 * redis_single_test.c: the adapter for one server against a real one that is
 * killed, stopped, full, protected and restarted. No driver in between: what is
 * checked is what the adapter tells it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/redis_server.h"
#include "support/uv_rig.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"
#include "ws_hub/redis.h"

struct bench {
    ws_hub_broker_host host; /* first */
    struct redis_server server;
    const ws_hub_broker_ops *ops;
    void *self;
    unsigned ready, lost, stopped, subscribed, dropped, messages, audits;
    int status;
    uint64_t listeners;
    char why[400];
    char text[64];
};

static struct bench *bench_of(const ws_hub_broker_host *host)
{
    return (struct bench *)(uintptr_t)host;
}

static int on_message(const ws_hub_broker_host *host, const char *channel,
                      size_t channel_len, const ws_hub_broker_message *message)
{
    struct bench *bench = bench_of(host);

    (void)channel;
    (void)channel_len;
    bench->messages++;
    (void)snprintf(bench->text, sizeof bench->text, "%.*s", (int)message->len,
                   (const char *)message->data);
    return 0;
}

static void on_subscribed(const ws_hub_broker_host *host, const char *channel,
                          size_t channel_len, int status)
{
    (void)channel;
    (void)channel_len;
    bench_of(host)->subscribed++;
    bench_of(host)->status = status;
}

static void on_dropped(const ws_hub_broker_host *host, const char *channel,
                       size_t channel_len, const char *why)
{
    (void)channel;
    (void)channel_len;
    (void)why;
    bench_of(host)->dropped++;
}

static void on_audited(const ws_hub_broker_host *host, const char *channel,
                       size_t channel_len, uint64_t listeners)
{
    (void)channel;
    (void)channel_len;
    bench_of(host)->audits++;
    bench_of(host)->listeners = listeners;
}

static void on_ready(const ws_hub_broker_host *host)
{
    bench_of(host)->ready++;
}

static void on_lost(const ws_hub_broker_host *host, const char *why)
{
    bench_of(host)->lost++;
    (void)snprintf(bench_of(host)->why, sizeof bench_of(host)->why, "%s", why);
}

static void on_stopped(const ws_hub_broker_host *host)
{
    bench_of(host)->stopped++;
}

static void on_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                   const char *text)
{
    (void)host;
    (void)level;
    (void)text;
}

static void make_adapter(struct bench *bench, const char *url)
{
    ws_hub_redis_options options;
    char error[200];

    ws_hub_redis_options_init(&options);
    options.urls = &url;
    options.url_count = 1;
    options.command_timeout_ms = 60000;
    options.connect_timeout_ms = 60000;
    if (ws_hub_redis_broker(&options, &bench->ops, &bench->self, error,
                            sizeof error))
        fail_msg("%s", error);
    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
}

static struct bench *bench_open(const char *const *args, const char *user)
{
    struct bench *bench = calloc(1, sizeof *bench);
    char url[128];

    assert_non_null(bench);
    if (!redis_server_start(&bench->server, args))
        fail_msg("redis-server does not start");
    bench->host = (ws_hub_broker_host){.struct_size = sizeof bench->host,
                                       .server_id = "single test",
                                       .message = on_message,
                                       .subscribed = on_subscribed,
                                       .ready = on_ready,
                                       .lost = on_lost,
                                       .stopped = on_stopped,
                                       .log = on_log,
                                       .instance = 0xabc,
                                       .dropped = on_dropped,
                                       .audited = on_audited};
    bench->host.loop = uv_rig_open(&bench->host.loop_ops);
    (void)snprintf(url, sizeof url, "redis://%s127.0.0.1:%u", user,
                   bench->server.port);
    make_adapter(bench, url);
    return bench;
}

static void bench_close(struct bench *bench)
{
    bench->ops->close(bench->self);
    assert_int_equal(bench->stopped, 1);
    bench->ops->destroy(bench->self);
    redis_server_stop(&bench->server);
    uv_rig_close(bench->host.loop);
    free(bench);
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

static void wait_for(struct bench *bench, const unsigned *counter,
                     unsigned least)
{
    struct count count = {counter, least};

    if (!uv_rig_turn_until(bench->host.loop, has_counted, &count))
        fail_msg("waited in vain; lost because: %s", bench->why);
}

static void subscribe(struct bench *bench, const char *channel, int status)
{
    unsigned before = bench->subscribed;

    assert_int_equal(
        bench->ops->subscribe(bench->self, channel, strlen(channel)), 0);
    wait_for(bench, &bench->subscribed, before + 1);
    assert_int_equal(bench->status, status);
}

static int publish(struct bench *bench, const char *channel, const char *text)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .type = WS_HUB_TEXT,
                                     .data = text,
                                     .len = strlen(text)};

    return bench->ops->publish(bench->self, channel, strlen(channel), &message);
}

static void assert_flows(struct bench *bench, const char *channel)
{
    unsigned before = bench->messages;

    assert_int_equal(publish(bench, channel, "through"), 0);
    wait_for(bench, &bench->messages, before + 1);
    assert_string_equal(bench->text, "through");
}

static void command(struct bench *bench, const char *line, const char *answer)
{
    char got[4096];

    assert_true(redis_server_command(&bench->server, line, got, sizeof got));
    if (!strstr(got, answer))
        fail_msg("%s: %s", line, got);
}

static void test_single_plain_messages_of_others_arrive(void **state)
{
    struct bench *bench = bench_open(NULL, "");

    (void)state;
    wait_for(bench, &bench->ready, 1);
    subscribe(bench, "room", 0);
    command(bench, "PUBLISH room plain", ":1");
    wait_for(bench, &bench->messages, 1);
    assert_string_equal(bench->text, "plain");
    bench_close(bench);
}

static void test_single_killed_and_restarted_comes_back(void **state)
{
    struct bench *bench = bench_open(NULL, "");

    (void)state;
    wait_for(bench, &bench->ready, 1);
    subscribe(bench, "room", 0);
    redis_server_kill(&bench->server);
    wait_for(bench, &bench->lost, 1);
    assert_int_equal(publish(bench, "room", "x"), WS_HUB_EBROKER);
    assert_int_equal(bench->ops->subscribe(bench->self, "room", 4),
                     WS_HUB_EAGAIN);
    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
    wait_for(bench, &bench->lost, 2);
    assert_non_null(strstr(bench->why, "refused"));
    assert_true(redis_server_restart(&bench->server, NULL));
    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
    wait_for(bench, &bench->ready, 2);
    subscribe(bench, "room", 0);
    assert_flows(bench, "room");
    assert_int_equal(bench->lost, 2);
    bench_close(bench);
}

static void test_single_cut_off_by_the_server_is_lost_once(void **state)
{
    struct bench *bench = bench_open(NULL, "");

    (void)state;
    wait_for(bench, &bench->ready, 1);
    subscribe(bench, "room", 0);
    command(bench, "CLIENT KILL TYPE pubsub", ":1");
    wait_for(bench, &bench->lost, 1);
    for (int i = 0; i < 10; i++)
        uv_rig_turn(bench->host.loop);
    assert_int_equal(bench->lost, 1);
    assert_int_equal(bench->dropped, 0);
    bench_close(bench);
}

static void test_single_frozen_server_is_dropped_when_suspected(void **state)
{
    struct bench *bench = bench_open(NULL, "");
    char name[WS_HUB_CHANNEL_MAX];
    size_t len;

    (void)state;
    wait_for(bench, &bench->ready, 1);
    len = bench->ops->probe_channel(bench->self, 0, name);
    assert_int_equal(len, strlen("$ws_hub.probe.0000000000000abc.0"));
    assert_memory_equal(name, "$ws_hub.probe.0000000000000abc.0", len);
    assert_int_equal(bench->ops->probe_channel(bench->self, 1, name), 0);
    assert_int_equal(kill(bench->server.pid, SIGSTOP), 0);
    assert_int_equal(publish(bench, "room", "x"), 0);
    bench->ops->suspect(bench->self, name, len);
    wait_for(bench, &bench->lost, 1);
    assert_non_null(strstr(bench->why, "probe"));
    assert_int_equal(kill(bench->server.pid, SIGCONT), 0);
    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
    wait_for(bench, &bench->ready, 2);
    bench_close(bench);
}

static void test_single_audit_counts_this_hub_and_others(void **state)
{
    struct bench *bench = bench_open(NULL, "");

    (void)state;
    wait_for(bench, &bench->ready, 1);
    assert_int_equal(bench->ops->audit(bench->self, "room", 4), 0);
    wait_for(bench, &bench->audits, 1);
    assert_int_equal(bench->listeners, 0);
    subscribe(bench, "room", 0);
    assert_int_equal(bench->ops->audit(bench->self, "room", 4), 0);
    wait_for(bench, &bench->audits, 2);
    assert_int_equal(bench->listeners, 1);
    bench_close(bench);
}

static void test_single_wrong_and_missing_password_are_said(void **state)
{
    static const char *const args[] = {"--requirepass", "right", NULL};
    struct bench *bench = bench_open(args, ":wrong@");
    char url[128];

    (void)state;
    wait_for(bench, &bench->lost, 1);
    assert_non_null(strstr(bench->why, "wrong user or password"));
    bench->ops->close(bench->self);
    bench->ops->destroy(bench->self);
    bench->stopped = 0;
    make_adapter(bench, bench->server.url);
    wait_for(bench, &bench->lost, 2);
    assert_non_null(strstr(bench->why, "wants a password"));
    bench->ops->close(bench->self);
    bench->ops->destroy(bench->self);
    bench->stopped = 0;
    (void)snprintf(url, sizeof url, "redis://:right@127.0.0.1:%u/1",
                   bench->server.port);
    make_adapter(bench, url);
    wait_for(bench, &bench->ready, 1);
    bench_close(bench);
}

static void test_single_forbidden_channel_is_refused_alone(void **state)
{
    static const char *const args[] = {
        "--user",   "al",         "on",           ">pw",     "&room*",
        "+publish", "+subscribe", "+unsubscribe", "+pubsub", NULL};
    struct bench *bench = bench_open(args, "al:pw@");

    (void)state;
    wait_for(bench, &bench->ready, 1); /* without the right to PING */
    subscribe(bench, "room1", 0);
    subscribe(bench, "secret", WS_HUB_EFORBIDDEN);
    assert_int_equal(publish(bench, "secret", "x"), 0); /* logged, not lost */
    assert_flows(bench, "room1");
    assert_int_equal(bench->lost, 0);
    bench_close(bench);
}

static void test_single_full_server_is_said(void **state)
{
    static const char *const args[] = {"--maxclients", "1", NULL};
    struct bench *bench = bench_open(args, "");

    (void)state;
    wait_for(bench, &bench->lost, 1);
    if (!strstr(bench->why, "Connection reset"))
        assert_non_null(strstr(bench->why, "maximum of clients"));
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_single_plain_messages_of_others_arrive),
        cmocka_unit_test(test_single_killed_and_restarted_comes_back),
        cmocka_unit_test(test_single_cut_off_by_the_server_is_lost_once),
        cmocka_unit_test(test_single_frozen_server_is_dropped_when_suspected),
        cmocka_unit_test(test_single_audit_counts_this_hub_and_others),
        cmocka_unit_test(test_single_wrong_and_missing_password_are_said),
        cmocka_unit_test(test_single_forbidden_channel_is_refused_alone),
        cmocka_unit_test(test_single_full_server_is_said),
    };

    return cmocka_run_group_tests_name("redis_single", cases, NULL, NULL);
}

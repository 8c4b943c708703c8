/* slow_host.c: see the header. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "integration/slow_host.h"
#include "support/identity.h"

static const char channel[] = "slow";
enum { CHANNEL_LEN = sizeof channel - 1, SIZE_MOST = 8192, RECEIVE = 4096 };

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    (void)request;
    (void)user;
    if (ws_hub_subscribe(hub, conn, channel, CHANNEL_LEN))
        abort();
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *name,
                          size_t len, int status, void *user)
{
    struct slow_host *host = user;

    (void)hub;
    (void)conn;
    (void)name;
    (void)len;
    if (status == 0)
        atomic_fetch_add(&host->subscribed, 1);
}

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *name, size_t len,
                   uint64_t missed, void *user)
{
    struct slow_host *host = user;
    char text[40];
    int n = snprintf(text, sizeof text, "gap %llu", (unsigned long long)missed);

    if (len != CHANNEL_LEN || memcmp(name, channel, len) != 0)
        abort();
    atomic_fetch_add(&host->gaps, 1);
    atomic_fetch_add(&host->missed, missed);
    if (ws_hub_send(hub, conn, WS_HUB_TEXT, text, (size_t)n))
        abort();
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct slow_host *host = user;

    (void)hub;
    (void)conn;
    atomic_store(&host->close_code, info->code);
    atomic_fetch_add(&host->closed, 1);
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_subscribed = on_subscribed,
    .on_gap = on_gap,
    .on_close = on_close,
};

static void on_received(struct crowd_client *client, uint8_t opcode,
                        const uint8_t *data, size_t len, void *arg)
{
    struct slow_host *host = arg;
    struct seq_check *check = &host->check[client->index];
    const char *wrong = seq_check(check, data, len);

    (void)opcode;
    if (!wrong)
        return;
    fail_msg("client %u, of %llu expected: %s: %.*s", client->index,
             (unsigned long long)check->next, wrong, (int)(len < 80 ? len : 80),
             (const char *)data);
}

void slow_init(struct slow_host *host)
{
    memset(host, 0, sizeof *host);
    ws_hub_options_init(&host->options);
    host->options.send_limit = SLOW_LIMIT;
    host->options.critical_reserve = SLOW_RESERVE;
    host->options.notsent_lowat = 4096;
    host->options.callbacks = &callbacks;
    host->options.user = host;
}

static bool all_subscribed(void *arg)
{
    struct slow_host *host = arg;

    return atomic_load(&host->subscribed) == host->clients;
}

void slow_start(struct slow_host *host, unsigned slow, unsigned healthy)
{
    const char *url = "tcp://127.0.0.1:0";

    assert_in_range(slow + healthy, 1, SLOW_CLIENTS_MAX);
    host->options.bind_urls = &url;
    host->options.bind_count = 1;
    assert_int_equal(ws_hub_create(&host->hub, &host->options), 0);
    assert_int_equal(ws_hub_start(host->hub), 0);
    host->slow = slow;
    host->clients = slow + healthy;
    host->crowd = crowd_create(ws_hub_port(host->hub, 0), host->clients);
    for (unsigned i = 0; i < slow; i++)
        crowd_client(host->crowd, i)->receive_buffer = RECEIVE;
    crowd_on_message(host->crowd, on_received, host);
    crowd_connect(host->crowd, "/", 1, NULL);
    slow_until(host, all_subscribed);
}

void slow_pause(struct slow_host *host)
{
    for (unsigned i = 0; i < host->slow; i++)
        crowd_pause(crowd_client(host->crowd, i));
}

void slow_resume(struct slow_host *host)
{
    for (unsigned i = 0; i < host->slow; i++)
        crowd_resume(crowd_client(host->crowd, i));
}

void slow_publish(struct slow_host *host, ws_hub_class cls, size_t size,
                  const char *key)
{
    ws_hub_publish_options o = {.struct_size = sizeof o,
                                .cls = cls,
                                .key = key,
                                .key_len = key ? strlen(key) : 0};
    char text[SIZE_MOST];

    assert_in_range(size, SEQ_MIN, SIZE_MOST);
    seq_write(text, size, host->published++,
              cls == WS_HUB_CLASS_CRITICAL   ? 'c'
              : cls == WS_HUB_CLASS_VOLATILE ? 'v'
                                             : 'n');
    /* JSON clients get it as a string: text is quoted by the hub. */
    assert_int_equal(
        ws_hub_publish(host->hub, channel, CHANNEL_LEN, text, size, &o), 0);
}

static bool readers_have_all(void *arg)
{
    struct slow_host *host = arg;

    for (unsigned i = 0; i < host->clients; i++)
        if (!crowd_client(host->crowd, i)->paused &&
            crowd_client(host->crowd, i)->open &&
            host->check[i].next < host->published)
            return false;
    return true;
}

void slow_accounted(struct slow_host *host)
{
    assert_true(host->slow < host->clients);
    slow_until(host, readers_have_all);
}

void slow_fill(struct slow_host *host, size_t size)
{
    do {
        for (int i = 0; i < 8; i++)
            slow_publish(host, WS_HUB_CLASS_NORMAL, size, NULL);
        slow_accounted(host);
    } while (slow_stats(host).slow < host->slow);
}

static bool at_rest(void *arg)
{
    ws_hub_stats_data stats = slow_stats(arg);

    return stats.slow == 0 && stats.pending == 0;
}

void slow_recovered(struct slow_host *host)
{
    slow_until(host, at_rest);
    slow_publish(host, WS_HUB_CLASS_NORMAL, SEQ_MIN, NULL);
    slow_accounted(host);
}

ws_hub_stats_data slow_stats(const struct slow_host *host)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    assert_int_equal(ws_hub_stats(host->hub, &stats), 0);
    return stats;
}

uint64_t slow_dropped(const struct slow_host *host, ws_hub_drop reason)
{
    return slow_stats(host).dropped[reason];
}

uint64_t slow_dropped_all(const struct slow_host *host)
{
    uint64_t sum = 0;

    for (int i = 0; i < WS_HUB_DROP_COUNT; i++)
        sum += slow_dropped(host, (ws_hub_drop)i);
    return sum;
}

void slow_until(struct slow_host *host, bool (*condition)(void *host))
{
    crowd_until(host->crowd, condition, host);
}

void slow_end(struct slow_host *host)
{
    assert_int_equal(ws_hub_stop(host->hub), 0);
    crowd_until_closed(host->crowd);
    assert_int_equal(ws_hub_run(host->hub), 0);
    check_identity(host->hub, 1);
    assert_int_equal(atomic_load(&host->closed), host->clients);
    ws_hub_destroy(host->hub);
    crowd_destroy(host->crowd);
}

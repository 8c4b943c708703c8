#include "integration/redis_fleet_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "support/uv_rig.h"
#include "ws_hub/error.h"
#include "ws_hub/redis.h"

enum { DEADLINE_S = 60 };

static struct rig *rig_of(const ws_hub_broker_host *host)
{
    return (struct rig *)(uintptr_t)host;
}

/* Names are "c0", "c1", ...; NULL for those of probes. */
static struct rig_channel *find(struct rig *rig, const char *name, size_t len)
{
    char text[24] = "";
    unsigned number;

    memcpy(text, name, len < 23 ? len : 23);
    if (sscanf(text, "c%u", &number) != 1)
        return NULL;
    assert_true(number < RIG_CHANNELS);
    return &rig->channels[number];
}

static int on_message(const ws_hub_broker_host *host, const char *name,
                      size_t len, const ws_hub_broker_message *message)
{
    struct rig *rig = rig_of(host);
    struct rig_channel *channel = find(rig, name, len);
    uint32_t number;

    rig->messages++;
    if (!channel)
        return 0;
    assert_int_equal(message->len, sizeof number);
    memcpy(&number, message->data, sizeof number);
    if (number <= channel->received ||
        (number > channel->received + 1 && !channel->dropped)) {
        print_message("# %s: %u after %u\n", channel->name, number,
                      channel->received);
        rig->wrong++;
    }
    channel->received = number;
    if (channel->live) /* else it trails behind the drop */
        channel->dropped = false;
    return 0;
}

static void on_subscribed(const ws_hub_broker_host *host, const char *name,
                          size_t len, int status)
{
    struct rig *rig = rig_of(host);
    struct rig_channel *channel = find(rig, name, len);

    if (channel) {
        assert_int_equal(status, 0);
        channel->live = true;
    } else {
        rig->probe_status = status;
    }
}

static void on_dropped(const ws_hub_broker_host *host, const char *name,
                       size_t len, const char *why)
{
    struct rig *rig = rig_of(host);
    struct rig_channel *channel = find(rig, name, len);

    assert_non_null(why);
    if (!channel)
        return;
    assert_true(channel->asked);
    channel->asked = channel->live = false;
    channel->dropped = true;
    channel->drops++;
    rig->drops++;
}

static void on_ready(const ws_hub_broker_host *host)
{
    rig_of(host)->ready++;
}

static void on_lost(const ws_hub_broker_host *host, const char *why)
{
    struct rig *rig = rig_of(host);

    assert_non_null(why);
    rig->lost++;
    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        rig->channels[i].asked = rig->channels[i].live = false;
        rig->channels[i].dropped = true;
    }
}

static void on_stopped(const ws_hub_broker_host *host)
{
    rig_of(host)->stopped++;
}

static void on_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                   const char *text)
{
    (void)host;
    if (getenv("RIG_LOG"))
        print_message("# log %d: %s\n", level, text);
}

static void on_audited(const ws_hub_broker_host *host, const char *name,
                       size_t len, uint64_t listeners)
{
    struct rig *rig = rig_of(host);

    assert_non_null(find(rig, name, len));
    rig->audited++;
    rig->listeners = listeners;
}

static void make_adapter(struct rig *rig)
{
    const char *urls[REDIS_NODES_MAX];
    ws_hub_redis_options options;
    char error[200];

    ws_hub_redis_options_init(&options);
    options.urls = urls;
    options.cluster = rig->nodes->cluster;
    for (unsigned i = 0; i < rig->nodes->count; i++)
        urls[i] = rig->nodes->node[i].server.url;
    /* One seed has to do, if it is alive. */
    options.url_count = rig->nodes->cluster ? 1 : rig->nodes->count;
    for (unsigned i = 0; options.cluster && i < rig->nodes->count; i++)
        if (rig->nodes->node[i].context)
            urls[0] = rig->nodes->node[i].server.url;
    assert_int_equal(ws_hub_redis_broker(&options, &rig->ops, &rig->self, error,
                                         sizeof error),
                     0);
}

struct rig *rig_open(struct redis_nodes *nodes)
{
    struct rig *rig = calloc(1, sizeof *rig);

    assert_non_null(rig);
    rig->nodes = nodes;
    rig->host = (ws_hub_broker_host){
        .struct_size = sizeof rig->host,
        .server_id = "rig",
        .message = on_message,
        .subscribed = on_subscribed,
        .ready = on_ready,
        .lost = on_lost,
        .stopped = on_stopped,
        .log = on_log,
        .instance = 0x1122334455667788,
        .dropped = on_dropped,
        .audited = on_audited,
    };
    rig->loop = uv_rig_open(&rig->host.loop_ops);
    rig->host.loop = rig->loop;
    for (unsigned i = 0; i < RIG_CHANNELS; i++)
        snprintf(rig->channels[i].name, sizeof rig->channels[i].name, "c%u", i);
    make_adapter(rig);
    rig_reopen(rig);
    return rig;
}

void rig_reopen(struct rig *rig)
{
    assert_int_equal(rig->ops->open(rig->self, &rig->host), 0);
}

/* Like a driver: ask for what is not asked for, unless its server is away. */
static void subscribe_all(struct rig *rig)
{
    if (!rig->ready)
        return;
    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        struct rig_channel *channel = &rig->channels[i];
        int error;

        if (channel->asked)
            continue;
        error = rig->ops->subscribe(rig->self, channel->name,
                                    strlen(channel->name));
        assert_true(!error || error == WS_HUB_EAGAIN);
        channel->asked = !error;
    }
}

void rig_turn(struct rig *rig)
{
    subscribe_all(rig);
    uv_rig_turn(rig->loop);
}

/* What is missing, for whoever has to find out why. */
static void explain(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        struct rig_channel *channel = &rig->channels[i];

        if (!channel->live || channel->received != channel->sent)
            print_message("# %s: asked %d, live %d, sent %u, received %u\n",
                          channel->name, channel->asked, channel->live,
                          channel->sent, channel->received);
    }
}

void rig_until(struct rig *rig, bool (*done)(struct rig *rig))
{
    time_t end = time(NULL) + DEADLINE_S;

    while (!done(rig)) {
        if (time(NULL) >= end) {
            explain(rig);
            fail_msg("what was waited for has not come");
        }
        rig_turn(rig);
    }
}

static bool all_live(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_CHANNELS; i++)
        if (!rig->channels[i].live)
            return false;
    return true;
}

void rig_until_live(struct rig *rig)
{
    rig_until(rig, all_live);
}

unsigned rig_publish(struct rig *rig)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        struct rig_channel *channel = &rig->channels[i];
        uint32_t number = channel->sent + 1;
        ws_hub_broker_message message = {.struct_size = sizeof message,
                                         .type = WS_HUB_BINARY,
                                         .data = &number,
                                         .len = sizeof number,
                                         .origin = rig->host.instance};
        int error = rig->ops->publish(rig->self, channel->name,
                                      strlen(channel->name), &message);

        /* Full output is no surprise: some publish until something happens. */
        assert_true(!error || error == WS_HUB_EBROKER ||
                    error == WS_HUB_EAGAIN);
        if (error)
            refused++;
        else
            channel->sent = number;
    }
    return refused;
}

static bool all_received(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_CHANNELS; i++)
        if (rig->channels[i].received != rig->channels[i].sent)
            return false;
    return true;
}

void rig_exchange(struct rig *rig)
{
    assert_int_equal(rig_publish(rig), 0);
    rig_until(rig, all_received);
}

struct rig *rig_open_live(struct redis_nodes *nodes)
{
    struct rig *rig = rig_open(nodes);

    rig_until_live(rig);
    rig_exchange(rig);
    return rig;
}

bool rig_is_lost(struct rig *rig)
{
    return rig->lost > 0;
}

unsigned rig_carried(struct rig *rig, struct redis_node *node)
{
    return (unsigned)redis_node_command(node, rig->nodes->cluster
                                                  ? "PUBSUB SHARDCHANNELS c*"
                                                  : "PUBSUB CHANNELS c*");
}

static bool nothing_is_carried(struct rig *rig)
{
    for (unsigned i = 0; i < rig->nodes->count; i++)
        if (rig->nodes->node[i].context &&
            rig_carried(rig, &rig->nodes->node[i]))
            return false;
    return true;
}

static bool is_stopped(struct rig *rig)
{
    return rig->stopped > 0;
}

void rig_close(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        struct rig_channel *channel = &rig->channels[i];

        assert_int_equal(rig->ops->unsubscribe(rig->self, channel->name,
                                               strlen(channel->name)),
                         0);
        channel->asked = true; /* and not to be asked for again */
    }
    rig_until(rig, nothing_is_carried);
    rig->ops->close(rig->self);
    rig_until(rig, is_stopped);
    rig->ops->destroy(rig->self);
    uv_rig_close(rig->loop);
    assert_int_equal(rig->wrong, 0);
    free(rig);
}

#include "fault/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ws_hub/error.h"

enum { ROUNDS_MAX = 20000, FRESH = 3 };

static const char *point_scenario = "";
static unsigned long point_number;
static bool point_onwards;

void rig_name_point(const char *scenario, unsigned long point, bool onwards)
{
    point_scenario = scenario;
    point_number = point;
    point_onwards = onwards;
}

_Noreturn void rig_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s\n%s: allocation %lu failed%s\n", file, line,
            what, point_scenario, point_number,
            point_onwards ? ", and all after it" : "");
    abort();
}

/* The loop port of a shard. */

static void port_wake(void *loop)
{
    struct rig_lane *lane = loop;

    lane->woken = true;
}

static bool port_here(void *loop)
{
    struct rig_lane *lane = loop;

    return lane->rig->current == lane;
}

static uint64_t port_now(void *loop)
{
    struct rig_lane *lane = loop;

    return lane->rig->now_us;
}

/* The pipe calls the library and is called by it. */

static struct wsh_link *opened(void *shard, const struct wsh_peer *peer)
{
    struct wsh_peer of_an_address = {.family = AF_INET, .addr = {10, 0, 0, 1}};
    struct wsh_link *link;

    (void)peer;
    IN_LIBRARY(link = wsh_shard_transport_events.opened(shard, &of_an_address));
    return link;
}

static void received(void *shard, struct wsh_link *link, uint8_t *data,
                     size_t len)
{
    IN_LIBRARY(wsh_shard_transport_events.received(shard, link, data, len));
}

static void writable(void *shard, struct wsh_link *link)
{
    IN_LIBRARY(wsh_shard_transport_events.writable(shard, link));
}

static void closed(void *shard, struct wsh_link *link)
{
    IN_LIBRARY(wsh_shard_transport_events.closed(shard, link));
}

static const struct wsh_transport_events events = {
    .opened = opened,
    .received = received,
    .writable = writable,
    .closed = closed,
};

static void op_send(void *self, struct wsh_send *v, size_t n)
{
    bool before = alloc_outside(true);

    pipe_ops()->send(self, v, n);
    (void)alloc_outside(before);
}

/* The scripted broker: what is published comes back at once, as if it had gone
 * to another process and back. */

static struct rig_broker *broker_of(void *self)
{
    return self;
}

static int broker_open(void *self, const ws_hub_broker_host *host)
{
    struct rig_broker *broker = broker_of(self);

    broker->host = host;
    broker->opens++;
    if (!broker->down)
        host->ready(host);
    return 0;
}

static int broker_subscribe(void *self, const char *channel, size_t len)
{
    struct rig_broker *broker = broker_of(self);

    if (!broker->silent)
        broker->host->subscribed(broker->host, channel, len, 0);
    return 0;
}

static int broker_unsubscribe(void *self, const char *channel, size_t len)
{
    (void)self;
    (void)channel;
    (void)len;
    return 0;
}

static int broker_publish(void *self, const char *channel, size_t len,
                          const ws_hub_broker_message *message)
{
    struct rig_broker *broker = broker_of(self);

    return broker->host->message(broker->host, channel, len, message);
}

static void broker_close(void *self)
{
    struct rig_broker *broker = broker_of(self);

    broker->host->stopped(broker->host);
}

static const ws_hub_broker_ops scripted = {
    .struct_size = sizeof scripted,
    .name = "scripted",
    .open = broker_open,
    .subscribe = broker_subscribe,
    .unsubscribe = broker_unsubscribe,
    .publish = broker_publish,
    .close = broker_close,
};

/* Life. */

static int make_hub(struct rig *rig)
{
    const char *urls[] = {"tcp://127.0.0.1:0", "unix:/tmp/torture"};
    const uint64_t seed[2] = {1, 2};
    struct wsh_settings settings;
    ws_hub_options options;
    int error;

    ws_hub_options_init(&options);
    options.bind_urls = urls;
    options.bind_count = 2;
    options.tls_cert = "cert.pem";
    options.tls_key = "key.pem";
    options.callbacks = &rig_callbacks;
    options.send_limit = 20000;
    options.fragment_bytes = 4096;
    options.write_bytes = 8192;
    options.flush_bytes = 16384;
    options.max_message_bytes = 262144;
    options.max_connections_per_ip = RIG_CLIENTS;
    IN_LIBRARY(error = wsh_settings_init(&settings, &options));
    if (error)
        return error;
    IN_LIBRARY(error =
                   wsh_hub_init(&rig->hub, rig_handle(rig), &settings, seed));
    rig->hub.shards = rig->shards;
    return error;
}

static int make_lane(struct rig *rig, unsigned index)
{
    static struct wsh_transport_ops ops;
    struct rig_lane *lane = &rig->lanes[index];
    struct wsh_loop_port port = {lane, port_wake, port_here, port_now};
    int error;

    lane->rig = rig;
    IN_LIBRARY(
        error = wsh_shard_create(&lane->shard, &rig->hub, index, rig->now_us));
    if (error)
        return error;
    ops = *pipe_ops();
    ops.send = op_send;
    pipe_init(&lane->pipe, &events, lane->shard);
    wsh_shard_attach(lane->shard, &ops, &lane->pipe, &port);
    rig->shards[index] = lane->shard;
    rig->lane_count++;
    return 0;
}

static int make_driver(struct rig *rig, bool use_script)
{
    struct wsh_driver_config config = {
        .ops = &scripted,
        .self = &rig->broker,
        .loop = fake_loop_handle(&rig->loop),
        .loop_ops = fake_loop_ops(),
        .server_id = "torture",
        .instance = rig->hub.instance,
        .linger_ms = 1000,
        .seed = {3, 4},
        .events = wsh_hub_feed_events(&rig->hub),
        .log = &rig->hub.log,
    };
    int error = 0;

    if (!use_script)
        IN_LIBRARY(error = ws_hub_memory_broker(&config.ops, &config.self));
    if (error)
        return error;
    IN_LIBRARY(error = wsh_driver_create(&rig->driver, &config));
    if (error) {
        if (!use_script)
            free(config.self);
        return error;
    }
    rig->hub.feed = wsh_driver_feed(rig->driver);
    rig->current = &rig->lanes[WSH_HOME];
    IN_LIBRARY(error = wsh_driver_open(rig->driver));
    rig->current = NULL;
    return error;
}

int rig_init(struct rig *rig, const struct rig_shape *shape)
{
    int error;

    memset(rig, 0, sizeof *rig);
    rig->now_us = 1000000;
    fake_loop_init(&rig->loop);
    error = make_hub(rig);
    for (unsigned i = 0; i < shape->lanes && !error; i++)
        error = make_lane(rig, i);
    rig->hub.shard_count = rig->lane_count;
    if (!error)
        error = make_driver(rig, shape->scripted);
    atomic_store(&rig->hub.running, !error);
    return error;
}

static void lane_idle(void *arg)
{
    struct rig_lane *lane = arg;

    RIG_CHECK(!lane->idle);
    lane->idle = true;
}

static bool all_idle(const struct rig *rig)
{
    for (unsigned i = 0; i < rig->lane_count; i++)
        if (!rig->lanes[i].idle)
            return false;
    return true;
}

void rig_stop(struct rig *rig)
{
    for (unsigned i = 0; i < rig->lane_count; i++) {
        if (rig->lanes[i].idle)
            continue;
        rig->current = &rig->lanes[i];
        IN_LIBRARY(wsh_shard_stop(rig->lanes[i].shard, false, lane_idle,
                                  &rig->lanes[i]));
        rig->current = NULL;
    }
    /* Who does not read is dropped after close_timeout_ms. */
    for (unsigned second = 0; second < 10 && !all_idle(rig); second++)
        rig_pass(rig, 1000);
    RIG_CHECK(all_idle(rig));
    RIG_CHECK(rig->opened == rig->closed);
    RIG_CHECK(rig->promised == rig->told);
}

static void on_driver_closed(void *arg)
{
    struct rig *rig = arg;

    RIG_CHECK(!rig->driver_closed);
    rig->driver_closed = true;
}

static void fini_driver(struct rig *rig)
{
    if (!rig->driver)
        return;
    rig->current = &rig->lanes[WSH_HOME];
    IN_LIBRARY(wsh_driver_close(rig->driver, on_driver_closed, rig));
    rig->current = NULL;
    RIG_CHECK(rig->driver_closed);
}

void rig_fini(struct rig *rig)
{
    rig_stop(rig);
    fini_driver(rig);
    rig->current = &rig->lanes[WSH_HOME];
    for (unsigned i = 0; i < rig->lane_count; i++) {
        RIG_CHECK(rig->lanes[i].pipe.open == 0);
        IN_LIBRARY(wsh_shard_destroy(rig->lanes[i].shard));
    }
    rig->current = NULL;
    IN_LIBRARY(wsh_driver_destroy(rig->driver));
    for (unsigned i = 0; i < rig->client_count; i++)
        rig_client_fini(&rig->clients[i]);
    IN_LIBRARY(wsh_hub_fini(&rig->hub));
}

/* Turns. */

static bool sockets(struct rig *rig, struct rig_lane *lane)
{
    bool moved = false;

    for (unsigned i = 0; i < rig->client_count; i++) {
        struct rig_client *client = &rig->clients[i];

        if (client->lane != lane)
            continue;
        moved |= pipe_deliver(&client->end, 8192);
        moved |= pipe_writable(&client->end);
    }
    return moved;
}

static bool turn(struct rig *rig, struct rig_lane *lane)
{
    bool moved = lane->woken;
    size_t open = lane->pipe.open;
    struct wsh_turn end;

    rig->current = lane;
    if (lane->woken) {
        lane->woken = false;
        IN_LIBRARY(wsh_shard_loop_events.woken(lane->shard, rig->now_us));
    }
    moved |= sockets(rig, lane);
    IN_LIBRARY(end = wsh_shard_loop_events.turn_end(lane->shard, rig->now_us));
    /* No shard may go to sleep on messages. */
    RIG_CHECK(end.hold || (wsh_list_empty(&lane->shard->dirty_channels) &&
                           wsh_list_empty(&lane->shard->attention)));
    pipe_turn_end(&lane->pipe);
    rig->current = NULL;
    return moved || end.hold || lane->woken || open != lane->pipe.open;
}

void rig_settle(struct rig *rig)
{
    bool moved = true;

    for (unsigned round = 0; moved; round++) {
        moved = false;
        RIG_CHECK(round < ROUNDS_MAX);
        for (unsigned i = 0; i < rig->lane_count; i++)
            moved |= turn(rig, &rig->lanes[i]);
        for (unsigned i = 0; i < rig->client_count; i++)
            moved |= rig_client_read(&rig->clients[i]);
    }
}

void rig_pass(struct rig *rig, unsigned ms)
{
    rig->now_us += ms * UINT64_C(1000);
    rig->current = &rig->lanes[WSH_HOME];
    IN_LIBRARY(fake_loop_advance(&rig->loop, rig->now_us / 1000));
    rig->current = NULL;
    rig_settle(rig);
}

/* Checks. */

/* What the hub says it delivered is what arrived. */
static void check_delivered(const struct rig_client *client,
                            const struct wsh_conn *conn)
{
    if (client->end.to_far.len == 0)
        RIG_CHECK(client->ws.messages == conn->delivered);
    RIG_CHECK(client->answers <= client->commands);
}

/* Messages that it did not get, but for answers, which have no gap notice: it
 * was told of each. */
static void check_losses(const struct rig_client *client,
                         const struct wsh_conn *conn)
{
    uint64_t unanswered = client->commands - client->answers;
    uint64_t untold = conn->dropped - client->missed;
    bool welcomed = !client->json || client->welcomed;

    RIG_CHECK(client->missed <= conn->dropped);
    if (!client->left)
        RIG_CHECK(untold <= client->direct_lost + unanswered + !welcomed);
}

static bool is_on_news(const struct wsh_conn *conn)
{
    for (uint32_t i = 0; i < conn->sub_count; i++)
        if (wsh_view_is(wsh_channel_view(conn->subs[i].channel), "news"))
            return conn->subs[i].at != WSH_SUB_PENDING;
    return false;
}

/* What was not answered was counted as lost. */
static void check_clients(struct rig *rig, const ws_hub_stats_data *stats)
{
    uint64_t lost = 0;

    for (unsigned i = 0; i < rig->client_count; i++) {
        struct rig_client *client = &rig->clients[i];
        struct wsh_conn *conn;

        if (!client->opened || client->gone)
            continue;
        conn = wsh_conn_find(client->lane->shard, client->conn);
        RIG_CHECK(conn);
        check_delivered(client, conn);
        if (conn->state != WSH_CONN_OPEN || client->stalled)
            continue;
        RIG_CHECK(!conn->slow);
        check_losses(client, conn);
        RIG_CHECK(!client->on_news || is_on_news(conn) ||
                  client->answers < client->commands);
        lost += client->commands - client->answers;
    }
    RIG_CHECK(lost <= stats->dropped[WS_HUB_DROP_NO_MEMORY] +
                          stats->refused[WS_HUB_REFUSE_SLOW_CLIENT]);
}

void rig_check(struct rig *rig)
{
    ws_hub_stats_data stats = {0};

    for (unsigned i = 0; i < rig->lane_count; i++)
        wsh_shard_check(rig->lanes[i].shard);
    wsh_hub_stats(&rig->hub, &stats);
    check_clients(rig, &stats);
}

static void fresh_clients(struct rig *rig, struct rig_client *client[],
                          unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        client[i] = rig_connect(rig, i / 2, "/fresh", i % 2);
        RIG_CHECK(client[i]->opened);
        if (client[i]->json)
            rig_command(client[i], "{\"op\":\"subscribe\",\"channel\":\"news\","
                                   "\"id\":\"fresh\"}");
        else
            rig_subscribe(client[i], "news");
    }
    rig_settle(rig);
    for (unsigned i = 0; i < count; i++)
        RIG_CHECK(client[i]->answers == client[i]->commands);
}

void rig_fresh_session(struct rig *rig)
{
    struct rig_client *client[2 * RIG_LANES];
    unsigned count = 2 * rig->lane_count;

    RIG_CHECK(rig->promised == rig->told);
    rig->strict = true;
    fresh_clients(rig, client, count);
    RIG_CHECK(rig->promised == rig->told);
    for (unsigned i = 0; i < FRESH; i++)
        rig_publish(rig, "news", WS_HUB_TEXT, "fresh", 5, NULL);
    rig_settle(rig);
    rig_check(rig);
    for (unsigned i = 0; i < count; i++) {
        RIG_CHECK(client[i]->messages == FRESH);
        rig_close(client[i], 1000, "");
    }
    rig_settle(rig);
    for (unsigned i = 0; i < count; i++)
        RIG_CHECK(client[i]->gone);
    rig_check(rig);
    rig->strict = false;
}

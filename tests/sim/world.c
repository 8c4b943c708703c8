#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_hub/error.h"
#include "ws_hub/hub.h"

_Noreturn void world_fail(struct world *world, const char *what, int line)
{
    fprintf(stderr,
            "simulation: %s (line %d)\n"
            "seed %llu, step %llu; replay: %s %llu %llu\n",
            what, line, (unsigned long long)world->seed,
            (unsigned long long)world->step, world->shape->program,
            (unsigned long long)world->seed,
            (unsigned long long)world->step + 1);
    abort();
}

/* The loop port of a shard. */

static void port_wake(void *loop)
{
    struct lane *lane = loop;

    lane->woken = true;
}

static bool port_here(void *loop)
{
    struct lane *lane = loop;

    return lane->world->current == lane;
}

static uint64_t port_now(void *loop)
{
    struct lane *lane = loop;

    return lane->world->now_us;
}

/* Callbacks. */

struct peer *world_peer(struct world *world, ws_hub_conn conn)
{
    struct lane *lane = world->current;
    struct wsh_conn *found = wsh_conn_find(lane->shard, conn);
    struct pipe_end *end;

    CHECK(world, found);
    end = found->link.impl;
    /* Inside `closed` the link is detached: the far end finds itself. */
    for (unsigned i = 0; i < PEERS_MAX; i++)
        if (world->peers[i].used &&
            (world->peers[i].conn.id == conn.id || &world->peers[i].end == end))
            return &world->peers[i];
    world_fail(world, "a callback for an unknown connection", __LINE__);
}

static struct world *world_of(ws_hub *hub)
{
    return (struct world *)(void *)hub;
}

static int may_connect(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user)
{
    struct world *world = world_of(hub);

    (void)conn;
    (void)request;
    (void)user;
    switch (world_random(world, 12)) {
    case 0:
        return 403;
    case 1:
        return WS_HUB_EAGAIN;
    default:
        return 0;
    }
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct world *world = world_of(hub);
    struct peer *peer = world_peer(world, conn);

    (void)request;
    (void)user;
    CHECK(world, !peer->conn.id);
    peer->conn = conn;
    world->opened++;
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    struct world *world = world_of(hub);
    struct peer *peer = world_peer(world, conn);
    int error;

    (void)user;
    if (world_random(world, 2))
        return;
    error = ws_hub_send(hub, conn, type, data, len);
    CHECK(world, !error || error == WS_HUB_ELIMIT);
    peer->expected++;
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct world *world = world_of(hub);
    struct peer *peer = world_peer(world, conn);

    (void)info;
    (void)user;
    CHECK(world, !peer->gone && peer->conn.id == conn.id);
    peer->gone = true;
    world->closed++;
}

/* Callbacks may call anything: now and then this one does. */
static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t len, int status, void *user)
{
    struct world *world = world_of(hub);

    (void)user;
    (void)status;
    switch (world_random(world, 24)) {
    case 0:
        (void)ws_hub_unsubscribe(hub, conn, channel, len);
        break;
    case 1:
        (void)ws_hub_close(hub, conn, 1000, "enough", 6);
        break;
    case 2:
        (void)ws_hub_close(hub, conn, 0, NULL, 0);
        break;
    default:
        break;
    }
}

static ws_hub_policy policy_of(ws_hub *hub, const char *channel, size_t len,
                               void *user)
{
    struct world *world = world_of(hub);

    (void)user;
    CHECK(world, len == 2);
    return world->policy[channel[1] - '0'];
}

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t len, uint64_t missed, void *user)
{
    struct world *world = world_of(hub);

    (void)user;
    CHECK(world, len == 2 && missed > 0);
    world->gaps++;
    if (world->on_gap)
        world->on_gap(world, conn, (unsigned)(channel[1] - '0'), missed);
    else if (world_random(world, 16) == 0)
        (void)ws_hub_unsubscribe(hub, conn, channel, len);
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .may_connect = may_connect,
    .may_publish = sim_may_publish,
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .on_subscribed = on_subscribed,
    .on_gap = on_gap,
    .policy_of = policy_of,
};

/* Life. */

static void make_hub(struct world *world)
{
    struct wsh_settings settings;
    ws_hub_options options;
    uint64_t seed[2] = {world->seed, 1};

    ws_hub_options_init(&options);
    options.callbacks = &callbacks;
    options.send_limit = 1024u << world_random(world, 6);
    options.critical_reserve = 1024u << world_random(world, 6);
    options.slow_grace_ms = 500;
    options.max_queue_bytes = 4096u << world_random(world, 12);
    options.fragment_bytes = 1024u << world_random(world, 4);
    options.write_bytes = 4096u << world_random(world, 4);
    options.flush_turns = 1 + (unsigned)world_random(world, 16);
    options.flush_bytes = 1024u << world_random(world, 6);
    options.heartbeat_ms = 1000 + (unsigned)world_random(world, 5000);
    options.heartbeat_timeout_ms = 1000;
    options.close_timeout_ms = 2000;
    options.handshake_timeout_ms = 3000;
    options.max_channels_per_conn = 1 + (unsigned)world_random(world, 8);
    options.max_message_bytes = 65536;
    if (world->shape->options)
        world->shape->options(world, &options);
    if (wsh_settings_init(&settings, &options) ||
        wsh_hub_init(&world->hub, (ws_hub *)(void *)world, &settings, seed))
        abort();
    world->hub.shards = calloc(LANES_MAX, sizeof *world->hub.shards);
    if (!world->hub.shards)
        abort();
}

static void make_lane(struct world *world, unsigned index)
{
    struct lane *lane = &world->lanes[index];
    struct wsh_loop_port port = {lane, port_wake, port_here, port_now};

    lane->world = world;
    if (wsh_shard_create(&lane->shard, &world->hub, index, world->now_us))
        abort();
    pipe_init(&lane->pipe, &wsh_shard_transport_events, lane->shard);
    wsh_shard_attach(lane->shard, pipe_ops(), &lane->pipe, &port);
    world->hub.shards[index] = lane->shard;
}

static void make_driver(struct world *world)
{
    struct wsh_driver_config config = {
        .loop = fake_loop_handle(&world->loop),
        .loop_ops = fake_loop_ops(),
        .server_id = "sim",
        .instance = world->hub.instance,
        .linger_ms = 1000,
        .seed = {world->seed, 2},
        .events = wsh_hub_feed_events(&world->hub),
        .log = &world->hub.log,
    };

    fake_loop_init(&world->loop);
    world->current = &world->lanes[WSH_HOME];
    if (world->shape->driver)
        world->shape->driver(world, &config);
    else if (ws_hub_memory_broker(&config.ops, &config.self))
        abort();
    if (wsh_driver_create(&world->driver, &config))
        abort();
    world->hub.feed = wsh_driver_feed(world->driver);
    if (wsh_driver_open(world->driver))
        abort();
    world->current = NULL;
}

void world_init(struct world *world, uint64_t seed)
{
    static const struct world_shape shape = {.program = "sim_test"};

    world_init_as(world, seed, &shape);
}

void world_init_as(struct world *world, uint64_t seed,
                   const struct world_shape *shape)
{
    memset(world, 0, sizeof *world);
    world->shape = shape;
    world->seed = world->rng.state = seed;
    world->now_us = 1000000;
    make_hub(world);
    for (unsigned i = 0; i < CHANNELS; i++)
        world->policy[i] = (ws_hub_policy)world_random(world, 5);
    world->lane_count = 1 + (unsigned)world_random(world, LANES_MAX);
    for (unsigned i = 0; i < world->lane_count; i++)
        make_lane(world, i);
    world->hub.shard_count = world->lane_count;
    make_driver(world);
    atomic_store(&world->hub.running, true);
}

/* Turns. */

static void sockets(struct world *world, struct lane *lane)
{
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &world->peers[i];

        if (!peer->used || peer->lane != lane)
            continue;
        if (world_random(world, 4))
            (void)pipe_deliver(&peer->end, 1 + world_random(world, 700));
        (void)pipe_writable(&peer->end);
    }
}

void world_turn(struct world *world, struct lane *lane)
{
    world->current = lane;
    if (lane->woken) {
        lane->woken = false;
        wsh_shard_loop_events.woken(lane->shard, world->now_us);
    }
    sockets(world, lane);
    (void)wsh_shard_loop_events.turn_end(lane->shard, world->now_us);
    pipe_turn_end(&lane->pipe);
    world->current = NULL;
}

void world_settle(struct world *world)
{
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned i = 0; i < world->lane_count; i++)
            world_turn(world, &world->lanes[i]);
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (world->peers[i].used && !world->peers[i].stalled)
                peer_read(&world->peers[i], SIZE_MAX);
    }
}

void world_check(struct world *world)
{
    for (unsigned i = 0; i < world->lane_count; i++)
        wsh_shard_check(world->lanes[i].shard);
    for (unsigned i = 0; i < PEERS_MAX; i++)
        if (world->peers[i].used)
            peer_check(&world->peers[i]);
}

static void lane_idle(void *arg)
{
    struct lane *lane = arg;

    CHECK(lane->world, !lane->idle);
    lane->idle = true;
}

static bool all_idle(struct world *world)
{
    for (unsigned i = 0; i < world->lane_count; i++)
        if (!world->lanes[i].idle)
            return false;
    return true;
}

static void on_driver_closed(void *arg)
{
    struct world *world = arg;

    CHECK(world, !world->driver_closed);
    world->driver_closed = true;
}

static void stop_lanes(struct world *world)
{
    bool abrupt = world_random(world, 2) != 0;

    for (unsigned i = 0; i < world->lane_count; i++) {
        world->current = &world->lanes[i];
        wsh_shard_stop(world->lanes[i].shard, abrupt, lane_idle,
                       &world->lanes[i]);
        world->current = NULL;
    }
    /* Peers that stall are dropped after close_timeout_ms. */
    for (unsigned second = 0; second < 10 && !all_idle(world); second++) {
        world_settle(world);
        world_check(world);
        world->now_us += 1000000;
    }
    CHECK(world, all_idle(world));
}

void world_fini(struct world *world)
{
    world->current = &world->lanes[WSH_HOME];
    ws_hub_unlisten((ws_hub *)(void *)world, world->listener);
    world->current = NULL;
    stop_lanes(world);
    CHECK(world, world->opened == world->closed);
    world_settle(world);
    world->current = &world->lanes[WSH_HOME];
    wsh_driver_close(world->driver, on_driver_closed, world);
    CHECK(world, world->driver_closed);
    for (unsigned i = 0; i < world->lane_count; i++) {
        CHECK(world, world->lanes[i].pipe.open == 0);
        wsh_shard_destroy(world->lanes[i].shard);
    }
    wsh_driver_destroy(world->driver);
    for (unsigned i = 0; i < PEERS_MAX; i++)
        peer_fini(&world->peers[i]);
    free(world->hub.shards);
    wsh_hub_fini(&world->hub);
}

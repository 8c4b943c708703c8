#include "support/one_shard.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "support/ws_peer.h"

enum { WINDOW = 1 << 20 };

static void port_wake(void *loop)
{
    (void)loop;
}

static bool port_here(void *loop)
{
    (void)loop;
    return true;
}

static uint64_t port_now(void *loop)
{
    return ((struct one_shard *)loop)->now_us;
}

void one_shard_init(struct one_shard *one, const ws_hub_options *options)
{
    struct wsh_loop_port port = {one, port_wake, port_here, port_now};
    const uint64_t seed[2] = {1, 2};
    struct wsh_settings settings;

    memset(one, 0, sizeof *one);
    one->now_us = 1000000;
    if (wsh_settings_init(&settings, options) ||
        wsh_hub_init(&one->hub, (ws_hub *)(void *)one, &settings, seed) ||
        wsh_shard_create(&one->shard, &one->hub, 0, one->now_us))
        abort();
    pipe_init(&one->pipe, &wsh_shard_transport_events, one->shard);
    wsh_shard_attach(one->shard, pipe_ops(), &one->pipe, &port);
    one->hub.shards = &one->shard;
    one->hub.shard_count = 1;
    atomic_store(&one->hub.running, true);
}

static void on_idle(void *arg)
{
    *(bool *)arg = true;
}

void one_shard_fini(struct one_shard *one)
{
    bool idle = false;

    wsh_shard_stop(one->shard, true, on_idle, &idle);
    pipe_turn_end(&one->pipe);
    if (!idle)
        abort();
    wsh_shard_destroy(one->shard);
    wsh_hub_fini(&one->hub);
}

void one_shard_turn(struct one_shard *one)
{
    one->hold = wsh_shard_loop_events.turn_end(one->shard, one->now_us).hold;
    pipe_turn_end(&one->pipe);
    wsh_shard_check(one->shard);
}

void one_shard_deliver(struct one_shard *one, struct pipe_end *end)
{
    (void)pipe_deliver(end, SIZE_MAX);
    one_shard_turn(one);
}

void one_shard_connect(struct one_shard *one, struct pipe_end *end)
{
    struct wsh_buf request = {0};

    if (!pipe_connect(&one->pipe, end, WINDOW))
        abort();
    ws_peer_request(&request, "/", NULL);
    pipe_write(end, request.data, request.len);
    wsh_buf_fini(&request);
    one_shard_deliver(one, end);
    if (one_shard_conn(end)->state != WSH_CONN_OPEN)
        abort();
    pipe_consumed(end, end->to_far.len);
}

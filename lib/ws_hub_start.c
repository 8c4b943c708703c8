/* ws_hub_start.c: how the lanes come up, and go down again if one of them
 * fails. */
#include "base/check.h"
#include "ws_hub/error.h"
#include "ws_hub_private.h"

static bool port_here(void *loop)
{
    return wsh_loop_here(loop);
}

static uint64_t port_now(void *loop)
{
    (void)loop;
    return wsh_now_us();
}

static bool after_turn(void *arg)
{
    struct lane *lane = arg;

    return lane->transport && wsh_transport_turn_end(lane->transport);
}

/* The loop is made with its shard's events, the shard with its loop as port. */
static int make_lane(struct lane *lane)
{
    ws_hub *top = lane->top;
    struct wsh_loop_config config = {
        .host_uv_loop = top->hub.settings.o.uv_loop,
        .events = &wsh_shard_loop_events,
        .after_turn = after_turn,
        .after_turn_arg = lane,
        .thread_name = "ws_hub",
        .log = &top->hub.log,
    };
    struct wsh_loop_port port = {
        .wake = wsh_loop_wake,
        .here = port_here,
        .now_us = port_now,
    };
    int error =
        wsh_shard_create(&lane->shard, &top->hub, lane->index, wsh_now_us());

    if (error)
        return error;
    config.shard = lane->shard;
    error = wsh_loop_create(&lane->loop, &config);
    if (error)
        return error;
    port.loop = lane->loop;
    wsh_shard_attach(lane->shard, wsh_transport_ops(), NULL, &port);
    top->hub.shards[lane->index] = lane->shard; /* may be called from now on */
    return 0;
}

static int open_transport(struct lane *lane)
{
    const ws_hub_options *o = &lane->top->hub.settings.o;
    struct wsh_transport_config config = {
        .uv_loop = wsh_loop_uv(lane->loop),
        .tls_cert = o->tls_cert,
        .tls_key = o->tls_key,
        .sender = (int)o->sender,
        .max_links = o->max_connections,
        .count_unsent = o->count_unsent != 0,
        .events = &wsh_shard_transport_events,
        .hub = lane->shard,
        .log = &lane->top->hub.log,
    };
    int error = wsh_transport_create(&lane->transport, &config);

    if (error)
        return error;
    lane->shard->transport = lane->transport;
    atomic_store(&lane->uring, wsh_transport_uses_uring(lane->transport));
    return 0;
}

static int open_driver(ws_hub *top)
{
    ws_hub_options *o = &top->hub.settings.o;
    struct wsh_driver_config config = {
        .loop = (ws_hub_loop *)top->lanes[WSH_HOME].loop,
        .loop_ops = wsh_loop_contract(),
        .server_id = o->server_id,
        .instance = top->hub.instance,
        .linger_ms = o->linger_ms,
        .probe_ms = o->probe_ms,
        .audit_ms = o->audit_ms,
        .outage_no_local = o->outage_no_local != 0,
        .outage_hold = o->outage_hold,
        .hold_bytes = o->mailbox_bytes,
        .seed = {top->hub.seed[0], top->hub.seed[1]},
        .events = wsh_hub_feed_events(&top->hub),
        .log = &top->hub.log,
    };
    int error = 0;

    if (!o->broker)
        error = ws_hub_memory_broker(&o->broker, &o->broker_self);
    config.ops = o->broker;
    config.self = o->broker_self;
    if (!error)
        error = wsh_driver_create(&top->driver, &config);
    if (error)
        return error;
    top->hub.feed = wsh_driver_feed(top->driver);
    return wsh_driver_open(top->driver);
}

static int set_up_lane(void *arg)
{
    struct lane *lane = arg;
    ws_hub *top = lane->top;
    int error = open_transport(lane);

    if (error || lane->index != WSH_HOME)
        return error;
    error = open_driver(top);
    if (!error)
        error = wsh_top_open_acceptor(top);
    if (!error)
        atomic_store(&top->hub.running, true);
    return error;
}

/*
 * A set-up that fails half way closes what it has opened. On a thread of our
 * own the loop runs until that is done, before start returns; on a host loop it
 * goes on after the failure, and the memory stays until then.
 */
static void undone(void *arg)
{
    ws_hub *top = arg;
    bool destroy;

    pthread_mutex_lock(&top->lock);
    top->undoing--;
    destroy = top->destroy_when_stopped && top->undoing == 0;
    pthread_mutex_unlock(&top->lock);
    if (destroy)
        wsh_top_free(top);
}

static void undo_lane(struct lane *lane)
{
    ws_hub *top = lane->top;
    struct wsh_acceptor *acceptor = NULL;
    struct wsh_driver *driver = NULL;

    if (lane->index == WSH_HOME) {
        acceptor = top->acceptor;
        driver = top->driver;
    }
    pthread_mutex_lock(&top->lock);
    top->undoing += !!acceptor + !!driver + !!lane->transport + 1;
    pthread_mutex_unlock(&top->lock);
    if (acceptor)
        wsh_acceptor_close(acceptor, undone, top);
    if (driver)
        wsh_driver_close(driver, undone, top);
    if (lane->transport)
        wsh_transport_close(lane->transport, undone, top);
    lane->transport = NULL;
    undone(top); /* its own count kept `top` alive until here */
}

static int set_up_or_undo(void *arg)
{
    int error = set_up_lane(arg);

    if (error)
        undo_lane(arg);
    return error;
}

/* Another lane failed: this one ran already and is taken down again. */
static void lane_down(void *arg)
{
    (void)arg;
}

static void transport_down(void *arg)
{
    struct lane *lane = arg;

    lane->transport = NULL;
    wsh_shard_close_mailbox(lane->shard);
    wsh_loop_stop(lane->loop, lane_down, lane);
}

static void run_down(struct wsh_shard *shard, struct wsh_task *task,
                     bool canceled)
{
    struct lane *lane = WSH_CONTAINER(task, struct lane, close);

    (void)shard;
    if (!canceled)
        wsh_transport_close(lane->transport, transport_down, lane);
}

static void take_down_others(ws_hub *top)
{
    for (unsigned i = 1; i < top->lane_count; i++) {
        struct lane *lane = &top->lanes[i];

        if (!lane->started)
            continue;
        lane->close.run = run_down;
        (void)wsh_shard_post(lane->shard, &lane->close);
    }
}

static int start_lanes(ws_hub *top)
{
    int error = 0;

    for (unsigned i = 0; i < top->lane_count && !error; i++)
        error = make_lane(&top->lanes[i]);
    /* Home last: its acceptor hands sockets to all others. */
    for (unsigned i = top->lane_count; i-- > 0 && !error;) {
        struct lane *lane = &top->lanes[i];

        error = wsh_loop_start(lane->loop, set_up_or_undo, lane);
        lane->started = !error;
    }
    return error;
}

int ws_hub_start(ws_hub *top)
{
    int error;

    if (!top)
        return WS_HUB_EINVAL;
    pthread_mutex_lock(&top->lock);
    error = top->state == CREATED ? 0 : WS_HUB_ESTATE;
    if (!error) {
        top->state = RUNNING;
        top->hub.shard_count = top->lane_count;
    }
    pthread_mutex_unlock(&top->lock);
    if (error)
        return error;
    error = start_lanes(top);
    if (!error)
        return 0;
    take_down_others(top);
    pthread_mutex_lock(&top->lock);
    top->state = FAILED;
    pthread_mutex_unlock(&top->lock);
    return error;
}

#include "hub/shard.h"

#include <sched.h>
#include <stdlib.h>

#include "base/check.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "hub/flush.h"
#include "ws_hub/error.h"

enum { TASKS_PER_TURN = 4096 };

int wsh_shard_create(struct wsh_shard **out, struct wsh_hub *hub,
                     unsigned index, uint64_t now_us)
{
    struct wsh_shard *shard = calloc(1, sizeof *shard);

    *out = NULL;
    if (!shard)
        return WS_HUB_ENOMEM;
    shard->hub = hub;
    shard->index = index;
    shard->sends = calloc(WSH_SENDS_MAX, sizeof *shard->sends);
    shard->arena = malloc(WSH_ARENA_BYTES);
    if (!shard->sends || !shard->arena) {
        free(shard->sends);
        free(shard->arena);
        free(shard);
        return WS_HUB_ENOMEM;
    }
    wsh_mpsc_init(&shard->mailbox);
    wsh_conn_table_init(&shard->table, index);
    wsh_list_init(&shard->conns);
    wsh_list_init(&shard->dirty_conns);
    wsh_list_init(&shard->attention);
    wsh_list_init(&shard->behind);
    wsh_list_init(&shard->dirty_channels);
    wsh_list_init(&shard->listeners);
    wsh_list_init(&shard->dead_listeners);
    wsh_map_init(&shard->channels, hub->seed);
    wsh_wheel_init(&shard->wheel, now_us / 1000);
    shard->rng.state = hub->seed[0] ^ (index + 1);
    *out = shard;
    return 0;
}

void wsh_shard_destroy(struct wsh_shard *shard)
{
    if (!shard)
        return;
    WSH_ASSERT(wsh_list_empty(&shard->conns));
    wsh_shard_close_mailbox(shard);
    wsh_shard_fini_listeners(shard);
    WSH_ASSERT(shard->channels.count == 0);
    wsh_map_fini(&shard->channels);
    wsh_conn_table_fini(&shard->table);
    wsh_buf_fini(&shard->scratch);
    free(shard->sends);
    free(shard->arena);
    free(shard);
}

void wsh_shard_attach(struct wsh_shard *shard,
                      const struct wsh_transport_ops *ops, void *transport,
                      const struct wsh_loop_port *port)
{
    shard->transport_ops = ops;
    shard->transport = transport;
    shard->port = *port;
}

/* The mailbox. */

static bool mailbox_takes(struct wsh_shard *shard, size_t bytes)
{
    size_t limit = shard->hub->settings.o.mailbox_bytes;
    size_t before = atomic_fetch_add_explicit(&shard->mailbox_bytes, bytes,
                                              memory_order_relaxed);

    /* One message is taken into an empty mailbox, whatever its size. */
    if (bytes == 0 || before == 0 || before + bytes <= limit)
        return true;
    atomic_fetch_sub_explicit(&shard->mailbox_bytes, bytes,
                              memory_order_relaxed);
    return false;
}

/* `posters` keeps the loop alive for the wake: close_mailbox waits for it, so
 * a publish that races with stop never touches a closed loop. */
int wsh_shard_post(struct wsh_shard *shard, struct wsh_task *task)
{
    int result = 0;

    atomic_fetch_add(&shard->posters, 1);
    if (atomic_load(&shard->closed)) {
        result = WS_HUB_ESTATE;
    } else if (!mailbox_takes(shard, task->bytes)) {
        result = WS_HUB_ELIMIT;
    } else {
        wsh_mpsc_push(&shard->mailbox, &task->node);
        shard->port.wake(shard->port.loop);
    }
    atomic_fetch_sub(&shard->posters, 1);
    return result;
}

static struct wsh_task *next_task(struct wsh_shard *shard)
{
    struct wsh_mpsc_node *node = wsh_mpsc_pop(&shard->mailbox);
    struct wsh_task *task;

    if (!node)
        return NULL;
    task = WSH_CONTAINER(node, struct wsh_task, node);
    if (task->bytes)
        atomic_fetch_sub_explicit(&shard->mailbox_bytes, task->bytes,
                                  memory_order_relaxed);
    return task;
}

void wsh_shard_close_mailbox(struct wsh_shard *shard)
{
    struct wsh_task *task;

    atomic_store(&shard->closed, true);
    while (atomic_load(&shard->posters))
        sched_yield();
    while ((task = next_task(shard)))
        task->run(shard, task, true);
}

static void woken(void *arg, uint64_t now_us)
{
    struct wsh_shard *shard = arg;
    struct wsh_task *task;
    unsigned n = 0;

    while (n++ < TASKS_PER_TURN && (task = next_task(shard)))
        task->run(shard, task, false);
    /* Sockets get their turn as well. */
    if (!wsh_mpsc_empty(&shard->mailbox))
        shard->port.wake(shard->port.loop);
}

/* The end of a turn. */

static bool hold_back(struct wsh_shard *shard, uint64_t now_us)
{
    const ws_hub_options *o = &shard->hub->settings.o;
    struct wsh_hold *hold = &shard->hold;

    if (wsh_list_empty(&shard->dirty_channels))
        return false;
    if (hold->turns == 0)
        hold->since_us = now_us;
    hold->turns++;
    if (hold->appended == hold->seen || hold->turns >= o->flush_turns ||
        hold->full || now_us - hold->since_us >= o->flush_us)
        return false;
    hold->seen = hold->appended;
    return true;
}

static struct wsh_turn turn_end(void *arg, uint64_t now_us)
{
    struct wsh_shard *shard = arg;
    struct wsh_turn turn;

    wsh_shard_catch_up(shard);
    wsh_wheel_advance(&shard->wheel, now_us / 1000, wsh_conn_timer_fired,
                      shard);
    turn.hold = hold_back(shard, now_us);
    if (!turn.hold) {
        wsh_shard_close_batches(shard);
        shard->hold = (struct wsh_hold){0};
    }
    wsh_shard_relieve(shard);
    wsh_shard_flush(shard);
    wsh_shard_attend(shard);
    /* One write per connection and turn: who has more goes on in the next. So
     * does what callbacks have begun after the batches were closed. */
    if (!wsh_list_empty(&shard->dirty_conns) ||
        !wsh_list_empty(&shard->dirty_channels) ||
        !wsh_list_empty(&shard->attention) || !wsh_list_empty(&shard->behind))
        turn.hold = true;
    turn.deadline_ms = wsh_wheel_next(&shard->wheel);
    return turn;
}

const struct wsh_loop_events wsh_shard_loop_events = {
    .woken = woken,
    .turn_end = turn_end,
};

/* What the transport calls. */

static struct wsh_link *opened(void *arg, const struct wsh_peer *peer)
{
    struct wsh_conn *conn = wsh_conn_create(arg, peer);

    return conn ? &conn->link : NULL;
}

static struct wsh_conn *conn_of(struct wsh_link *link)
{
    return WSH_CONTAINER(link, struct wsh_conn, link);
}

static void received(void *arg, struct wsh_link *link, uint8_t *data,
                     size_t len)
{
    struct wsh_shard *shard = arg;

    wsh_count(&shard->counters, WSH_C_RECEIVED_BYTES, len);
    wsh_conn_received(conn_of(link), data, len);
}

static void writable(void *arg, struct wsh_link *link)
{
    struct wsh_conn *conn = conn_of(link);

    conn->blocked = false;
    conn->held = 0;
    wsh_conn_touch(conn);
}

static void closed(void *arg, struct wsh_link *link)
{
    wsh_conn_destroy(conn_of(link));
}

const struct wsh_transport_events wsh_shard_transport_events = {
    .opened = opened,
    .received = received,
    .writable = writable,
    .closed = closed,
};

/* Stopping. */

static void stop_conn(struct wsh_conn *conn, bool abrupt)
{
    if (abrupt)
        wsh_conn_drop(conn, WS_HUB_CAUSE_STOP);
    else if (conn->state == WSH_CONN_OPEN)
        wsh_conn_close(conn, WS_HUB_CAUSE_STOP, 1001, NULL, 0);
    else if (conn->state <= WSH_CONN_DECIDING)
        wsh_conn_refuse(conn, 503, WS_HUB_REJECT_STOPPING);
}

void wsh_shard_stop(struct wsh_shard *shard, bool abrupt,
                    void (*on_idle)(void *arg), void *arg)
{
    struct wsh_list *node;

    shard->stopping = true;
    shard->on_idle = on_idle;
    shard->on_idle_arg = arg;
    /* Connections are only unlinked by the transport's `closed`, which never
     * comes inside an op, so the walk is safe whatever callbacks do. */
    for (node = shard->conns.next; node != &shard->conns; node = node->next)
        stop_conn(WSH_CONTAINER(node, struct wsh_conn, node), abrupt);
    if (wsh_list_empty(&shard->conns) && shard->on_idle) {
        shard->on_idle = NULL;
        on_idle(arg);
    }
}

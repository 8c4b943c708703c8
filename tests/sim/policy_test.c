/*
 * policy_test.c: every slow-client policy against a slow, obvious model of it:
 * a list of queued messages, and the rules of ws_hub/conn.h read out one by
 * one. One client, one message and one turn a step, with the client reading as
 * chance has it; after each step the accounts agree, at the end the messages
 * that arrived and the gaps that were told are exactly those that the model
 * says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"
#include "ws_hub/error.h"

enum { STEPS = 50000, SEEDS = 20, LIMIT = 4096, RESERVE = 2048, KEYS = 6 };

struct queued {
    uint64_t number;
    size_t size, left; /* on the wire; not taken yet */
    unsigned channel, key;
    bool critical;
};

struct model {
    struct world *world;
    struct peer *peer;
    struct queued queue[4096];
    size_t count, bytes, entries;
    bool slow, overflow;
    uint64_t looks; /* at what the transport holds: as seldom as it may */
    uint64_t delivered, dropped, offered;
    uint64_t missed[CHANNELS], told[CHANNELS];
    uint64_t arrived[STEPS], arrived_count; /* by the model */
    uint64_t received_count;                /* by the client */
};

static struct model *model;

/* The client's side: what arrives is what the model took, in its order. */
static void on_message(void *arg, uint8_t opcode, const uint8_t *data,
                       size_t len)
{
    (void)arg;
    (void)opcode;
    (void)len;
    CHECK(model->world, model->received_count < model->arrived_count);
    CHECK(model->world, strtoull((const char *)data, NULL, 10) ==
                            model->arrived[model->received_count]);
    model->received_count++;
}

static void on_gap(struct world *world, ws_hub_conn conn, unsigned channel,
                   uint64_t missed)
{
    (void)conn;
    CHECK(world, missed == model->missed[channel]);
    model->missed[channel] = 0;
    model->told[channel] += missed;
}

/* What the transport has taken counts as long as it takes no more, for the
 * seeds that count it. */
static size_t held(void)
{
    const struct pipe_end *end = &model->peer->end;
    bool full = end->want && end->to_far.len >= end->window;

    return full && end->transport->count_unsent ? end->to_far.len : 0;
}

static bool room(size_t size, size_t limit)
{
    return model->count == 0 || model->bytes + held() + size +
                                        (model->entries + 1) * WSH_OUT_CHARGE <=
                                    limit;
}

static void lose(unsigned channel)
{
    model->dropped++;
    model->missed[channel]++;
}

static void enqueue(const struct queued *message)
{
    model->queue[model->count++] = *message;
    model->bytes += message->size;
    model->entries++;
}

static void take_out(size_t i)
{
    model->bytes -= model->queue[i].left;
    model->entries--;
    model->count--;
    memmove(&model->queue[i], &model->queue[i + 1],
            (model->count - i) * sizeof model->queue[0]);
}

static bool evict_oldest(unsigned channel)
{
    for (size_t i = 0; i < model->count; i++) {
        struct queued *q = &model->queue[i];

        if (q->channel == channel && !q->critical && q->left == q->size) {
            take_out(i);
            lose(channel);
            return true;
        }
    }
    return false;
}

static void replace_key(unsigned channel, unsigned key)
{
    for (size_t i = model->count; i-- > 0;) {
        struct queued *q = &model->queue[i];

        if (q->channel == channel && q->key == key && !q->critical &&
            q->left == q->size) {
            take_out(i);
            lose(channel);
            return;
        }
    }
}

/* The rules. */
static void model_offer(const struct queued *m, ws_hub_class cls,
                        ws_hub_policy policy)
{
    model->offered++;
    if (!model->slow && room(m->size, LIMIT)) {
        enqueue(m);
        return;
    }
    if (!model->slow && held())
        model->looks++;
    model->slow = true;
    if (cls == WS_HUB_CLASS_CRITICAL) {
        if (room(m->size, LIMIT + RESERVE)) {
            enqueue(m);
        } else {
            lose(m->channel);
            model->overflow = true;
        }
        return;
    }
    if (cls == WS_HUB_CLASS_VOLATILE || policy == WS_HUB_POLICY_DROP_NEWEST) {
        lose(m->channel);
        return;
    }
    if (policy == WS_HUB_POLICY_DROP_OLDEST) {
        while (!room(m->size, LIMIT))
            if (!evict_oldest(m->channel)) {
                lose(m->channel);
                return;
            }
        enqueue(m);
        return;
    }
    if (m->key)
        replace_key(m->channel, m->key);
    if (m->key && room(m->size, LIMIT))
        enqueue(m);
    else
        lose(m->channel);
}

/* The transport took so many bytes. */
static void model_consume(size_t bytes)
{
    model->bytes -= bytes;
    while (bytes) {
        struct queued *head = &model->queue[0];

        if (head->left > bytes) {
            head->left -= bytes;
            return;
        }
        bytes -= head->left;
        model->arrived[model->arrived_count++] = head->number;
        model->delivered++;
        model->entries--;
        model->count--;
        memmove(head, head + 1, model->count * sizeof *head);
    }
}

static void model_recover(bool wrote)
{
    if (wrote && model->slow &&
        model->bytes + held() + model->entries * WSH_OUT_CHARGE <= LIMIT / 2)
        model->slow = false;
}

static void compare(const struct wsh_conn *conn)
{
    struct world *world = model->world;

    CHECK(world, conn->offered == model->offered);
    CHECK(world, conn->delivered == model->delivered);
    CHECK(world, conn->dropped == model->dropped);
    CHECK(world, conn->out.messages == model->count);
    CHECK(world, conn->out.bytes == model->bytes);
    CHECK(world, conn->slow == model->slow);
    for (uint32_t i = 0; i < conn->sub_count; i++) {
        unsigned channel = (unsigned)(conn->subs[i].channel->name[1] - '0');

        CHECK(world, conn->subs[i].missed == model->missed[channel]);
    }
}

static struct wsh_conn *conn_of(void)
{
    return model->peer->conn.id
               ? wsh_conn_find(model->peer->lane->shard, model->peer->conn)
               : NULL;
}

/* One turn; how many bytes the "kernel" took in it. */
static size_t turn(bool *wrote)
{
    struct world *world = model->world;
    struct lane *lane = model->peer->lane;
    size_t before = model->peer->end.to_far.len;
    bool was_blocked, wanted;

    world->current = lane;
    (void)pipe_deliver(&model->peer->end, SIZE_MAX);
    (void)pipe_writable(&model->peer->end);
    wanted = model->peer->end.want;
    was_blocked =
        conn_of() && (conn_of()->blocked || wsh_outq_empty(&conn_of()->out));
    (void)wsh_shard_loop_events.turn_end(lane->shard, world->now_us);
    pipe_turn_end(&lane->pipe);
    world->current = NULL;
    *wrote = !was_blocked;
    if (!wanted && model->peer->end.want)
        model->looks++;
    return model->peer->end.to_far.len - before;
}

static bool connect_raw(struct world *world, struct peer *peer, size_t window)
{
    struct wsh_buf request = {0};
    bool wrote;

    memset(peer, 0, sizeof *peer);
    peer->world = world;
    peer->lane = &world->lanes[WSH_HOME];
    peer->ws.on_message = on_message;
    peer->used = true;
    world->current = peer->lane;
    CHECK(world, pipe_connect(&peer->lane->pipe, &peer->end, window));
    world->current = NULL;
    ws_peer_request(&request, "/policy", NULL);
    pipe_write(&peer->end, request.data, request.len);
    wsh_buf_fini(&request);
    for (int i = 0; i < 4; i++)
        (void)turn(&wrote);
    peer_read(peer, SIZE_MAX);
    return peer->conn.id != 0;
}

static void subscribe_all(struct world *world, struct peer *peer)
{
    char name[3] = "c0";

    world->current = peer->lane;
    for (unsigned i = 0; i < CHANNELS; i++) {
        name[1] = (char)('0' + i);
        (void)ws_hub_subscribe((ws_hub *)(void *)world, peer->conn, name, 2);
    }
    world->current = NULL;
}

static void publish(struct world *world, uint64_t number)
{
    unsigned channel = (unsigned)world_random(world, CHANNELS);
    unsigned key = (unsigned)world_random(world, KEYS);
    ws_hub_publish_options o = {.struct_size = sizeof o};
    struct queued m = {.number = number, .channel = channel, .key = key};
    char text[600], name[3] = {'c', (char)('0' + channel), 0};
    int len;

    o.cls = world_random(world, 8) ? WS_HUB_CLASS_NORMAL
                                   : (ws_hub_class)world_random(world, 3);
    if (key) {
        o.key = &"?abcde"[key];
        o.key_len = 1;
    }
    len = sprintf(text, "%llu ", (unsigned long long)number);
    memset(text + len, 'x', sizeof text - (size_t)len);
    len += (int)world_random(world, 500);
    m.size = m.left = wsh_message_size((size_t)len, 16384);
    m.critical = o.cls == WS_HUB_CLASS_CRITICAL;
    world->current = model->peer->lane;
    CHECK(world, !ws_hub_publish((ws_hub *)(void *)world, name, 2, text,
                                 (size_t)len, &o));
    world->current = NULL;
    model_offer(&m, o.cls, world->policy[channel]);
}

static void start(struct world *world, uint64_t seed)
{
    world_init(world, seed);
    world->hub.settings.o.send_limit = LIMIT;
    world->hub.settings.o.critical_reserve = RESERVE;
    world->hub.settings.o.max_queue_bytes = 1u << 30;
    world->hub.settings.o.flush_turns = 1;
    world->hub.settings.o.heartbeat_ms = UINT32_MAX;
    world->hub.settings.o.fragment_bytes = 16384;
    world->hub.settings.o.max_channels_per_conn = CHANNELS;
    world->on_gap = on_gap;
    for (unsigned i = 0; i < CHANNELS; i++)
        world->policy[i] = (ws_hub_policy)(1 + world_random(world, 3));
    memset(model, 0, sizeof *model);
    model->world = world;
}

/* Until the client is connected and on every channel: callbacks of the world
 * refuse and unsubscribe by chance. */
static struct peer *new_client(struct world *world, unsigned *used)
{
    struct peer *peer;

    do {
        CHECK(world, *used < PEERS_MAX);
        peer = model->peer = &world->peers[(*used)++];
        if (!connect_raw(world, peer, 512 + world_random(world, 4000)))
            continue;
        subscribe_all(world, peer);
    } while (!conn_of() || conn_of()->state != WSH_CONN_OPEN ||
             conn_of()->sub_count != CHANNELS);
    return peer;
}

static void run(struct world *world, uint64_t seed)
{
    unsigned used = 0;
    struct peer *peer;
    bool wrote;

    start(world, seed);
    peer = new_client(world, &used);
    peer->lane->pipe.count_unsent = seed % 2;
    peer->lane->pipe.held_calls = model->looks = 0;
    for (; world->step < STEPS && !model->overflow; world->step++) {
        if (world_random(world, 4))
            publish(world, world->step);
        model_consume(turn(&wrote));
        model_recover(wrote);
        if (!model->overflow)
            compare(conn_of());
        /* Read slowly for a while, then well. */
        if (world_random(world, (world->step / 512) % 2 ? 2 : 12) == 0)
            peer_read(peer, 1 + world_random(world, 1500));
    }
    /* Read to the end: all that the model says has arrived. */
    for (int i = 0; i < 100 && !model->overflow; i++) {
        peer_read(peer, SIZE_MAX);
        model_consume(turn(&wrote));
        model_recover(wrote);
        compare(conn_of());
    }
    CHECK(world,
          model->overflow ||
              (model->count == 0 && model->received_count == model->delivered));
    CHECK(world, world->gaps > 0 && model->dropped > 0);
    /* Clients that were given up are looked at as well. */
    CHECK(world, used > 1 || peer->lane->pipe.held_calls == model->looks);
    /* The end is not the model's, nor are clients that were given up. */
    for (unsigned i = 0; i < used; i++)
        world->peers[i].ws.on_message = NULL;
    printf("# seed %llu: %llu steps, %llu arrived, %llu lost, %llu gaps%s\n",
           (unsigned long long)seed, (unsigned long long)world->step,
           (unsigned long long)model->delivered,
           (unsigned long long)model->dropped, (unsigned long long)world->gaps,
           model->overflow ? ", reserve overflowed: closed" : "");
    world_fini(world);
}

int main(int argc, char **argv)
{
    struct world *world = malloc(sizeof *world);
    uint64_t only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

    model = malloc(sizeof *model);
    if (!world || !model)
        abort();
    printf("1..%d\n", only ? 1 : SEEDS);
    for (uint64_t seed = only ? only : 1; seed <= (only ? only : SEEDS);
         seed++) {
        run(world, seed);
        printf("ok %llu - the policies agree with the model, seed %llu\n",
               (unsigned long long)(only ? 1 : seed), (unsigned long long)seed);
        fflush(stdout);
    }
    free(model);
    free(world);
    return 0;
}

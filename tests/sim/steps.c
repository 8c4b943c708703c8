/*
 * steps.c: what can happen, drawn by chance.
 *
 * The oracle for fan-out: right before a message reaches a shard, everybody who
 * is subscribed there at that instant is noted. For messages that travel
 * through a mailbox a marker task is posted just ahead of them, so it runs at
 * that instant.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

static ws_hub *handle_of(struct world *world)
{
    return (ws_hub *)(void *)world;
}

static size_t channel_name(char name[16], unsigned channel)
{
    return (size_t)snprintf(name, 16, "c%u", channel);
}

/* A peer with an established connection; NULL: the draw found none. */
static struct peer *some_peer(struct world *world)
{
    struct peer *peer = &world->peers[world_random(world, PEERS_MAX)];

    return peer->used && peer->conn.id && !peer->gone ? peer : NULL;
}

static struct lane *maybe_here(struct world *world, struct lane *lane)
{
    return world_random(world, 2) ? lane : NULL;
}

/* Expectations. */

static bool subscribed(struct peer *peer, const char *name, size_t len)
{
    struct wsh_conn *conn = wsh_conn_find(peer->lane->shard, peer->conn);

    for (uint32_t i = 0; conn && i < conn->sub_count; i++) {
        struct wsh_view view = wsh_channel_view(conn->subs[i].channel);

        if (conn->subs[i].at != WSH_SUB_PENDING && view.len == len &&
            memcmp(view.data, name, len) == 0)
            return true;
    }
    return false;
}

static void expect(struct world *world, struct lane *lane, unsigned channel,
                   uint64_t exclude)
{
    char name[16];
    size_t len = channel_name(name, channel);
    struct wsh_channel *found;

    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &world->peers[i];

        if (peer->used && peer->lane == lane && peer->conn.id && !peer->gone &&
            peer->conn.id != exclude && subscribed(peer, name, len))
            peer->expected++;
    }
    found = wsh_channel_find(lane->shard, name, len);
    if (lane == &world->lanes[WSH_HOME] && found &&
        !wsh_list_empty(&found->listeners))
        world->listened++;
}

struct marker {
    struct wsh_task task;
    struct world *world;
    unsigned channel;
    uint64_t exclude;
};

static void marker_arrives(struct wsh_shard *shard, struct wsh_task *task,
                           bool canceled)
{
    struct marker *marker = WSH_CONTAINER(task, struct marker, task);

    if (!canceled)
        expect(marker->world, &marker->world->lanes[shard->index],
               marker->channel, marker->exclude);
    free(marker);
}

/* Note who is meant, on each lane at its time, for a publish that follows. */
static void expect_publish(struct world *world, unsigned channel,
                           uint64_t exclude)
{
    char name[16];
    size_t len = channel_name(name, channel);
    uint64_t shards = wsh_registry_shards(&world->hub.registry, name, len);

    for (unsigned i = 0; i < world->lane_count; i++) {
        struct marker *marker;

        if (!(shards >> i & 1))
            continue;
        if (world->current == &world->lanes[i]) {
            expect(world, &world->lanes[i], channel, exclude);
            continue;
        }
        marker = calloc(1, sizeof *marker);
        if (!marker)
            abort();
        *marker =
            (struct marker){{.run = marker_arrives}, world, channel, exclude};
        if (wsh_shard_post(world->lanes[i].shard, &marker->task))
            abort();
    }
}

/* Asked right before a client's publish: the data tells if it wants its echo.
 */
int sim_may_publish(ws_hub *hub, ws_hub_conn conn, const char *channel,
                    size_t channel_len, const void *data, size_t len,
                    void *user)
{
    struct world *world = (struct world *)(void *)hub;
    bool echo = memchr(data, '!', len) == NULL;

    (void)user;
    CHECK(world, channel_len == 2 && channel[0] == 'c');
    expect_publish(world, (unsigned)(channel[1] - '0'), echo ? 0 : conn.id);
    return 0;
}

/* Steps. */

static void step_connect(struct world *world)
{
    struct peer *peer = &world->peers[world_random(world, PEERS_MAX)];

    if (!peer->used || !peer->end.link)
        peer_connect(world, peer);
}

static size_t padding(struct world *world)
{
    return world_random(world, 8) ? world_random(world, 100)
                                  : world_random(world, 20000);
}

static void step_publish(struct world *world)
{
    unsigned channel = (unsigned)world_random(world, CHANNELS), publisher;
    struct lane *lane = &world->lanes[world_random(world, world->lane_count)];
    struct peer *excluded = world_random(world, 3) ? NULL : some_peer(world);
    ws_hub_publish_options options = {.struct_size = sizeof options};
    size_t pad = padding(world), len, name_len;
    char *text = malloc(pad + 64), name[16];

    if (!text)
        abort();
    name_len = channel_name(name, channel);
    options.type = (ws_hub_type)world_random(world, 3);
    options.cls = world_random(world, 3) ? WS_HUB_CLASS_NORMAL
                                         : (ws_hub_class)world_random(world, 3);
    if (world_random(world, 2)) {
        options.key = &"abcd"[world_random(world, 4)];
        options.key_len = 1;
    }
    if (excluded)
        options.exclude = excluded->conn;
    world->current = maybe_here(world, lane);
    publisher = world->current ? lane->shard->index : HOST_THREAD;
    len = (size_t)sprintf(
        text, "%sc%u.%u.%llu.", options.type == WS_HUB_JSON ? "\"" : "",
        channel, publisher,
        (unsigned long long)++world->sequence[channel][publisher]);
    memset(text + len, 'x', pad);
    len += pad;
    if (options.type == WS_HUB_JSON)
        text[len++] = '"';
    expect_publish(world, channel, options.exclude.id);
    CHECK(world, !ws_hub_publish(handle_of(world), name, name_len, text, len,
                                 &options));
    world->current = NULL;
    free(text);
}

static void write_frame(struct peer *peer, uint8_t opcode, const void *data,
                        size_t len)
{
    struct wsh_buf frame = {0};

    if (peer->sent_close || peer->end.far_ended)
        return;
    ws_peer_frame(&frame, true, opcode,
                  (uint32_t)wsh_rng_next(&peer->world->rng), data, len);
    pipe_write(&peer->end, frame.data, frame.len);
    wsh_buf_fini(&frame);
}

static void step_command(struct world *world)
{
    struct peer *peer = some_peer(world);
    unsigned channel = (unsigned)world_random(world, CHANNELS);
    unsigned publisher;
    char text[160];
    int len;

    if (!peer || !peer->json)
        return;
    publisher = FIRST_CLIENT + (unsigned)(peer - world->peers);
    switch (world_random(world, 6)) {
    case 0:
    case 1:
        len = sprintf(text,
                      "{\"op\":\"subscribe\",\"channel\":\"c%u\",\"id\":%u}",
                      channel, channel);
        break;
    case 2:
        len = sprintf(text, "{\"op\":\"unsubscribe\",\"channel\":\"c%u\"}",
                      channel);
        break;
    case 3:
        len = sprintf(text, "{\"op\":\"nonsense\",\"depth\":[[[]]]}");
        break;
    default: {
        bool echo = world_random(world, 2) != 0;

        len = sprintf(text,
                      "{\"op\":\"publish\",\"channel\":\"c%u\",\"echo\":%s,"
                      "\"data\":\"c%u.%u.%llu.%s\"}",
                      channel, echo ? "true" : "false", channel, publisher,
                      (unsigned long long)++world->sequence[channel][publisher],
                      echo ? "" : "!");
    }
    }
    write_frame(peer, 1, text, (size_t)len);
}

static void step_subscribe(struct world *world)
{
    struct peer *peer = some_peer(world);
    char name[16];
    size_t len = channel_name(name, (unsigned)world_random(world, CHANNELS));
    int error;

    if (!peer)
        return;
    world->current = maybe_here(world, peer->lane);
    if (world_random(world, 3))
        error = ws_hub_subscribe(handle_of(world), peer->conn, name, len);
    else
        error = ws_hub_unsubscribe(handle_of(world), peer->conn, name, len);
    CHECK(world, !error || error == WS_HUB_EEXIST || error == WS_HUB_ELIMIT ||
                     error == WS_HUB_ENOENT);
    world->current = NULL;
}

static void step_direct(struct world *world)
{
    struct peer *peer = some_peer(world);
    char text[32];
    size_t len;
    int error;

    if (!peer)
        return;
    world->current = peer->lane;
    len = (size_t)sprintf(text, "d%llu", (unsigned long long)++world->direct);
    error = ws_hub_send(handle_of(world), peer->conn, WS_HUB_TEXT, text, len);
    if (error != WS_HUB_ENOENT)
        peer->expected++;
    world->current = NULL;
}

static void step_client_message(struct world *world)
{
    struct peer *peer = some_peer(world);
    size_t len = padding(world);
    char *text;

    if (!peer || peer->json)
        return;
    text = malloc(len + 1);
    if (!text)
        abort();
    memset(text, 'e', len + 1);
    if (world_random(world, 2)) {
        write_frame(peer, 1, text, len + 1);
    } else if (!peer->sent_close && !peer->end.far_ended) {
        struct wsh_buf frames = {0};

        ws_peer_frame(&frames, false, 2, 1, text, len + 1);
        ws_peer_frame(&frames, true, 9, 2, "between", 7);
        ws_peer_frame(&frames, true, 0, 3, text, len);
        pipe_write(&peer->end, frames.data, frames.len);
        wsh_buf_fini(&frames);
    }
    free(text);
}

static void step_client_end(struct world *world)
{
    struct peer *peer = &world->peers[world_random(world, PEERS_MAX)];
    char garbage[40];

    if (!peer->used || !peer->end.link || peer->end.far_ended)
        return;
    switch (world_random(world, 5)) {
    case 0:
        write_frame(peer, 8, "\3\350bye", 5);
        peer->sent_close = true;
        break;
    case 1:
        peer->end.far_ended = true;
        break;
    case 2: /* reset */
        peer->end.broken = true;
        peer->end.from_far.len = 0;
        peer->end.far_ended = true;
        break;
    case 3:
        for (size_t i = 0; i < sizeof garbage; i++)
            garbage[i] = (char)world_random(world, 256);
        if (!peer->sent_close)
            pipe_write(&peer->end, garbage, sizeof garbage);
        peer->sent_close = true;
        break;
    default:
        write_frame(peer, 9, "are you there", 13);
    }
}

static void step_host_end(struct world *world)
{
    struct peer *peer = some_peer(world);

    if (!peer || world_random(world, 4))
        return;
    world->current = maybe_here(world, peer->lane);
    (void)ws_hub_close(handle_of(world), peer->conn,
                       world_random(world, 2) ? 4000 : 0, "host", 4);
    world->current = NULL;
}

static void step_decide(struct world *world)
{
    struct peer *peer = &world->peers[world_random(world, PEERS_MAX)];
    struct wsh_conn *conn;

    if (!peer->used || !peer->end.link)
        return;
    conn = WSH_CONTAINER(peer->end.link, struct wsh_conn, link);
    if (conn->state != WSH_CONN_DECIDING)
        return;
    world->current = maybe_here(world, peer->lane);
    (void)ws_hub_decide(handle_of(world), wsh_conn_handle(conn),
                        world_random(world, 3) ? 0 : 401);
    world->current = NULL;
}

static void step_read(struct world *world)
{
    struct peer *peer = &world->peers[world_random(world, PEERS_MAX)];

    if (!peer->used)
        return;
    if (world_random(world, 40) == 0)
        peer->stalled = !peer->stalled;
    if (!peer->stalled)
        peer_read(peer, 1 + world_random(world, 4000));
}

static void on_heard(ws_hub *hub, const char *channel, size_t channel_len,
                     ws_hub_type type, const void *data, size_t len, void *user)
{
    struct world *world = user;

    (void)hub;
    (void)type;
    (void)data;
    (void)len;
    CHECK(world, channel_len == 2);
    CHECK(world, (unsigned)(channel[1] - '0') == world->listened_channel);
    world->heard++;
}

/* When all is at rest, everybody has been offered what was meant for it. */
static void step_settle(struct world *world)
{
    char name[16];
    size_t len;

    world_settle(world);
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &world->peers[i];
        struct wsh_conn *conn =
            peer->used && peer->conn.id && !peer->gone && !peer->json
                ? wsh_conn_find(peer->lane->shard, peer->conn)
                : NULL;

        if (conn)
            CHECK(world, conn->offered == peer->expected);
    }
    CHECK(world, world->heard == world->listened);
    world->current = &world->lanes[WSH_HOME];
    ws_hub_unlisten(handle_of(world), world->listener);
    world->listened_channel = (unsigned)world_random(world, CHANNELS);
    len = channel_name(name, world->listened_channel);
    CHECK(world, !ws_hub_listen(handle_of(world), name, len, on_heard, world,
                                &world->listener));
    world->current = NULL;
}

static void step_time(struct world *world)
{
    world->now_us += world_random(world, 20) ? world_random(world, 3000)
                                             : world_random(world, 3000000);
    world->current = &world->lanes[WSH_HOME];
    fake_loop_advance(&world->loop, world->now_us / 1000);
    world->current = NULL;
}

static void step_turn(struct world *world)
{
    world_turn(world, &world->lanes[world_random(world, world->lane_count)]);
}

static const struct {
    unsigned weight;
    void (*run)(struct world *world);
} steps[] = {
    {300, step_turn},   {160, step_read},          {120, step_publish},
    {60, step_command}, {60, step_subscribe},      {40, step_time},
    {40, step_connect}, {30, step_client_message}, {20, step_direct},
    {8, step_decide},   {10, step_client_end},     {6, step_host_end},
    {3, step_settle},
};

void world_step(struct world *world)
{
    unsigned total = 0, draw, i = 0;

    for (size_t k = 0; k < WSH_COUNT(steps); k++)
        total += steps[k].weight;
    draw = (unsigned)world_random(world, total);
    while (draw >= steps[i].weight)
        draw -= steps[i++].weight;
    steps[i].run(world);
    world->step++;
}

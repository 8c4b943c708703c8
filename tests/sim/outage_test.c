/*
 * outage_test.c: hubs on a broker that goes wrong: rounds of random steps with
 * random faults, each closed by a calm in which all must become whole again
 * (outage_book.c has the rules). Every few rounds there are no faults at all,
 * and then nobody may miss anything.
 *
 *   sim_outage_test                 20 seeds of 20 000 steps, as TAP
 *   sim_outage_test SEED [STEPS]    one seed, to replay a failure
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/outage.h"
#include "ws_hub/error.h"

enum { SEEDS = 20, STEPS = 20000, ROUND = 400 };

enum { CALM_MS = 25000, TICK_MS = 100, PROBE_MS = 1000, AUDIT_MS = 3000 };

/* The hosts' side. */

static struct outage *outage_of(ws_hub *hub)
{
    return side_of((struct world *)(void *)hub)->outage;
}

static struct client *client_of(ws_hub *hub, ws_hub_conn conn)
{
    struct world *world = (struct world *)(void *)hub;
    struct peer *peer = world_peer(world, conn);

    return &side_of(world)->clients[peer - world->peers];
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct world *world = (struct world *)(void *)hub;

    (void)request;
    (void)user;
    world_peer(world, conn)->conn = conn;
    world->opened++;
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct world *world = (struct world *)(void *)hub;
    struct client *client = client_of(hub, conn);

    (void)info;
    (void)user;
    client->peer->gone = true;
    memset(client->interest, 0, sizeof client->interest);
    world->closed++;
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t len, int status, void *user)
{
    struct client *client = client_of(hub, conn);
    struct interest *interest = &client->interest[channel[1] - '0'];

    (void)user;
    CHECK(&client->side->world, len == 2);
    interest->on = status == 0 && interest->wanted;
    interest->from = ++outage_of(hub)->clock;
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_close = on_close,
    .on_subscribed = on_subscribed,
};

/* Clients read at once, so none is ever slow: all gaps are the broker's. */
static void shape_options(struct world *world, ws_hub_options *options)
{
    (void)world;
    options->callbacks = &callbacks;
    options->send_limit = options->max_queue_bytes = 1 << 24;
    options->max_channels_per_conn = CHANNELS;
    options->heartbeat_ms = UINT_MAX;
}

static void shape_driver(struct world *world, struct wsh_driver_config *config)
{
    struct side *side = side_of(world);
    struct outage *outage = side->outage;
    ws_hub_fault_options options = {.struct_size = sizeof options,
                                    .seed = wsh_rng_next(&outage->rng),
                                    .delay_ms = 1500,
                                    .freeze_ms = 4000,
                                    .max_held = 200};

    config->probe_ms = PROBE_MS;
    config->audit_ms = AUDIT_MS;
    config->outage_hold =
        outage_random(outage, 2) ? (unsigned)outage_random(outage, 40) : 0;
    config->hold_bytes = 1 << 20;
    if (ws_hub_fault_broker(&options, &member_ops,
                            &outage->server.member[side->index], &config->ops,
                            &config->self))
        abort();
    side->fault = config->self;
}

static const struct world_shape shape = {
    .program = "sim_outage_test",
    .options = shape_options,
    .driver = shape_driver,
};

/* Life. */

static struct outage *outage_create(uint64_t seed)
{
    struct outage *outage = calloc(1, sizeof *outage);

    if (!outage)
        abort();
    outage->seed = outage->rng.state = seed;
    outage->now_us = 1000000;
    server_init(outage);
    for (unsigned i = 0; i < HUBS; i++) {
        struct side *side = &outage->sides[i];

        side->outage = outage;
        side->index = i;
        world_init_as(&side->world, seed * HUBS + i, &shape);
        side->world.seed = seed; /* what replays it */
        for (unsigned k = 0; k < CLIENTS; k++) {
            side->clients[k].side = side;
            side->clients[k].number = i * CLIENTS + k;
            side->clients[k].peer = &side->world.peers[k];
        }
    }
    return outage;
}

static void outage_destroy(struct outage *outage)
{
    for (unsigned i = 0; i < HUBS; i++)
        world_fini(&outage->sides[i].world);
    free(outage);
}

/* Time and turns. */

static void turn(struct side *side, struct lane *lane)
{
    if (lane == &side->world.lanes[WSH_HOME])
        member_read(&side->outage->server.member[side->index]);
    world_turn(&side->world, lane);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (side->clients[i].peer->used)
            peer_read(side->clients[i].peer, SIZE_MAX);
}

static void pass(struct outage *outage, uint64_t ms)
{
    outage->now_us += ms * 1000;
    for (unsigned i = 0; i < HUBS; i++) {
        struct world *world = &outage->sides[i].world;

        world->now_us = outage->now_us;
        world->current = &world->lanes[WSH_HOME];
        fake_loop_advance(&world->loop, outage->now_us / 1000);
        world->current = NULL;
    }
}

static void settle(struct outage *outage)
{
    for (unsigned n = 0; n < 4; n++)
        for (unsigned i = 0; i < HUBS; i++)
            for (unsigned k = 0; k < outage->sides[i].world.lane_count; k++)
                turn(&outage->sides[i], &outage->sides[i].world.lanes[k]);
}

/* Everything works again, and has had time to find that out. */
static void calm_down(struct outage *outage)
{
    server_set_down(outage, false);
    for (unsigned i = 0; i < HUBS; i++) {
        struct world *world = &outage->sides[i].world;

        world->current = &world->lanes[WSH_HOME];
        ws_hub_fault_calm(outage->sides[i].fault);
        world->current = NULL;
    }
    for (unsigned ms = 0; ms < CALM_MS; ms += TICK_MS) {
        pass(outage, TICK_MS);
        for (unsigned i = 0; i < HUBS; i++)
            for (unsigned k = 0; k < outage->sides[i].world.lane_count; k++)
                turn(&outage->sides[i], &outage->sides[i].world.lanes[k]);
    }
    settle(outage);
    book_close_round(outage);
}

/* Steps. */

static struct side *some_side(struct outage *outage)
{
    return &outage->sides[outage_random(outage, HUBS)];
}

static void step_turn(struct outage *outage)
{
    struct side *side = some_side(outage);

    turn(side,
         &side->world.lanes[outage_random(outage, side->world.lane_count)]);
}

/* A loop that stood still for seconds would suspect its link, and rightly so:
 * long times pass in pieces, with reading in between. */
static void step_time(struct outage *outage)
{
    uint64_t ms = outage_random(outage, 60);

    if (outage_random(outage, 30) == 0)
        ms = outage_random(outage, 3000);
    for (; ms > 300; ms -= 300) {
        pass(outage, 300);
        for (unsigned i = 0; i < HUBS; i++)
            member_read(&outage->server.member[i]);
    }
    pass(outage, ms);
}

static void step_publish(struct outage *outage)
{
    struct side *side = some_side(outage);
    unsigned thread = HOST_THREAD;

    if (outage_random(outage, 4))
        thread = (unsigned)outage_random(outage, side->world.lane_count);
    book_publish(side, outage_random(outage, 2) ? WSH_HOME : thread);
}

static void send_command(struct client *client, const char *op,
                         unsigned channel)
{
    struct wsh_buf frame = {0};
    char text[80];
    int len = sprintf(text, "{\"op\":\"%s\",\"channel\":\"c%u\"}", op, channel);

    ws_peer_frame(&frame, true, 1, 7, text, (size_t)len);
    pipe_write(&client->peer->end, frame.data, frame.len);
    wsh_buf_fini(&frame);
}

static void step_command(struct outage *outage)
{
    struct side *side = some_side(outage);
    struct client *client = &side->clients[outage_random(outage, CLIENTS)];
    unsigned channel = (unsigned)outage_random(outage, CHANNELS);
    struct interest *interest = &client->interest[channel];

    if (!client->peer->used || !client->peer->conn.id || client->peer->gone ||
        client->peer->end.far_ended)
        return;
    if (!interest->wanted) {
        interest->wanted = true;
        send_command(client, "subscribe", channel);
    } else if (outage_random(outage, 2)) {
        interest->wanted = interest->on = false;
        send_command(client, "unsubscribe", channel);
    }
}

static void step_client(struct outage *outage)
{
    struct side *side = some_side(outage);
    struct client *client = &side->clients[outage_random(outage, CLIENTS)];
    struct peer *peer = client->peer;

    if (peer->used && peer->end.link) {
        if (outage_random(outage, 20))
            return;
        peer->end.far_ended = true; /* it goes away */
        memset(client->interest, 0, sizeof client->interest);
        return;
    }
    memset(client->interest, 0, sizeof client->interest);
    memset(client->last, 0, sizeof client->last);
    peer_connect_as(
        &side->world.lanes[outage_random(outage, side->world.lane_count)], peer,
        true, 1 << 20);
    peer->ws.on_message = book_read;
    peer->ws.arg = client;
}

static void step_fault(struct outage *outage)
{
    struct side *side = some_side(outage);
    struct world *world = &side->world;
    char name[16];

    if (outage->calm)
        return;
    world->current = &world->lanes[WSH_HOME];
    switch (outage_random(outage, 12)) {
    case 0:
        (void)ws_hub_fault_drop_link(side->fault);
        break;
    case 1:
        ws_hub_fault_freeze(side->fault, 1);
        break;
    case 2:
    case 3:
        ws_hub_fault_freeze(side->fault, 0);
        break;
    case 4:
        world->current = NULL;
        server_set_down(outage, true);
        break;
    case 5:
    case 6:
        world->current = NULL;
        server_set_down(outage, false);
        break;
    case 7:
        server_forget(&outage->server.member[side->index]);
        break;
    default:
        (void)ws_hub_fault_drop_channel(
            side->fault, name,
            book_channel(name, (unsigned)outage_random(outage, CHANNELS)));
    }
    world->current = NULL;
}

static const struct {
    unsigned weight;
    void (*run)(struct outage *outage);
} steps[] = {
    {350, step_turn},   {150, step_publish}, {120, step_time},
    {60, step_command}, {30, step_client},   {8, step_fault},
};

static void step(struct outage *outage)
{
    unsigned total = 0, draw, i = 0;

    for (size_t k = 0; k < WSH_COUNT(steps); k++)
        total += steps[k].weight;
    draw = (unsigned)outage_random(outage, total);
    while (draw >= steps[i].weight)
        draw -= steps[i++].weight;
    steps[i].run(outage);
    for (unsigned k = 0; k < HUBS; k++) {
        outage->sides[k].world.step = outage->step;
        book_check_accounts(&outage->sides[k]);
    }
    outage->step++;
}

/* Lost and doubled messages are not here: no hub could know of them. Refusals
 * neither: a refused channel stays so. */
static const struct {
    ws_hub_fault fault;
    unsigned most; /* per thousand */
} rates[] = {
    {WS_HUB_FAULT_DELAY_MESSAGE, 300},   {WS_HUB_FAULT_DELAY_SUBSCRIBED, 500},
    {WS_HUB_FAULT_SUBSCRIBE_AGAIN, 200}, {WS_HUB_FAULT_PUBLISH_AGAIN, 100},
    {WS_HUB_FAULT_PUBLISH_BROKER, 50},   {WS_HUB_FAULT_PUBLISH_NO_MEMORY, 50},
    {WS_HUB_FAULT_OPEN_FAILS, 500},      {WS_HUB_FAULT_OPEN_LOST, 500},
    {WS_HUB_FAULT_DROP_LINK, 20},        {WS_HUB_FAULT_DROP_CHANNEL, 60},
    {WS_HUB_FAULT_FREEZE, 20},           {WS_HUB_FAULT_LOSE_SUBSCRIBED, 100},
};

static void begin_round(struct outage *outage)
{
    outage->calm = outage_random(outage, 4) == 0;
    for (unsigned i = 0; !outage->calm && i < HUBS; i++)
        for (size_t k = 0; k < WSH_COUNT(rates); k++)
            if (outage_random(outage, 2))
                (void)ws_hub_fault_set_rate(
                    outage->sides[i].fault, rates[k].fault,
                    (unsigned)outage_random(outage, rates[k].most));
}

/* What happened: a simulation in which nothing does would pass as well. */
static void report(struct outage *outage)
{
    printf(
        "# seed %llu: received %llu, gaps %llu, holes explained %llu, not "
        "sent %llu, faults",
        (unsigned long long)outage->seed, (unsigned long long)outage->received,
        (unsigned long long)outage->gaps, (unsigned long long)outage->explained,
        (unsigned long long)outage->unreached);
    for (unsigned k = 0; k < WS_HUB_FAULT_COUNT; k++) {
        uint64_t count = 0;

        for (unsigned i = 0; i < HUBS; i++)
            count +=
                ws_hub_fault_count(outage->sides[i].fault, (ws_hub_fault)k);
        if (count)
            printf(" %s %llu", ws_hub_fault_name((ws_hub_fault)k),
                   (unsigned long long)count);
    }
    printf("\n");
    CHECK(&outage->sides[0].world,
          outage->received > 1000 && outage->gaps > 10 && outage->explained);
}

static void run(uint64_t seed, uint64_t count)
{
    struct outage *outage = outage_create(seed);

    while (outage->step < count) {
        if (outage->step % ROUND == 0)
            begin_round(outage);
        step(outage);
        if (outage->step % ROUND == 0)
            calm_down(outage);
    }
    if (count >= STEPS)
        report(outage);
    outage_destroy(outage);
}

static uint64_t links_lost(struct side *side)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    wsh_hub_stats(&side->world.hub, &stats);
    return stats.broker[WS_HUB_BROKER_EVENT_LINK_LOST];
}

/* A broker that takes everything and says nothing looks alive; only the probe
 * can tell. */
static void run_freeze(void)
{
    struct outage *outage = outage_create(1);
    struct side *side = &outage->sides[0];
    struct world *world = &side->world;
    struct client *client = &side->clients[0];

    peer_connect_as(&world->lanes[WSH_HOME], client->peer, true, 1 << 20);
    client->peer->ws.on_message = book_read;
    client->peer->ws.arg = client;
    while (!client->peer->conn.id)
        settle(outage);
    client->interest[0].wanted = true;
    send_command(client, "subscribe", 0);
    calm_down(outage);
    CHECK(world, links_lost(side) == 0 && outage->gaps == 0);

    ws_hub_fault_freeze(side->fault, 1);
    book_publish(side, WSH_HOME);
    for (unsigned ms = 0; ms < 5 * PROBE_MS; ms += TICK_MS) {
        pass(outage, TICK_MS);
        settle(outage);
    }
    CHECK(world, links_lost(side) > 0);
    CHECK(world, links_lost(&outage->sides[1]) == 0);
    calm_down(outage);
    CHECK(world, outage->gaps == 1);
    outage_destroy(outage);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10),
            argc > 2 ? strtoull(argv[2], NULL, 10) : STEPS);
        return 0;
    }
    printf("1..%d\n", SEEDS + 1);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed, STEPS);
        printf("ok %llu - seed %llu, %d steps\n", (unsigned long long)seed,
               (unsigned long long)seed, STEPS);
        fflush(stdout);
    }
    run_freeze();
    printf("ok %d - a frozen link is found by the probe\n", SEEDS + 1);
    return 0;
}

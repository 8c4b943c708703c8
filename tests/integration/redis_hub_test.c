/*
 * redis_hub_test.c: a hub on a cluster, with 1 000 channels in use all the time
 * while slots move and masters fail. A JSON client is subscribed to all of
 * them; a listener in the hub's own process hears the same.
 *
 * Nothing comes twice or out of order, and a number that is missing is in a gap
 * of its channel. What takes how long is printed; the bound is a minute.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "support/crowd.h"
#include "support/identity.h"
#include "support/redis_nodes.h"
#include "ws_hub.h"
#include "ws_hub/redis.h"

#define PACE_S 0.05 /* most of the time that a round may take */

enum { CHANNELS = 1000, MOVES = 60, DEADLINE_S = 60 };

struct track {
    char name[8];
    ws_hub_listener *listener;
    unsigned sent;
    unsigned last;     /* at the client */
    atomic_uint heard; /* the listener's last; the hub's thread */
    bool gap;          /* told since the last message */
    bool hole;         /* a number was missing, and no gap told yet */
};

struct bench {
    ws_hub *hub;
    struct crowd *crowd;
    struct track tracks[CHANNELS];
    unsigned gaps, holes;
    atomic_uint wrong, subscribed;
};

static struct redis_nodes nodes;

static struct track *track_of(struct bench *bench, const char *channel)
{
    return &bench->tracks[strtoul(channel + 1, NULL, 10)];
}

static void wrong(struct bench *bench, const char *who,
                  const struct track *track, unsigned last, unsigned number)
{
    fprintf(stderr, "# %s, %s: %u after %u\n", who, track->name, number, last);
    atomic_fetch_add(&bench->wrong, 1);
}

static void on_heard(ws_hub *hub, const char *channel, size_t channel_len,
                     ws_hub_type type, const void *data, size_t len, void *user)
{
    struct bench *bench = user;
    struct track *track = track_of(bench, channel);
    unsigned last = atomic_load(&track->heard), number;
    char text[16] = "";

    (void)hub;
    (void)channel_len;
    (void)type;
    memcpy(text, data, len < 15 ? len : 15);
    number = (unsigned)strtoul(text, NULL, 10);
    if (number <= last)
        wrong(bench, "listener", track, last, number);
    atomic_store(&track->heard, number);
}

static void on_number(struct bench *bench, struct track *track, unsigned number)
{
    if (number <= track->last)
        wrong(bench, "client", track, track->last, number);
    if (number > track->last + 1 && !track->gap && !track->hole) {
        track->hole = true;
        bench->holes++;
    }
    track->gap = false;
    track->last = number;
}

/* Messages that the hub delivers by itself during an outage come before the gap
 * that tells of those that were lost. */
static void on_gap(struct bench *bench, struct track *track)
{
    bench->gaps++;
    if (track->hole)
        bench->holes--;
    track->hole = false;
    track->gap = true;
}

static void on_event(struct crowd_client *client, uint8_t opcode,
                     const uint8_t *data, size_t len, void *arg)
{
    struct bench *bench = arg;
    char text[256] = "";
    const char *channel, *value;

    (void)client;
    (void)opcode;
    memcpy(text, data, len < 255 ? len : 255);
    channel = strstr(text, "\"channel\":\"r");
    if (!channel)
        return;
    channel += strlen("\"channel\":\"");
    value = strstr(text, "\"data\":");
    if (strstr(text, "\"op\":\"message\"") && value)
        on_number(bench, track_of(bench, channel),
                  (unsigned)strtoul(value + 7, NULL, 10));
    else if (strstr(text, "\"op\":\"gap\"") &&
             strstr(text, "\"reason\":\"broker\""))
        on_gap(bench, track_of(bench, channel));
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct bench *bench = user;

    (void)request;
    for (unsigned i = 0; i < CHANNELS; i++)
        if (ws_hub_subscribe(hub, conn, bench->tracks[i].name,
                             strlen(bench->tracks[i].name)))
            atomic_fetch_add(&bench->wrong, 1);
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t channel_len, int status, void *user)
{
    struct bench *bench = user;

    (void)hub;
    (void)conn;
    (void)channel;
    (void)channel_len;
    atomic_fetch_add(status ? &bench->wrong : &bench->subscribed, 1);
}

static void on_log(ws_hub_log_level level, const char *text, void *user)
{
    (void)user;
    if (level <= WS_HUB_LOG_WARN)
        fprintf(stderr, "# %s\n", text);
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_subscribed = on_subscribed,
    .on_log = on_log,
};

static void make_hub(struct bench *bench)
{
    const char *seed = nodes.node[0].server.url, *bind = "tcp://127.0.0.1:0";
    ws_hub_redis_options redis;
    ws_hub_options options;

    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.node[i].context)
            seed = nodes.node[i].server.url;
    ws_hub_redis_options_init(&redis);
    redis.urls = &seed;
    redis.url_count = 1;
    redis.cluster = 1;
    ws_hub_options_init(&options);
    options.bind_urls = &bind;
    options.bind_count = 1;
    options.loops = 1;
    options.default_mode = WS_HUB_MODE_JSON;
    options.max_channels_per_conn = CHANNELS;
    options.send_limit = 64 << 20;
    options.callbacks = &callbacks;
    options.user = bench;
    assert_int_equal(ws_hub_redis_broker(&redis, &options.broker,
                                         &options.broker_self, NULL, 0),
                     0);
    assert_int_equal(ws_hub_create(&bench->hub, &options), 0);
    assert_int_equal(ws_hub_start(bench->hub), 0);
}

/* Real seconds, for the printed figures and the deadline. */
static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool all_arrived(const struct bench *bench)
{
    for (unsigned i = 0; i < CHANNELS; i++)
        if (bench->tracks[i].last != bench->tracks[i].sent ||
            atomic_load(&bench->tracks[i].heard) != bench->tracks[i].sent)
            return false;
    return true;
}

/* Not faster than Redis takes it: what does not fit the output to a server is
 * refused, which is no gap of its subscribers. */
static void publish_round(struct bench *bench)
{
    double begin = now_s();

    for (unsigned i = 0; i < CHANNELS; i++) {
        struct track *track = &bench->tracks[i];
        ws_hub_publish_options options = {.struct_size = sizeof options,
                                          .type = WS_HUB_JSON};
        char text[16];
        int len = snprintf(text, sizeof text, "%u", track->sent + 1);

        if (ws_hub_publish(bench->hub, track->name, strlen(track->name), text,
                           (size_t)len, &options) >= 0)
            track->sent++;
    }
    do
        crowd_turn(bench->crowd, 5);
    while (!all_arrived(bench) && now_s() - begin < PACE_S);
}

/* Expected = actual: each channel has one subscriber, on one master. */
static bool all_carried(void)
{
    long long sum = 0;

    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.node[i].context &&
            redis_node_says(&nodes.node[i], "INFO replication", "role:master"))
            sum +=
                redis_node_command(&nodes.node[i], "PUBSUB SHARDCHANNELS r*");
    return sum == CHANNELS;
}

/* What is missing, for whoever has to find out why. */
static void explain(const struct bench *bench)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        const struct track *track = &bench->tracks[i];
        if (track->last != track->sent || track->hole)
            print_message("# %s: sent %u, last %u, hole %d, gap %d\n",
                          track->name, track->sent, track->last, track->hole,
                          track->gap);
    }
    fail_msg("not whole again; all carried: %d", all_carried());
}

/* Publish on and on until a round has come whole, through the cluster. */
static void settle(struct bench *bench, const char *what)
{
    double begin = now_s();
    bool done = false;

    while (!done) {
        double round;

        if (now_s() - begin > DEADLINE_S)
            explain(bench);
        publish_round(bench);
        round = now_s();
        while (!all_arrived(bench) && now_s() - round < 1)
            crowd_turn(bench->crowd, 10);
        done = all_arrived(bench) && all_carried() && bench->holes == 0;
    }
    print_message("# %s: whole again after %.1f s, %u gaps told\n", what,
                  now_s() - begin, bench->gaps);
    assert_int_equal(atomic_load(&bench->wrong), 0);
}

/* Each channel that had to be subscribed again says so, soon after. */
static void expect_gaps(struct bench *bench, unsigned count)
{
    double begin = now_s();

    while (bench->gaps < count && now_s() - begin < DEADLINE_S)
        crowd_turn(bench->crowd, 10);
    assert_true(bench->gaps >= count);
}

static unsigned carried_by(struct redis_node *node)
{
    return (unsigned)redis_node_command(node, "PUBSUB SHARDCHANNELS r*");
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    assert_non_null(bench);
    for (unsigned i = 0; i < CHANNELS; i++)
        snprintf(bench->tracks[i].name, sizeof bench->tracks[i].name, "r%u", i);
    make_hub(bench);
    for (unsigned i = 0; i < CHANNELS; i++)
        assert_int_equal(ws_hub_listen(bench->hub, bench->tracks[i].name,
                                       strlen(bench->tracks[i].name), on_heard,
                                       bench, &bench->tracks[i].listener),
                         0);
    bench->crowd = crowd_create(ws_hub_port(bench->hub, 0), 1);
    crowd_on_message(bench->crowd, on_event, bench);
    crowd_connect(bench->crowd, "/", 1, NULL);
    while (atomic_load(&bench->subscribed) < CHANNELS || !all_carried())
        crowd_turn(bench->crowd, 10);
    settle(bench, "start");
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    for (unsigned i = 0; i < CHANNELS; i++)
        ws_hub_unlisten(bench->hub, bench->tracks[i].listener);
    ws_hub_stop(bench->hub);
    crowd_until_closed(bench->crowd);
    assert_int_equal(ws_hub_run(bench->hub), 0);
    check_identity(bench->hub, 1);
    ws_hub_destroy(bench->hub);
    crowd_destroy(bench->crowd);
    free(bench);
    return 0;
}

static struct redis_node *master(unsigned which)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (redis_node_is_master(&nodes.node[i]) && which-- == 0)
            return &nodes.node[i];
    fail();
    return NULL;
}

static void test_hub_slots_move_while_channels_are_in_use(void **state)
{
    struct bench *bench = *state;
    struct redis_node *from = master(0), *to = master(1);
    unsigned moved = 0, before = bench->gaps;

    for (unsigned i = 0; i < CHANNELS && moved < MOVES; i++) {
        const char *name = bench->tracks[i].name;

        if (redis_node_command(from, "PUBSUB SHARDCHANNELS %s", name) != 1)
            continue;
        redis_nodes_move_slot(
            &nodes,
            (unsigned)redis_node_command(from, "CLUSTER KEYSLOT %s", name),
            from, to);
        publish_round(bench);
        moved++;
    }
    assert_int_equal(moved, MOVES);
    settle(bench, "slots moved");
    expect_gaps(bench, before + MOVES);
}

static void publish_until(struct bench *bench, struct redis_node *node,
                          bool (*done)(struct redis_node *node))
{
    double begin = now_s();

    while (!done(node)) {
        assert_true(now_s() - begin < DEADLINE_S);
        publish_round(bench);
    }
    print_message("# replica is master after %.1f s\n", now_s() - begin);
}

static void test_hub_master_hands_over_while_channels_are_in_use(void **state)
{
    struct bench *bench = *state;

    struct redis_node *old = master(0),
                      *watched = redis_nodes_replica_of(&nodes, old);
    unsigned due = bench->gaps + carried_by(old);

    publish_until(bench, watched, redis_node_has_taken_over);
    settle(bench, "handed over");
    expect_gaps(bench, due);
}

static void test_hub_master_is_killed_while_channels_are_in_use(void **state)
{
    struct bench *bench = *state;
    struct redis_node *victim = master(1),
                      *watched = redis_nodes_replica_of(&nodes, victim);
    unsigned due = bench->gaps + carried_by(victim);

    publish_round(bench);
    redis_node_kill(victim);
    publish_until(bench, watched, redis_node_is_master);
    settle(bench, "killed");
    expect_gaps(bench, due);
    redis_node_restart(&nodes, victim);
}

static int start(void **state)
{
    (void)state;
    redis_nodes_start(&nodes, 6, true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_nodes_stop(&nodes);
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_hub_slots_move_while_channels_are_in_use),
        CASE(test_hub_master_hands_over_while_channels_are_in_use),
        CASE(test_hub_master_is_killed_while_channels_are_in_use),
    };
#undef CASE

    return cmocka_run_group_tests_name("redis_hub", cases, start, stop);
}

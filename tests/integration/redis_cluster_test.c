/*
 * redis_cluster_test.c: a cluster of three masters and three replicas, whose
 * slots move and whose masters fail while the adapter is at work.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <signal.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "integration/redis_fleet_rig.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

static struct redis_nodes nodes;
static struct redis_node *watched; /* what a condition looks at */

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

/* Channels that a node carries and owns, by its own judgement. */
static unsigned owned(struct rig *rig, struct redis_node *node)
{
    redisReply *slots = redis_node_ask(node, "CLUSTER SLOTS");
    unsigned count = 0;

    for (unsigned i = 0; i < RIG_CHANNELS; i++) {
        long long slot = redis_node_command(node, "CLUSTER KEYSLOT %s",
                                            rig->channels[i].name);

        for (size_t r = 0; r < slots->elements; r++) {
            redisReply **range = slots->element[r]->element;

            count += range[0]->integer <= slot && slot <= range[1]->integer &&
                     range[2]->element[1]->integer == node->server.port;
        }
    }
    freeReplyObject(slots);
    return count;
}

/* Expected = actual: each master has the channels of its slots, no more. */
static void assert_placed(struct rig *rig)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < nodes.count; i++) {
        struct redis_node *node = &nodes.node[i];
        unsigned carried;

        if (!redis_node_is_master(node))
            continue;
        carried = rig_carried(rig, node);
        assert_int_equal(carried, owned(rig, node));
        sum += carried;
    }
    assert_int_equal(sum, RIG_CHANNELS);
}

static void test_cluster_channels_are_where_their_slots_are(void **state)
{
    struct rig *rig = rig_open_live(&nodes);

    (void)state;
    assert_placed(rig);
    assert_int_equal(rig->drops, 0);
    rig_close(rig);
}

static void test_cluster_probe_names_fall_to_each_master(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    char name[WS_HUB_CHANNEL_MAX];
    unsigned seen = 0;

    (void)state;
    for (unsigned link = 0; link < 3; link++) {
        size_t len = rig->ops->probe_channel(rig->self, link, name);

        assert_true(len > 8);
        rig->probe_status = 1;
        assert_int_equal(rig->ops->subscribe(rig->self, name, len), 0);
        while (rig->probe_status)
            rig_turn(rig);
        for (unsigned i = 0; i < 3; i++)
            if (redis_node_command(&nodes.node[i], "PUBSUB SHARDCHANNELS %b",
                                   name, len))
                seen |= 1u << i;
    }
    assert_int_equal(seen, 7);
    assert_int_equal(rig->ops->probe_channel(rig->self, 3, name), 0);
    rig_close(rig);
}

static unsigned slot_of(struct rig *rig, unsigned channel)
{
    return (unsigned)redis_node_command(&nodes.node[0], "CLUSTER KEYSLOT %s",
                                        rig->channels[channel].name);
}

static struct redis_node *owner_of(struct rig *rig, unsigned channel)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (redis_node_is_master(&nodes.node[i]) &&
            redis_node_command(&nodes.node[i], "PUBSUB SHARDCHANNELS %s",
                               rig->channels[channel].name))
            return &nodes.node[i];
    fail();
    return NULL;
}

static struct redis_node *other_master(struct redis_node *than)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (&nodes.node[i] != than && redis_node_is_master(&nodes.node[i]))
            return &nodes.node[i];
    fail();
    return NULL;
}

static bool some_dropped(struct rig *rig)
{
    return rig->drops > 0;
}

/* Only the channels of the slot are dropped, and each once. */
static void test_cluster_moved_slot_takes_its_channels_along(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *from = owner_of(rig, 0), *to = other_master(from);

    (void)state;
    redis_nodes_move_slot(&nodes, slot_of(rig, 0), from, to);
    rig_until(rig, some_dropped);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_ptr_equal(owner_of(rig, 0), to);
    assert_true(rig->channels[0].drops == 1);
    assert_true(rig->drops <= 3);
    assert_placed(rig);
    rig_close(rig);
}

/* Slots move while nothing of them is subscribed, so that only MOVED tells. */
static void test_cluster_old_map_is_corrected_by_answers(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *from = owner_of(rig, 1), *to = other_master(from);
    struct rig_channel *channel = &rig->channels[1];
    unsigned slot = slot_of(rig, 1);

    (void)state;
    assert_int_equal(
        rig->ops->unsubscribe(rig->self, channel->name, strlen(channel->name)),
        0);
    channel->live = false;
    while (redis_node_command(from, "PUBSUB SHARDCHANNELS %s", channel->name))
        rig_turn(rig);
    redis_nodes_move_slot(&nodes, slot, from, to);
    channel->asked = false;
    rig_until_live(rig);
    assert_int_equal(channel->drops, 0);
    rig_exchange(rig);
    assert_ptr_equal(owner_of(rig, 1), to);
    rig_close(rig);
}

/* While slots move one by one, every channel is published to all the time. */
static void test_cluster_migration_loses_nothing_unsaid(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    unsigned first = rig->messages;

    (void)state;
    for (unsigned i = 0; i < RIG_CHANNELS; i += 3) {
        struct redis_node *from = NULL, *to;

        while (!rig->channels[i].live)
            rig_turn(rig);
        from = owner_of(rig, i);
        to = other_master(from);
        (void)rig_publish(rig);
        redis_nodes_move_slot(&nodes, slot_of(rig, i), from, to);
        (void)rig_publish(rig);
        rig_turn(rig);
    }
    rig_until_live(rig);
    rig_exchange(rig);
    assert_true(rig->drops >= RIG_CHANNELS / 3);
    assert_true(rig->messages > first + RIG_CHANNELS);
    assert_placed(rig);
    rig_close(rig);
}

static bool watched_has_taken_over(struct rig *rig)
{
    (void)rig;
    return redis_node_has_taken_over(watched);
}

static bool watched_is_master_of_all(struct rig *rig)
{
    return redis_node_is_master(watched) && owned(rig, watched) > 0 &&
           owned(rig, watched) == rig_carried(rig, watched);
}

static bool watched_is_left_alone(struct rig *rig)
{
    redisReply *reply = redis_node_ask(watched, "CLIENT LIST TYPE pubsub");
    bool alone = reply->len == 0;

    (void)rig;
    freeReplyObject(reply);
    return alone;
}

/* By hand: the old master lives on as a replica, and is left. */
static void test_cluster_failover_by_hand_is_followed(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *old = owner_of(rig, 2);

    (void)state;
    watched = redis_nodes_replica_of(&nodes, old);
    rig_until(rig, watched_has_taken_over);
    rig_until(rig, watched_is_master_of_all);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_placed(rig);
    watched = old;
    rig_until(rig, watched_is_left_alone);
    rig_close(rig);
}

/* Killed: its channels are away until its replica has taken over; all others go
 * on. */
static void test_cluster_killed_master_is_replaced(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *old = owner_of(rig, 3);
    unsigned carried = rig_carried(rig, old);

    (void)state;
    watched = redis_nodes_replica_of(&nodes, old);
    redis_node_kill(old);
    rig_until(rig, some_dropped);
    assert_int_equal(rig_publish(rig), carried);
    rig_until(rig, watched_is_master_of_all);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_placed(rig);
    assert_int_equal(rig->drops, carried);
    assert_int_equal(rig->lost, 0);
    redis_node_restart(&nodes, old);
    rig_close(rig);
}

/* Hung: nothing says so but the probe of the driver, which is played here. */
static void test_cluster_hung_master_is_replaced(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *old = owner_of(rig, 4);
    struct redisContext *context = old->context;

    (void)state;
    watched = redis_nodes_replica_of(&nodes, old);
    kill(old->server.pid, SIGSTOP);
    old->context = NULL; /* not to be asked */
    rig->ops->suspect(rig->self, "c4", 2);
    rig_until(rig, some_dropped);
    rig_until(rig, watched_is_master_of_all);
    rig_until_live(rig);
    rig_exchange(rig);
    kill(old->server.pid, SIGCONT);
    old->context = context;
    rig_exchange(rig);
    rig_close(rig);
}

static void allow_when_down(const char *yes_or_no)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.node[i].context)
            assert_int_equal(
                redis_node_command(
                    &nodes.node[i],
                    "CONFIG SET cluster-allow-pubsubshard-when-down %s",
                    yes_or_no),
                1);
}

static bool all_dropped(struct rig *rig)
{
    (void)rig_publish(rig);
    return rig->drops >= RIG_CHANNELS;
}

static bool nothing_refused(struct rig *rig)
{
    return rig_publish(rig) == 0;
}

/* Masters that refuse everything while one of them has failed, though their
 * subscriptions stay: what is refused is in a gap of every channel. */
static void test_cluster_that_is_down_drops_all_until_it_is_up(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    struct redis_node *old = owner_of(rig, 5);

    (void)state;
    allow_when_down("no");
    redis_node_kill(old);
    rig_until(rig, all_dropped);
    rig_until(rig, nothing_refused);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_int_equal(rig->lost, 0);
    assert_placed(rig);
    redis_node_restart(&nodes, old);
    allow_when_down("yes");
    rig_close(rig);
}

static void test_cluster_all_away_is_lost_and_opens_again(void **state)
{
    struct rig *rig = rig_open_live(&nodes);

    (void)state;
    for (unsigned i = 0; i < nodes.count; i++)
        redis_node_kill(&nodes.node[i]);
    rig_until(rig, rig_is_lost);
    assert_int_equal(rig_publish(rig), RIG_CHANNELS);
    for (unsigned i = 0; i < nodes.count; i++)
        redis_node_restart(&nodes, &nodes.node[i]);
    rig->ready = 0;
    rig_reopen(rig);
    rig_until_live(rig);
    rig_exchange(rig);
    rig_close(rig);
}

int main(void)
{
#define CASE(name) cmocka_unit_test(name)
    const struct CMUnitTest cases[] = {
        CASE(test_cluster_channels_are_where_their_slots_are),
        CASE(test_cluster_probe_names_fall_to_each_master),
        CASE(test_cluster_moved_slot_takes_its_channels_along),
        CASE(test_cluster_old_map_is_corrected_by_answers),
        CASE(test_cluster_migration_loses_nothing_unsaid),
        CASE(test_cluster_failover_by_hand_is_followed),
        CASE(test_cluster_killed_master_is_replaced),
        CASE(test_cluster_hung_master_is_replaced),
        CASE(test_cluster_that_is_down_drops_all_until_it_is_up),
        CASE(test_cluster_all_away_is_lost_and_opens_again),
    };
#undef CASE

    return cmocka_run_group_tests(cases, start, stop);
}

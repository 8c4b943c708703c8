/*
 * redis_several_test.c: three independent Redis servers that come and go one by
 * one.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <signal.h>
#include <string.h>
#include <cmocka.h>

#include "integration/redis_fleet_rig.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

static struct redis_nodes nodes;
static unsigned expected; /* what a condition waits for */

static int start(void **state)
{
    (void)state;
    redis_nodes_start(&nodes, 3, false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_nodes_stop(&nodes);
    return 0;
}

static bool expected_drops(struct rig *rig)
{
    return rig->drops >= expected;
}

static void test_several_channels_are_spread(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    unsigned sum = 0;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned carried = rig_carried(rig, &nodes.node[i]);

        assert_true(carried > RIG_CHANNELS / 6);
        sum += carried;
    }
    assert_int_equal(sum, RIG_CHANNELS);
    rig_close(rig);
}

static void test_several_lost_server_takes_only_its_channels(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    unsigned refused;

    (void)state;
    expected = rig_carried(rig, &nodes.node[1]);
    redis_node_kill(&nodes.node[1]);
    rig_until(rig, expected_drops);
    refused = rig_publish(rig);
    assert_int_equal(refused, expected); /* and all others go on */
    redis_node_restart(&nodes, &nodes.node[1]);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_int_equal(rig->drops, expected);
    assert_int_equal(rig->lost, 0);
    assert_int_equal(rig_carried(rig, &nodes.node[1]), expected);
    rig_close(rig);
}

static void test_several_subscribe_waits_for_its_server(void **state)
{
    struct rig *rig;
    unsigned ready;

    (void)state;
    redis_node_kill(&nodes.node[2]);
    rig = rig_open(&nodes);
    while (rig_carried(rig, &nodes.node[0]) + rig_carried(rig, &nodes.node[1]) <
           RIG_CHANNELS / 3)
        rig_turn(rig);
    ready = rig->ready;
    redis_node_restart(&nodes, &nodes.node[2]);
    rig_until_live(rig);
    assert_true(rig->ready > ready);
    rig_exchange(rig);
    rig_close(rig);
}

static void test_several_all_away_is_lost_and_opens_again(void **state)
{
    struct rig *rig = rig_open_live(&nodes);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        redis_node_kill(&nodes.node[i]);
    rig_until(rig, rig_is_lost);
    assert_int_equal(rig_publish(rig), RIG_CHANNELS);
    for (unsigned i = 0; i < 3; i++)
        redis_node_restart(&nodes, &nodes.node[i]);
    rig_reopen(rig);
    rig_until_live(rig);
    rig_exchange(rig);
    assert_int_equal(rig->lost, 1);
    rig_close(rig);
}

static void test_several_probe_names_fall_to_each_server(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    char name[WS_HUB_CHANNEL_MAX], again[WS_HUB_CHANNEL_MAX];

    (void)state;
    for (unsigned link = 0; link < 3; link++) {
        size_t len = rig->ops->probe_channel(rig->self, link, name);

        assert_true(len > 8);
        assert_memory_equal(name, "$ws_hub.", 8);
        assert_int_equal(rig->ops->probe_channel(rig->self, link, again), len);
        assert_memory_equal(name, again, len);
        rig->probe_status = 1;
        assert_int_equal(rig->ops->subscribe(rig->self, name, len), 0);
        while (rig->probe_status)
            rig_turn(rig);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(redis_node_command(&nodes.node[i],
                                                "PUBSUB CHANNELS %b", name,
                                                len),
                             i == link);
    }
    assert_int_equal(rig->ops->probe_channel(rig->self, 3, name), 0);
    rig_close(rig);
}

static void test_several_suspected_server_is_dropped_alone(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = rig->ops->probe_channel(rig->self, 1, name);

    (void)state;
    expected = rig_carried(rig, &nodes.node[1]);
    rig->ops->suspect(rig->self, name, len);
    rig_until(rig, expected_drops);
    rig_until_live(rig);
    assert_int_equal(rig->drops, expected);
    rig_exchange(rig);
    rig_close(rig);
}

static bool is_audited(struct rig *rig)
{
    return rig->audited > 0;
}

static void test_several_audit_counts_listeners(void **state)
{
    struct rig *rig = rig_open_live(&nodes);

    (void)state;
    assert_int_equal(rig->ops->audit(rig->self, "c7", 2), 0);
    rig_until(rig, is_audited);
    assert_int_equal(rig->listeners, 1);
    rig_close(rig);
}

/* A hung server keeps its channels until the probe, or an answer that does not
 * come; the others do not wait for it. */
static void test_several_hung_server_holds_up_nobody(void **state)
{
    struct rig *rig = rig_open_live(&nodes);
    unsigned hung;

    (void)state;
    hung = rig_carried(rig, &nodes.node[0]);
    kill(nodes.node[0].server.pid, SIGSTOP);
    expected = rig->messages + RIG_CHANNELS - hung;
    assert_int_equal(rig_publish(rig), 0);
    while (rig->messages < expected)
        rig_turn(rig);
    kill(nodes.node[0].server.pid, SIGCONT);
    rig_until_live(rig);
    rig_exchange(rig);
    rig_close(rig);
}

int main(void)
{
#define CASE(name) cmocka_unit_test(name)
    const struct CMUnitTest cases[] = {
        CASE(test_several_channels_are_spread),
        CASE(test_several_lost_server_takes_only_its_channels),
        CASE(test_several_subscribe_waits_for_its_server),
        CASE(test_several_all_away_is_lost_and_opens_again),
        CASE(test_several_probe_names_fall_to_each_server),
        CASE(test_several_suspected_server_is_dropped_alone),
        CASE(test_several_audit_counts_listeners),
        CASE(test_several_hung_server_holds_up_nobody),
    };
#undef CASE

    return cmocka_run_group_tests(cases, start, stop);
}

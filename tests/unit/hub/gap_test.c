/* gap_test.c: the broker was away: what raw mode clients' hosts are told. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub/channel.h"
#include "support/one_shard.h"
#include "ws_hub/hub.h"

enum { CLIENTS = 3 };

struct rig {
    struct one_shard one;
    struct pipe_end end[CLIENTS];
    unsigned told;
    bool leave; /* on_gap unsubscribes */
};

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t len, uint64_t missed, void *user)
{
    struct rig *rig = user;

    assert_int_equal(len, 4);
    assert_memory_equal(channel, "room", 4);
    assert_true(missed == UINT64_MAX);
    rig->told++;
    if (rig->leave)
        assert_int_equal(ws_hub_unsubscribe(hub, conn, channel, len), 0);
}

static const ws_hub_callbacks callbacks = {.struct_size = sizeof callbacks,
                                           .on_gap = on_gap};

static void ignore(void *driver, const char *channel, size_t len,
                   unsigned shard)
{
    (void)driver, (void)channel, (void)len, (void)shard;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    ws_hub_options options;

    assert_non_null(rig);
    ws_hub_options_init(&options);
    options.callbacks = &callbacks;
    options.user = rig;
    one_shard_init(&rig->one, &options);
    rig->one.hub.feed.want = ignore;
    rig->one.hub.feed.unwant = ignore;
    for (unsigned i = 0; i < CLIENTS; i++) {
        one_shard_connect(&rig->one, &rig->end[i]);
        assert_int_equal(
            ws_hub_subscribe(rig->one.hub.handle,
                             wsh_conn_handle(one_shard_conn(&rig->end[i])),
                             "room", 4),
            0);
    }
    wsh_channel_live(rig->one.shard, "room", 4, 0, false);
    one_shard_turn(&rig->one);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    one_shard_fini(&rig->one);
    for (unsigned i = 0; i < CLIENTS; i++)
        pipe_end_fini(&rig->end[i]);
    free(rig);
    return 0;
}

static void test_gap_of_broker_is_told_once_for_each_client(void **state)
{
    struct rig *rig = *state;

    wsh_channel_gap(rig->one.shard, "room", 4);
    one_shard_turn(&rig->one);
    one_shard_turn(&rig->one);
    assert_int_equal(rig->told, CLIENTS);
}

static void test_gap_callback_may_unsubscribe(void **state)
{
    struct rig *rig = *state;

    rig->leave = true;
    wsh_channel_gap(rig->one.shard, "room", 4);
    one_shard_turn(&rig->one);
    assert_int_equal(rig->told, CLIENTS);
    wsh_channel_gap(rig->one.shard, "room", 4);
    one_shard_turn(&rig->one);
    assert_int_equal(rig->told, CLIENTS);
}

static void test_gap_of_a_connection_that_ends_is_not_told(void **state)
{
    struct rig *rig = *state;

    wsh_channel_gap(rig->one.shard, "room", 4);
    wsh_conn_drop(one_shard_conn(&rig->end[0]), WS_HUB_CAUSE_PEER_GONE);
    one_shard_turn(&rig->one);
    assert_int_equal(rig->told, CLIENTS - 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_gap_of_broker_is_told_once_for_each_client),
        CASE(test_gap_callback_may_unsubscribe),
        CASE(test_gap_of_a_connection_that_ends_is_not_told),
    };

    return cmocka_run_group_tests_name("gap", tests, NULL, NULL);
}

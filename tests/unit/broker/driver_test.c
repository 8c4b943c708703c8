/* The driver's channels against an adapter that a test scripts. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker/script.h"
#include "ws_hub/error.h"

static void test_driver_first_want_subscribes_once(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    want(f, "room", 3);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(f->live, 0);
    confirm(f, "room", 0);
    assert_int_equal(f->live, 2);
    assert_int_equal(f->live_shards, 1 | 8);
    assert_int_equal(f->degraded, 0);
}

static void test_driver_later_want_is_live_at_once(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    confirm(f, "room", 0);
    want(f, "room", 1);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(f->live, 2);
}

static void test_driver_last_unwant_lingers_then_unsubscribes(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    confirm(f, "room", 0);
    unwant(f, "room", 0);
    after(f, 999);
    assert_int_equal(f->unsubscribes, 0);
    after(f, 1);
    assert_int_equal(f->unsubscribes, 1);
}

static void test_driver_want_while_lingering_keeps_it(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    confirm(f, "room", 0);
    unwant(f, "room", 0);
    after(f, 500);
    want(f, "room", 2);
    after(f, 5000);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(f->unsubscribes, 0);
    assert_int_equal(f->live, 2);
}

static void test_driver_lingers_expire_one_by_one(void **state)
{
    struct fixture *f = opened(state);

    want(f, "a", 0);
    confirm(f, "a", 0);
    want(f, "b", 0);
    confirm(f, "b", 0);
    unwant(f, "a", 0);
    after(f, 600);
    unwant(f, "b", 0);
    after(f, 400);
    assert_int_equal(f->unsubscribes, 1);
    after(f, 600);
    assert_int_equal(f->unsubscribes, 2);
}

static void test_driver_unwant_before_confirmation_unsubscribes(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    unwant(f, "room", 0);
    confirm(f, "room", 0);
    assert_int_equal(f->live, 0);
    after(f, 1000);
    assert_int_equal(f->unsubscribes, 1);
}

static void test_driver_refusal_is_told_and_remembered(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    confirm(f, "room", WS_HUB_EFORBIDDEN);
    assert_int_equal(f->status, WS_HUB_EFORBIDDEN);
    want(f, "room", 1);
    assert_int_equal(f->live, 2);
    assert_int_equal(f->subscribes, 1);
    unwant(f, "room", 0);
    unwant(f, "room", 1);
    want(f, "room", 0); /* forgotten: asked again */
    assert_int_equal(f->subscribes, 2);
}

static void test_driver_refused_call_is_a_refusal(void **state)
{
    struct fixture *f = opened(state);

    f->subscribe_result = WS_HUB_EFORBIDDEN;
    want(f, "room", 0);
    assert_int_equal(f->live, 1);
    assert_int_equal(f->status, WS_HUB_EBROKER);
}

static void test_driver_eagain_waits_for_ready(void **state)
{
    struct fixture *f = opened(state);

    f->subscribe_result = WS_HUB_EAGAIN;
    want(f, "room", 0);
    assert_int_equal(f->subscribes, 1);
    f->subscribe_result = 0;
    f->host->ready(f->host);
    assert_int_equal(f->subscribes, 2);
    confirm(f, "room", 0);
    assert_int_equal(f->gaps, 1);
}

static void test_driver_parked_channel_goes_on_degraded(void **state)
{
    struct fixture *f = opened(state);

    f->away = "far";
    want(f, "far", 0);
    assert_int_equal(f->degraded, 1);
    want(f, "far", 1);
    assert_int_equal(f->degraded, 2);
    assert_int_equal(f->live_shards, 3);
}

static void test_driver_parked_channel_holds_up_no_other(void **state)
{
    struct fixture *f = opened(state);

    f->away = "far";
    want(f, "far", 0);
    want(f, "near", 0);
    assert_string_equal(f->asked.text, "far;near;");
    confirm(f, "near", 0);
    assert_int_equal(f->degraded, 1);
}

static void test_driver_parked_channel_left_is_forgotten(void **state)
{
    struct fixture *f = opened(state);

    f->away = "far";
    want(f, "far", 0);
    unwant(f, "far", 0);
    f->host->ready(f->host);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(f->unsubscribes, 0);
}

static void test_driver_ready_unparks_all(void **state)
{
    struct fixture *f = opened(state);

    f->subscribe_result = WS_HUB_EAGAIN;
    want(f, "a", 0);
    want(f, "b", 0);
    f->subscribe_result = 0;
    f->host->ready(f->host);
    assert_string_equal(f->asked.text, "a;b;a;b;");
}

static void test_driver_dropped_resubscribes_and_tells_the_gap(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    live(f, "other");
    after(f, 5000);
    drop(f, "room");
    assert_string_equal(f->asked.text, "room;other;room;");
    assert_int_equal(f->degraded, 1); /* is told for as long as it lasts */
    assert_int_equal(f->gaps, 0);
    confirm(f, "room", 0);
    assert_int_equal(f->gaps, 1);
    assert_int_equal(f->gap_shards, 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_CHANNEL_DROPPED), 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_GAP), 1);
}

static void test_driver_dropped_while_lingering_is_forgotten(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    unwant(f, "room", 0);
    drop(f, "room");
    after(f, 10000);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(f->unsubscribes, 0);
}

static void test_driver_dropped_again_at_once_backs_off(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    after(f, 5000);
    /* A server that drops what it has confirmed, for ten minutes. */
    f->answers = true;
    for (unsigned i = 0; i < 60000; i++) {
        drop(f, "room");
        after(f, 10);
    }
    assert_in_range(f->subscribes, 60, 140);
}

static void test_driver_unknown_dropped_is_ignored(void **state)
{
    struct fixture *f = opened(state);

    drop(f, "never");
    assert_int_equal(f->subscribes, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_CHANNEL_DROPPED), 0);
}

static void test_driver_orphan_is_counted_and_unsubscribed_once(void **state)
{
    struct fixture *f = opened(state);

    arrive(f, "nobody", 1, 0, 0);
    arrive(f, "nobody", 1, 0, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ORPHAN), 1);
    assert_string_equal(f->left.text, "nobody;");
    after(f, WSH_LEFT_MS);
    arrive(f, "nobody", 1, 0, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ORPHAN), 2);
}

static void test_driver_messages_may_trail_an_unsubscribe(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    unwant(f, "room", 0);
    arrive(f, "room", 1, 0, 0); /* lingers */
    after(f, 1000);
    arrive(f, "room", 1, 0, 0); /* trails */
    assert_int_equal(f->unsubscribes, 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ORPHAN), 0);
}

static void test_driver_want_after_unsubscribe_subscribes_again(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    unwant(f, "room", 0);
    after(f, 1500);
    want(f, "room", 0);
    after(f, 10000);
    assert_int_equal(f->subscribes, 2);
    assert_int_equal(f->unsubscribes, 1);
}

static void test_driver_gauges_follow_the_states(void **state)
{
    struct fixture *f = opened(state);

    live(f, "a");
    want(f, "b", 0);
    assert_int_equal(atomic_load(&f->counts.wanted), 2);
    assert_int_equal(atomic_load(&f->counts.subscribed), 1);
    unwant(f, "a", 0);
    assert_int_equal(atomic_load(&f->counts.wanted), 1);
    assert_int_equal(atomic_load(&f->counts.subscribed), 1);
    after(f, 1000);
    assert_int_equal(atomic_load(&f->counts.subscribed), 0);
    confirm(f, "b", 0);
    f->host->lost(f->host, "test");
    assert_int_equal(atomic_load(&f->counts.wanted), 1);
    assert_int_equal(atomic_load(&f->counts.subscribed), 0);
}

static void test_driver_losses_and_returns_are_counted(void **state)
{
    struct fixture *f = opened(state);

    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LINK_RESTORED), 0);
    f->host->lost(f->host, "test");
    after(f, 100);
    f->host->ready(f->host);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LINK_LOST), 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LINK_RESTORED), 1);
}

static void test_driver_answers_inside_calls_do_not_pile_up(void **state)
{
    enum { MANY = 100000 };
    struct fixture *f = opened(state);
    char name[16];

    f->host->lost(f->host, "test");
    for (unsigned i = 0; i < MANY; i++) {
        sprintf(name, "c%u", i);
        want(f, name, 0);
    }
    f->answers = true; /* a frame for each would not fit the stack */
    f->quiet = true;
    after(f, 100);
    assert_int_equal(f->subscribes, MANY);
    assert_int_equal(f->gaps, MANY);
}

static void test_driver_exclude_of_another_hub_is_ignored(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    arrive(f, "room", SCRIPT_INSTANCE, 0, 5);
    assert_int_equal(f->exclude, 5);
    arrive(f, "room", SCRIPT_INSTANCE + 1, 0, 5);
    assert_int_equal(f->exclude, 0);
}

static void test_driver_echo_of_what_was_delivered_is_dropped(void **state)
{
    struct fixture *f = opened(state);

    live(f, "room");
    arrive(f, "room", SCRIPT_INSTANCE, WS_HUB_MESSAGE_DELIVERED, 0);
    assert_int_equal(f->messages, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ECHO), 1);
    arrive(f, "room", SCRIPT_INSTANCE + 1, WS_HUB_MESSAGE_DELIVERED, 0);
    arrive(f, "room", SCRIPT_INSTANCE, 0, 0);
    assert_int_equal(f->messages, 2);
}

static void test_driver_loss_resubscribes_and_tells_the_gap(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    want(f, "room", 5);
    confirm(f, "room", 0);
    f->host->lost(f->host, "test");
    assert_int_equal(f->opens, 1);
    after(f, 100);
    assert_int_equal(f->opens, 2);
    assert_int_equal(f->subscribes, 2);
    assert_int_equal(f->gaps, 0);
    confirm(f, "room", 0);
    assert_int_equal(f->gaps, 1);
    assert_int_equal(f->gap_shards, 1 | 32);
    assert_int_equal(f->degraded, 2); /* was told meanwhile */
    assert_int_equal(f->live, 4);
}

static void test_driver_want_during_outage_is_degraded(void **state)
{
    struct fixture *f = opened(state);

    f->host->lost(f->host, "test");
    want(f, "room", 0);
    assert_int_equal(f->live, 1);
    assert_int_equal(f->degraded, 1);
    after(f, 100);
    confirm(f, "room", 0);
    assert_int_equal(f->gaps, 1);
}

static void test_driver_loss_while_subscribing_goes_on_degraded(void **state)
{
    struct fixture *f = opened(state);

    want(f, "room", 0);
    f->host->lost(f->host, "test");
    assert_int_equal(f->degraded, 1);
    after(f, 100);
    confirm(f, "room", 0);
    assert_int_equal(f->gaps, 1);
}

static void test_driver_failed_opens_back_off(void **state)
{
    struct fixture *f = opened(state);
    unsigned before;

    f->open_result = WS_HUB_EBROKER;
    f->host->lost(f->host, "test");
    after(f, 30000);
    /* 100, 200, ... 6400, 10000 at the most; half of that at the least. */
    before = f->opens;
    after(f, 100000);
    assert_in_range(f->opens - before, 1, 20);
    f->open_result = 0;
    after(f, 10000);
    before = f->opens;
    after(f, 100000);
    assert_int_equal(f->opens, before);
}

static void unwant_all(struct fixture *f)
{
    unwant(f, "a", 0);
    unwant(f, "b", 0);
    unwant(f, "c", 0);
}

static void test_driver_unwants_inside_the_news_of_a_loss(void **state)
{
    struct fixture *f = opened(state);

    want(f, "a", 0);
    want(f, "b", 0);
    want(f, "c", 0);
    f->in_live = unwant_all;
    f->host->lost(f->host, "test");
    after(f, 100);
    assert_int_equal(f->subscribes, 3); /* nothing is wanted any more */
}

static void test_driver_limits_subscribes_in_flight(void **state)
{
    struct fixture *f = opened(state);
    char name[16];

    for (unsigned i = 0; i < WSH_SUBSCRIBES_IN_FLIGHT + 10; i++) {
        sprintf(name, "c%u", i);
        want(f, name, 0);
    }
    assert_int_equal(f->subscribes, WSH_SUBSCRIBES_IN_FLIGHT);
    confirm(f, "c0", 0);
    assert_int_equal(f->subscribes, WSH_SUBSCRIBES_IN_FLIGHT + 1);
    for (unsigned i = 1; i < WSH_SUBSCRIBES_IN_FLIGHT + 10; i++) {
        sprintf(name, "c%u", i);
        confirm(f, name, 0);
    }
    assert_int_equal(f->live, WSH_SUBSCRIBES_IN_FLIGHT + 10);
}

static void test_driver_backoff_stays_within_its_bounds(void **state)
{
    uint64_t most = 100;

    (void)state;
    for (unsigned attempt = 0; attempt < 40; attempt++) {
        for (uint64_t random = 0; random < 20000; random += 7) {
            uint64_t ms = wsh_backoff_ms(attempt, random);

            assert_in_range(ms, most / 2, most);
        }
        most = most * 2 > 10000 ? 10000 : most * 2;
    }
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, script_set_up, script_tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_driver_first_want_subscribes_once),
        CASE(test_driver_later_want_is_live_at_once),
        CASE(test_driver_last_unwant_lingers_then_unsubscribes),
        CASE(test_driver_want_while_lingering_keeps_it),
        CASE(test_driver_lingers_expire_one_by_one),
        CASE(test_driver_unwant_before_confirmation_unsubscribes),
        CASE(test_driver_refusal_is_told_and_remembered),
        CASE(test_driver_refused_call_is_a_refusal),
        CASE(test_driver_eagain_waits_for_ready),
        CASE(test_driver_loss_resubscribes_and_tells_the_gap),
        CASE(test_driver_want_during_outage_is_degraded),
        CASE(test_driver_loss_while_subscribing_goes_on_degraded),
        CASE(test_driver_failed_opens_back_off),
        CASE(test_driver_unwants_inside_the_news_of_a_loss),
        CASE(test_driver_limits_subscribes_in_flight),
        CASE(test_driver_parked_channel_goes_on_degraded),
        CASE(test_driver_parked_channel_holds_up_no_other),
        CASE(test_driver_parked_channel_left_is_forgotten),
        CASE(test_driver_ready_unparks_all),
        CASE(test_driver_dropped_resubscribes_and_tells_the_gap),
        CASE(test_driver_dropped_while_lingering_is_forgotten),
        CASE(test_driver_dropped_again_at_once_backs_off),
        CASE(test_driver_unknown_dropped_is_ignored),
        CASE(test_driver_orphan_is_counted_and_unsubscribed_once),
        CASE(test_driver_messages_may_trail_an_unsubscribe),
        CASE(test_driver_want_after_unsubscribe_subscribes_again),
        CASE(test_driver_gauges_follow_the_states),
        CASE(test_driver_losses_and_returns_are_counted),
        CASE(test_driver_answers_inside_calls_do_not_pile_up),
        CASE(test_driver_exclude_of_another_hub_is_ignored),
        CASE(test_driver_echo_of_what_was_delivered_is_dropped),
        CASE(test_driver_backoff_stays_within_its_bounds),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

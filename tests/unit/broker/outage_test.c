/* Publishing with and without the broker. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "broker/script.h"
#include "ws_hub/error.h"

static void hold_three(struct wsh_driver_config *config)
{
    config->outage_hold = 3;
}

static void hold_three_silently(struct wsh_driver_config *config)
{
    config->outage_hold = 3;
    config->outage_no_local = true;
}

static void hold_few_bytes(struct wsh_driver_config *config)
{
    config->outage_hold = 100;
    config->hold_bytes = 600;
}

static void no_local(struct wsh_driver_config *config)
{
    config->outage_no_local = true;
}

static void any_thread(struct wsh_driver_config *config)
{
    static ws_hub_broker_ops ops;

    ops = *config->ops;
    ops.flags |= WS_HUB_BROKER_PUBLISH_ANY_THREAD;
    config->ops = &ops;
    config->outage_hold = 3;
}

static void come_back(struct fixture *f)
{
    f->ready_at_open = true;
    after(f, 10000);
}

static void go_away(struct fixture *f)
{
    f->ready_at_open = false;
    f->host->lost(f->host, "test");
}

static int publish_here(struct fixture *f, const char *text)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .data = text,
                                     .len = strlen(text),
                                     .origin = SCRIPT_INSTANCE};

    return f->feed.publish_here(f->driver, "a", 1, &message);
}

static void test_outage_publish_with_the_broker_is_not_local(void **state)
{
    struct fixture *f = opened(state);

    assert_int_equal(publish(f, "a", "1"), 0);
    assert_string_equal(f->sent.text, "1;");
    assert_int_equal(f->messages, 0);
}

static void test_outage_publish_is_local_and_says_so(void **state)
{
    struct fixture *f = opened(state);

    go_away(f);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_DEGRADED);
    assert_int_equal(f->publishes, 0);
    assert_string_equal(f->delivered.text, "1;");
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LOCAL_ONLY), 1);
    come_back(f);
    assert_int_equal(f->publishes, 0);
}

static void test_outage_of_one_server_is_the_same_for_its_channel(void **state)
{
    struct fixture *f = opened(state);

    f->away = "far";
    assert_int_equal(publish(f, "far", "1"), WS_HUB_DEGRADED);
    assert_int_equal(publish(f, "near", "2"), 0);
    assert_string_equal(f->delivered.text, "1;");
    assert_string_equal(f->sent.text, "2;");
}

static void test_outage_without_local_delivery_refuses(void **state)
{
    struct fixture *f = script_reopen(state, no_local);

    go_away(f);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EBROKER);
    assert_int_equal(f->messages, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LOCAL_ONLY), 0);
}

static void test_outage_full_output_is_refused_and_counted(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    f->publish_result = WS_HUB_EAGAIN;
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EAGAIN);
    assert_int_equal(f->messages, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_OUTPUT_FULL), 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_HELD), 0);
}

static void test_outage_too_large_is_refused(void **state)
{
    struct fixture *f = opened(state);

    f->publish_result = WS_HUB_ELIMIT;
    assert_int_equal(publish(f, "a", "1"), WS_HUB_ELIMIT);
    assert_int_equal(f->messages, 0);
}

static void test_outage_held_are_sent_in_order_at_ready(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_DEGRADED);
    assert_int_equal(publish(f, "b", "2"), WS_HUB_DEGRADED);
    assert_int_equal(publish(f, "a", "3"), WS_HUB_DEGRADED);
    assert_string_equal(f->delivered.text, "1;2;3;");
    come_back(f);
    assert_string_equal(f->sent.text, "1;2;3;");
    assert_int_equal(f->flags_published, WS_HUB_MESSAGE_DELIVERED);
    assert_true(f->origin_published == SCRIPT_INSTANCE);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_HELD), 3);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LOCAL_ONLY), 0);
}

static void test_outage_held_reach_own_subscribers_once(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    live(f, "a");
    go_away(f);
    (void)publish(f, "a", "1");
    f->echoes = true;
    come_back(f);
    assert_string_equal(f->sent.text, "1;");
    assert_string_equal(f->delivered.text, "1;");
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ECHO), 1);
}

static void test_outage_held_without_local_come_when_sent(void **state)
{
    struct fixture *f = script_reopen(state, hold_three_silently);

    live(f, "a");
    go_away(f);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_DEGRADED);
    assert_int_equal(f->messages, 0);
    f->echoes = true;
    come_back(f);
    assert_string_equal(f->delivered.text, "1;");
}

static void test_outage_more_than_can_be_held_is_local_only(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(publish(f, "a", "x"), WS_HUB_DEGRADED);
    assert_int_equal(f->messages, 5);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_HOLD_OVERFLOW), 2);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_LOCAL_ONLY), 2);
    come_back(f);
    assert_int_equal(f->publishes, 3);
}

static void test_outage_held_are_bounded_in_bytes(void **state)
{
    struct fixture *f = script_reopen(state, hold_few_bytes);
    char text[250];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    go_away(f);
    for (unsigned i = 0; i < 3; i++)
        (void)publish(f, "a", text);
    assert_in_range(counted(f, WS_HUB_BROKER_EVENT_HELD), 1, 2);
    assert_in_range(counted(f, WS_HUB_BROKER_EVENT_HOLD_OVERFLOW), 1, 2);
}

static void test_outage_full_output_keeps_the_rest_and_the_order(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    (void)publish(f, "a", "1");
    (void)publish(f, "b", "2");
    f->publish_result = WS_HUB_EAGAIN;
    come_back(f);
    assert_int_equal(f->publishes, 0);
    f->publish_result = 0;
    /* Behind them, though the output has room by now. */
    assert_int_equal(publish(f, "c", "3"), WS_HUB_DEGRADED);
    after(f, WSH_HOLD_RETRY_MS);
    assert_string_equal(f->sent.text, "1;2;3;");
    assert_int_equal(publish(f, "c", "4"), 0);
}

static void test_outage_of_one_server_holds_up_no_other(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    f->away = "far";
    assert_int_equal(publish(f, "far", "1"), WS_HUB_DEGRADED);
    assert_int_equal(publish(f, "near", "2"), 0);
    after(f, 1000);
    assert_int_equal(publish(f, "near", "3"), 0);
    f->away = NULL;
    /* Not past the one that is held. */
    assert_int_equal(publish(f, "far", "4"), WS_HUB_DEGRADED);
    f->host->ready(f->host);
    assert_string_equal(f->sent.text, "2;3;1;4;");
}

static void publish_answer(struct fixture *f)
{
    (void)publish(f, "a", "answer");
}

static void test_outage_answer_to_a_message_is_behind_it(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    f->in_message = publish_answer;
    (void)publish(f, "a", "question");
    come_back(f);
    assert_string_equal(f->sent.text, "question;answer;");
}

static void test_outage_refused_when_sent_later_is_counted(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    (void)publish(f, "a", "1");
    f->publish_result = WS_HUB_ELIMIT;
    come_back(f);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_PUBLISH_FAILED), 1);
    f->publish_result = 0;
    after(f, 1000);
    assert_int_equal(f->publishes, 0);
}

static void test_outage_held_at_close_are_counted_as_lost(void **state)
{
    struct fixture *f = script_reopen(state, hold_three);

    go_away(f);
    (void)publish(f, "a", "1");
    (void)script_reopen(state, NULL);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_PUBLISH_FAILED), 1);
}

static void test_outage_other_threads_hear_the_state_of_the_link(void **state)
{
    struct fixture *f = opened(state);

    assert_int_equal(f->feed.leave(f->driver), 0);
    f->feed.arrive(f->driver);
    go_away(f);
    assert_int_equal(f->feed.leave(f->driver), WS_HUB_DEGRADED);
    f->feed.arrive(f->driver);
    f = script_reopen(state, no_local);
    go_away(f);
    assert_int_equal(f->feed.leave(f->driver), WS_HUB_EBROKER);
}

static void test_outage_threads_publish_themselves_while_it_is_up(void **state)
{
    struct fixture *f = script_reopen(state, any_thread);

    assert_true(f->feed.any_thread);
    assert_int_equal(publish_here(f, "1"), 0);
    go_away(f);
    assert_int_equal(publish_here(f, "2"), WSH_FEED_HOME);
    assert_string_equal(f->sent.text, "1;");
}

static void test_outage_threads_do_not_overtake_themselves(void **state)
{
    struct fixture *f = script_reopen(state, any_thread);

    go_away(f);
    assert_int_equal(f->feed.leave(f->driver), WS_HUB_DEGRADED);
    come_back(f); /* before it has got home */
    assert_int_equal(publish_here(f, "2"), WSH_FEED_HOME);
    assert_int_equal(publish(f, "a", "1"), 0);
    f->feed.arrive(f->driver);
    assert_int_equal(publish_here(f, "2"), 0);
    assert_string_equal(f->sent.text, "1;2;");
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, script_set_up, script_tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_outage_publish_with_the_broker_is_not_local),
        CASE(test_outage_publish_is_local_and_says_so),
        CASE(test_outage_of_one_server_is_the_same_for_its_channel),
        CASE(test_outage_without_local_delivery_refuses),
        CASE(test_outage_full_output_is_refused_and_counted),
        CASE(test_outage_too_large_is_refused),
        CASE(test_outage_held_are_sent_in_order_at_ready),
        CASE(test_outage_held_reach_own_subscribers_once),
        CASE(test_outage_held_without_local_come_when_sent),
        CASE(test_outage_more_than_can_be_held_is_local_only),
        CASE(test_outage_held_are_bounded_in_bytes),
        CASE(test_outage_full_output_keeps_the_rest_and_the_order),
        CASE(test_outage_of_one_server_holds_up_no_other),
        CASE(test_outage_answer_to_a_message_is_behind_it),
        CASE(test_outage_refused_when_sent_later_is_counted),
        CASE(test_outage_held_at_close_are_counted_as_lost),
        CASE(test_outage_other_threads_hear_the_state_of_the_link),
        CASE(test_outage_threads_publish_themselves_while_it_is_up),
        CASE(test_outage_threads_do_not_overtake_themselves),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

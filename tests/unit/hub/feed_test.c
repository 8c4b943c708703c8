/* Where hub and driver meet: what the hub makes of a broker's messages, and how
 * a publish gets to the driver. The driver is the test's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub/hub.h"
#include "hub/shard.h"
#include "support/pipe.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

struct fixture {
    struct wsh_hub hub; /* first: wsh_hub_of() */
    struct wsh_shard *home;
    struct wsh_shard *shards[1];
    struct pipe_transport pipe;
    struct wsh_feed_events events;
    ws_hub_listener *listener;
    bool elsewhere; /* the code runs on a thread of the host */
    /* The driver's script and notes. */
    int publish_result, here_result, leave_result;
    unsigned published, published_here, left, arrived;
    uint64_t origin;
    /* The listener's. */
    unsigned heard;
    ws_hub_type type;
};

static void port_wake(void *loop)
{
    (void)loop;
}

static bool port_here(void *loop)
{
    return !((struct fixture *)loop)->elsewhere;
}

static uint64_t port_now(void *loop)
{
    (void)loop;
    return 1000000;
}

static void d_want(void *driver, const char *channel, size_t len,
                   unsigned shard)
{
    struct fixture *f = driver;

    f->events.live(f->events.hub, channel, len, shard, 0, false);
}

static void d_unwant(void *driver, const char *channel, size_t len,
                     unsigned shard)
{
    (void)driver;
    (void)channel;
    (void)len;
    (void)shard;
}

static int d_publish(void *driver, const char *channel, size_t len,
                     const ws_hub_broker_message *message)
{
    struct fixture *f = driver;

    (void)channel;
    (void)len;
    assert_false(f->elsewhere);
    f->published++;
    f->origin = message->origin;
    return f->publish_result;
}

static int d_publish_here(void *driver, const char *channel, size_t len,
                          const ws_hub_broker_message *message)
{
    struct fixture *f = driver;

    (void)channel;
    (void)len;
    f->published_here++;
    f->origin = message->origin;
    return f->here_result;
}

static int d_leave(void *driver)
{
    struct fixture *f = driver;

    f->left++;
    return f->leave_result;
}

static void d_arrive(void *driver)
{
    struct fixture *f = driver;

    f->arrived++;
}

static void on_heard(ws_hub *hub, const char *channel, size_t len,
                     ws_hub_type type, const void *data, size_t data_len,
                     void *user)
{
    struct fixture *f = user;

    (void)hub;
    (void)channel;
    (void)len;
    (void)data;
    (void)data_len;
    f->heard++;
    f->type = type;
}

static void turn(struct fixture *f)
{
    f->elsewhere = false;
    wsh_shard_loop_events.woken(f->home, 1000000);
    (void)wsh_shard_loop_events.turn_end(f->home, 1000000);
}

static int set_up(void **state)
{
    static const uint64_t seed[2] = {5, 6};
    struct fixture *f = calloc(1, sizeof *f);
    struct wsh_loop_port port = {f, port_wake, port_here, port_now};
    struct wsh_settings settings;

    assert_non_null(f);
    assert_int_equal(wsh_settings_init(&settings, NULL), 0);
    assert_int_equal(
        wsh_hub_init(&f->hub, (ws_hub *)(void *)f, &settings, seed), 0);
    assert_int_equal(wsh_shard_create(&f->home, &f->hub, 0, 1000000), 0);
    pipe_init(&f->pipe, &wsh_shard_transport_events, f->home);
    wsh_shard_attach(f->home, pipe_ops(), &f->pipe, &port);
    f->shards[0] = f->home;
    f->hub.shards = f->shards;
    f->hub.shard_count = 1;
    f->events = wsh_hub_feed_events(&f->hub);
    f->hub.feed = (struct wsh_feed){.driver = f,
                                    .want = d_want,
                                    .unwant = d_unwant,
                                    .publish = d_publish,
                                    .publish_here = d_publish_here,
                                    .leave = d_leave,
                                    .arrive = d_arrive};
    atomic_store(&f->hub.running, true);
    assert_int_equal(ws_hub_listen((ws_hub *)(void *)f, "room", 4, on_heard, f,
                                   &f->listener),
                     0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    f->elsewhere = false;
    ws_hub_unlisten((ws_hub *)(void *)f, f->listener);
    wsh_shard_destroy(f->home);
    wsh_hub_fini(&f->hub);
    free(f);
    return 0;
}

static int arrive(struct fixture *f, ws_hub_type type, const char *text)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .type = type,
                                     .data = text,
                                     .len = strlen(text)};
    int error = f->events.message(f->events.hub, "room", 4, &message);

    turn(f);
    return error;
}

static int publish_as(struct fixture *f, ws_hub_type type)
{
    ws_hub_publish_options options = {.struct_size = sizeof options,
                                      .type = type};

    return ws_hub_publish((ws_hub *)(void *)f, "room", 4, "x", 1, &options);
}

static uint64_t failed(const struct fixture *f)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    wsh_hub_stats(&f->hub, &stats);
    return stats.broker[WS_HUB_BROKER_EVENT_PUBLISH_FAILED];
}

static uint64_t published(const struct fixture *f)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    wsh_hub_stats(&f->hub, &stats);
    return stats.published;
}

static void test_feed_type_of_a_plain_message_is_detected(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(arrive(f, WS_HUB_DETECT, "{\"x\":1}"), 0);
    assert_int_equal(f->type, WS_HUB_JSON);
    assert_int_equal(arrive(f, WS_HUB_DETECT, "hello"), 0);
    assert_int_equal(f->type, WS_HUB_TEXT);
    assert_int_equal(arrive(f, WS_HUB_DETECT, "\xff\xd8"), 0);
    assert_int_equal(f->type, WS_HUB_BINARY);
    assert_int_equal(arrive(f, WS_HUB_DETECT, ""), 0);
    assert_int_equal(f->type, WS_HUB_TEXT);
    assert_int_equal(f->heard, 4);
}

static void test_feed_bad_message_is_counted_and_dropped(void **state)
{
    struct fixture *f = *state;
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    assert_int_equal(arrive(f, WS_HUB_TEXT, "\xff"), WS_HUB_EINVAL);
    assert_int_equal(arrive(f, WS_HUB_JSON, "{"), WS_HUB_EINVAL);
    assert_int_equal(arrive(f, (ws_hub_type)99, "x"), WS_HUB_EINVAL);
    assert_int_equal(f->heard, 0);
    wsh_hub_stats(&f->hub, &stats);
    assert_int_equal(stats.broker_rejected, 3);
}

static void test_feed_detect_is_for_brokers_only(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(publish_as(f, WS_HUB_DETECT), WS_HUB_EINVAL);
    assert_int_equal(f->published, 0);
}

static void test_feed_publish_carries_the_instance(void **state)
{
    struct fixture *f = *state;

    assert_true(f->hub.instance != 0);
    assert_int_equal(publish_as(f, WS_HUB_TEXT), 0);
    assert_true(f->origin == f->hub.instance);
}

static void test_feed_publish_says_what_the_driver_says(void **state)
{
    struct fixture *f = *state;

    f->publish_result = WS_HUB_DEGRADED;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), WS_HUB_DEGRADED);
    assert_int_equal(published(f), 1);
    f->publish_result = WS_HUB_EAGAIN;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), WS_HUB_EAGAIN);
    assert_int_equal(published(f), 1);
    assert_int_equal(failed(f), 0); /* the publisher knows */
}

static void test_feed_publish_of_a_thread_goes_home(void **state)
{
    struct fixture *f = *state;

    f->elsewhere = true;
    f->leave_result = WS_HUB_DEGRADED;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), WS_HUB_DEGRADED);
    assert_int_equal(f->published, 0);
    assert_int_equal(f->arrived, 0);
    turn(f);
    assert_int_equal(f->published, 1);
    assert_int_equal(f->arrived, 1);
    assert_true(f->origin == f->hub.instance);
}

static void test_feed_publish_refused_at_the_start_goes_nowhere(void **state)
{
    struct fixture *f = *state;

    f->elsewhere = true;
    f->leave_result = WS_HUB_EBROKER;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), WS_HUB_EBROKER);
    turn(f);
    assert_int_equal(f->published, 0);
    assert_int_equal(published(f), 0);
}

static void test_feed_publish_that_fails_at_home_is_counted(void **state)
{
    struct fixture *f = *state;

    f->elsewhere = true;
    f->publish_result = WS_HUB_EAGAIN;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), 0);
    turn(f);
    assert_int_equal(failed(f), 1);
}

static void test_feed_any_thread_goes_home_only_if_told(void **state)
{
    struct fixture *f = *state;

    f->hub.feed.any_thread = true;
    f->elsewhere = true;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), 0);
    assert_int_equal(f->left, 0);
    f->here_result = WSH_FEED_HOME;
    assert_int_equal(publish_as(f, WS_HUB_TEXT), 0);
    assert_int_equal(f->left, 1);
    turn(f);
    assert_int_equal(f->published_here, 2);
    assert_int_equal(f->published, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_feed_type_of_a_plain_message_is_detected),
        CASE(test_feed_bad_message_is_counted_and_dropped),
        CASE(test_feed_detect_is_for_brokers_only),
        CASE(test_feed_publish_carries_the_instance),
        CASE(test_feed_publish_says_what_the_driver_says),
        CASE(test_feed_publish_of_a_thread_goes_home),
        CASE(test_feed_publish_refused_at_the_start_goes_nowhere),
        CASE(test_feed_publish_that_fails_at_home_is_counted),
        CASE(test_feed_any_thread_goes_home_only_if_told),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

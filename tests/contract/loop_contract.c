/* loop_contract.c: see the header. Times are real and short; upper bounds are
 * generous, for busy machines. */
#include "loop_contract.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "ws_hub/error.h"

static const struct loop_maker *maker; /* of the run: cases have no argument */

struct bench {
    ws_hub_loop *loop;
    const ws_hub_loop_ops *ops;
    int pair[2];
    ws_hub_watch *watch, *other_watch;
    ws_hub_timer *timer, *other_timer;
    int calls, timer_calls;
    int events;                              /* of the last call */
    int (*in_callback)(struct bench *bench); /* run inside a callback */
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    assert_non_null(bench);
    maker->open(&bench->loop, &bench->ops);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, bench->pair), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    int i;

    if (bench->watch)
        bench->ops->watch_close(bench->watch);
    if (bench->other_watch)
        bench->ops->watch_close(bench->other_watch);
    if (bench->timer)
        bench->ops->timer_close(bench->timer);
    if (bench->other_timer)
        bench->ops->timer_close(bench->other_timer);
    maker->close(bench->loop);
    for (i = 0; i < 2; i++)
        if (bench->pair[i] >= 0)
            (void)close(bench->pair[i]);
    free(bench);
    return 0;
}

static void on_watch(ws_hub_watch *watch, int events, void *user)
{
    struct bench *bench = user;

    assert_ptr_equal(watch, bench->watch);
    bench->calls++;
    bench->events = events;
    if (bench->in_callback)
        (void)bench->in_callback(bench);
}

static void on_timer(ws_hub_timer *timer, void *user)
{
    struct bench *bench = user;

    assert_non_null(timer);
    bench->timer_calls++;
    if (bench->in_callback)
        (void)bench->in_callback(bench);
}

static void watch(struct bench *bench, int events)
{
    assert_int_equal(bench->ops->watch_open(bench->loop, bench->pair[0], events,
                                            on_watch, bench, &bench->watch),
                     0);
    assert_non_null(bench->watch);
}

static void open_timer(struct bench *bench)
{
    assert_int_equal(
        bench->ops->timer_open(bench->loop, on_timer, bench, &bench->timer), 0);
    assert_non_null(bench->timer);
}

static void polls(struct bench *bench, int n)
{
    while (n-- > 0)
        maker->poll(bench->loop);
}

static void feed(struct bench *bench)
{
    assert_int_equal(write(bench->pair[1], "x", 1), 1);
}

static void test_loop_ops_are_complete(void **state)
{
    const ws_hub_loop_ops *ops = ((struct bench *)*state)->ops;

    assert_true(ops->struct_size >= sizeof *ops);
    assert_true(ops->now_ms && ops->watch_open && ops->watch_set &&
                ops->watch_close);
    assert_true(ops->timer_open && ops->timer_set && ops->timer_cancel &&
                ops->timer_close);
}

static void test_watch_readable_is_level_triggered(void **state)
{
    struct bench *bench = *state;
    char byte;

    watch(bench, WS_HUB_READABLE);
    polls(bench, 3);
    assert_int_equal(bench->calls, 0);
    feed(bench);
    maker->turn(bench->loop);
    maker->turn(bench->loop);
    assert_true(bench->calls >= 2);
    assert_int_equal(bench->events, WS_HUB_READABLE);
    assert_int_equal(read(bench->pair[0], &byte, 1), 1);
    bench->calls = 0;
    polls(bench, 3);
    assert_int_equal(bench->calls, 0);
}

static void test_watch_writable_and_both(void **state)
{
    struct bench *bench = *state;

    watch(bench, WS_HUB_WRITABLE);
    feed(bench);
    maker->turn(bench->loop);
    assert_int_equal(bench->events, WS_HUB_WRITABLE);
    bench->ops->watch_set(bench->watch, WS_HUB_READABLE | WS_HUB_WRITABLE);
    maker->turn(bench->loop);
    assert_int_equal(bench->events, WS_HUB_READABLE | WS_HUB_WRITABLE);
}

static void test_watch_set_zero_pauses(void **state)
{
    struct bench *bench = *state;

    watch(bench, WS_HUB_READABLE);
    bench->ops->watch_set(bench->watch, 0);
    bench->ops->watch_set(bench->watch, 0);
    feed(bench);
    polls(bench, 3);
    assert_int_equal(bench->calls, 0);
    bench->ops->watch_set(bench->watch, WS_HUB_READABLE);
    bench->ops->watch_set(bench->watch, WS_HUB_READABLE);
    maker->turn(bench->loop);
    assert_int_equal(bench->calls, 1);
}

static void test_watch_open_paused_stays_quiet(void **state)
{
    struct bench *bench = *state;

    watch(bench, 0);
    feed(bench);
    polls(bench, 3);
    assert_int_equal(bench->calls, 0);
}

static void test_watch_second_of_a_descriptor_refused(void **state)
{
    struct bench *bench = *state;
    ws_hub_watch *second = (ws_hub_watch *)bench;

    watch(bench, WS_HUB_READABLE);
    assert_int_equal(bench->ops->watch_open(bench->loop, bench->pair[0],
                                            WS_HUB_READABLE, on_watch, bench,
                                            &second),
                     WS_HUB_EINVAL);
    assert_null(second);
    bench->ops->watch_set(bench->watch, 0); /* paused is watched as well */
    assert_int_equal(bench->ops->watch_open(bench->loop, bench->pair[0],
                                            WS_HUB_READABLE, on_watch, bench,
                                            &second),
                     WS_HUB_EINVAL);
}

static void test_watch_of_nothing_pollable_refused(void **state)
{
    struct bench *bench = *state;
    int file = open("/proc/self/exe", O_RDONLY);

    assert_int_equal(bench->ops->watch_open(bench->loop, -1, WS_HUB_READABLE,
                                            on_watch, bench, &bench->watch),
                     WS_HUB_EINVAL);
    assert_int_equal(bench->ops->watch_open(bench->loop, file, WS_HUB_READABLE,
                                            on_watch, bench, &bench->watch),
                     WS_HUB_EINVAL);
    assert_null(bench->watch);
    (void)close(file);
}

static int close_watch(struct bench *bench)
{
    bench->ops->watch_close(bench->watch);
    bench->watch = NULL;
    (void)close(bench->pair[0]); /* right after is allowed */
    bench->pair[0] = -1;
    return 0;
}

static void test_watch_close_inside_own_callback(void **state)
{
    struct bench *bench = *state;

    watch(bench, WS_HUB_READABLE);
    feed(bench);
    bench->in_callback = close_watch;
    maker->turn(bench->loop);
    polls(bench, 3);
    assert_int_equal(bench->calls, 1);
}

static void test_watch_closed_with_event_pending_stays_quiet(void **state)
{
    struct bench *bench = *state;

    watch(bench, WS_HUB_READABLE | WS_HUB_WRITABLE);
    feed(bench);
    (void)close_watch(bench);
    polls(bench, 3);
    assert_int_equal(bench->calls, 0);
}

static void test_watch_descriptor_can_be_watched_again(void **state)
{
    struct bench *bench = *state;
    int i;

    feed(bench);
    for (i = 0; i < 3; i++) {
        watch(bench, WS_HUB_READABLE);
        bench->ops->watch_close(bench->watch);
        bench->watch = NULL;
    }
    watch(bench, WS_HUB_READABLE);
    maker->turn(bench->loop);
    assert_int_equal(bench->calls, 1);
}

/* Two watches with events in one turn: one closes the other. */
static int close_other(struct bench *bench)
{
    if (!bench->other_watch)
        return 0;
    bench->ops->watch_close(bench->other_watch);
    bench->other_watch = NULL;
    return 0;
}

static void on_either(ws_hub_watch *which, int events, void *user)
{
    struct bench *bench = user;

    (void)events;
    bench->calls++;
    if (which == bench->other_watch) {
        bench->ops->watch_close(bench->watch);
        bench->watch = NULL;
    } else {
        (void)close_other(bench);
    }
}

static void test_watch_close_of_another_in_the_same_turn(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(bench->ops->watch_open(bench->loop, bench->pair[0],
                                            WS_HUB_WRITABLE, on_either, bench,
                                            &bench->watch),
                     0);
    assert_int_equal(bench->ops->watch_open(bench->loop, bench->pair[1],
                                            WS_HUB_WRITABLE, on_either, bench,
                                            &bench->other_watch),
                     0);
    maker->turn(bench->loop);
    assert_int_equal(bench->calls, 1);
}

static void test_watch_error_reports_both_until_closed(void **state)
{
    struct bench *bench = *state;
    struct linger hard = {1, 0};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
    (void)close(bench->pair[0]);
    bench->pair[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    watch(bench, WS_HUB_READABLE);
    (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(client); /* reset */
    (void)close(listener);
    maker->turn(bench->loop);
    assert_int_equal(bench->events, WS_HUB_READABLE | WS_HUB_WRITABLE);
    maker->turn(bench->loop);
    assert_true(bench->calls >= 2);
}

static void test_timer_not_set_stays_quiet(void **state)
{
    struct bench *bench = *state;

    open_timer(bench);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 0);
}

static void test_timer_fires_once_and_not_early(void **state)
{
    struct bench *bench = *state;
    uint64_t start;

    open_timer(bench);
    polls(bench, 1);
    start = bench->ops->now_ms(bench->loop);
    bench->ops->timer_set(bench->timer, 30);
    while (bench->timer_calls == 0)
        maker->turn(bench->loop);
    assert_in_range(bench->ops->now_ms(bench->loop), start + 30, start + 5000);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 1);
}

static void test_timer_zero_fires_in_a_later_turn(void **state)
{
    struct bench *bench = *state;

    open_timer(bench);
    bench->ops->timer_set(bench->timer, 0);
    assert_int_equal(bench->timer_calls, 0);
    maker->turn(bench->loop);
    polls(bench, 2);
    assert_int_equal(bench->timer_calls, 1);
}

static void test_timer_set_again_replaces(void **state)
{
    struct bench *bench = *state;
    uint64_t start;

    open_timer(bench);
    polls(bench, 1);
    start = bench->ops->now_ms(bench->loop);
    bench->ops->timer_set(bench->timer, 1000000);
    bench->ops->timer_set(bench->timer, 10);
    while (bench->timer_calls == 0)
        maker->turn(bench->loop);
    assert_in_range(bench->ops->now_ms(bench->loop), start + 10, start + 5000);
}

static void test_timer_cancelled_stays_quiet(void **state)
{
    struct bench *bench = *state;

    open_timer(bench);
    bench->ops->timer_set(bench->timer, 0);
    bench->ops->timer_cancel(bench->timer);
    bench->ops->timer_cancel(bench->timer);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 0);
}

static int set_again(struct bench *bench)
{
    if (bench->timer_calls < 3)
        bench->ops->timer_set(bench->timer, 0);
    return 0;
}

static void test_timer_set_inside_own_callback(void **state)
{
    struct bench *bench = *state;

    open_timer(bench);
    bench->in_callback = set_again;
    bench->ops->timer_set(bench->timer, 0);
    while (bench->timer_calls < 3)
        maker->turn(bench->loop);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 3);
}

static int close_timer(struct bench *bench)
{
    bench->ops->timer_close(bench->timer);
    bench->timer = NULL;
    return 0;
}

static void test_timer_close_inside_own_callback(void **state)
{
    struct bench *bench = *state;

    open_timer(bench);
    bench->in_callback = close_timer;
    bench->ops->timer_set(bench->timer, 0);
    while (bench->timer_calls == 0)
        maker->turn(bench->loop);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 1);
}

static void on_timer_close_both(ws_hub_timer *timer, void *user)
{
    struct bench *bench = user;

    (void)timer;
    bench->timer_calls++;
    bench->ops->timer_close(bench->timer);
    bench->ops->timer_close(bench->other_timer);
    bench->timer = bench->other_timer = NULL;
}

static void test_timer_close_of_another_that_is_due(void **state)
{
    struct bench *bench = *state;
    const ws_hub_loop_ops *ops = bench->ops;

    assert_int_equal(
        ops->timer_open(bench->loop, on_timer_close_both, bench, &bench->timer),
        0);
    assert_int_equal(ops->timer_open(bench->loop, on_timer_close_both, bench,
                                     &bench->other_timer),
                     0);
    ops->timer_set(bench->timer, 0);
    ops->timer_set(bench->other_timer, 0);
    while (bench->timer_calls == 0)
        maker->turn(bench->loop);
    polls(bench, 3);
    assert_int_equal(bench->timer_calls, 1);
}

static void test_now_is_steady_within_a_turn_and_moves(void **state)
{
    struct bench *bench = *state;
    uint64_t start = bench->ops->now_ms(bench->loop);

    assert_int_equal(bench->ops->now_ms(bench->loop), start);
    open_timer(bench);
    bench->ops->timer_set(bench->timer, 20);
    while (bench->timer_calls == 0)
        maker->turn(bench->loop);
    assert_true(bench->ops->now_ms(bench->loop) > start);
}

int loop_contract_run(const char *name, const struct loop_maker *made)
{
    const struct CMUnitTest tests[] = {
#define CASE(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)
        CASE(test_loop_ops_are_complete),
        CASE(test_watch_readable_is_level_triggered),
        CASE(test_watch_writable_and_both),
        CASE(test_watch_set_zero_pauses),
        CASE(test_watch_open_paused_stays_quiet),
        CASE(test_watch_second_of_a_descriptor_refused),
        CASE(test_watch_of_nothing_pollable_refused),
        CASE(test_watch_close_inside_own_callback),
        CASE(test_watch_closed_with_event_pending_stays_quiet),
        CASE(test_watch_descriptor_can_be_watched_again),
        CASE(test_watch_close_of_another_in_the_same_turn),
        CASE(test_watch_error_reports_both_until_closed),
        CASE(test_timer_not_set_stays_quiet),
        CASE(test_timer_fires_once_and_not_early),
        CASE(test_timer_zero_fires_in_a_later_turn),
        CASE(test_timer_set_again_replaces),
        CASE(test_timer_cancelled_stays_quiet),
        CASE(test_timer_set_inside_own_callback),
        CASE(test_timer_close_inside_own_callback),
        CASE(test_timer_close_of_another_that_is_due),
        CASE(test_now_is_steady_within_a_turn_and_moves),
#undef CASE
    };

    maker = made;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* conn_timer_test.c: the heartbeat of many connections on a given clock. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/one_shard.h"
#include "support/ws_peer.h"

enum { CONNS = 2000, HEARTBEAT_MS = 5000, TIMEOUT_MS = 1000, BUCKET_MS = 100 };

struct rig {
    struct one_shard one;
    struct pipe_end end[CONNS];
    unsigned count;
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    ws_hub_options options;

    assert_non_null(rig);
    ws_hub_options_init(&options);
    options.heartbeat_ms = HEARTBEAT_MS;
    options.heartbeat_timeout_ms = TIMEOUT_MS;
    one_shard_init(&rig->one, &options);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    one_shard_fini(&rig->one);
    for (unsigned i = 0; i < rig->count; i++)
        pipe_end_fini(&rig->end[i]);
    free(rig);
    return 0;
}

static void connect_many(struct rig *rig, unsigned count)
{
    for (; rig->count < count; rig->count++)
        one_shard_connect(&rig->one, &rig->end[rig->count]);
}

static void pass(struct rig *rig, uint64_t ms)
{
    rig->one.now_us += ms * 1000;
    one_shard_turn(&rig->one);
}

static void send_frame(struct rig *rig, struct pipe_end *end, uint8_t opcode)
{
    struct wsh_buf frame = {0};

    ws_peer_frame(&frame, true, opcode, 7, NULL, 0);
    pipe_write(end, frame.data, frame.len);
    wsh_buf_fini(&frame);
    (void)pipe_deliver(end, SIZE_MAX);
}

/* Pings of one bucket of time, each answered at once. */
static unsigned pings_of_bucket(struct rig *rig)
{
    unsigned pings = 0;

    for (unsigned ms = 0; ms < BUCKET_MS; ms += 10) {
        pass(rig, 10);
        for (unsigned i = 0; i < rig->count; i++) {
            struct pipe_end *end = &rig->end[i];

            if (end->to_far.len == 0)
                continue;
            assert_int_equal(end->to_far.len, 2);
            assert_int_equal(end->to_far.data[0], 0x80 | 9);
            pipe_consumed(end, 2);
            send_frame(rig, end, 10);
            pings++;
        }
    }
    return pings;
}

/* The largest bucket of `seconds`, and all pings of them (a tick at either end
 * more or less). */
static unsigned largest_bucket(struct rig *rig, unsigned seconds, unsigned *sum)
{
    unsigned largest = 0;

    *sum = 0;
    for (unsigned i = 0; i < seconds * 1000 / BUCKET_MS; i++) {
        unsigned pings = pings_of_bucket(rig);

        *sum += pings;
        largest = pings > largest ? pings : largest;
    }
    return largest;
}

static void test_conn_timer_burst_of_connects_is_pinged_in_no_burst(void **s)
{
    unsigned mean = CONNS * BUCKET_MS / HEARTBEAT_MS, sum;

    connect_many(*s, CONNS);
    /* Twice the mean by construction: half of each interval is used. */
    assert_in_range(largest_bucket(*s, 20, &sum), mean, mean * 5 / 2);
    assert_in_range(sum, CONNS * 396 / 100, CONNS * 404 / 100);
}

static void test_conn_timer_all_speaking_at_once_makes_no_burst(void **s)
{
    struct rig *rig = *s;
    unsigned mean = CONNS * BUCKET_MS / HEARTBEAT_MS, sum;

    connect_many(rig, CONNS);
    pass(rig, 2000);
    for (unsigned i = 0; i < CONNS; i++)
        send_frame(rig, &rig->end[i], 10);
    assert_in_range(largest_bucket(rig, 10, &sum), mean, mean * 5 / 2);
    assert_in_range(sum, CONNS * 198 / 100, CONNS * 202 / 100);
}

static void
test_conn_timer_ping_comes_in_the_second_half_of_the_silence(void **s)
{
    struct rig *rig = *s;
    uint64_t begin;

    connect_many(rig, 200);
    begin = rig->one.now_us;
    while (one_shard_counted(&rig->one, WSH_C_PINGS) == 0)
        pass(rig, 1);
    assert_in_range((rig->one.now_us - begin) / 1000, HEARTBEAT_MS / 2,
                    HEARTBEAT_MS / 2 + 100);
    rig->one.now_us = begin + (uint64_t)HEARTBEAT_MS * 1000;
    pass(rig, WSH_WHEEL_TICK_MS);
    assert_int_equal(one_shard_counted(&rig->one, WSH_C_PINGS), 200);
}

static void test_conn_timer_who_speaks_is_not_pinged(void **s)
{
    struct rig *rig = *s;

    connect_many(rig, 1);
    for (unsigned i = 0; i < 50; i++) {
        pass(rig, HEARTBEAT_MS / 2 - WSH_WHEEL_TICK_MS);
        send_frame(rig, &rig->end[0], 10);
    }
    assert_int_equal(one_shard_counted(&rig->one, WSH_C_PINGS), 0);
}

static void test_conn_timer_silence_ends_within_interval_and_timeout(void **s)
{
    struct rig *rig = *s;

    connect_many(rig, 200);
    for (unsigned ms = 0; ms < HEARTBEAT_MS + TIMEOUT_MS + 40; ms += 10)
        pass(rig, 10);
    assert_int_equal(
        one_shard_counted(&rig->one, WSH_C_CLOSED + WS_HUB_CAUSE_HEARTBEAT),
        200);
    assert_int_equal(one_shard_counted(&rig->one, WSH_C_OPEN), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_conn_timer_burst_of_connects_is_pinged_in_no_burst),
        CASE(test_conn_timer_all_speaking_at_once_makes_no_burst),
        CASE(test_conn_timer_ping_comes_in_the_second_half_of_the_silence),
        CASE(test_conn_timer_who_speaks_is_not_pinged),
        CASE(test_conn_timer_silence_ends_within_interval_and_timeout),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

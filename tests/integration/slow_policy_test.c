/*
 * slow_policy_test.c: the policies for slow clients over real sockets, each
 * with the counters that it must leave.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "integration/slow_host.h"

enum {
    SIZE = 200,
    MORE = 1000,
    KEYS = 5,
    GRACE_MS = 300,
    PATIENCE_MS = 120000
};

static int set_up(void **state)
{
    *state = malloc(sizeof(struct slow_host));
    slow_init(*state);
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Keyed messages, of KEYS keys in turn; without keys if they do not matter. */
static void publish_keyed(struct slow_host *host, unsigned count, bool keyed)
{
    char key[8];

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%u", i % KEYS);
        slow_publish(host, WS_HUB_CLASS_NORMAL, SIZE, keyed ? key : NULL);
    }
    slow_accounted(host);
}

/* A slow client and one beside it, MORE messages after it became slow. */
static void begin(struct slow_host *host, ws_hub_policy policy)
{
    host->options.slow_policy = policy;
    slow_start(host, 1, 1);
    slow_pause(host);
    while (!slow_stats(host).slow)
        publish_keyed(host, KEYS, policy == WS_HUB_POLICY_CONFLATE);
    for (unsigned i = 0; i < MORE; i += 50)
        publish_keyed(host, 50, policy == WS_HUB_POLICY_CONFLATE);
}

/* The kernel may take some more after it said it was full (a window probe),
 * from a queue that has holes by then: each time is a break more. */
enum { BREAKS_MOST = 4 };

/* It reads again, was told exactly what it lost, and nothing else is lost. */
static void check_told(struct slow_host *host)
{
    const struct seq_check *check = &host->check[0];
    uint64_t dropped = slow_dropped_all(host);

    assert_true(dropped > 0);
    assert_int_equal(check->lost, dropped);
    assert_int_equal(check->received + dropped, host->published);
    assert_int_equal(check->gaps, 1);
    assert_int_equal(atomic_load(&host->gaps), 1);
    assert_int_equal(atomic_load(&host->missed), dropped);
    assert_int_equal(host->check[1].received, host->published);
}

static void test_policy_drop_newest_keeps_what_was_first(void **state)
{
    struct slow_host *host = *state;

    begin(host, WS_HUB_POLICY_DROP_NEWEST);
    assert_in_range(slow_dropped(host, WS_HUB_DROP_BACKPRESSURE), MORE,
                    MORE + KEYS);
    slow_resume(host);
    slow_recovered(host);
    check_told(host);
    assert_int_equal(slow_dropped_all(host),
                     slow_dropped(host, WS_HUB_DROP_BACKPRESSURE));
    assert_int_equal(host->check[0].breaks, 1);
    assert_int_equal(host->check[0].tail, 1);
    slow_end(host);
}

static void test_policy_drop_oldest_keeps_the_newest(void **state)
{
    struct slow_host *host = *state;

    host->check[0].holes_first = true;
    begin(host, WS_HUB_POLICY_DROP_OLDEST);
    /* Two must go for one if the charge of an entry is what is short. */
    assert_in_range(slow_dropped(host, WS_HUB_DROP_EVICTED), MORE, 2 * MORE);
    slow_resume(host);
    slow_recovered(host);
    check_told(host);
    assert_int_equal(slow_dropped_all(host),
                     slow_dropped(host, WS_HUB_DROP_EVICTED));
    /* What the kernel had, then one hole, then a queue full of the newest. */
    assert_in_range(host->check[0].breaks, 1, BREAKS_MOST);
    assert_in_range(host->check[0].tail, SLOW_LIMIT / (SIZE + 28) - KEYS,
                    SLOW_LIMIT / SIZE);
    slow_end(host);
}

static void test_policy_conflate_keeps_the_newest_of_each_key(void **state)
{
    struct slow_host *host = *state;

    host->check[0].holes_first = true;
    begin(host, WS_HUB_POLICY_CONFLATE);
    assert_in_range(slow_dropped(host, WS_HUB_DROP_CONFLATED), MORE,
                    MORE + 2 * KEYS);
    slow_resume(host);
    slow_recovered(host);
    check_told(host);
    /* What was first, then one hole, then the last message of each key and the
     * one behind the gap. */
    assert_in_range(host->check[0].breaks, 1, BREAKS_MOST);
    assert_int_equal(host->check[0].tail, KEYS + 1);
    slow_end(host);
}

static bool one_has_left(void *arg)
{
    return slow_stats(arg).subscriptions == 1;
}

static bool one_is_closed(void *arg)
{
    return slow_stats(arg).open == 1;
}

/* The hub has given the slow client up; it reads, and finds the code. */
static void check_closed(struct slow_host *host)
{
    slow_until(host, one_has_left);
    slow_resume(host);
    slow_until(host, one_is_closed);
    assert_int_equal(crowd_client(host->crowd, 0)->ws.close_code, 1013);
    assert_int_equal(atomic_load(&host->close_code), 1013);
    assert_int_equal(slow_stats(host).closed[WS_HUB_CAUSE_SLOW], 1);
    assert_int_equal(slow_stats(host).close_timeouts, 0);
    assert_int_equal(host->check[0].breaks, 0);
    /* Each message that was meant for it is what it got, what it lost while
     * slow, or what waited. The other client got all. */
    assert_int_equal(host->check[1].received, host->published);
    assert_int_equal(host->check[0].received +
                         slow_dropped(host, WS_HUB_DROP_BACKPRESSURE) +
                         slow_dropped(host, WS_HUB_DROP_CLOSED),
                     slow_stats(host).offered - host->published);
    slow_end(host);
}

static void test_policy_close_comes_after_the_grace(void **state)
{
    struct slow_host *host = *state;
    uint64_t began = now_ms();

    host->options.slow_policy = WS_HUB_POLICY_CLOSE;
    host->options.slow_grace_ms = GRACE_MS;
    host->options.close_timeout_ms = PATIENCE_MS;
    slow_start(host, 1, 1);
    slow_pause(host);
    slow_fill(host, SIZE);
    slow_until(host, one_has_left);
    assert_true(now_ms() - began >= GRACE_MS);
    check_closed(host);
}

static void test_policy_close_spares_who_recovers_in_time(void **state)
{
    struct slow_host *host = *state;

    host->options.slow_grace_ms = PATIENCE_MS;
    begin(host, WS_HUB_POLICY_CLOSE);
    slow_resume(host);
    slow_recovered(host);
    check_told(host);
    assert_int_equal(slow_stats(host).closed[WS_HUB_CAUSE_SLOW], 0);
    assert_int_equal(slow_stats(host).open, 2);
    slow_end(host);
}

static void test_policy_full_critical_reserve_closes(void **state)
{
    struct slow_host *host = *state;
    unsigned critical = 0;

    host->options.close_timeout_ms = PATIENCE_MS;
    slow_start(host, 1, 1);
    slow_pause(host);
    slow_fill(host, SIZE);
    while (!one_has_left(host) && critical < 100) {
        slow_publish(host, WS_HUB_CLASS_CRITICAL, 1000, NULL);
        slow_accounted(host);
        critical++;
    }
    /* One more than what fits 8 KiB, and the kernel may have taken a little. */
    assert_in_range(critical, SLOW_RESERVE / 1028, SLOW_RESERVE / 1028 + 8);
    check_closed(host);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_policy_drop_newest_keeps_what_was_first),
        CASE(test_policy_drop_oldest_keeps_the_newest),
        CASE(test_policy_conflate_keeps_the_newest_of_each_key),
        CASE(test_policy_close_comes_after_the_grace),
        CASE(test_policy_close_spares_who_recovers_in_time),
        CASE(test_policy_full_critical_reserve_closes),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

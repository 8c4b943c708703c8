/*
 * slow_test.c: clients that do not keep up, over real sockets: what the others
 * get, what they get themselves, what they are told.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "integration/slow_host.h"

enum { SIZE = 200, ROUND = 50, LOST_EACH = 600 };

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

/* A mix of all classes; critical ones are few enough for their reserve. */
static ws_hub_class class_of(uint64_t number)
{
    if (number % 100 == 99)
        return WS_HUB_CLASS_CRITICAL;
    return number % 10 == 5 ? WS_HUB_CLASS_VOLATILE : WS_HUB_CLASS_NORMAL;
}

static void publish_mix_until_lost(struct slow_host *host, uint64_t lost)
{
    while (slow_dropped_all(host) < lost) {
        for (int i = 0; i < ROUND; i++)
            slow_publish(host, class_of(host->published), SIZE, NULL);
        slow_accounted(host);
    }
}

static void check_healthy(const struct slow_host *host)
{
    for (unsigned i = host->slow; i < host->clients; i++) {
        assert_int_equal(host->check[i].received, host->published);
        assert_int_equal(host->check[i].gaps, 0);
    }
}

/* seq_check() has compared each gap with its hole already. */
static void check_slow(const struct slow_host *host, uint64_t lost)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < host->slow; i++) {
        const struct seq_check *check = &host->check[i];

        assert_int_equal(check->gaps, 1);
        assert_int_equal(check->received + check->lost, host->published);
        assert_true(check->lost > 0);
        sum += check->lost;
    }
    assert_int_equal(sum, lost);
    assert_int_equal(slow_stats(host).gaps, host->slow);
}

static void run_crowd(struct slow_host *host)
{
    slow_start(host, 6, 54);
    slow_pause(host);
    publish_mix_until_lost(host, 6 * LOST_EACH);
    check_healthy(host);
    assert_int_equal(slow_stats(host).slow, 6);
    slow_resume(host);
    slow_recovered(host);
    check_healthy(host);
    check_slow(host, slow_dropped(host, WS_HUB_DROP_BACKPRESSURE));
    assert_int_equal(slow_dropped_all(host),
                     slow_dropped(host, WS_HUB_DROP_BACKPRESSURE));
    slow_end(host);
}

static void test_slow_json_clients_are_told_exactly_what_they_lost(void **state)
{
    struct slow_host *host = *state;

    host->options.default_mode = WS_HUB_MODE_JSON;
    run_crowd(host);
    assert_int_equal(atomic_load(&host->gaps), 0);
}

static void test_slow_raw_hosts_are_told_exactly_what_is_lost(void **state)
{
    struct slow_host *host = *state;

    run_crowd(host);
    assert_int_equal(atomic_load(&host->gaps), host->slow);
}

static void test_slow_write_sender_tells_the_same(void **state)
{
    struct slow_host *host = *state;

    host->options.sender = WS_HUB_SENDER_WRITE;
    run_crowd(host);
}

static void test_slow_again_and_again_each_gap_is_exact(void **state)
{
    struct slow_host *host = *state;

    slow_start(host, 2, 2);
    for (unsigned i = 1; i <= 5; i++) {
        slow_pause(host);
        publish_mix_until_lost(host, slow_dropped_all(host) + 200);
        slow_resume(host);
        slow_recovered(host);
        assert_int_equal(host->check[0].gaps, i);
        assert_int_equal(host->check[1].gaps, i);
    }
    assert_int_equal(slow_stats(host).slowed, 10);
    check_healthy(host);
    slow_end(host);
}

struct target {
    struct crowd_client *client;
    uint64_t bytes;
};

static bool has_read(void *arg)
{
    struct target *target = arg;

    if (target->client->bytes < target->bytes)
        crowd_read(target->client,
                   (size_t)(target->bytes - target->client->bytes));
    return target->client->bytes >= target->bytes;
}

/* One critical message and some normal ones a step, and the client reads just
 * as much as the critical one takes: it never drains, and works its way through
 * what it had into what is critical. */
static void read_slowly(struct slow_host *host, int steps)
{
    enum { CRITICAL = 1000, WIRE = CRITICAL + 4 };
    struct target target = {crowd_client(host->crowd, 0), 0};

    target.bytes = target.client->bytes;
    for (int i = 0; i < steps; i++) {
        slow_publish(host, WS_HUB_CLASS_CRITICAL, CRITICAL, NULL);
        for (int k = 0; k < 4; k++)
            slow_publish(host, WS_HUB_CLASS_NORMAL, SIZE, NULL);
        slow_accounted(host);
        target.bytes += WIRE;
        crowd_until(host->crowd, has_read, &target);
    }
}

static void test_slow_reader_gets_critical_messages_only(void **state)
{
    struct slow_host *host = *state;
    const struct seq_check *check = &host->check[0];
    uint64_t filled;

    slow_start(host, 1, 1);
    slow_pause(host);
    slow_fill(host, SIZE);
    filled = host->published;
    read_slowly(host, 150);
    /* It never got room, and critical messages came all the same. */
    assert_int_equal(slow_stats(host).slow, 1);
    assert_int_equal(slow_stats(host).slowed, 1);
    assert_true(check->critical >= 50);
    assert_true(check->next > filled);
    assert_true(check->received - check->critical <= filled);
    /* Each normal message since then is lost, each critical one is not. */
    slow_resume(host);
    slow_recovered(host);
    assert_int_equal(check->critical, 150);
    assert_int_equal(check->gaps, 1);
    assert_in_range(check->lost, 600, 600 + filled);
    slow_end(host);
}

/* Bytes that wait in the hub when the client becomes slow. */
static uint64_t waiting_when_slow(struct slow_host *host, unsigned count_unsent)
{
    uint64_t bytes;

    slow_init(host);
    host->options.send_limit = 64 * 1024;
    host->options.notsent_lowat = 128 * 1024;
    host->options.count_unsent = count_unsent;
    slow_start(host, 1, 1);
    slow_pause(host);
    slow_fill(host, 1000);
    bytes = slow_stats(host).pending_bytes;
    slow_resume(host);
    slow_recovered(host);
    assert_int_equal(host->check[0].gaps, 1);
    slow_end(host);
    return bytes;
}

static void test_slow_count_unsent_counts_what_the_kernel_holds(void **state)
{
    uint64_t without = waiting_when_slow(*state, 0);
    uint64_t with = waiting_when_slow(*state, 1);

    /* With what the other client has just got, and may not be counted yet. */
    assert_in_range(without, 56 * 1024, 73 * 1024);
    assert_in_range(with, 1, 48 * 1024);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_slow_json_clients_are_told_exactly_what_they_lost),
        CASE(test_slow_raw_hosts_are_told_exactly_what_is_lost),
        CASE(test_slow_write_sender_tells_the_same),
        CASE(test_slow_again_and_again_each_gap_is_exact),
        CASE(test_slow_reader_gets_critical_messages_only),
        CASE(test_slow_count_unsent_counts_what_the_kernel_holds),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* rate_test.c: token buckets on a given clock. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hub/rate.h"

enum { SECOND = 1000000 };

/* How many of `tries` messages of `len` bytes pass at this moment. */
static unsigned taken(struct wsh_rate *rate, uint32_t messages, uint32_t bytes,
                      uint64_t len, uint64_t now, unsigned tries)
{
    unsigned count = 0;

    while (tries--)
        count += wsh_rate_take(rate, messages, bytes, len, now);
    return count;
}

static void test_rate_zeroed_memory_is_one_full_second(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    assert_int_equal(taken(&rate, 10, UINT32_MAX, 1, 5 * SECOND, 50), 10);
}

static void test_rate_refills_by_the_time_that_passed(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    (void)taken(&rate, 100, UINT32_MAX, 1, SECOND, 100);
    assert_int_equal(taken(&rate, 100, UINT32_MAX, 1, SECOND + 250000, 100),
                     25);
}

static void test_rate_long_pause_saves_no_more_than_a_second(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    (void)taken(&rate, 10, UINT32_MAX, 1, SECOND, 10);
    assert_int_equal(taken(&rate, 10, UINT32_MAX, 1, 3600ull * SECOND, 50), 10);
}

static void test_rate_bytes_limit_without_a_message_limit(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    assert_int_equal(taken(&rate, UINT32_MAX, 1000, 100, SECOND, 50), 10);
}

static void test_rate_refused_message_takes_nothing(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    assert_int_equal(taken(&rate, 100, 1000, 900, SECOND, 1), 1);
    assert_int_equal(taken(&rate, 100, 1000, 900, SECOND, 20), 0);
    assert_int_equal(taken(&rate, 100, 1000, 0, SECOND, 200), 99);
}

static void test_rate_message_above_a_second_passes_a_full_bucket(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    assert_int_equal(taken(&rate, 10, 1000, 5000, SECOND, 2), 1);
    assert_int_equal(taken(&rate, 10, 1000, 1, SECOND, 1), 0);
    assert_int_equal(taken(&rate, 10, 1000, 5000, 2 * SECOND + 1000, 1), 1);
}

static void test_rate_steady_below_the_limit_is_never_refused(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    for (uint64_t i = 0; i < 100000; i++)
        assert_true(
            wsh_rate_take(&rate, 1000, UINT32_MAX, 1, SECOND + i * 1010));
}

static void test_rate_many_small_steps_lose_no_tokens(void **state)
{
    struct wsh_rate rate = {0};
    unsigned passed = 0;

    (void)state;
    /* Ten seconds, every 100 us, 100 per second: tokens come in hundredths. */
    for (uint64_t i = 0; i < 100000; i++)
        passed += wsh_rate_take(&rate, 100, UINT32_MAX, 1, SECOND + i * 100);
    assert_in_range(passed, 1090, 1101);
}

static void
test_rate_refusals_without_a_pause_are_too_long_in_the_end(void **state)
{
    struct wsh_rate rate = {0};
    uint64_t now = SECOND;

    (void)state;
    for (; now < 6 * SECOND; now += 999999)
        assert_false(wsh_rate_refused(&rate, now, 5 * SECOND));
    assert_true(wsh_rate_refused(&rate, now, 5 * SECOND));
}

static void test_rate_pause_of_a_second_forgives(void **state)
{
    struct wsh_rate rate = {0};

    (void)state;
    for (uint64_t now = SECOND; now < 100ull * SECOND; now += SECOND)
        assert_false(wsh_rate_refused(&rate, now, 5 * SECOND));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_rate_zeroed_memory_is_one_full_second),
        cmocka_unit_test(test_rate_refills_by_the_time_that_passed),
        cmocka_unit_test(test_rate_long_pause_saves_no_more_than_a_second),
        cmocka_unit_test(test_rate_bytes_limit_without_a_message_limit),
        cmocka_unit_test(test_rate_refused_message_takes_nothing),
        cmocka_unit_test(test_rate_message_above_a_second_passes_a_full_bucket),
        cmocka_unit_test(test_rate_steady_below_the_limit_is_never_refused),
        cmocka_unit_test(test_rate_many_small_steps_lose_no_tokens),
        cmocka_unit_test(
            test_rate_refusals_without_a_pause_are_too_long_in_the_end),
        cmocka_unit_test(test_rate_pause_of_a_second_forgives),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

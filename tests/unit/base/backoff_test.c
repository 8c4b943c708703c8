/*
 * backoff_test.c: the delays follow min(30 s, base * 2^attempt +
 * random(0..1000) ms), up to the largest arguments.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ws_hub/backoff.h>

static void test_backoff_without_jitter_doubles(void **state)
{
    static const uint32_t expected[] = {500,  1000,  2000,  4000,
                                        8000, 16000, 30000, 30000};

    (void)state;
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(ws_hub_backoff_ms(i, 500, 0), expected[i]);
}

static void test_backoff_jitter_is_0_to_1000_ms(void **state)
{
    uint32_t least = UINT32_MAX, most = 0;

    (void)state;
    for (uint64_t random = 0; random < 5005; random++) {
        uint32_t delay = ws_hub_backoff_ms(1, 500, random);

        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    assert_int_equal(least, 1000);
    assert_int_equal(most, 2000);
}

static void test_backoff_jitter_is_spread_evenly(void **state)
{
    unsigned buckets[10] = {0};
    uint64_t x = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 100000; i++) { /* Marsaglia's xorshift64 */
        uint32_t jitter;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        jitter = ws_hub_backoff_ms(0, 500, x) - 500;
        buckets[jitter < 1000 ? jitter / 100 : 9]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(buckets[i], 9500, 10500);
}

static void test_backoff_base_0_is_the_default(void **state)
{
    (void)state;
    assert_int_equal(ws_hub_backoff_ms(0, 0, 7), 507);
}

static void test_backoff_largest_arguments_stay_at_the_limit(void **state)
{
    (void)state;
    assert_int_equal(ws_hub_backoff_ms(UINT_MAX, UINT32_MAX, UINT64_MAX),
                     WS_HUB_BACKOFF_MAX_MS);
    assert_int_equal(ws_hub_backoff_ms(UINT_MAX, 1, 0), WS_HUB_BACKOFF_MAX_MS);
    assert_int_equal(ws_hub_backoff_ms(14, 1, 0), 16384);
    assert_int_equal(ws_hub_backoff_ms(0, 29500, 1000), WS_HUB_BACKOFF_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff_without_jitter_doubles),
        cmocka_unit_test(test_backoff_jitter_is_0_to_1000_ms),
        cmocka_unit_test(test_backoff_jitter_is_spread_evenly),
        cmocka_unit_test(test_backoff_base_0_is_the_default),
        cmocka_unit_test(test_backoff_largest_arguments_stay_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

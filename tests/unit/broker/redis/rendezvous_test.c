#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker/redis/rendezvous.h"

enum { CHANNELS = 60000, SERVERS = 6 };

static uint64_t servers[SERVERS];

static int make_servers(void **state)
{
    char name[32];

    (void)state;
    for (unsigned i = 0; i < SERVERS; i++) {
        snprintf(name, sizeof name, "10.0.0.%u:6379", i + 1);
        servers[i] = wsr_rendezvous_server(name, strlen(name));
    }
    return 0;
}

static unsigned choose(const uint64_t *of, unsigned count, unsigned channel)
{
    char name[32];

    snprintf(name, sizeof name, "room:%u", channel);
    return wsr_rendezvous(of, count, name, strlen(name));
}

/* A standard deviation is below 1 % of the share here. */
static void test_rendezvous_shares_are_even(void **state)
{
    unsigned shares[SERVERS] = {0};

    (void)state;
    for (unsigned i = 0; i < CHANNELS; i++)
        shares[choose(servers, SERVERS, i)]++;
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_true(shares[i] > CHANNELS / SERVERS * 95 / 100);
        assert_true(shares[i] < CHANNELS / SERVERS * 105 / 100);
    }
}

static void test_rendezvous_new_server_takes_its_share_only(void **state)
{
    unsigned moved = 0;

    (void)state;
    for (unsigned i = 0; i < CHANNELS; i++) {
        unsigned before = choose(servers, SERVERS - 1, i);
        unsigned after = choose(servers, SERVERS, i);

        if (after != before) {
            assert_int_equal(after, SERVERS - 1);
            moved++;
        }
    }
    assert_true(moved > CHANNELS / SERVERS * 95 / 100);
    assert_true(moved < CHANNELS / SERVERS * 105 / 100);
}

static void test_rendezvous_order_of_the_list_is_no_matter(void **state)
{
    uint64_t reversed[SERVERS];

    (void)state;
    for (unsigned i = 0; i < SERVERS; i++)
        reversed[i] = servers[SERVERS - 1 - i];
    for (unsigned i = 0; i < CHANNELS; i++)
        assert_int_equal(choose(servers, SERVERS, i),
                         SERVERS - 1 - choose(reversed, SERVERS, i));
}

/* Hubs of different versions must agree: these answers never change. */
static void test_rendezvous_answers_are_fixed(void **state)
{
    static const unsigned expected[] = {5, 5, 2, 4, 4, 5, 5, 0, 1, 0, 1, 3,
                                        0, 4, 3, 1, 4, 2, 2, 4, 0, 0, 4, 1};

    (void)state;
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(choose(servers, SERVERS, i), expected[i]);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_rendezvous_shares_are_even),
        cmocka_unit_test(test_rendezvous_new_server_takes_its_share_only),
        cmocka_unit_test(test_rendezvous_order_of_the_list_is_no_matter),
        cmocka_unit_test(test_rendezvous_answers_are_fixed),
    };

    return cmocka_run_group_tests(cases, make_servers, NULL);
}

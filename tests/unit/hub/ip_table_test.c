/* ip_table_test.c: connections by address. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "hub/ip_table.h"
#include "ws_hub/error.h"

enum { MANY = 50000, NO_LIMIT = UINT32_MAX };

static int set_up(void **state)
{
    static struct wsh_ip_table table;
    const uint64_t seed[2] = {11, 22};

    wsh_ip_table_init(&table, seed);
    *state = &table;
    return 0;
}

static int tear_down(void **state)
{
    wsh_ip_table_fini(*state);
    return 0;
}

static struct wsh_peer v4(uint32_t address)
{
    struct wsh_peer peer = {.family = AF_INET};

    address = htonl(address);
    memcpy(peer.addr, &address, sizeof address);
    return peer;
}

static struct wsh_peer v6(const char *text)
{
    struct wsh_peer peer = {.family = AF_INET6};

    assert_int_equal(inet_pton(AF_INET6, text, peer.addr), 1);
    return peer;
}

static void test_ip_table_limit_is_exact_and_a_leave_makes_room(void **state)
{
    struct wsh_peer peer = v4(0x0a000001);

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(wsh_ip_table_join(*state, &peer, 3), 0);
    assert_int_equal(wsh_ip_table_join(*state, &peer, 3), WS_HUB_ELIMIT);
    assert_int_equal(wsh_ip_table_count(*state, &peer), 3);
    wsh_ip_table_leave(*state, &peer);
    assert_int_equal(wsh_ip_table_join(*state, &peer, 3), 0);
}

static void test_ip_table_port_does_not_tell_clients_apart(void **state)
{
    struct wsh_peer a = v4(1), b = v4(1);

    a.port = 1;
    b.port = 2;
    assert_int_equal(wsh_ip_table_join(*state, &a, 1), 0);
    assert_int_equal(wsh_ip_table_join(*state, &b, 1), WS_HUB_ELIMIT);
}

static void test_ip_table_v6_network_of_64_bits_is_one_client(void **state)
{
    struct wsh_peer a = v6("2001:db8:1:2::1"), b = v6("2001:db8:1:2:ffff::9");
    struct wsh_peer other = v6("2001:db8:1:3::1");

    assert_int_equal(wsh_ip_table_join(*state, &a, 1), 0);
    assert_int_equal(wsh_ip_table_join(*state, &b, 1), WS_HUB_ELIMIT);
    assert_int_equal(wsh_ip_table_join(*state, &other, 1), 0);
    wsh_ip_table_leave(*state, &b); /* whoever of them leaves */
    assert_int_equal(wsh_ip_table_count(*state, &a), 0);
}

static void test_ip_table_v4_is_no_prefix_of_v6(void **state)
{
    struct wsh_peer four = v4(0x20010db8), six = v6("2001:db8::1");

    assert_int_equal(wsh_ip_table_join(*state, &four, 1), 0);
    assert_int_equal(wsh_ip_table_join(*state, &six, 1), 0);
}

static void test_ip_table_unix_and_unknown_peers_are_not_counted(void **state)
{
    struct wsh_peer local = {.family = AF_UNIX}, unknown = {.family = 0};

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(wsh_ip_table_join(*state, &local, 1), 0);
        assert_int_equal(wsh_ip_table_join(*state, &unknown, 1), 0);
    }
    assert_int_equal(wsh_ip_table_count(*state, &local), 0);
    wsh_ip_table_leave(*state, &local);
    assert_int_equal(((struct wsh_ip_table *)*state)->map.count, 0);
}

static void test_ip_table_grows_and_is_empty_when_all_have_left(void **state)
{
    struct wsh_ip_table *table = *state;

    for (uint32_t i = 0; i < MANY; i++) {
        struct wsh_peer peer = v4(0x0a000000 + i);

        assert_int_equal(wsh_ip_table_join(table, &peer, NO_LIMIT), 0);
        assert_int_equal(wsh_ip_table_join(table, &peer, NO_LIMIT), 0);
    }
    assert_int_equal(table->map.count, MANY);
    wsh_map_check(&table->map);
    for (uint32_t i = 0; i < MANY; i++) {
        struct wsh_peer peer = v4(0x0a000000 + i);

        assert_int_equal(wsh_ip_table_count(table, &peer), 2);
        wsh_ip_table_leave(table, &peer);
        wsh_ip_table_leave(table, &peer);
    }
    assert_int_equal(table->map.count, 0);
    wsh_map_check(&table->map);
}

/* Keys of an unseeded table could be chosen to fall together: under two seeds
 * the same keys must not. */
static void test_ip_table_place_of_an_address_depends_on_the_seed(void **state)
{
    const uint64_t seed[2] = {33, 44};
    struct wsh_ip_table *table = *state, second;
    unsigned same = 0;

    wsh_ip_table_init(&second, seed);
    for (uint32_t i = 0; i < 1000; i++) {
        struct wsh_peer peer = v4(i << 16);

        same += (wsh_map_hash(&table->map, (char *)peer.addr, 4) & 1023) ==
                (wsh_map_hash(&second.map, (char *)peer.addr, 4) & 1023);
    }
    wsh_ip_table_fini(&second);
    assert_in_range(same, 0, 20);
}

static void test_ip_table_fini_frees_those_who_are_still_there(void **state)
{
    for (uint32_t i = 0; i < 100; i++) {
        struct wsh_peer peer = v4(i);

        assert_int_equal(wsh_ip_table_join(*state, &peer, NO_LIMIT), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_ip_table_limit_is_exact_and_a_leave_makes_room),
        CASE(test_ip_table_port_does_not_tell_clients_apart),
        CASE(test_ip_table_v6_network_of_64_bits_is_one_client),
        CASE(test_ip_table_v4_is_no_prefix_of_v6),
        CASE(test_ip_table_unix_and_unknown_peers_are_not_counted),
        CASE(test_ip_table_grows_and_is_empty_when_all_have_left),
        CASE(test_ip_table_place_of_an_address_depends_on_the_seed),
        CASE(test_ip_table_fini_frees_those_who_are_still_there),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hub/conn_table.h"

static struct wsh_conn *fake(uintptr_t n)
{
    return (struct wsh_conn *)(n * 16 + 16);
}

static int set_up(void **state)
{
    static struct wsh_conn_table table;

    wsh_conn_table_init(&table, 3);
    *state = &table;
    return 0;
}

static int tear_down(void **state)
{
    wsh_conn_table_fini(*state);
    return 0;
}

static void test_conn_table_added_is_found(void **state)
{
    struct wsh_conn_table *table = *state;
    uint64_t id[1000];

    for (unsigned i = 0; i < 1000; i++) {
        id[i] = wsh_conn_table_add(table, fake(i));
        assert_true(id[i] != 0);
        assert_int_equal(wsh_conn_id_shard(id[i]), 3);
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_ptr_equal(wsh_conn_table_find(table, id[i]), fake(i));
}

static void test_conn_table_removed_is_not_found(void **state)
{
    struct wsh_conn_table *table = *state;
    uint64_t id = wsh_conn_table_add(table, fake(1));

    wsh_conn_table_remove(table, id);
    assert_null(wsh_conn_table_find(table, id));
}

static void test_conn_table_stale_handle_misses_the_new_owner(void **state)
{
    struct wsh_conn_table *table = *state;
    uint64_t old = wsh_conn_table_add(table, fake(1)), new;

    wsh_conn_table_remove(table, old);
    new = wsh_conn_table_add(table, fake(2));
    assert_int_equal(old >> 32, new >> 32); /* the same slot */
    assert_null(wsh_conn_table_find(table, old));
    assert_ptr_equal(wsh_conn_table_find(table, new), fake(2));
}

static void test_conn_table_foreign_and_wild_ids_are_not_found(void **state)
{
    struct wsh_conn_table *table = *state;
    uint64_t id = wsh_conn_table_add(table, fake(1));

    assert_null(wsh_conn_table_find(table, 0));
    assert_null(wsh_conn_table_find(table, UINT64_MAX));
    assert_null(wsh_conn_table_find(table, id ^ UINT64_C(1) << 56));
    assert_null(wsh_conn_table_find(table, id + (UINT64_C(1) << 32)));
}

static void test_conn_table_freed_slots_wait_their_turn(void **state)
{
    struct wsh_conn_table *table = *state;
    uint64_t a = wsh_conn_table_add(table, fake(1));
    uint64_t b = wsh_conn_table_add(table, fake(2));

    wsh_conn_table_remove(table, a);
    wsh_conn_table_remove(table, b);
    assert_int_equal(wsh_conn_table_add(table, fake(3)) >> 32, a >> 32);
    assert_int_equal(wsh_conn_table_add(table, fake(4)) >> 32, b >> 32);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_conn_table_added_is_found),
        CASE(test_conn_table_removed_is_not_found),
        CASE(test_conn_table_stale_handle_misses_the_new_owner),
        CASE(test_conn_table_foreign_and_wild_ids_are_not_found),
        CASE(test_conn_table_freed_slots_wait_their_turn),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

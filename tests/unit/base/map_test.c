#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/check.h"
#include "base/map.h"
#include "base/rng.h"

enum { ITEMS = 600 };

struct item {
    char key[16];
    struct wsh_map_node node;
    bool inserted;
    int visits;
};

struct fixture {
    struct wsh_map map;
    struct item items[ITEMS];
};

static int setup(void **state)
{
    const uint64_t seed[2] = {1, 2};
    struct fixture *f = calloc(1, sizeof *f);
    int i;

    if (!f)
        return -1;
    wsh_map_init(&f->map, seed);
    for (i = 0; i < ITEMS; i++) {
        snprintf(f->items[i].key, sizeof f->items[i].key, "key-%d", i);
        f->items[i].node.key = f->items[i].key;
        f->items[i].node.key_len = strlen(f->items[i].key);
    }
    *state = f;
    return 0;
}

static void put(struct fixture *f, int i)
{
    assert_int_equal(wsh_map_insert(&f->map, &f->items[i].node), 0);
    f->items[i].inserted = true;
}

static void drop(struct fixture *f, int i)
{
    wsh_map_remove(&f->map, &f->items[i].node);
    f->items[i].inserted = false;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int i;

    for (i = 0; i < ITEMS; i++)
        if (f->items[i].inserted)
            drop(f, i);
    wsh_map_fini(&f->map);
    free(f);
    return 0;
}

static void test_map_find_absent_returns_null(void **state)
{
    struct fixture *f = *state;

    assert_null(wsh_map_find(&f->map, "key-1", 5));
    put(f, 0);
    assert_null(wsh_map_find(&f->map, "key-1", 5));
    assert_null(wsh_map_find(&f->map, "key-", 4));
    assert_null(wsh_map_find(&f->map, "key-00", 6));
    assert_ptr_equal(wsh_map_find(&f->map, "key-0", 5), &f->items[0].node);
}

static void test_map_find_hashed_equals_find(void **state)
{
    struct fixture *f = *state;
    uint64_t hash = wsh_map_hash(&f->map, "key-7", 5);

    put(f, 7);
    assert_ptr_equal(wsh_map_find_hashed(&f->map, hash, "key-7", 5),
                     &f->items[7].node);
}

static void test_map_grows_at_load_one(void **state)
{
    struct fixture *f = *state;
    int i;

    for (i = 0; i < ITEMS; i++) {
        put(f, i);
        assert_true(f->map.count <= f->map.size);
        assert_true(f->map.size == 16 || f->map.count > f->map.size / 2);
    }
    wsh_map_check(&f->map);
}

static void test_map_shrinks_by_halves_and_keeps_sixteen(void **state)
{
    struct fixture *f = *state;
    int i;

    for (i = 0; i < ITEMS; i++)
        put(f, i);
    for (i = ITEMS - 1; i > 0; i--) {
        size_t before = f->map.size;

        drop(f, i);
        wsh_map_check(&f->map);
        assert_true(f->map.size == 16 || f->map.count > f->map.size / 8);
        assert_true(f->map.size == before || f->map.count == before / 8);
    }
    assert_int_equal(f->map.size, 16);
    assert_non_null(wsh_map_find(&f->map, "key-0", 5));
}

static void test_map_empty_has_no_table(void **state)
{
    struct fixture *f = *state;

    assert_null(f->map.table);
    put(f, 0);
    assert_non_null(f->map.table);
    drop(f, 0);
    assert_null(f->map.table);
    put(f, 0); /* and comes back to life */
    wsh_map_check(&f->map);
}

static void test_map_random_changes_match_model(void **state)
{
    struct fixture *f = *state;
    struct wsh_rng rng = {42};
    int step, i;

    for (step = 0; step < 6000; step++) {
        /* Phases that mostly fill and mostly empty it. */
        bool fill = wsh_rng_below(&rng, 10) < (step / 1000 % 2 ? 2u : 8u);

        i = (int)wsh_rng_below(&rng, ITEMS);
        if (fill && !f->items[i].inserted)
            put(f, i);
        else if (!fill && f->items[i].inserted)
            drop(f, i);
        if (step % 50 == 0)
            wsh_map_check(&f->map);
    }
    for (i = 0; i < ITEMS; i++) {
        const struct item *item = &f->items[i];

        assert_ptr_equal(wsh_map_find(&f->map, item->key, item->node.key_len),
                         item->inserted ? &item->node : NULL);
    }
}

static struct item *item_of(struct wsh_map_node *node)
{
    return WSH_CONTAINER(node, struct item, node);
}

static int visit(struct wsh_map_node *node, void *arg)
{
    (void)arg;
    item_of(node)->visits++;
    return 0;
}

static void test_map_each_visits_every_node_once(void **state)
{
    struct fixture *f = *state;
    int i;

    assert_int_equal(wsh_map_each(&f->map, visit, NULL), 0);
    for (i = 0; i < ITEMS; i++)
        put(f, i);
    assert_int_equal(wsh_map_each(&f->map, visit, NULL), 0);
    for (i = 0; i < ITEMS; i++)
        assert_int_equal(f->items[i].visits, 1);
}

static int visit_and_remove(struct wsh_map_node *node, void *arg)
{
    struct fixture *f = arg;
    struct item *item = item_of(node);

    item->visits++;
    drop(f, (int)(item - f->items));
    memset(node, 0x5a, sizeof *node); /* as good as freed */
    return 0;
}

static void test_map_each_may_remove_every_node(void **state)
{
    struct fixture *f = *state;
    int i;

    for (i = 0; i < ITEMS; i++)
        put(f, i);
    assert_int_equal(wsh_map_each(&f->map, visit_and_remove, f), 0);
    for (i = 0; i < ITEMS; i++)
        assert_int_equal(f->items[i].visits, 1);
    assert_int_equal(f->map.count, 0);
    wsh_map_check(&f->map);
}

static int remove_most(struct wsh_map_node *node, void *arg)
{
    struct fixture *f = arg;
    int i = (int)(item_of(node) - f->items);

    if (i % 50 != 0)
        drop(f, i);
    return 0;
}

static void test_map_each_shrinks_afterwards(void **state)
{
    struct fixture *f = *state;
    int i;

    for (i = 0; i < ITEMS; i++)
        put(f, i);
    assert_int_equal(f->map.size, 1024);
    assert_int_equal(wsh_map_each(&f->map, remove_most, f), 0);
    wsh_map_check(&f->map);
    assert_int_equal(f->map.count, ITEMS / 50);
    assert_true(f->map.size <= 8 * f->map.count);
}

static int stop_at_third(struct wsh_map_node *node, void *arg)
{
    int *visits = arg;

    (void)node;
    return ++*visits == 3 ? 77 : 0;
}

static void test_map_each_stops_at_non_zero(void **state)
{
    struct fixture *f = *state;
    int visits = 0;
    int i;

    for (i = 0; i < 20; i++)
        put(f, i);
    assert_int_equal(wsh_map_each(&f->map, stop_at_third, &visits), 77);
    assert_int_equal(visits, 3);
}

static void test_map_fini_of_zeroed_memory_is_safe(void **state)
{
    struct wsh_map map = {0};

    (void)state;
    wsh_map_fini(&map);
}

#define MAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAP_TEST(test_map_find_absent_returns_null),
        MAP_TEST(test_map_find_hashed_equals_find),
        MAP_TEST(test_map_grows_at_load_one),
        MAP_TEST(test_map_shrinks_by_halves_and_keeps_sixteen),
        MAP_TEST(test_map_empty_has_no_table),
        MAP_TEST(test_map_random_changes_match_model),
        MAP_TEST(test_map_each_visits_every_node_once),
        MAP_TEST(test_map_each_may_remove_every_node),
        MAP_TEST(test_map_each_shrinks_afterwards),
        MAP_TEST(test_map_each_stops_at_non_zero),
        cmocka_unit_test(test_map_fini_of_zeroed_memory_is_safe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

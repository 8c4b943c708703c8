/* The base containers without memory: this program's allocations go through the
 * wrappers below (the linker's --wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub/error.h>
#include "base/buf.h"
#include "base/map.h"

static bool failing;

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return failing ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return failing ? NULL : __real_realloc(memory, size);
}

static void test_buf_without_memory_stays_as_it_was(void **state)
{
    struct wsh_buf buf = {0};
    struct wsh_buf before;
    char text[200] = {0};

    assert_int_equal(wsh_buf_append_cstr(&buf, "keep"), 0);
    before = buf;
    failing = true;
    assert_int_equal(wsh_buf_append(&buf, text, sizeof text), WS_HUB_ENOMEM);
    failing = false;
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_memory_equal(buf.data, "keep", 4);
    wsh_buf_fini(&buf);
}

static void test_map_first_insert_without_memory_fails(void **state)
{
    const uint64_t seed[2] = {1, 2};
    struct wsh_map_node node = {.key = "k", .key_len = 1};
    struct wsh_map map;

    wsh_map_init(&map, seed);
    failing = true;
    assert_int_equal(wsh_map_insert(&map, &node), WS_HUB_ENOMEM);
    failing = false;
    wsh_map_check(&map);
    assert_int_equal(wsh_map_insert(&map, &node), 0);
    wsh_map_remove(&map, &node);
    wsh_map_fini(&map);
}

static void test_map_without_memory_for_another_table_goes_on(void **state)
{
    const uint64_t seed[2] = {1, 2};
    struct wsh_map_node node[100];
    char key[100][8];
    struct wsh_map map;
    int i;

    wsh_map_init(&map, seed);
    for (i = 0; i < 100; i++) {
        snprintf(key[i], sizeof key[i], "%d", i);
        node[i].key = key[i];
        node[i].key_len = strlen(key[i]);
        assert_int_equal(wsh_map_insert(&map, &node[i]), 0);
        failing = true;
    }
    wsh_map_check(&map);
    assert_int_equal(map.size, 16);
    for (i = 0; i < 100; i++)
        assert_ptr_equal(wsh_map_find(&map, key[i], node[i].key_len), &node[i]);
    for (i = 0; i < 100; i++)
        wsh_map_remove(&map, &node[i]);
    failing = false;
    wsh_map_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_without_memory_stays_as_it_was),
        cmocka_unit_test(test_map_first_insert_without_memory_fails),
        cmocka_unit_test(test_map_without_memory_for_another_table_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

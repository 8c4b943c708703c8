#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub/error.h>
#include "base/buf.h"

static void test_buf_append_keeps_all_bytes(void **state)
{
    struct wsh_buf buf = {0};
    uint8_t byte;
    size_t i;

    for (i = 0; i < 1000; i++) {
        byte = (uint8_t)i;
        assert_int_equal(wsh_buf_append(&buf, &byte, 1), 0);
    }
    assert_int_equal(buf.len, 1000);
    for (i = 0; i < 1000; i++)
        assert_int_equal(buf.data[i], (uint8_t)i);
    wsh_buf_fini(&buf);
}

static void test_buf_append_nothing_allocates_nothing(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_buf_append(&buf, NULL, 0), 0);
    assert_int_equal(wsh_buf_append_cstr(&buf, ""), 0);
    assert_null(buf.data);
    assert_int_equal(buf.cap, 0);
}

static void test_buf_growth_doubles(void **state)
{
    struct wsh_buf buf = {0};
    size_t cap;

    assert_int_equal(wsh_buf_reserve(&buf, 100), 0);
    cap = buf.cap;
    assert_true(cap >= 100);
    buf.len = cap;
    assert_int_equal(wsh_buf_reserve(&buf, 1), 0);
    assert_int_equal(buf.cap, 2 * cap);
    wsh_buf_fini(&buf);
}

static void test_buf_reserve_max_ends_doubling_there(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_buf_reserve_max(&buf, 100, 150), 0);
    buf.len = buf.cap;
    assert_int_equal(wsh_buf_reserve_max(&buf, 1, 150), 0);
    assert_int_equal(buf.cap, 150);
    buf.len = 150;
    assert_int_equal(wsh_buf_reserve_max(&buf, 5, 150), 0);
    assert_int_equal(buf.cap, 155);
    wsh_buf_fini(&buf);
}

static void test_buf_impossible_size_leaves_it_alone(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_buf_append_cstr(&buf, "keep"), 0);
    assert_int_equal(wsh_buf_reserve(&buf, SIZE_MAX), WS_HUB_ENOMEM);
    assert_int_equal(wsh_buf_reserve(&buf, SIZE_MAX - 1), WS_HUB_ENOMEM);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "keep", 4);
    wsh_buf_fini(&buf);
}

static void test_buf_fini_zeroes(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_buf_append_cstr(&buf, "x"), 0);
    wsh_buf_fini(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len + buf.cap, 0);
    wsh_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_append_keeps_all_bytes),
        cmocka_unit_test(test_buf_append_nothing_allocates_nothing),
        cmocka_unit_test(test_buf_growth_doubles),
        cmocka_unit_test(test_buf_reserve_max_ends_doubling_there),
        cmocka_unit_test(test_buf_impossible_size_leaves_it_alone),
        cmocka_unit_test(test_buf_fini_zeroes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

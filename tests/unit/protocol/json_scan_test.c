#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "protocol/json_scan.h"

static enum wsh_scan_result scan(const char *text, unsigned depth,
                                 size_t values)
{
    const struct wsh_command_limits limits = {100, depth, values};

    return wsh_json_scan(text, strlen(text), &limits);
}

static void test_scan_counts_depth_outside_strings(void **state)
{
    assert_int_equal(scan("[[{}]]", 3, 100), WSH_SCAN_OK);
    assert_int_equal(scan("[[{}]]", 2, 100), WSH_SCAN_DEPTH);
    assert_int_equal(scan("[\"[[[\\\"[[\",{}]", 2, 100), WSH_SCAN_OK);
    assert_int_equal(scan("[\"\\\\\",[{}]]", 2, 100), WSH_SCAN_DEPTH);
    assert_int_equal(scan("[],[],[]", 1, 100), WSH_SCAN_OK);
}

static void test_scan_stray_closings_are_no_credit(void **state)
{
    assert_int_equal(scan("]]]][[", 1, 100), WSH_SCAN_DEPTH);
    assert_int_equal(scan("]]]][", 1, 100), WSH_SCAN_OK);
}

static void test_scan_counts_values_outside_strings(void **state)
{
    assert_int_equal(scan("[1,2,3]", 9, 3), WSH_SCAN_OK);
    assert_int_equal(scan("[1,2,3]", 9, 2), WSH_SCAN_VALUES);
    assert_int_equal(scan("\",,,,,\"", 9, 0), WSH_SCAN_OK);
    assert_int_equal(scan("{}", 9, 0), WSH_SCAN_VALUES);
}

static void test_scan_unfinished_strings_end_at_the_end(void **state)
{
    assert_int_equal(scan("\"", 1, 1), WSH_SCAN_OK);
    assert_int_equal(scan("\"\\", 1, 1), WSH_SCAN_OK);
    assert_int_equal(scan("\"\\\"", 1, 1), WSH_SCAN_OK);
    assert_int_equal(scan("", 0, 0), WSH_SCAN_OK);
}

static void test_scan_bounds_bytes(void **state)
{
    const struct wsh_command_limits limits = {3, 9, 9};

    assert_int_equal(wsh_json_scan("123", 3, &limits), WSH_SCAN_OK);
    assert_int_equal(wsh_json_scan("1234", 4, &limits), WSH_SCAN_BYTES);
}

static void expect_member(const char *text, const char *key, const char *want)
{
    struct wsh_view view = wsh_json_member(text, strlen(text), key);

    if (!want) {
        assert_null(view.data);
        return;
    }
    assert_non_null(view.data);
    assert_int_equal(view.len, strlen(want));
    assert_memory_equal(view.data, want, view.len);
}

static void test_member_value_ends_where_it_ends(void **state)
{
    expect_member("{\"a\":1}", "a", "1");
    expect_member(" { \"a\" : 1 } ", "a", "1");
    expect_member("{\"a\":1,\"b\":2}", "a", "1");
    expect_member("{\"a\":\"}\\\"]\" ,\"b\":2}", "a", "\"}\\\"]\"");
    expect_member("{\"a\":[1, {\"x\":\"]\"}]\n}", "a", "[1, {\"x\":\"]\"}]");
    expect_member("{\"a\":{}\t,\"b\":2}", "a", "{}");
    expect_member("{\"a\":true\r\n}", "a", "true");
    expect_member("{\"a\":\"\"}", "a", "\"\"");
}

static void test_member_is_found_at_the_top_only(void **state)
{
    const char *text = "{\"x\":{\"a\":1},\"y\":\"a\",\"a\":2,\"aa\":3}";

    expect_member(text, "a", "2");
    expect_member(text, "aa", "3");
    expect_member(text, "y", "\"a\"");
    expect_member(text, "z", NULL);
    expect_member("{}", "a", NULL);
    expect_member(" {  } ", "a", NULL);
}

static void test_member_with_escaped_key_is_not_found(void **state)
{
    expect_member("{\"\\u0061\":1,\"b\":2}", "a", NULL);
    expect_member("{\"\\u0061\":1,\"b\":2}", "b", "2");
    expect_member("{\"\\\"\":1,\"b\":2}", "b", "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_counts_depth_outside_strings),
        cmocka_unit_test(test_scan_stray_closings_are_no_credit),
        cmocka_unit_test(test_scan_counts_values_outside_strings),
        cmocka_unit_test(test_scan_unfinished_strings_end_at_the_end),
        cmocka_unit_test(test_scan_bounds_bytes),
        cmocka_unit_test(test_member_value_ends_where_it_ends),
        cmocka_unit_test(test_member_is_found_at_the_top_only),
        cmocka_unit_test(test_member_with_escaped_key_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/check.h"
#include "protocol/channel_name.h"

static bool valid(const char *name)
{
    return wsh_channel_name_valid(name, strlen(name));
}

static void test_channel_name_of_printable_text_is_valid(void **state)
{
    assert_true(valid("a"));
    assert_true(valid("room 7/{tag}*?[x]"));
    assert_true(valid("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_true(valid("\xc2\xa0")); /* the first after C1 */
    assert_true(valid("$system"));  /* reserved, but a name */
}

static void test_channel_name_length_is_bounded(void **state)
{
    char name[256];

    memset(name, 'x', sizeof name);
    assert_false(wsh_channel_name_valid(name, 0));
    assert_true(wsh_channel_name_valid(name, 255));
    assert_false(wsh_channel_name_valid(name, 256));
}

static void test_channel_name_with_controls_is_invalid(void **state)
{
    char name[] = "a?b";
    unsigned byte;

    for (byte = 0; byte < 0x20; byte++) {
        name[1] = (char)byte;
        assert_false(wsh_channel_name_valid(name, 3));
    }
    assert_false(valid("\x7f"));
    assert_false(valid("a\xc2\x80"));
    assert_false(valid("\xc2\x9f"
                       "b"));
    assert_false(valid("x\r\nFLUSHALL"));
}

static void test_channel_name_of_bad_utf8_is_invalid(void **state)
{
    assert_false(valid("a\xff"));
    assert_false(valid("a\xc3"));
    assert_false(valid("\xed\xa0\x80"));
}

static void test_channel_name_reserved_begins_with_dollar(void **state)
{
    assert_true(wsh_channel_name_reserved("$x", 2));
    assert_false(wsh_channel_name_reserved("x$", 2));
    assert_false(wsh_channel_name_reserved("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channel_name_of_printable_text_is_valid),
        cmocka_unit_test(test_channel_name_length_is_bounded),
        cmocka_unit_test(test_channel_name_with_controls_is_invalid),
        cmocka_unit_test(test_channel_name_of_bad_utf8_is_invalid),
        cmocka_unit_test(test_channel_name_reserved_begins_with_dollar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

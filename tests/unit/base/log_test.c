#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub/options.h>
#include "base/log.h"

struct lines {
    int count;
    int level;
    char last[512];
};

static void collect(int level, const char *text, void *user)
{
    struct lines *lines = user;

    lines->count++;
    lines->level = level;
    snprintf(lines->last, sizeof lines->last, "%s", text);
}

static void test_log_line_reaches_the_callback(void **state)
{
    struct lines lines = {0};
    struct wsh_log log = {collect, &lines};

    wsh_log(&log, WS_HUB_LOG_WARN, "%s has %d", "shard", 3);
    assert_int_equal(lines.count, 1);
    assert_int_equal(lines.level, WS_HUB_LOG_WARN);
    assert_string_equal(lines.last, "shard has 3");
}

static void test_log_without_callback_does_nothing(void **state)
{
    struct wsh_log log = {0};

    wsh_log(&log, WS_HUB_LOG_ERROR, "%s", "nobody");
}

static void test_log_control_characters_become_dots(void **state)
{
    struct lines lines = {0};
    struct wsh_log log = {collect, &lines};

    wsh_log(&log, WS_HUB_LOG_INFO, "a\r\nb\x1b[0m\x7f\tz \xc3\xa9");
    assert_string_equal(lines.last, "a..b.[0m..z \xc3\xa9");
}

static void test_log_long_line_is_cut(void **state)
{
    struct lines lines = {0};
    struct wsh_log log = {collect, &lines};
    char text[400];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    wsh_log(&log, WS_HUB_LOG_INFO, "%s", text);
    assert_int_equal(strlen(lines.last), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_line_reaches_the_callback),
        cmocka_unit_test(test_log_without_callback_does_nothing),
        cmocka_unit_test(test_log_control_characters_become_dots),
        cmocka_unit_test(test_log_long_line_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub/metrics.h>
#include "base/check.h"
#include "protocol/command.h"

enum { ACCEPTED = -1 };

static const struct wsh_command_limits limits = {4096, 8, 100};

struct fixture {
    struct wsh_command command;
    const char *detail;
    char *text; /* exactly the command's bytes */
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static void clear(struct fixture *f)
{
    wsh_command_fini(&f->command);
    free(f->text);
    f->text = NULL;
}

static int teardown(void **state)
{
    clear(*state);
    free(*state);
    return 0;
}

static int decode_bytes(struct fixture *f, const char *text, size_t len)
{
    clear(f);
    f->text = malloc(len > 0 ? len : 1);
    assert_non_null(f->text);
    memcpy(f->text, text, len);
    return wsh_command_decode(&f->command, f->text, len, &limits, &f->detail);
}

static int decode(struct fixture *f, const char *text)
{
    return decode_bytes(f, text, strlen(text));
}

static void expect_view(struct wsh_view view, const char *text)
{
    assert_non_null(view.data);
    assert_int_equal(view.len, strlen(text));
    assert_memory_equal(view.data, text, view.len);
}

static void expect_id(const struct fixture *f, const char *text)
{
    expect_view((struct wsh_view){f->command.id, f->command.id_len}, text);
}

static void test_command_every_op_is_known(void **state)
{
    static const struct {
        const char *text;
        enum wsh_op op;
    } rows[] = {
        {"{\"op\":\"subscribe\",\"channel\":\"c\"}", WSH_CMD_SUBSCRIBE},
        {"{\"op\":\"unsubscribe\",\"channel\":\"c\"}", WSH_CMD_UNSUBSCRIBE},
        {"{\"op\":\"publish\",\"channel\":\"c\",\"data\":1}", WSH_CMD_PUBLISH},
        {"{\"op\":\"presence\",\"channel\":\"c\"}", WSH_CMD_PRESENCE},
        {"{\"op\":\"ping\"}", WSH_CMD_PING},
    };
    struct fixture *f = *state;
    size_t i;

    for (i = 0; i < WSH_COUNT(rows); i++) {
        assert_int_equal(decode(f, rows[i].text), ACCEPTED);
        assert_int_equal(f->command.op, rows[i].op);
        assert_int_equal(f->command.id_len, 0);
        if (rows[i].op != WSH_CMD_PING)
            expect_view(f->command.channel, "c");
    }
}

static void test_command_publish_has_defaults(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        decode(f, "{\"op\":\"publish\",\"channel\":\"c\",\"data\":null}"),
        ACCEPTED);
    assert_true(f->command.echo);
    expect_view(f->command.cls, "normal");
    assert_null(f->command.key.data);
    expect_view(f->command.data, "null");
}

static void test_command_publish_members_are_read(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(decode(f,
                            " {\"data\" : {\"a\" : [1, 2] } , \"echo\":false,"
                            "\"class\":\"volatile\",\"key\":\"k\\n\","
                            "\"channel\":\"c\\u00e9\",\"op\":\"publish\","
                            "\"since\":[{}],\"x\":{\"data\":7}} "),
                     ACCEPTED);
    expect_view(f->command.data, "{\"a\" : [1, 2] }");
    assert_false(f->command.echo);
    expect_view(f->command.cls, "volatile");
    expect_view(f->command.key, "k\n");
    expect_view(f->command.channel, "c\xc3\xa9");
}

static void test_command_data_keeps_its_exact_text(void **state)
{
    static const char *const values[] = {
        "1.10",
        "1e2",
        "0.1000000000000000055511151231257827",
        "-0",
        "\"\\u0041\\/\"",
        "[ ]",
        "{\"b\":1,\"a\":2}",
        "9007199254740993",
        "true",
        "\"}],\\\"\"",
    };
    struct fixture *f = *state;
    char text[200];
    size_t i;

    for (i = 0; i < WSH_COUNT(values); i++) {
        snprintf(text, sizeof text,
                 "{\"op\":\"publish\",\"channel\":\"c\",\"data\":%s}",
                 values[i]);
        assert_int_equal(decode(f, text), ACCEPTED);
        expect_view(f->command.data, values[i]);
    }
}

static void test_command_escaped_keys_are_understood(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(decode(f, "{\"\\u006fp\":\"publish\",\"channel\":\"c\","
                               "\"d\\u0061ta\":[1, \"\xc3\xa9\"],"
                               "\"\\u0069d\":\"\\u0041\"}"),
                     ACCEPTED);
    expect_view(f->command.data, "[1,\"\xc3\xa9\"]");
    expect_id(f, "\"A\"");
}

static void test_command_id_comes_back_as_it_was(void **state)
{
    static const char *const ids[] = {
        "7",
        "-9223372036854775808",
        "\"\"",
        "\"a\\u0062\\\"\"",
        "\"\xe2\x82\xac\"",
    };
    struct fixture *f = *state;
    char text[600];
    char longest[385] = "";
    size_t i;

    for (i = 0; i < WSH_COUNT(ids); i++) {
        snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":%s}", ids[i]);
        assert_int_equal(decode(f, text), ACCEPTED);
        expect_id(f, ids[i]);
    }
    for (i = 0; i < 64; i++) /* the longest text of 64 bytes */
        strcat(longest, "\\u0041");
    snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":\"%s\"}", longest);
    assert_int_equal(decode(f, text), ACCEPTED);
    assert_int_equal(f->command.id_len, 64 * 6 + 2);
    snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":\"%s!\"}", longest);
    assert_int_equal(decode(f, text), WS_HUB_REFUSE_INVALID_MESSAGE);
    assert_int_equal(f->command.id_len, 0);
}

#define CH "\"channel\":\"c\""
#define PUB "{\"op\":\"publish\"," CH ",\"data\":1"

static const char *const invalid[] = {
    "",
    " ",
    "{",
    "[]",
    "1",
    "\"x\"",
    "null",
    "{}",
    "{\"op\":1}",
    "{\"op\":null}",
    "{\"op\":\"ping\"} x",
    "{\"op\":\"ping\"}{}",
    "{\"op\":\"ping\",\"op\":\"ping\"}",
    "{\"op\":\"ping\",\"x\":NaN}",
    "{\"op\":\"ping\",\"x\":1e999}",
    "{\"op\":\"ping\",\"x\":01}",
    "{\"op\":\"ping\",\"x\":99999999999999999999}",
    "{\"op\":\"ping\",\"x\":\"\\ud800\"}",
    "{\"op\":\"ping\",\"x\":\"\\u0000\"}",
    "{\"op\":\"ping\",\"x\":\"\xff\"}",
    "{\"op\":\"ping\",\"x\":\"\n\"}",
    "{'op':'ping'}",
    "{\"op\":\"ping\",}",
    "\xef\xbb\xbf{\"op\":\"ping\"}",
    "{\"op\":\"ping\",\"x\":{\"a\":1,\"a\":1}}",
    "{\"op\":\"ping\",\"id\":null}",
    "{\"op\":\"ping\",\"id\":1.0}",
    "{\"op\":\"ping\",\"id\":[]}",
    "{\"op\":\"ping\",\"id\":true}",
    "{\"op\":\"subscribe\"}",
    "{\"op\":\"subscribe\",\"channel\":5}",
    "{\"op\":\"publish\"," CH "}",
    PUB ",\"echo\":1}",
    PUB ",\"echo\":null}",
    PUB ",\"class\":\"urgent\"}",
    PUB ",\"class\":1}",
    PUB ",\"key\":1}",
};

static void test_command_invalid_messages_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t i;

    for (i = 0; i < WSH_COUNT(invalid); i++) {
        if (decode(f, invalid[i]) != WS_HUB_REFUSE_INVALID_MESSAGE)
            fail_msg("taken: %s", invalid[i]);
        assert_non_null(f->detail);
    }
}

static void test_command_unknown_op_keeps_the_id(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(decode(f, "{\"op\":\"dance\",\"id\":5}"),
                     WS_HUB_REFUSE_UNKNOWN_OP);
    expect_id(f, "5");
    assert_int_equal(decode(f, "{\"op\":\"Ping\"}"), WS_HUB_REFUSE_UNKNOWN_OP);
    assert_int_equal(decode(f, "{\"op\":\"\"}"), WS_HUB_REFUSE_UNKNOWN_OP);
}

static void test_command_bad_channel_keeps_the_id(void **state)
{
    static const char *const names[] = {"", "a\\n", "\\u007f", "$hub"};
    struct fixture *f = *state;
    char text[100];
    size_t i;

    for (i = 0; i < WSH_COUNT(names); i++) {
        snprintf(text, sizeof text,
                 "{\"op\":\"subscribe\",\"id\":3,\"channel\":\"%s\"}",
                 names[i]);
        assert_int_equal(decode(f, text), WS_HUB_REFUSE_BAD_CHANNEL);
        expect_id(f, "3");
    }
    expect_view(f->command.channel, "$hub");
}

static void test_command_too_many_bytes_is_too_large(void **state)
{
    struct fixture *f = *state;
    char text[4097];

    memset(text, ' ', sizeof text);
    memcpy(text, "{\"op\":\"ping\"}", 13);
    assert_int_equal(decode_bytes(f, text, 4096), ACCEPTED);
    assert_int_equal(decode_bytes(f, text, 4097), WS_HUB_REFUSE_TOO_LARGE_OP);
}

static void test_command_depth_and_values_are_bounded(void **state)
{
    struct fixture *f = *state;
    char text[400] = "{\"op\":\"ping\",\"x\":[";
    int i;

    assert_int_equal(decode(f, "{\"op\":\"ping\",\"x\":[[[[[[[]]]]]]]}"),
                     ACCEPTED);
    assert_int_equal(decode(f, "{\"op\":\"ping\",\"x\":[[[[[[[[]]]]]]]]}"),
                     WS_HUB_REFUSE_INVALID_MESSAGE);
    assert_string_equal(f->detail, "nested too deep");
    for (i = 0; i < 97; i++)
        strcat(text, "1,");
    strcat(text, "1]}");
    assert_int_equal(decode(f, text), ACCEPTED);
    text[strlen(text) - 3] = '\0';
    strcat(text, "1,1]}");
    assert_int_equal(decode(f, text), WS_HUB_REFUSE_INVALID_MESSAGE);
    assert_string_equal(f->detail, "too many values");
}

static void test_json_valid_takes_any_one_value(void **state)
{
    static const char *const good[] = {"1", "null", "\"x\"", " [1] ", "{}"};
    static const char *const bad[] = {"",
                                      "1 2",
                                      "[",
                                      "nul",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\xff\"",
                                      "[[[[[[[[[]]]]]]]]]"};
    size_t i;

    for (i = 0; i < WSH_COUNT(good); i++)
        assert_true(wsh_json_valid(good[i], strlen(good[i]), &limits));
    for (i = 0; i < WSH_COUNT(bad); i++)
        assert_false(wsh_json_valid(bad[i], strlen(bad[i]), &limits));
}

#define COMMAND_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMAND_TEST(test_command_every_op_is_known),
        COMMAND_TEST(test_command_publish_has_defaults),
        COMMAND_TEST(test_command_publish_members_are_read),
        COMMAND_TEST(test_command_data_keeps_its_exact_text),
        COMMAND_TEST(test_command_escaped_keys_are_understood),
        COMMAND_TEST(test_command_id_comes_back_as_it_was),
        COMMAND_TEST(test_command_invalid_messages_are_refused),
        COMMAND_TEST(test_command_unknown_op_keeps_the_id),
        COMMAND_TEST(test_command_bad_channel_keeps_the_id),
        COMMAND_TEST(test_command_too_many_bytes_is_too_large),
        COMMAND_TEST(test_command_depth_and_values_are_bounded),
        cmocka_unit_test(test_json_valid_takes_any_one_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

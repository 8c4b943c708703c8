#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <openssl/evp.h>
#include "protocol/event.h"

static const struct wsh_view none;

static struct wsh_view view(const char *text)
{
    return (struct wsh_view){text, strlen(text)};
}

/* Compare, and see whether it is JSON at all. */
static void expect(struct wsh_buf *buf, int error, const char *want)
{
    json_t *tree;

    assert_int_equal(error, 0);
    assert_int_equal(buf->len, strlen(want));
    assert_memory_equal(buf->data, want, buf->len);
    tree = json_loadb((const char *)buf->data, buf->len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    assert_non_null(tree);
    json_decref(tree);
    wsh_buf_fini(buf);
}

static void test_event_welcome_has_its_members(void **state)
{
    struct wsh_buf buf = {0};

    expect(&buf, wsh_event_welcome(&buf, 0xfedcba9876543210u, "s\"1", 30000),
           "{\"op\":\"welcome\",\"conn\":\"fedcba9876543210\","
           "\"server\":\"s\\\"1\",\"ping_ms\":30000}");
    expect(&buf, wsh_event_welcome(&buf, 1, "", 4294967295u),
           "{\"op\":\"welcome\",\"conn\":\"0000000000000001\","
           "\"server\":\"\",\"ping_ms\":4294967295}");
}

static void test_event_answers_carry_channel_and_id(void **state)
{
    struct wsh_buf buf = {0};

    expect(&buf, wsh_event_subscribed(&buf, view("c"), view("7"), false),
           "{\"op\":\"subscribed\",\"channel\":\"c\",\"id\":7}");
    expect(&buf, wsh_event_subscribed(&buf, view("c"), none, true),
           "{\"op\":\"subscribed\",\"channel\":\"c\",\"degraded\":true}");
    expect(&buf, wsh_event_unsubscribed(&buf, view("c"), view("\"i\"")),
           "{\"op\":\"unsubscribed\",\"channel\":\"c\",\"id\":\"i\"}");
    expect(&buf, wsh_event_published(&buf, view("1"), false),
           "{\"op\":\"published\",\"id\":1}");
    expect(&buf, wsh_event_published(&buf, view("1"), true),
           "{\"op\":\"published\",\"id\":1,\"degraded\":true}");
    expect(&buf, wsh_event_pong(&buf, none), "{\"op\":\"pong\"}");
    expect(&buf, wsh_event_pong(&buf, view("-1")),
           "{\"op\":\"pong\",\"id\":-1}");
}

static void test_event_error_leaves_out_what_is_absent(void **state)
{
    struct wsh_buf buf = {0};

    expect(&buf, wsh_event_error(&buf, "limit", none, none, NULL),
           "{\"op\":\"error\",\"error\":\"limit\"}");
    expect(&buf,
           wsh_event_error(&buf, "rate", view("c"), view("2"), "slow down"),
           "{\"op\":\"error\",\"error\":\"rate\",\"channel\":\"c\",\"id\":2,"
           "\"detail\":\"slow down\"}");
}

static void test_event_gap_counts_or_does_not_know(void **state)
{
    struct wsh_buf buf = {0};

    expect(&buf, wsh_event_gap(&buf, view("c"), 12, "backpressure"),
           "{\"op\":\"gap\",\"channel\":\"c\",\"missed\":12,"
           "\"reason\":\"backpressure\"}");
    expect(&buf, wsh_event_gap(&buf, view("c"), -1, "broker"),
           "{\"op\":\"gap\",\"channel\":\"c\",\"missed\":null,"
           "\"reason\":\"broker\"}");
}

static void test_event_message_head_and_tails_make_json(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_event_message_head(&buf, view("c\n")), 0);
    assert_int_equal(wsh_buf_append_cstr(&buf, "[1]" WSH_EVENT_MESSAGE_TAIL),
                     0);
    expect(&buf, 0, "{\"op\":\"message\",\"channel\":\"c\\n\",\"data\":[1]}");
    assert_int_equal(wsh_event_message_head(&buf, view("c")), 0);
    assert_int_equal(wsh_json_base64(&buf, "\xff\0", 2), 0);
    assert_int_equal(wsh_buf_append_cstr(&buf, WSH_EVENT_BASE64_TAIL), 0);
    expect(&buf, 0,
           "{\"op\":\"message\",\"channel\":\"c\",\"data\":\"/wA=\","
           "\"encoding\":\"base64\"}");
}

static void test_event_is_appended_to_what_is_there(void **state)
{
    struct wsh_buf buf = {0};

    assert_int_equal(wsh_buf_append_cstr(&buf, "[1,"), 0);
    assert_int_equal(wsh_event_pong(&buf, none), 0);
    assert_int_equal(wsh_buf_append_cstr(&buf, "]"), 0);
    expect(&buf, 0, "[1,{\"op\":\"pong\"}]");
}

static void test_json_string_escapes_what_it_must(void **state)
{
    struct wsh_buf buf = {0};

    expect(&buf,
           wsh_json_string(&buf, "\"\\/\b\f\n\r\t\x01\x1f\x7f<\xc3\xa9", 14),
           "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f<\xc3\xa9\"");
    expect(&buf, wsh_json_string(&buf, NULL, 0), "\"\"");
}

static void test_json_string_is_read_back_by_jansson(void **state)
{
    struct wsh_buf buf = {0};
    char text[0x80];
    json_t *string;
    size_t i;

    for (i = 0; i < sizeof text; i++) /* all of ASCII but NUL */
        text[i] = (char)(i < 0x7f ? i + 1 : '"');
    assert_int_equal(wsh_json_string(&buf, text, sizeof text), 0);
    string = json_loadb((char *)buf.data, buf.len, JSON_DECODE_ANY, NULL);
    assert_int_equal(json_string_length(string), sizeof text);
    assert_memory_equal(json_string_value(string), text, sizeof text);
    json_decref(string);
    wsh_buf_fini(&buf);
    assert_int_equal(wsh_json_string(&buf, "\0", 1), 0);
    assert_memory_equal(buf.data, "\"\\u0000\"", 8);
    wsh_buf_fini(&buf);
}

static void test_json_base64_equals_openssl(void **state)
{
    uint8_t data[256];
    char want[400] = "\"";
    size_t len;

    for (len = 0; len < sizeof data; len++)
        data[len] = (uint8_t)(len * 167 + 13);
    for (len = 0; len <= sizeof data; len++) {
        struct wsh_buf buf = {0};

        EVP_EncodeBlock((unsigned char *)want + 1, data, (int)len);
        strcat(want, "\"");
        expect(&buf, wsh_json_base64(&buf, data, len), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_welcome_has_its_members),
        cmocka_unit_test(test_event_answers_carry_channel_and_id),
        cmocka_unit_test(test_event_error_leaves_out_what_is_absent),
        cmocka_unit_test(test_event_gap_counts_or_does_not_know),
        cmocka_unit_test(test_event_message_head_and_tails_make_json),
        cmocka_unit_test(test_event_is_appended_to_what_is_there),
        cmocka_unit_test(test_json_string_escapes_what_it_must),
        cmocka_unit_test(test_json_string_is_read_back_by_jansson),
        cmocka_unit_test(test_json_base64_equals_openssl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

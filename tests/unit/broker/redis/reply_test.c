/* reply_test.c: replies from bytes, whole, in pieces, and hostile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker/redis/reply.h"

enum { LIMIT = 1000 };

static const char push[] =
    "*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$5\r\nhello\r\n";

static struct wsr_reader *reader_with(const char *bytes, size_t len)
{
    struct wsr_reader *reader = wsr_reader_create(LIMIT);

    assert_non_null(reader);
    assert_true(wsr_reader_feed(reader, bytes, len));
    return reader;
}

/* The only reply in the bytes. */
static const struct wsr_reply *only(struct wsr_reader *reader)
{
    const struct wsr_reply *reply;

    assert_true(wsr_reader_next(reader, &reply));
    assert_non_null(reply);
    return reply;
}

static void assert_nothing(struct wsr_reader *reader)
{
    const struct wsr_reply *reply;

    assert_true(wsr_reader_next(reader, &reply));
    assert_null(reply);
}

static void assert_text(const struct wsr_reply *reply, enum wsr_type type,
                        const char *text)
{
    assert_int_equal(reply->type, type);
    assert_int_equal(reply->len, strlen(text));
    assert_string_equal(reply->text, text);
}

static void refused_bytes(const char *bytes, size_t len, const char *expected)
{
    struct wsr_reader *reader = wsr_reader_create(LIMIT);
    const struct wsr_reply *reply = NULL;
    bool ok = wsr_reader_feed(reader, bytes, len);

    while (ok) {
        ok = wsr_reader_next(reader, &reply);
        if (ok && !reply)
            fail_msg("'%.20s' was not refused", bytes);
    }
    assert_null(reply);
    if (!strstr(wsr_reader_error(reader), expected))
        fail_msg("'%s' instead of '%s'", wsr_reader_error(reader), expected);
    assert_false(wsr_reader_next(reader, &reply));
    assert_null(reply);
    wsr_reader_free(reader);
}

static void refused(const char *bytes, const char *expected)
{
    refused_bytes(bytes, strlen(bytes), expected);
}

static void test_reply_every_type_is_read(void **state)
{
    static const char bytes[] = "+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n$0\r\n\r\n"
                                "$2\r\n\r\n\r\n*0\r\n*-1\r\n";
    struct wsr_reader *reader = reader_with(bytes, sizeof bytes - 1);
    const struct wsr_reply *reply;

    (void)state;
    assert_text(only(reader), WSR_STATUS, "OK");
    assert_text(only(reader), WSR_ERROR, "ERR no");
    reply = only(reader);
    assert_int_equal(reply->type, WSR_INTEGER);
    assert_true(reply->integer == -12);
    assert_int_equal(only(reader)->type, WSR_NIL);
    assert_text(only(reader), WSR_STRING, "");
    assert_text(only(reader), WSR_STRING, "\r\n");
    reply = only(reader);
    assert_int_equal(reply->type, WSR_ARRAY);
    assert_int_equal(reply->count, 0);
    assert_int_equal(only(reader)->type, WSR_NIL);
    assert_nothing(reader);
    wsr_reader_free(reader);
}

static void assert_push(const struct wsr_reply *reply)
{
    assert_int_equal(reply->type, WSR_ARRAY);
    assert_int_equal(reply->count, 3);
    assert_text(&reply->items[0], WSR_STRING, "message");
    assert_text(&reply->items[1], WSR_STRING, "room");
    assert_text(&reply->items[2], WSR_STRING, "hello");
}

static void test_reply_in_single_bytes_is_the_same(void **state)
{
    struct wsr_reader *reader = wsr_reader_create(LIMIT);

    (void)state;
    for (size_t i = 0; i < sizeof push - 1; i++) {
        assert_nothing(reader);
        assert_true(wsr_reader_feed(reader, push + i, 1));
    }
    assert_push(only(reader));
    assert_nothing(reader);
    wsr_reader_free(reader);
}

static void test_reply_cut_anywhere_is_the_same(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < sizeof push - 1; cut++) {
        struct wsr_reader *reader = reader_with(push, cut);

        assert_nothing(reader);
        assert_true(wsr_reader_feed(reader, push + cut, sizeof push - 1 - cut));
        assert_push(only(reader));
        wsr_reader_free(reader);
    }
}

static void test_reply_nested_arrays_are_trees(void **state)
{
    static const char bytes[] =
        "*2\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n*3\r\n$-1\r\n-E\r\n+S\r\n";
    struct wsr_reader *reader = reader_with(bytes, sizeof bytes - 1);
    const struct wsr_reply *reply = only(reader), *inner;

    (void)state;
    assert_int_equal(reply->count, 2);
    inner = &reply->items[0];
    assert_true(inner->items[0].integer == 1);
    assert_text(&inner->items[1].items[0], WSR_STRING, "x");
    inner = &reply->items[1];
    assert_int_equal(inner->items[0].type, WSR_NIL);
    assert_text(&inner->items[1], WSR_ERROR, "E");
    assert_text(&inner->items[2], WSR_STATUS, "S");
    wsr_reader_free(reader);
}

static void test_reply_many_in_one_piece_come_in_order(void **state)
{
    struct wsr_reader *reader = wsr_reader_create(LIMIT);
    char line[32];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(line, sizeof line, ":%d\r\n", i);

        assert_true(wsr_reader_feed(reader, line, (size_t)len));
    }
    for (int i = 0; i < 5000; i++)
        assert_int_equal(only(reader)->integer, i);
    assert_nothing(reader);
    wsr_reader_free(reader);
}

static void test_reply_usual_push_reuses_its_memory(void **state)
{
    struct wsr_reader *reader = reader_with(push, sizeof push - 1);
    const struct wsr_reply *first = only(reader);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_nothing(reader);
        assert_true(wsr_reader_feed(reader, push, sizeof push - 1));
        assert_ptr_equal(only(reader), first);
    }
    wsr_reader_free(reader);
}

static void test_reply_string_of_the_limit_is_read(void **state)
{
    char bytes[LIMIT + 32];
    int at = snprintf(bytes, sizeof bytes, "$%d\r\n", LIMIT);
    struct wsr_reader *reader;

    (void)state;
    memset(bytes + at, 'x', LIMIT);
    memcpy(bytes + at + LIMIT, "\r\n", 3);
    reader = reader_with(bytes, (size_t)at + LIMIT + 2);
    assert_int_equal(only(reader)->len, LIMIT);
    wsr_reader_free(reader);
}

static void test_reply_string_over_the_limit_ends_at_its_header(void **state)
{
    (void)state;
    refused("$1001\r\n", "longer than the limit");
    refused("$536870912\r\n", "longer than the limit");
    refused("$9223372036854775807\r\n", "longer than the limit");
    refused("*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$1001\r\n",
            "longer than the limit");
}

static void test_reply_digits_of_other_lines_are_no_lengths(void **state)
{
    static const char *const starts[] = {":99999", "+99999", "-99999\r", "$99",
                                         "*99"};

    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct wsr_reader *reader = reader_with(starts[i], strlen(starts[i]));

        assert_nothing(reader);
        wsr_reader_free(reader);
    }
}

static void test_reply_malformed_is_refused(void **state)
{
    (void)state;
    refused("HTTP/1.1 400\r\n", "type byte");
    refused("\r\n", "type byte");
    refused("$x\r\n", "");
    refused("$-2\r\n", "");
    refused(":1x\r\n", "");
    refused("*-2\r\n", "");
    refused("*1\r\n?\r\n", "type byte");
}

static void test_reply_too_many_elements_are_refused(void **state)
{
    (void)state;
    refused("*65537\r\n", "too many elements");
    refused("*2147483647\r\n", "too many elements");
}

static void test_reply_too_deep_nesting_is_refused(void **state)
{
    struct wsr_reader *reader =
        reader_with("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", 32);

    (void)state;
    assert_int_equal(only(reader)->count, 1);
    wsr_reader_free(reader);
    refused("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "");
    refused("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "");
}

static void test_reply_large_altogether_is_refused(void **state)
{
    char *bytes = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&bytes, &len);

    (void)state;
    fprintf(stream, "*7\r\n");
    for (int i = 0; i < 7; i++) {
        fprintf(stream, "*65536\r\n");
        for (int j = 0; j < 65536; j++)
            fprintf(stream, ":1\r\n");
    }
    fclose(stream);
    refused_bytes(bytes, len, "too large");
    free(bytes);
}

static void test_reply_endless_line_is_refused(void **state)
{
    size_t len = 100000;
    char *bytes = malloc(len);

    (void)state;
    memset(bytes, 'x', len);
    bytes[0] = '-';
    refused_bytes(bytes, len, "a line is longer");
    free(bytes);
}

static void test_reply_words_are_compared_whole(void **state)
{
    static const char bytes[] = "+OK\r\n-MOVED 1 h:2\r\n-MOVEDX\r\n";
    struct wsr_reader *reader = reader_with(bytes, sizeof bytes - 1);
    const struct wsr_reply *reply = only(reader);

    (void)state;
    assert_true(wsr_reply_is(reply, "OK"));
    assert_false(wsr_reply_is(reply, "O"));
    assert_false(wsr_reply_is(reply, "OKAY"));
    assert_false(wsr_reply_error_is(reply, "OK"));
    reply = only(reader);
    assert_true(wsr_reply_error_is(reply, "MOVED"));
    assert_false(wsr_reply_error_is(reply, "MOVE"));
    assert_false(wsr_reply_error_is(only(reader), "MOVED"));
    wsr_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_reply_every_type_is_read),
        cmocka_unit_test(test_reply_in_single_bytes_is_the_same),
        cmocka_unit_test(test_reply_cut_anywhere_is_the_same),
        cmocka_unit_test(test_reply_nested_arrays_are_trees),
        cmocka_unit_test(test_reply_many_in_one_piece_come_in_order),
        cmocka_unit_test(test_reply_usual_push_reuses_its_memory),
        cmocka_unit_test(test_reply_string_of_the_limit_is_read),
        cmocka_unit_test(test_reply_string_over_the_limit_ends_at_its_header),
        cmocka_unit_test(test_reply_digits_of_other_lines_are_no_lengths),
        cmocka_unit_test(test_reply_malformed_is_refused),
        cmocka_unit_test(test_reply_too_many_elements_are_refused),
        cmocka_unit_test(test_reply_too_deep_nesting_is_refused),
        cmocka_unit_test(test_reply_large_altogether_is_refused),
        cmocka_unit_test(test_reply_endless_line_is_refused),
        cmocka_unit_test(test_reply_words_are_compared_whole),
    };

    return cmocka_run_group_tests_name("redis_reply", cases, NULL, NULL);
}

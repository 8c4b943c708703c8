#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/check.h"
#include "protocol/http.h"

struct fixture {
    struct wsh_head head;
    uint8_t *data; /* exactly the head's bytes */
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    free(f->data);
    free(f);
    return 0;
}

static int parse_bytes(struct fixture *f, const char *text, size_t len)
{
    free(f->data);
    f->data = malloc(len);
    assert_non_null(f->data);
    memcpy(f->data, text, len);
    return wsh_head_parse(f->data, len, &f->head);
}

static int parse(struct fixture *f, const char *text)
{
    return parse_bytes(f, text, strlen(text));
}

static void expect_view(struct wsh_view view, const char *text)
{
    assert_non_null(view.data);
    assert_int_equal(view.len, strlen(text));
    assert_memory_equal(view.data, text, view.len);
}

static void test_head_end_is_found_from_any_seen(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    const uint8_t *data = (const uint8_t *)text;
    size_t end = strlen(text) - 4;
    size_t seen, len;

    for (len = 0; len < end; len++)
        for (seen = 0; seen <= len; seen++)
            assert_int_equal(wsh_head_end(data, len, seen), 0);
    for (seen = 0; seen < end; seen++)
        assert_int_equal(wsh_head_end(data, sizeof text - 1, seen), end);
    assert_int_equal(wsh_head_end(NULL, 0, 0), 0);
}

static void test_head_request_line_is_taken_apart(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "GET /a/b?c=d?e HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    expect_view(f->head.method, "GET");
    expect_view(f->head.target, "/a/b?c=d?e");
    expect_view(f->head.path, "/a/b");
    expect_view(f->head.query, "c=d?e");
    assert_int_equal(f->head.minor, 1);
    assert_int_equal(parse(f, "POST / HTTP/1.0\r\n\r\n"), 0);
    assert_null(f->head.query.data);
    assert_int_equal(f->head.minor, 0);
    assert_int_equal(parse(f, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    expect_view(f->head.path, "*");
}

static void test_head_absolute_target_must_name_the_host(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        parse(f, "GET http://A:80/p?q HTTP/1.1\r\nHost: a:80\r\n\r\n"), 0);
    expect_view(f->head.path, "/p");
    expect_view(f->head.query, "q");
    assert_int_equal(parse(f, "GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    expect_view(f->head.path, "/");
    assert_int_equal(parse(f, "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    expect_view(f->head.path, "/");
    expect_view(f->head.query, "q");
    assert_int_equal(parse(f, "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
                     400);
}

static void test_head_fields_are_trimmed_and_found(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "GET / HTTP/1.1\r\nHOST:a\r\nX-Y: \t b c \t\r\n"
                              "Empty:\r\nx-y: second\r\nL1: \xe9\r\n\r\n"),
                     0);
    assert_int_equal(f->head.count, 5);
    expect_view(wsh_head_find(&f->head, "host"), "a");
    expect_view(wsh_head_find(&f->head, "x-Y"), "b c");
    expect_view(wsh_head_find(&f->head, "empty"), "");
    expect_view(wsh_head_find(&f->head, "l1"), "\xe9");
    assert_null(wsh_head_find(&f->head, "x").data);
    assert_int_equal(wsh_head_times(&f->head, "X-y"), 2);
    assert_int_equal(wsh_head_times(&f->head, "none"), 0);
}

static void test_head_token_is_found_in_any_occurrence(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "GET / HTTP/1.1\r\nHost: a\r\n"
                              "Connection: keep-alive ,, UPGRADE\r\n"
                              "Connection: x-y\r\n\r\n"),
                     0);
    assert_true(wsh_head_has_token(&f->head, "connection", "upgrade"));
    assert_true(wsh_head_has_token(&f->head, "connection", "keep-alive"));
    assert_true(wsh_head_has_token(&f->head, "connection", "x-y"));
    assert_false(wsh_head_has_token(&f->head, "connection", "x"));
    assert_false(wsh_head_has_token(&f->head, "connection", ""));
    assert_false(wsh_head_has_token(&f->head, "upgrade", "upgrade"));
}

#define H "Host: a\r\n"

static const struct {
    const char *text;
    int status;
} refused[] = {
    {"\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"GET /\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {" GET / HTTP/1.1\r\n" H "\r\n", 400},
    {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /#f HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\t HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http:// HTTP/1.1\r\n" H "\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / http/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.10\r\n" H "\r\n", 400},
    {"GET / HTTP/11\r\n" H "\r\n", 400},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"GET / HTTP/0.9\r\n" H "\r\n", 505},
    {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X : y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: y\r\n folded\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n X: y\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 00\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"HEAD / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" H
     "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
};

static void test_head_lenient_forms_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t i;

    for (i = 0; i < WSH_COUNT(refused); i++) {
        int status = parse(f, refused[i].text);

        if (status != refused[i].status)
            fail_msg("%d for %s", status, refused[i].text);
    }
}

static void test_head_nul_bytes_are_refused(void **state)
{
    static const char value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    static const char name[] = "GET / HTTP/1.1\r\nHost: a\r\nX\0: ab\r\n\r\n";
    static const char host[] = "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n";
    struct fixture *f = *state;

    assert_int_equal(parse_bytes(f, value, sizeof value - 1), 400);
    assert_int_equal(parse_bytes(f, name, sizeof name - 1), 400);
    assert_int_equal(parse_bytes(f, host, sizeof host - 1), 400);
}

static void test_head_bodies_of_other_methods_pass(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        parse(f, "POST / HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n"), 0);
    assert_int_equal(
        parse(f, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
        0);
    assert_int_equal(
        parse(f, "GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), 0);
}

static void test_head_target_over_4096_is_414(void **state)
{
    struct fixture *f = *state;
    char text[5000];
    int extra;

    for (extra = 0; extra < 2; extra++) {
        snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n" H "\r\n",
                 4095 + extra, 0);
        assert_int_equal(parse(f, text), extra ? 414 : 0);
    }
}

static void test_head_more_than_64_fields_are_431(void **state)
{
    struct fixture *f = *state;
    char text[1000] = "GET / HTTP/1.1\r\nHost: a\r\n";
    int i;

    for (i = 1; i < WSH_HEADERS_MAX; i++)
        strcat(text, "X: y\r\n");
    strcat(text, "\r\n");
    assert_int_equal(parse(f, text), 0);
    assert_int_equal(f->head.count, WSH_HEADERS_MAX);
    text[strlen(text) - 2] = '\0';
    strcat(text, "X: y\r\n\r\n");
    assert_int_equal(parse(f, text), 431);
}

static void test_view_comparisons_mind_length_and_case(void **state)
{
    const struct wsh_view view = {"abc-", 3};
    const struct wsh_view none = {0};

    assert_true(wsh_view_is(view, "abc"));
    assert_false(wsh_view_is(view, "aBc"));
    assert_true(wsh_view_is_nocase(view, "aBC"));
    assert_false(wsh_view_is_nocase(view, "aBC-"));
    assert_false(wsh_view_is(view, "ab"));
    assert_false(wsh_view_is(none, ""));
    assert_false(wsh_view_is_nocase(none, ""));
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_head_end_is_found_from_any_seen),
        HTTP_TEST(test_head_request_line_is_taken_apart),
        HTTP_TEST(test_head_absolute_target_must_name_the_host),
        HTTP_TEST(test_head_fields_are_trimmed_and_found),
        HTTP_TEST(test_head_token_is_found_in_any_occurrence),
        HTTP_TEST(test_head_lenient_forms_are_refused),
        HTTP_TEST(test_head_nul_bytes_are_refused),
        HTTP_TEST(test_head_bodies_of_other_methods_pass),
        HTTP_TEST(test_head_target_over_4096_is_414),
        HTTP_TEST(test_head_more_than_64_fields_are_431),
        HTTP_TEST(test_view_comparisons_mind_length_and_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/check.h"
#include "protocol/upgrade.h"

#define LINE "GET /chat HTTP/1.1\r\nHost: a\r\n"
#define CONNECTION "Connection: keep-alive, Upgrade\r\n"
#define UPGRADE "Upgrade: WebSocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GOOD LINE CONNECTION UPGRADE VERSION KEY

/* Text and head live as long as the program. */
static struct wsh_head *parse(const char *text)
{
    static struct wsh_head head;

    assert_int_equal(wsh_head_parse((const uint8_t *)text, strlen(text), &head),
                     0);
    return &head;
}

static void test_upgrade_good_request_passes(void **state)
{
    const struct wsh_head *head = parse(GOOD "\r\n");

    assert_true(wsh_upgrade_wanted(head));
    assert_int_equal(wsh_upgrade_check(head), 0);
    assert_int_equal(wsh_upgrade_check(parse(GOOD "Content-Length: 0\r\n\r\n")),
                     0);
}

#define K(key)                                                                 \
    LINE CONNECTION UPGRADE VERSION "Sec-WebSocket-Key:" key "\r\n\r\n"

static const struct {
    const char *text;
    int status;
} refused[] = {
    {"POST / HTTP/1.1\r\nHost: a\r\n" CONNECTION UPGRADE VERSION KEY "\r\n",
     405},
    {"get / HTTP/1.1\r\nHost: a\r\n" CONNECTION UPGRADE VERSION KEY "\r\n",
     405},
    {"GET / HTTP/1.0\r\nHost: a\r\n" CONNECTION UPGRADE VERSION KEY "\r\n",
     400},
    {LINE UPGRADE VERSION KEY "\r\n", 400},
    {LINE "Connection: close\r\n" UPGRADE VERSION KEY "\r\n", 400},
    {LINE CONNECTION VERSION KEY "\r\n", 400},
    {LINE CONNECTION "Upgrade: h2c\r\n" VERSION KEY "\r\n", 400},
    {LINE CONNECTION UPGRADE KEY "\r\n", 400},
    {LINE CONNECTION UPGRADE VERSION VERSION KEY "\r\n", 400},
    {LINE CONNECTION UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", 426},
    {LINE CONNECTION UPGRADE "Sec-WebSocket-Version: 14\r\n" KEY "\r\n", 426},
    {LINE CONNECTION UPGRADE "Sec-WebSocket-Version: 13, 8\r\n" KEY "\r\n",
     426},
    {LINE CONNECTION UPGRADE VERSION "\r\n", 400},
    {GOOD KEY "\r\n", 400},
    {K(""), 400},
    {K("dGhlIHNhbXBsZSBub25jZQ"), 400},
    {K("dGhlIHNhbXBsZSBub25jZQ="), 400},
    {K("dGhlIHNhbXBsZSBub25jZQA="), 400},
    {K("dGhlIHNhbXBsZSBub25jZQAA"), 400},
    {K("dGhlIHNhbXBsZSBub25j!Q=="), 400},
    {K("dGhlIHNhbXBsZSBub25jZ==="), 400},
    {K("dGhlIHNhbXBsZSBub25jZQAAAA=="), 400},
};

static void test_upgrade_faulty_requests_are_refused(void **state)
{
    size_t i;

    for (i = 0; i < WSH_COUNT(refused); i++) {
        int status = wsh_upgrade_check(parse(refused[i].text));

        if (status != refused[i].status)
            fail_msg("%d for %s", status, refused[i].text);
    }
}

/* Even if a caller builds a head that wsh_head_parse() would refuse. */
static void test_upgrade_with_body_is_refused(void **state)
{
    struct wsh_head *head = parse(GOOD "X: 5\r\n\r\n");

    head->name[head->count - 1] = (struct wsh_view){"content-length", 14};
    assert_int_equal(wsh_upgrade_check(head), 400);
    head->name[head->count - 1] = (struct wsh_view){"transfer-encoding", 17};
    assert_int_equal(wsh_upgrade_check(head), 400);
}

static void test_upgrade_of_another_protocol_is_not_wanted(void **state)
{
    assert_false(wsh_upgrade_wanted(parse(LINE "\r\n")));
    assert_false(wsh_upgrade_wanted(parse(LINE "Upgrade: h2c\r\n\r\n")));
    assert_true(
        wsh_upgrade_wanted(parse(LINE "Upgrade: h2c, websocket\r\n\r\n")));
}

static void test_upgrade_json_is_offered_by_exact_name(void **state)
{
#define P "Sec-WebSocket-Protocol: "
    assert_false(wsh_upgrade_offers_json(parse(GOOD "\r\n")));
    assert_false(wsh_upgrade_offers_json(parse(GOOD P "chat\r\n\r\n")));
    assert_false(wsh_upgrade_offers_json(parse(GOOD P "WS_HUB.V1\r\n\r\n")));
    assert_false(wsh_upgrade_offers_json(parse(GOOD P "ws_hub.v11\r\n\r\n")));
    assert_true(
        wsh_upgrade_offers_json(parse(GOOD P "chat, ws_hub.v1\r\n\r\n")));
    assert_true(wsh_upgrade_offers_json(
        parse(GOOD P "chat\r\n" P "ws_hub.v1\r\n\r\n")));
#undef P
}

/* Key and answer are those of RFC 6455 section 1.3. */
static void test_upgrade_answer_is_that_of_the_rfc(void **state)
{
    char to[WSH_ANSWER_MAX];
    size_t len = wsh_upgrade_answer(to, parse(GOOD "\r\n"), false);

    assert_int_equal(len, strlen(to));
    assert_string_equal(
        to, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

static void test_upgrade_answer_names_json_if_chosen(void **state)
{
    char to[WSH_ANSWER_MAX];

    wsh_upgrade_answer(to, parse(GOOD "\r\n"), true);
    assert_non_null(strstr(to, "\r\nSec-WebSocket-Protocol: ws_hub.v1\r\n"));
    assert_null(strstr(to, "Extensions"));
}

/* The body is as long as announced, and the connection closes. */
static void check_refusal(const char *text, size_t len)
{
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "\r\nContent-Length: ");

    assert_int_equal(len, strlen(text));
    assert_non_null(body);
    assert_non_null(length);
    assert_int_equal(strtoul(length + 18, NULL, 10), strlen(body + 4));
    assert_non_null(strstr(text, "\r\nConnection: close"));
}

static void test_refusal_carries_what_its_status_needs(void **state)
{
    char to[WSH_ANSWER_MAX];

    check_refusal(to, wsh_http_refusal(to, 503, 7));
    assert_memory_equal(to, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_non_null(strstr(to, "\r\nRetry-After: 7\r\n"));
    check_refusal(to, wsh_http_refusal(to, 503, 0));
    assert_null(strstr(to, "Retry-After"));
    check_refusal(to, wsh_http_refusal(to, 429, 1));
    assert_non_null(strstr(to, "\r\nRetry-After: 1\r\n"));
    check_refusal(to, wsh_http_refusal(to, 400, 7));
    assert_null(strstr(to, "Retry-After"));
    check_refusal(to, wsh_http_refusal(to, 426, 0));
    assert_non_null(strstr(to, "\r\nSec-WebSocket-Version: 13\r\n"));
    check_refusal(to, wsh_http_refusal(to, 405, 0));
    assert_non_null(strstr(to, "\r\nAllow: GET\r\n"));
}

static void test_refusal_of_any_status_fits(void **state)
{
    char to[WSH_ANSWER_MAX];
    int status;

    for (status = 100; status < 600; status++)
        check_refusal(to, wsh_http_refusal(to, status, 4294967295u));
    assert_string_equal(wsh_http_phrase(404), "Not Found");
    assert_string_equal(wsh_http_phrase(499), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade_good_request_passes),
        cmocka_unit_test(test_upgrade_faulty_requests_are_refused),
        cmocka_unit_test(test_upgrade_with_body_is_refused),
        cmocka_unit_test(test_upgrade_of_another_protocol_is_not_wanted),
        cmocka_unit_test(test_upgrade_json_is_offered_by_exact_name),
        cmocka_unit_test(test_upgrade_answer_is_that_of_the_rfc),
        cmocka_unit_test(test_upgrade_answer_names_json_if_chosen),
        cmocka_unit_test(test_refusal_carries_what_its_status_needs),
        cmocka_unit_test(test_refusal_of_any_status_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

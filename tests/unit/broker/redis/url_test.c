/* url_test.c: addresses of Redis servers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker/redis/url.h"
#include "ws_hub/error.h"

static struct wsr_url good(const char *text)
{
    struct wsr_url url;
    const char *why;

    if (wsr_url_parse(text, &url, &why))
        fail_msg("%s: %s", text, why);
    assert_null(why);
    return url;
}

static void bad(const char *text, int status, const char *expected)
{
    struct wsr_url url;
    const char *why = NULL;

    assert_int_equal(wsr_url_parse(text, &url, &why), status);
    assert_non_null(why);
    if (!strstr(why, expected))
        fail_msg("%s: '%s' instead of '%s'", text, why, expected);
}

static void named(const char *text, const char *expected)
{
    struct wsr_url url = good(text);
    char name[WSR_NAME_MAX];

    wsr_url_name(&url, name);
    assert_string_equal(name, expected);
}

static void test_url_host_alone_has_defaults(void **state)
{
    struct wsr_url url = good("redis://cache.example");

    (void)state;
    assert_string_equal(url.host, "cache.example");
    assert_int_equal(url.port, 6379);
    assert_int_equal(url.db, 0);
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "");
    assert_string_equal(url.path, "");
}

static void test_url_every_part_is_read(void **state)
{
    struct wsr_url url = good("redis://al:s3@host:7000/12");

    (void)state;
    assert_string_equal(url.host, "host");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.db, 12);
    assert_string_equal(url.user, "al");
    assert_string_equal(url.password, "s3");
}

static void test_url_password_without_user_is_read(void **state)
{
    struct wsr_url url = good("redis://:secret@host/");

    (void)state;
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "secret");
    assert_int_equal(url.db, 0);
}

static void test_url_escapes_are_decoded(void **state)
{
    struct wsr_url url = good("redis://a%3ab:p%40%2F%3f%25@host");

    (void)state;
    assert_string_equal(url.user, "a:b");
    assert_string_equal(url.password, "p@/?%");
}

static void test_url_password_may_hold_an_at_sign(void **state)
{
    struct wsr_url url = good("redis://u:a@b:c@host:1");

    (void)state;
    assert_string_equal(url.password, "a@b:c");
    assert_string_equal(url.host, "host");
}

static void test_url_v6_stands_in_brackets(void **state)
{
    struct wsr_url url = good("redis://[::1]:7001/3");

    (void)state;
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7001);
    assert_int_equal(url.db, 3);
    assert_int_equal(good("redis://[fe80::1]").port, 6379);
}

static void test_url_unix_path_and_parameters_are_read(void **state)
{
    struct wsr_url url =
        good("redis+unix:///run/re%20dis.sock?db=4&user=u&password=p%26q");

    (void)state;
    assert_string_equal(url.host, "");
    assert_string_equal(url.path, "/run/re dis.sock");
    assert_int_equal(url.db, 4);
    assert_string_equal(url.user, "u");
    assert_string_equal(url.password, "p&q");
}

static void test_url_what_is_wrong_is_named(void **state)
{
    (void)state;
    bad("", WS_HUB_EINVAL, "begins neither");
    bad("http://host", WS_HUB_EINVAL, "begins neither");
    bad("REDIS://host", WS_HUB_EINVAL, "begins neither");
    bad("redis:/host", WS_HUB_EINVAL, "begins neither");
    bad("redis://", WS_HUB_EINVAL, "no host");
    bad("redis://:7000", WS_HUB_EINVAL, "no host");
    bad("redis://host:", WS_HUB_EINVAL, "port");
    bad("redis://host:0", WS_HUB_EINVAL, "port");
    bad("redis://host:65536", WS_HUB_EINVAL, "port");
    bad("redis://host:+1", WS_HUB_EINVAL, "port");
    bad("redis://host:99999999999", WS_HUB_EINVAL, "port");
    bad("redis://::1", WS_HUB_EINVAL, "brackets");
    bad("redis://[::1", WS_HUB_EINVAL, "']'");
    bad("redis://[::1]7", WS_HUB_EINVAL, "']'");
    bad("redis://host/x", WS_HUB_EINVAL, "database");
    bad("redis://host/1/2", WS_HUB_EINVAL, "database");
    bad("redis://host/-1", WS_HUB_EINVAL, "database");
    bad("redis://host?db=1", WS_HUB_EINVAL, "'?'");
    bad("redis://secret@host", WS_HUB_EINVAL, "':'");
    bad("redis://:a%2@host", WS_HUB_EINVAL, "password");
    bad("redis://:a%zz@host", WS_HUB_EINVAL, "password");
    bad("redis://:a%00@host", WS_HUB_EINVAL, "password");
    bad("redis+unix://", WS_HUB_EINVAL, "path");
    bad("redis+unix://run/x", WS_HUB_EINVAL, "path");
    bad("redis+unix:///x?db", WS_HUB_EINVAL, "'='");
    bad("redis+unix:///x?db=a", WS_HUB_EINVAL, "database");
    bad("redis+unix:///x?pass=a", WS_HUB_EINVAL, "unknown parameter");
}

static void test_url_tls_is_the_same_with_tls(void **state)
{
    struct wsr_url url;
    const char *why;

    (void)state;
    assert_int_equal(wsr_url_parse("rediss://:x@[::1]:7000/3", &url, &why), 0);
    assert_true(url.tls);
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.db, 3);
    assert_string_equal(url.password, "x");
    assert_int_equal(wsr_url_parse("rediss://host", &url, &why), 0);
    assert_int_equal(url.port, 6379);
    assert_int_equal(wsr_url_parse("redis://host", &url, &why), 0);
    assert_false(url.tls);
    bad("rediss+unix:///x", WS_HUB_EINVAL, "begins");
}

static void test_url_too_long_parts_are_refused(void **state)
{
    char text[2000] = "redis://";
    size_t len = strlen(text);

    (void)state;
    memset(text + len, 'h', WSR_HOST_MAX - 1);
    text[len + WSR_HOST_MAX - 1] = '\0';
    (void)good(text);
    text[len + WSR_HOST_MAX - 1] = 'h';
    text[len + WSR_HOST_MAX] = '\0';
    bad(text, WS_HUB_EINVAL, "host");
    strcpy(text, "redis+unix:///");
    len = strlen(text);
    memset(text + len, 'p', WSR_PATH_MAX - 1);
    text[len + WSR_PATH_MAX - 1] = '\0';
    bad(text, WS_HUB_EINVAL, "path");
}

static void test_url_name_shows_no_secret(void **state)
{
    (void)state;
    named("redis://u:p@host/3", "host:6379");
    named("redis://u:p@[::1]:7", "[::1]:7");
    named("redis+unix:///x/y?password=p", "/x/y");
}

static void test_url_at_keeps_credentials_only(void **state)
{
    struct wsr_url like = good("redis://u:p@first:1"), url;

    (void)state;
    assert_true(wsr_url_at(&url, &like, "secondX", 6, 7002));
    assert_string_equal(url.host, "second");
    assert_int_equal(url.port, 7002);
    assert_string_equal(url.user, "u");
    assert_string_equal(url.password, "p");
    assert_false(wsr_url_at(&url, &like, "", 0, 7002));
    assert_false(wsr_url_at(&url, &like, "h", 1, 0));
    assert_false(wsr_url_at(&url, &like, "h", 1, 65536));
    assert_false(wsr_url_at(&url, &like, "a\0b", 3, 1));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_url_host_alone_has_defaults),
        cmocka_unit_test(test_url_every_part_is_read),
        cmocka_unit_test(test_url_password_without_user_is_read),
        cmocka_unit_test(test_url_escapes_are_decoded),
        cmocka_unit_test(test_url_password_may_hold_an_at_sign),
        cmocka_unit_test(test_url_v6_stands_in_brackets),
        cmocka_unit_test(test_url_unix_path_and_parameters_are_read),
        cmocka_unit_test(test_url_what_is_wrong_is_named),
        cmocka_unit_test(test_url_tls_is_the_same_with_tls),
        cmocka_unit_test(test_url_too_long_parts_are_refused),
        cmocka_unit_test(test_url_name_shows_no_secret),
        cmocka_unit_test(test_url_at_keeps_credentials_only),
    };

    return cmocka_run_group_tests_name("redis_url", cases, NULL, NULL);
}

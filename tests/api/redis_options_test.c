/* Options of the Redis broker: sizes, ranges, and what is said about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub.h>
#include <ws_hub/redis.h>

/* A structure of a library that is newer by one member. */
struct newer {
    ws_hub_redis_options known;
    uint64_t unknown;
};

static const char *const one[] = {"redis://:secret@127.0.0.1:7000"};
static const char *const three[] = {"redis://a", "redis://b", "redis://c"};

static void init(ws_hub_redis_options *options)
{
    ws_hub_redis_options_init(options);
    options->urls = one;
    options->url_count = 1;
}

static void accepted(const ws_hub_redis_options *options)
{
    const ws_hub_broker_ops *ops = NULL;
    void *self = NULL;
    char error[200] = "stale";

    if (ws_hub_redis_broker(options, &ops, &self, error, sizeof error))
        fail_msg("%s", error);
    assert_string_equal(error, "");
    assert_non_null(ops);
    assert_non_null(self);
    ops->destroy(self);
}

static void refused(const ws_hub_redis_options *options, int status,
                    const char *text)
{
    const ws_hub_broker_ops *ops = (void *)1;
    void *self = (void *)1;
    char error[200] = "";

    assert_int_equal(
        ws_hub_redis_broker(options, &ops, &self, error, sizeof error), status);
    if (!strstr(error, text))
        fail_msg("'%s' instead of '%s'", error, text);
    assert_null(strstr(error, "secret"));
    assert_null(ops);
    assert_null(self);
}

static void test_redis_options_init_sets_the_documented_defaults(void **state)
{
    ws_hub_redis_options options;

    (void)state;
    ws_hub_redis_options_init(&options);
    assert_int_equal(options.struct_size, sizeof options);
    assert_int_equal(options.connect_timeout_ms, 3000);
    assert_int_equal(options.command_timeout_ms, 5000);
    assert_int_equal(options.keepalive_s, 15);
    assert_int_equal(options.max_message_bytes, 1 << 20);
    assert_int_equal(options.url_count, 0);
}

static void test_redis_options_every_topology_is_made(void **state)
{
    ws_hub_redis_options options;

    (void)state;
    init(&options);
    accepted(&options);
    options.urls = three;
    options.url_count = 3;
    accepted(&options);
    options.cluster = 1;
    accepted(&options);
    options.url_count = 1;
    accepted(&options);
}

/* In a heap block of exactly the size, so that ASan sees a byte too far. */
static void test_redis_options_older_structure_is_taken(void **state)
{
    /* volatile: the compiler would warn of what is meant here. */
    volatile size_t size = offsetof(ws_hub_redis_options, cluster);
    ws_hub_redis_options *options = malloc(size);

    (void)state;
    assert_non_null(options);
    ws_hub_redis_options_init_sized(options, size);
    assert_int_equal(options->struct_size, size);
    options->urls = one;
    options->url_count = 1;
    accepted(options);
    free(options);
}

static void test_redis_options_newer_structure_must_have_a_zero_tail(void **s)
{
    struct newer newer;

    (void)s;
    ws_hub_redis_options_init_sized(&newer.known, sizeof newer);
    newer.known.urls = one;
    newer.known.url_count = 1;
    accepted(&newer.known);
    newer.unknown = 1;
    refused(&newer.known, WS_HUB_ENOTSUP, "size");
    newer.known.struct_size = 4;
    refused(&newer.known, WS_HUB_EINVAL, "size");
}

static void test_redis_options_zero_means_default(void **state)
{
    ws_hub_redis_options options;

    (void)state;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.urls = one;
    options.url_count = 1;
    accepted(&options);
}

static void test_redis_options_urls_are_needed(void **state)
{
    static const char *const null[] = {"redis://a", NULL};
    ws_hub_redis_options options;

    (void)state;
    init(&options);
    options.url_count = 0;
    refused(&options, WS_HUB_EINVAL, "URLs");
    options.url_count = 65;
    refused(&options, WS_HUB_EINVAL, "URLs");
    options.urls = NULL;
    options.url_count = 1;
    refused(&options, WS_HUB_EINVAL, "URLs");
    options.urls = null;
    options.url_count = 2;
    refused(&options, WS_HUB_EINVAL, "URL 2 is NULL");
}

static void test_redis_options_bad_url_is_named_without_its_secret(void **state)
{
    static const char *const bad[] = {"redis://a", "redis://u:secret@b:x"};
    static const char *const twice[] = {"redis://a", "redis://u:secret@a/0"};
    ws_hub_redis_options options;

    (void)state;
    init(&options);
    options.urls = bad;
    options.url_count = 2;
    refused(&options, WS_HUB_EINVAL, "URL 2: bad port");
    options.urls = twice;
    refused(&options, WS_HUB_EINVAL, "URLs 1 and 2 are the same server");
}

static void test_redis_options_of_tls_want_a_url_with_tls(void **state)
{
    static const char *const tls[] = {"rediss://u:secret@b"};
    static const char *const mixed[] = {"rediss://a", "redis://b"};
    ws_hub_redis_options options;

    (void)state;
    init(&options);
    options.tls_name = "redis";
    refused(&options, WS_HUB_EINVAL, "rediss://");
    options.urls = tls;
    accepted(&options);
    options.tls_cert = "/dev/null";
    refused(&options, WS_HUB_EINVAL, "tls_cert and tls_key go together");
    options.tls_key = "/dev/null";
    refused(&options, WS_HUB_EINVAL, "tls_cert holds no certificate");
    options.tls_cert = options.tls_key = NULL;
    options.tls_ca = "/nonexistent/ca.pem";
    refused(&options, WS_HUB_EINVAL, "tls_ca");
    options.tls_ca = NULL;
    options.urls = mixed;
    options.url_count = 2;
    accepted(&options);
    options.cluster = 1;
    refused(&options, WS_HUB_EINVAL, "all of its nodes");
}

static void test_redis_options_cluster_has_tcp_and_no_databases(void **state)
{
    static const char *const local[] = {"redis+unix:///x"};
    static const char *const db[] = {"redis://a/1"};
    ws_hub_redis_options options;

    (void)state;
    init(&options);
    options.cluster = 1;
    options.urls = local;
    refused(&options, WS_HUB_EINVAL, "cluster");
    options.urls = db;
    refused(&options, WS_HUB_EINVAL, "cluster");
    options.cluster = 0;
    accepted(&options);
}

static void test_redis_options_numbers_have_ranges(void **state)
{
    ws_hub_redis_options options;

    (void)state;
#define OUT_OF_RANGE(member, value)                                            \
    do {                                                                       \
        init(&options);                                                        \
        options.member = value;                                                \
        refused(&options, WS_HUB_EINVAL, #member);                             \
    } while (0)
    OUT_OF_RANGE(connect_timeout_ms, 3600001);
    OUT_OF_RANGE(command_timeout_ms, 3600001);
    OUT_OF_RANGE(keepalive_s, 32768);
    OUT_OF_RANGE(max_message_bytes, (256u << 20) + 1);
    OUT_OF_RANGE(max_output_bytes, (1u << 20) + 4095);
    OUT_OF_RANGE(max_output_bytes, (1u << 30) + 1);
    OUT_OF_RANGE(max_inbound_bytes, (1u << 20) + 4095);
    OUT_OF_RANGE(max_inbound_bytes, (512u << 20) + 1);
#undef OUT_OF_RANGE
    init(&options);
    options.max_message_bytes = 256u << 20;
    accepted(&options);
}

static void test_redis_options_null_is_refused(void **state)
{
    const ws_hub_broker_ops *ops;
    ws_hub_redis_options options;
    void *self;

    (void)state;
    init(&options);
    assert_int_equal(ws_hub_redis_broker(NULL, &ops, &self, NULL, 0),
                     WS_HUB_EINVAL);
    assert_int_equal(ws_hub_redis_broker(&options, NULL, &self, NULL, 0),
                     WS_HUB_EINVAL);
    assert_int_equal(ws_hub_redis_broker(&options, &ops, NULL, NULL, 0),
                     WS_HUB_EINVAL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_redis_options_init_sets_the_documented_defaults),
        cmocka_unit_test(test_redis_options_every_topology_is_made),
        cmocka_unit_test(test_redis_options_older_structure_is_taken),
        cmocka_unit_test(
            test_redis_options_newer_structure_must_have_a_zero_tail),
        cmocka_unit_test(test_redis_options_zero_means_default),
        cmocka_unit_test(test_redis_options_urls_are_needed),
        cmocka_unit_test(
            test_redis_options_bad_url_is_named_without_its_secret),
        cmocka_unit_test(test_redis_options_of_tls_want_a_url_with_tls),
        cmocka_unit_test(test_redis_options_cluster_has_tcp_and_no_databases),
        cmocka_unit_test(test_redis_options_numbers_have_ranges),
        cmocka_unit_test(test_redis_options_null_is_refused),
    };

    return cmocka_run_group_tests_name("redis_options", cases, NULL, NULL);
}

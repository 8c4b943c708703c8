#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub/settings.h"
#include "ws_hub/error.h"

static char logged[256];

static void on_log(ws_hub_log_level level, const char *text, void *user)
{
    (void)level;
    (void)user;
    strncpy(logged, text, sizeof logged - 1);
}

static const ws_hub_callbacks callbacks = {.struct_size = sizeof callbacks,
                                           .on_log = on_log};

static void test_settings_zero_means_default(void **state)
{
    struct wsh_settings settings;
    ws_hub_options options = {.struct_size = sizeof options};

    (void)state;
    assert_int_equal(wsh_settings_init(&settings, &options), 0);
    assert_int_equal(settings.o.send_limit, 1 << 20);
    assert_int_equal(settings.o.heartbeat_ms, 30000);
    assert_int_equal(settings.o.loops, 1);
    assert_string_equal(settings.o.server_id, "ws_hub");
    wsh_settings_fini(&settings);
}

static void test_settings_none_are_the_defaults(void **state)
{
    struct wsh_settings settings;

    (void)state;
    assert_int_equal(wsh_settings_init(&settings, NULL), 0);
    assert_int_equal(settings.o.fragment_bytes, 16384);
    wsh_settings_fini(&settings);
}

static void test_settings_bad_number_is_named(void **state)
{
    struct wsh_settings settings;
    ws_hub_options options;

    (void)state;
    ws_hub_options_init(&options);
    options.callbacks = &callbacks;
    options.fragment_bytes = 5;
    assert_int_equal(wsh_settings_init(&settings, &options), WS_HUB_EINVAL);
    assert_non_null(strstr(logged, "fragment_bytes"));
}

static void test_settings_contradictions_are_refused(void **state)
{
    struct wsh_settings settings;
    ws_hub_options options;

    (void)state;
    ws_hub_options_init(&options);
    options.tls_cert = "cert.pem";
    assert_int_equal(wsh_settings_init(&settings, &options), WS_HUB_EINVAL);
    ws_hub_options_init(&options);
    options.uv_loop = &options;
    options.loops = 2;
    assert_int_equal(wsh_settings_init(&settings, &options), WS_HUB_EINVAL);
    ws_hub_options_init(&options);
    options.sender = (ws_hub_sender)9;
    assert_int_equal(wsh_settings_init(&settings, &options), WS_HUB_EINVAL);
    ws_hub_options_init(&options);
    options.count_unsent = 2;
    assert_int_equal(wsh_settings_init(&settings, &options), WS_HUB_EINVAL);
}

/* A host compiled against an older header passes fewer bytes: exactly so many
 * may be read (ASan sees the heap block's end). */
static void test_settings_older_struct_is_read_to_its_end(void **state)
{
    size_t old_size = offsetof(ws_hub_options, retry_after_s);
    size_t at = offsetof(ws_hub_options, max_connections);
    const unsigned connections = 77;
    void *old = malloc(old_size);
    struct wsh_settings settings;

    (void)state;
    assert_non_null(old);
    ws_hub_options_init_sized(old, old_size);
    memcpy((char *)old + at, &connections, sizeof connections);
    assert_int_equal(wsh_settings_init(&settings, old), 0);
    assert_int_equal(settings.o.max_connections, 77);
    assert_int_equal(settings.o.retry_after_s, 5);
    wsh_settings_fini(&settings);
    free(old);
}

static void test_settings_newer_struct_needs_a_zero_tail(void **state)
{
    struct {
        ws_hub_options known;
        uint64_t unknown;
    } newer;
    struct wsh_settings settings;

    (void)state;
    memset(&newer, 0, sizeof newer);
    ws_hub_options_init(&newer.known);
    newer.known.struct_size = sizeof newer;
    assert_int_equal(wsh_settings_init(&settings, &newer.known), 0);
    wsh_settings_fini(&settings);
    newer.unknown = 1;
    assert_int_equal(wsh_settings_init(&settings, &newer.known),
                     WS_HUB_ENOTSUP);
}

static void test_settings_strings_are_copies(void **state)
{
    char url[] = "tcp://127.0.0.1:0", id[] = "node-a";
    const char *urls[] = {url};
    struct wsh_settings settings;
    ws_hub_options options;

    (void)state;
    ws_hub_options_init(&options);
    options.bind_urls = urls;
    options.bind_count = 1;
    options.server_id = id;
    assert_int_equal(wsh_settings_init(&settings, &options), 0);
    memset(url, 'x', sizeof url - 1);
    memset(id, 'x', sizeof id - 1);
    urls[0] = NULL;
    assert_string_equal(settings.o.bind_urls[0], "tcp://127.0.0.1:0");
    assert_string_equal(settings.o.server_id, "node-a");
    wsh_settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_settings_zero_means_default),
        cmocka_unit_test(test_settings_none_are_the_defaults),
        cmocka_unit_test(test_settings_bad_number_is_named),
        cmocka_unit_test(test_settings_contradictions_are_refused),
        cmocka_unit_test(test_settings_older_struct_is_read_to_its_end),
        cmocka_unit_test(test_settings_newer_struct_needs_a_zero_tail),
        cmocka_unit_test(test_settings_strings_are_copies),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* Sized structures: what an older or a newer program may hand in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub.h>

/* A structure of a library that is newer by one member. */
struct newer {
    ws_hub_options known;
    uint64_t unknown;
};

/* A heap block of exactly the size, so that ASan sees a byte too far. */
static ws_hub_options *sized_options(size_t size)
{
    ws_hub_options *options = malloc(size);

    assert_non_null(options);
    memset(options, 0xa5, size);
    ws_hub_options_init_sized(options, size);
    return options;
}

static int create_and_destroy(const ws_hub_options *options)
{
    ws_hub *hub = NULL;
    int status = ws_hub_create(&hub, options);

    assert_int_equal(hub != NULL, status == 0);
    ws_hub_destroy(hub);
    return status;
}

static void test_options_init_sets_the_size(void **state)
{
    ws_hub_options options;

    ws_hub_options_init(&options);
    assert_int_equal(options.struct_size, sizeof(options));
}

static void test_options_init_sets_the_documented_defaults(void **state)
{
    ws_hub_options options;

    ws_hub_options_init(&options);
    assert_int_equal(options.loops, 1);
    assert_int_equal(options.retry_after_s, 5);
    assert_int_equal(options.max_header_bytes, 8192);
    assert_int_equal(options.handshake_timeout_ms, 10000);
    assert_int_equal(options.max_message_bytes, 1 << 20);
    assert_int_equal(options.max_fragments, 131072);
    assert_int_equal(options.max_json_bytes, 65536);
    assert_int_equal(options.max_json_depth, 32);
    assert_int_equal(options.max_channels_per_conn, 128);
    assert_int_equal(options.max_channels, 1000000);
    assert_int_equal(options.send_limit, 1 << 20);
    assert_int_equal(options.notsent_lowat, 128 << 10);
    assert_int_equal(options.count_unsent, 0);
    assert_int_equal(options.heartbeat_ms, 30000);
    assert_int_equal(options.heartbeat_timeout_ms, 10000);
    assert_int_equal(options.close_timeout_ms, 5000);
    assert_int_equal(options.flush_turns, 16);
    assert_int_equal(options.flush_bytes, 65536);
    assert_int_equal(options.flush_us, 2000);
    assert_int_equal(options.write_bytes, 65536);
    assert_int_equal(options.fragment_bytes, 16384);
    assert_int_equal(options.mailbox_bytes, 64 << 20);
    assert_int_equal(options.linger_ms, 1000);
    assert_int_equal(options.probe_ms, 5000);
    assert_int_equal(options.audit_ms, 30000);
    assert_int_equal(options.outage_no_local, 0);
    assert_int_equal(options.outage_hold, 0);
}

static void test_options_none_makes_a_hub(void **state)
{
    assert_int_equal(create_and_destroy(NULL), 0);
}

static void test_options_smaller_structure_is_accepted(void **state)
{
    static const size_t sizes[] = {
        offsetof(ws_hub_options, loops), offsetof(ws_hub_options, broker),
        offsetof(ws_hub_options, probe_ms), offsetof(ws_hub_options, user),
        sizeof(ws_hub_options)};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ws_hub_options *options = sized_options(sizes[i]);

        assert_int_equal(options->struct_size, sizes[i]);
        assert_int_equal(create_and_destroy(options), 0);
        free(options);
    }
}

static void
test_options_larger_structure_with_zero_tail_is_accepted(void **state)
{
    struct newer *newer = (void *)sized_options(sizeof(*newer));

    assert_int_equal(newer->unknown, 0);
    assert_int_equal(create_and_destroy(&newer->known), 0);
    free(newer);
}

static void
test_options_larger_structure_with_a_set_tail_is_refused(void **state)
{
    struct newer *newer = (void *)sized_options(sizeof(*newer));

    newer->unknown = 1;
    assert_int_equal(create_and_destroy(&newer->known), WS_HUB_ENOTSUP);
    free(newer);
}

static void test_options_structure_without_a_size_is_refused(void **state)
{
    ws_hub_options options;

    ws_hub_options_init(&options);
    options.struct_size = 0;
    assert_int_equal(create_and_destroy(&options), WS_HUB_EINVAL);
}

static void test_options_all_zero_members_mean_the_defaults(void **state)
{
    ws_hub_options options;

    memset(&options, 0, sizeof(options));
    options.struct_size = sizeof(options);
    assert_int_equal(create_and_destroy(&options), 0);
}

static void test_options_out_of_range_is_refused(void **state)
{
    ws_hub_options options;

    ws_hub_options_init(&options);
    options.loops = 65;
    assert_int_equal(create_and_destroy(&options), WS_HUB_EINVAL);
    ws_hub_options_init(&options);
    options.outage_no_local = 2;
    assert_int_equal(create_and_destroy(&options), WS_HUB_EINVAL);
    ws_hub_options_init(&options);
    options.outage_hold = (1 << 20) + 1;
    assert_int_equal(create_and_destroy(&options), WS_HUB_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_init_sets_the_size),
        cmocka_unit_test(test_options_init_sets_the_documented_defaults),
        cmocka_unit_test(test_options_none_makes_a_hub),
        cmocka_unit_test(test_options_smaller_structure_is_accepted),
        cmocka_unit_test(
            test_options_larger_structure_with_zero_tail_is_accepted),
        cmocka_unit_test(
            test_options_larger_structure_with_a_set_tail_is_refused),
        cmocka_unit_test(test_options_structure_without_a_size_is_refused),
        cmocka_unit_test(test_options_all_zero_members_mean_the_defaults),
        cmocka_unit_test(test_options_out_of_range_is_refused),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}

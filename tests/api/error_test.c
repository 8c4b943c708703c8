/* The tables of names that the public headers promise are complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <ws_hub.h>

/* Written out once more on purpose: a number that moves is a broken ABI. */
static const struct {
    int number;
    const char *name;
} frozen[] = {
    {0, "WS_HUB_OK"},           {-1, "WS_HUB_EINVAL"},
    {-2, "WS_HUB_ENOMEM"},      {-3, "WS_HUB_ESTATE"},
    {-4, "WS_HUB_ENOENT"},      {-5, "WS_HUB_ELIMIT"},
    {-6, "WS_HUB_EAGAIN"},      {-7, "WS_HUB_ENOTSUP"},
    {-8, "WS_HUB_ECANCELED"},   {-9, "WS_HUB_EBROKER"},
    {-10, "WS_HUB_ETRANSPORT"}, {-11, "WS_HUB_EFORBIDDEN"},
    {-12, "WS_HUB_EEXIST"},
};

enum { FROZEN = sizeof(frozen) / sizeof(frozen[0]) };

static void test_error_released_numbers_keep_their_names(void **state)
{
    for (size_t i = 0; i < FROZEN; i++)
        assert_string_equal(ws_hub_error_name(frozen[i].number),
                            frozen[i].name);
}

static void test_error_every_number_is_named_and_frozen(void **state)
{
    static const struct {
        int number;
        const char *name, *text;
    } map[] = {
#define ROW(name, number, text) {number, "WS_HUB_" #name, text},
        WS_HUB_ERROR_MAP(ROW)
#undef ROW
    };
    size_t count = sizeof(map) / sizeof(map[0]);

    assert_int_equal(count + 1, FROZEN);
    for (size_t i = 0; i < count; i++) {
        assert_true(map[i].number < 0);
        assert_string_equal(ws_hub_error_name(map[i].number), map[i].name);
        assert_string_equal(ws_hub_error_text(map[i].number), map[i].text);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(map[i].number, map[j].number);
    }
}

static void test_error_texts_are_phrases(void **state)
{
    for (size_t i = 0; i < FROZEN; i++) {
        const char *text = ws_hub_error_text(frozen[i].number);
        size_t len = strlen(text);

        assert_true(len > 0);
        assert_int_not_equal(text[len - 1], '.');
    }
}

static void test_error_degraded_is_no_error_and_has_a_name(void **state)
{
    assert_true(WS_HUB_DEGRADED > 0);
    assert_string_equal(ws_hub_error_name(WS_HUB_DEGRADED), "WS_HUB_DEGRADED");
    assert_string_not_equal(ws_hub_error_text(WS_HUB_DEGRADED),
                            ws_hub_error_text(INT32_MAX));
}

static void test_error_unknown_number_has_a_name_and_a_text(void **state)
{
    static const int unknown[] = {2, -13, -1000, INT32_MAX, INT32_MIN};

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_string_equal(ws_hub_error_name(unknown[i]), "WS_HUB_EUNKNOWN");
        assert_non_null(ws_hub_error_text(unknown[i]));
    }
}

static void test_error_labels_match_their_tables(void **state)
{
#define CAUSE(name, side, text)                                                \
    assert_string_equal(ws_hub_cause_name(WS_HUB_CAUSE_##name), text);
    WS_HUB_CAUSE_MAP(CAUSE)
#undef CAUSE
#define DROP(name, text)                                                       \
    assert_string_equal(ws_hub_drop_name(WS_HUB_DROP_##name), text);
    WS_HUB_DROP_MAP(DROP)
#undef DROP
#define REJECT(name, text)                                                     \
    assert_string_equal(ws_hub_reject_name(WS_HUB_REJECT_##name), text);
    WS_HUB_REJECT_MAP(REJECT)
#undef REJECT
#define REFUSE(name, text)                                                     \
    assert_string_equal(ws_hub_refuse_name(WS_HUB_REFUSE_##name), text);
    WS_HUB_REFUSE_MAP(REFUSE)
#undef REFUSE
}

/* The arrays of ws_hub_stats_data have room for every label. */
static void test_error_labels_fit_the_stats_arrays(void **state)
{
    ws_hub_stats_data *stats = NULL;

    assert_true(WS_HUB_CAUSE_COUNT <= sizeof(stats->closed) / 8);
    assert_true(WS_HUB_DROP_COUNT <= sizeof(stats->dropped) / 8);
    assert_true(WS_HUB_REJECT_COUNT <= sizeof(stats->rejected) / 8);
    assert_true(WS_HUB_REFUSE_COUNT <= sizeof(stats->refused) / 8);
}

static void test_error_version_of_library_and_headers_agree(void **state)
{
    char version[32];

    snprintf(version, sizeof(version), "%d.%d.%d", WS_HUB_VERSION_MAJOR,
             WS_HUB_VERSION_MINOR, WS_HUB_VERSION_PATCH);
    assert_string_equal(WS_HUB_VERSION, version);
    assert_string_equal(ws_hub_version(), version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_released_numbers_keep_their_names),
        cmocka_unit_test(test_error_every_number_is_named_and_frozen),
        cmocka_unit_test(test_error_texts_are_phrases),
        cmocka_unit_test(test_error_degraded_is_no_error_and_has_a_name),
        cmocka_unit_test(test_error_unknown_number_has_a_name_and_a_text),
        cmocka_unit_test(test_error_labels_match_their_tables),
        cmocka_unit_test(test_error_labels_fit_the_stats_arrays),
        cmocka_unit_test(test_error_version_of_library_and_headers_agree),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

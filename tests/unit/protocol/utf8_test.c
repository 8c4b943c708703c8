#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "naive_utf8.h"
#include "protocol/utf8.h"

static void compare(const uint8_t *text, size_t len)
{
    uint8_t state = wsh_utf8_feed(WSH_UTF8_OK, text, len);
    int got = state == WSH_UTF8_OK    ? NAIVE_OK
              : state == WSH_UTF8_BAD ? NAIVE_BAD
                                      : NAIVE_CUT;

    assert_int_equal(got, naive_utf8(text, len));
    assert_int_equal(wsh_utf8_valid(text, len), got == NAIVE_OK);
}

static size_t encode(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (uint8_t)(0xc0 | point >> 6);
        to[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (uint8_t)(0xe0 | point >> 12);
        to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | point >> 18);
    to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

static void test_utf8_every_code_point_is_judged_right(void **state)
{
    uint8_t text[4];
    uint32_t point;

    for (point = 0; point < 0x140000; point++) {
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        size_t len = encode(text, point);

        assert_int_equal(wsh_utf8_valid(text, len),
                         !surrogate && point <= 0x10ffff);
    }
}

static void test_utf8_all_sequences_of_three_bytes_match_naive(void **state)
{
    uint32_t all;

    for (all = 0; all < 0x1000000; all++) {
        const uint8_t text[3] = {(uint8_t)(all >> 16), (uint8_t)(all >> 8),
                                 (uint8_t)all};

        if (all < 0x100)
            compare(text + 2, 1);
        if (all < 0x10000)
            compare(text + 1, 2);
        /* What is bad after two bytes stays so: skip most of those. */
        if ((all & 0xff) > 1 && naive_utf8(text, 2) == NAIVE_BAD)
            all |= 0xff;
        else
            compare(text, 3);
    }
}

static void test_utf8_four_byte_edges_match_naive(void **state)
{
    static const uint8_t edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
                                   0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    unsigned lead, i;

    for (lead = 0; lead < 0x100; lead++)
        for (i = 0; i < 1000; i++) {
            const uint8_t text[4] = {(uint8_t)lead, edge[i / 100],
                                     edge[i / 10 % 10], edge[i % 10]};

            compare(text, 4);
        }
}

static void test_utf8_any_cut_gives_the_same_state(void **state)
{
    static const char text[] =
        "abcdefghijklmnopqrstuvwxyz \xc3\xa9 \xe2\x82\xac"
        " \xf0\x9f\x98\x80 0123456789abcdef0123456789 \xc3";
    size_t len = sizeof text - 1;
    uint8_t want = wsh_utf8_feed(WSH_UTF8_OK, text, len);
    size_t cut;

    assert_true(want > WSH_UTF8_BAD);
    for (cut = 0; cut <= len; cut++) {
        uint8_t half = wsh_utf8_feed(WSH_UTF8_OK, text, cut);

        assert_int_equal(wsh_utf8_feed(half, text + cut, len - cut), want);
    }
}

static void test_utf8_bad_byte_is_found_at_any_place(void **state)
{
    uint8_t text[100];
    size_t at, len;

    for (len = 1; len <= sizeof text; len++)
        for (at = 0; at < len; at++) {
            memset(text, 'x', len);
            text[at] = 0xff;
            assert_int_equal(wsh_utf8_feed(WSH_UTF8_OK, text, len),
                             WSH_UTF8_BAD);
        }
}

static void test_utf8_bad_is_final_and_empty_changes_nothing(void **state)
{
    uint8_t cut = wsh_utf8_feed(WSH_UTF8_OK, "\xe2", 1);

    assert_int_equal(wsh_utf8_feed(WSH_UTF8_BAD, "fine", 4), WSH_UTF8_BAD);
    assert_int_equal(wsh_utf8_feed(cut, NULL, 0), cut);
    assert_true(wsh_utf8_valid(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_every_code_point_is_judged_right),
        cmocka_unit_test(test_utf8_all_sequences_of_three_bytes_match_naive),
        cmocka_unit_test(test_utf8_four_byte_edges_match_naive),
        cmocka_unit_test(test_utf8_any_cut_gives_the_same_state),
        cmocka_unit_test(test_utf8_bad_byte_is_found_at_any_place),
        cmocka_unit_test(test_utf8_bad_is_final_and_empty_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

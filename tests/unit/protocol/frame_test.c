#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/check.h"
#include "protocol/frame.h"

/* Encode into a block of exactly the announced size. */
static uint8_t *encode(enum wsh_opcode opcode, const struct wsh_piece *pieces,
                       size_t count, size_t fragment, size_t *size)
{
    size_t len = 0;
    uint8_t *to;
    size_t i;

    for (i = 0; i < count; i++)
        len += pieces[i].len;
    *size = wsh_message_size(len, fragment);
    to = malloc(*size);
    assert_non_null(to);
    assert_int_equal(wsh_message_write(to, opcode, pieces, count, fragment),
                     *size);
    return to;
}

static void test_frame_small_message_is_one_frame(void **state)
{
    const struct wsh_piece piece = {"Hello", 5};
    size_t size;
    uint8_t *to = encode(WSH_OP_TEXT, &piece, 1, 1024, &size);

    assert_int_equal(size, 7);
    assert_memory_equal(to, "\x81\x05Hello", 7);
    free(to);
}

static void test_frame_empty_message_is_one_frame(void **state)
{
    size_t size;
    uint8_t *to = encode(WSH_OP_BINARY, NULL, 0, 1024, &size);

    assert_int_equal(size, 2);
    assert_memory_equal(to, "\x82\x00", 2);
    free(to);
}

static void test_frame_length_forms_are_minimal(void **state)
{
    static const struct {
        size_t len;
        size_t head_len;
        uint8_t head[10];
    } rows[] = {
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0, 126}},
        {65535, 4, {0x82, 126, 0xff, 0xff}},
        {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    };
    static uint8_t data[65536];
    size_t i, size;

    for (i = 0; i < WSH_COUNT(rows); i++) {
        const struct wsh_piece piece = {data, rows[i].len};
        uint8_t *to = encode(WSH_OP_BINARY, &piece, 1, 1 << 20, &size);

        assert_int_equal(size, rows[i].head_len + rows[i].len);
        assert_memory_equal(to, rows[i].head, rows[i].head_len);
        assert_int_equal(wsh_frame_size(to), size);
        free(to);
    }
}

static void test_frame_pieces_are_gathered_across_fragments(void **state)
{
    const struct wsh_piece pieces[] = {{"", 0},  {"abcd", 4}, {NULL, 0},
                                       {"e", 1}, {"fgh", 3},  {"", 0}};
    size_t size;
    uint8_t *to = encode(WSH_OP_TEXT, pieces, WSH_COUNT(pieces), 3, &size);

    assert_int_equal(size, 14);
    assert_memory_equal(to,
                        "\x01\x03"
                        "abc"
                        "\x00\x03"
                        "def"
                        "\x80\x02"
                        "gh",
                        14);
    free(to);
}

static void test_frame_exact_multiple_has_no_empty_end(void **state)
{
    const struct wsh_piece piece = {"abcdef", 6};
    size_t size;
    uint8_t *to = encode(WSH_OP_TEXT, &piece, 1, 3, &size);

    assert_int_equal(size, 10);
    assert_memory_equal(to,
                        "\x01\x03"
                        "abc"
                        "\x80\x03"
                        "def",
                        10);
    free(to);
}

/* Walk the frames of messages of many sizes and put them together again. */
static void test_frame_walk_gives_the_message_back(void **state)
{
    static const size_t fragments[] = {1, 2, 125, 126, 127, 1000, 65536};
    uint8_t data[700], back[700];
    size_t len, i, size;

    for (i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (i = 0; i < WSH_COUNT(fragments); i++)
        for (len = 0; len <= sizeof data; len += 7) {
            const struct wsh_piece piece = {data, len};
            uint8_t *to = encode(WSH_OP_BINARY, &piece, 1, fragments[i], &size);
            size_t at = 0, got = 0;

            while (at < size) {
                size_t frame = wsh_frame_size(to + at);
                size_t head = to[at + 1] == 126 ? 4 : 2;

                assert_int_equal(to[at] & 0x0f, at == 0 ? WSH_OP_BINARY : 0);
                assert_int_equal(to[at] >> 7, at + frame == size);
                assert_true(frame - head <= fragments[i]);
                memcpy(back + got, to + at + head, frame - head);
                got += frame - head;
                at += frame;
            }
            assert_int_equal(at, size);
            assert_int_equal(got, len);
            assert_memory_equal(back, data, len);
            free(to);
        }
}

static void test_frame_control_is_encoded(void **state)
{
    uint8_t to[2 + WSH_CONTROL_MAX];
    uint8_t data[WSH_CONTROL_MAX] = {1, 2, 3};

    assert_int_equal(wsh_control_write(to, WSH_OP_PING, NULL, 0), 2);
    assert_memory_equal(to, "\x89\x00", 2);
    assert_int_equal(wsh_control_write(to, WSH_OP_CLOSE, "\x03\xe8", 2), 4);
    assert_memory_equal(to, "\x88\x02\x03\xe8", 4);
    assert_int_equal(wsh_control_write(to, WSH_OP_PONG, data, sizeof data),
                     127);
    assert_int_equal(to[1], 125);
    assert_memory_equal(to + 2, data, sizeof data);
    assert_int_equal(wsh_frame_size(to), 127);
}

static void test_close_code_valid_knows_the_ranges(void **state)
{
    unsigned code;

    for (code = 0; code < 70000; code++) {
        bool want = (code >= 3000 && code < 5000) ||
                    (code >= 1000 && code < 1015 && code != 1004 &&
                     code != 1005 && code != 1006);

        assert_int_equal(wsh_close_code_valid(code), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_small_message_is_one_frame),
        cmocka_unit_test(test_frame_empty_message_is_one_frame),
        cmocka_unit_test(test_frame_length_forms_are_minimal),
        cmocka_unit_test(test_frame_pieces_are_gathered_across_fragments),
        cmocka_unit_test(test_frame_exact_multiple_has_no_empty_end),
        cmocka_unit_test(test_frame_walk_gives_the_message_back),
        cmocka_unit_test(test_frame_control_is_encoded),
        cmocka_unit_test(test_close_code_valid_knows_the_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Everything that RFC 6455 section 5 forbids, each at the byte that shows it:
 * the last byte of a row's `wire` is the first that may bring the error. */
#include <stdio.h>
#include "wire.h"

struct row {
    const char *what;
    enum wsh_decode_error error;
    size_t len;
    const char *wire;
};

#define ROW(what, error, wire)                                                 \
    {                                                                          \
        what, WSH_DECODE_##error, sizeof(wire) - 1, wire                       \
    }
#define MASK "\0\0\0\0" /* payloads below are then plain */

static const struct row rows[] = {
    ROW("RSV1", PROTOCOL, "\xc1"),
    ROW("RSV2", PROTOCOL, "\xa1"),
    ROW("RSV3", PROTOCOL, "\x91"),
    ROW("RSV1 on a ping", PROTOCOL, "\xc9"),
    ROW("opcode 3", PROTOCOL, "\x83"),
    ROW("opcode 4", PROTOCOL, "\x84"),
    ROW("opcode 5", PROTOCOL, "\x85"),
    ROW("opcode 6", PROTOCOL, "\x86"),
    ROW("opcode 7", PROTOCOL, "\x87"),
    ROW("opcode 11", PROTOCOL, "\x8b"),
    ROW("opcode 12", PROTOCOL, "\x8c"),
    ROW("opcode 13", PROTOCOL, "\x8d"),
    ROW("opcode 14", PROTOCOL, "\x8e"),
    ROW("opcode 15", PROTOCOL, "\x8f"),
    ROW("unmasked", PROTOCOL, "\x81\x00"),
    ROW("unmasked, long", PROTOCOL, "\x82\x7f"),
    ROW("fragmented ping", PROTOCOL, "\x09"),
    ROW("fragmented pong", PROTOCOL, "\x0a"),
    ROW("fragmented close", PROTOCOL, "\x08"),
    ROW("ping of 126", PROTOCOL, "\x89\xfe"),
    ROW("ping of 64-bit length", PROTOCOL, "\x89\xff"),
    ROW("continuation of nothing", PROTOCOL, "\x80"),
    ROW("continuation after a whole message", PROTOCOL, "\x81\x80" MASK "\x00"),
    ROW("text inside a message", PROTOCOL, "\x01\x80" MASK "\x81"),
    ROW("binary inside a message", PROTOCOL, "\x01\x80" MASK "\x02"),
    ROW("125 in 16 bits", PROTOCOL, "\x82\xfe\x00\x7d"),
    ROW("0 in 16 bits", PROTOCOL, "\x82\xfe\x00\x00"),
    ROW("65535 in 64 bits", PROTOCOL,
        "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"),
    ROW("top bit of 64", PROTOCOL, "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"),
    ROW("2^63 - 1 bytes", TOO_LARGE,
        "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ROW("2^32 bytes", TOO_LARGE, "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00"),
    ROW("one above the limit", TOO_LARGE, "\x82\xfe\x01\x01"),
    ROW("one above in sum", TOO_LARGE,
        "\x02\x82" MASK "ab\x00\x80" MASK "\x80\xfe\x00\xff"),
    ROW("fourth fragment", FRAGMENTS,
        "\x01\x80" MASK "\x00\x80" MASK "\x00\x80" MASK "\x80"),
    ROW("close of one byte", PROTOCOL, "\x88\x81" MASK "\x03"),
    ROW("close 0", PROTOCOL, "\x88\x82" MASK "\x00\x00"),
    ROW("close 999", PROTOCOL, "\x88\x82" MASK "\x03\xe7"),
    ROW("close 1004", PROTOCOL, "\x88\x82" MASK "\x03\xec"),
    ROW("close 1005", PROTOCOL, "\x88\x82" MASK "\x03\xed"),
    ROW("close 1006", PROTOCOL, "\x88\x82" MASK "\x03\xee"),
    ROW("close 1015", PROTOCOL, "\x88\x82" MASK "\x03\xf7"),
    ROW("close 2999", PROTOCOL, "\x88\x82" MASK "\x0b\xb7"),
    ROW("close 5000", PROTOCOL, "\x88\x82" MASK "\x13\x88"),
    ROW("close reason not UTF-8", UTF8, "\x88\x84" MASK "\x03\xe8\xc3\x28"),
    ROW("close reason cut", UTF8, "\x88\x84" MASK "\x03\xe8x\xe2"),
    ROW("text not UTF-8", UTF8, "\x81\xa0" MASK "ok\xff"),
    ROW("text with a surrogate", UTF8, "\x81\x8f" MASK "\xed\xa0"),
    ROW("text overlong", UTF8, "\x81\x8f" MASK "\xc0"),
    ROW("text above U+10FFFF", UTF8, "\x81\x8f" MASK "\xf4\x90"),
    ROW("text cut inside a character", UTF8, "\x81\x83" MASK "ok\xc3"),
    ROW("text cut, then an empty end", UTF8,
        "\x01\x83" MASK "ok\xc3\x80\x80" MASK),
    ROW("bad second fragment", UTF8,
        "\x01\x83" MASK "ok\xc3\x80\x89" MASK "\x28"),
};

static const struct wsh_decoder_limits limits = {256, 3};

/* All bytes but the last are fine; the last brings exactly that error. */
static void check_row(const struct row *row)
{
    struct record record = {0};
    struct wsh_decoder decoder;
    const uint8_t *wire = (const uint8_t *)row->wire;
    enum wsh_decode_error error;
    size_t i;

    wsh_decoder_init(&decoder);
    for (i = 0; i + 1 < row->len; i++) {
        error = wire_feed(&decoder, &limits, wire + i, 1, &record);
        if (error)
            fail_msg("%s: early, at byte %zu", row->what, i);
    }
    error = wire_feed(&decoder, &limits, wire + i, 1, &record);
    if (error != row->error)
        fail_msg("%s: %d for %d", row->what, (int)error, (int)row->error);
    assert_null(decoder.rx.data);
    assert_int_equal(record.controls, 0);
    /* Sticky. */
    error = wire_feed(&decoder, &limits, (const uint8_t *)"\x89", 1, &record);
    assert_int_equal(error, row->error);
    wsh_decoder_fini(&decoder);
    wsh_buf_fini(&record.log);
}

static void test_decoder_violation_is_seen_at_its_byte(void **state)
{
    size_t i;

    for (i = 0; i < WSH_COUNT(rows); i++)
        check_row(&rows[i]);
}

static void test_decoder_violation_in_one_feed_is_the_same(void **state)
{
    size_t i;

    for (i = 0; i < WSH_COUNT(rows); i++) {
        struct record record = {0};
        struct wsh_decoder decoder;

        wsh_decoder_init(&decoder);
        assert_int_equal(wire_feed(&decoder, &limits,
                                   (const uint8_t *)rows[i].wire, rows[i].len,
                                   &record),
                         rows[i].error);
        wsh_decoder_fini(&decoder);
        wsh_buf_fini(&record.log);
    }
}

static void test_decoder_message_before_a_violation_is_delivered(void **state)
{
    struct record record = {0};
    struct wsh_decoder decoder;
    struct wsh_buf wire = {0};

    wsh_decoder_init(&decoder);
    wire_text(&wire, FIN | WSH_OP_TEXT, "fine");
    wire_byte(&wire, 0xff);
    assert_int_equal(
        wire_feed(&decoder, &wide_limits, wire.data, wire.len, &record),
        WSH_DECODE_PROTOCOL);
    assert_int_equal(record.messages, 1);
    wsh_decoder_fini(&decoder);
    wsh_buf_fini(&wire);
    wsh_buf_fini(&record.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoder_violation_is_seen_at_its_byte),
        cmocka_unit_test(test_decoder_violation_in_one_feed_is_the_same),
        cmocka_unit_test(test_decoder_message_before_a_violation_is_delivered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

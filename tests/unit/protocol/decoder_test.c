#include "wire.h"

struct fixture {
    struct wsh_decoder decoder;
    struct wsh_decoder_limits limits;
    struct wsh_buf wire;
    struct record record;
    size_t at; /* in the record */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    wsh_decoder_init(&f->decoder);
    f->limits = wide_limits;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    wsh_decoder_fini(&f->decoder);
    wsh_buf_fini(&f->wire);
    wsh_buf_fini(&f->record.log);
    free(f);
    return 0;
}

static enum wsh_decode_error feed(struct fixture *f)
{
    enum wsh_decode_error error = wire_feed(
        &f->decoder, &f->limits, f->wire.data, f->wire.len, &f->record);

    f->wire.len = 0;
    return error;
}

static void expect(struct fixture *f, char kind, enum wsh_opcode opcode,
                   const char *text)
{
    expect_call(&f->record, &f->at, kind, opcode, text, strlen(text));
}

static void expect_no_more(const struct fixture *f)
{
    assert_int_equal(f->at, f->record.log.len);
}

static void test_decoder_single_frame_needs_no_copy(void **state)
{
    struct fixture *f = *state;

    wire_text(&f->wire, FIN | WSH_OP_TEXT, "hello");
    wire_text(&f->wire, FIN | WSH_OP_BINARY, "\xff\xfe");
    wire_text(&f->wire, FIN | WSH_OP_TEXT, "");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    expect(f, 'M', WSH_OP_TEXT, "hello");
    expect(f, 'M', WSH_OP_BINARY, "\xff\xfe");
    expect(f, 'M', WSH_OP_TEXT, "");
    expect_no_more(f);
    assert_null(f->decoder.rx.data);
    assert_false(wsh_decoder_busy(&f->decoder));
}

static void test_decoder_all_length_forms_are_read(void **state)
{
    static const size_t sizes[] = {0,   1,   7,     8,     9,
                                   125, 126, 65535, 65536, 99999};
    struct fixture *f = *state;
    uint8_t *data = malloc(100000);
    size_t i;

    assert_non_null(data);
    for (i = 0; i < 100000; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (i = 0; i < WSH_COUNT(sizes); i++)
        wire_frame(&f->wire, FIN | WSH_OP_BINARY, data, sizes[i]);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    for (i = 0; i < WSH_COUNT(sizes); i++)
        expect_call(&f->record, &f->at, 'M', WSH_OP_BINARY, data, sizes[i]);
    expect_no_more(f);
    free(data);
}

static void test_decoder_fragments_with_control_between(void **state)
{
    struct fixture *f = *state;

    wire_text(&f->wire, WSH_OP_TEXT, "one ");
    wire_text(&f->wire, FIN | WSH_OP_PING, "ping");
    wire_text(&f->wire, WSH_OP_CONT, "");
    wire_text(&f->wire, WSH_OP_CONT, "two ");
    wire_text(&f->wire, FIN | WSH_OP_PONG, "");
    wire_text(&f->wire, FIN | WSH_OP_CONT, "three");
    wire_text(&f->wire, FIN | WSH_OP_BINARY, "x");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    expect(f, 'C', WSH_OP_PING, "ping");
    expect(f, 'C', WSH_OP_PONG, "");
    expect(f, 'M', WSH_OP_TEXT, "one two three");
    expect(f, 'M', WSH_OP_BINARY, "x");
    expect_no_more(f);
}

static void test_decoder_split_control_keeps_the_message(void **state)
{
    struct fixture *f = *state;
    size_t i, len;
    uint8_t ping[32];

    wire_text(&f->wire, FIN | WSH_OP_PING, "between");
    len = f->wire.len;
    memcpy(ping, f->wire.data, len);
    f->wire.len = 0;
    wire_text(&f->wire, WSH_OP_TEXT, "begin ");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    for (i = 0; i < len; i++) {
        wire_byte(&f->wire, ping[i]);
        assert_int_equal(feed(f), WSH_DECODE_OK);
    }
    wire_text(&f->wire, FIN | WSH_OP_CONT, "end");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    expect(f, 'C', WSH_OP_PING, "between");
    expect(f, 'M', WSH_OP_TEXT, "begin end");
    expect_no_more(f);
}

static void test_decoder_split_character_survives_a_pong(void **state)
{
    struct fixture *f = *state;

    wire_text(&f->wire, WSH_OP_TEXT, "\xe2\x82");
    wire_text(&f->wire, FIN | WSH_OP_PONG, "\xff not text \xc3");
    wire_text(&f->wire, FIN | WSH_OP_CONT, "\xac");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    expect(f, 'C', WSH_OP_PONG, "\xff not text \xc3");
    expect(f, 'M', WSH_OP_TEXT, "\xe2\x82\xac");
    expect_no_more(f);
}

static void test_decoder_busy_says_when_something_is_open(void **state)
{
    struct fixture *f = *state;

    assert_false(wsh_decoder_busy(&f->decoder));
    wire_byte(&f->wire, FIN | WSH_OP_TEXT);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_true(wsh_decoder_busy(&f->decoder)); /* in a head */
    wire_bytes(&f->wire, "\x80\0\0\0\0", 5);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_false(wsh_decoder_busy(&f->decoder));
    wire_text(&f->wire, WSH_OP_TEXT, "");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_true(wsh_decoder_busy(&f->decoder)); /* in a message */
}

static void test_decoder_memory_goes_with_the_message(void **state)
{
    struct fixture *f = *state;

    wire_text(&f->wire, WSH_OP_BINARY, "part");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_non_null(f->decoder.rx.data);
    wire_text(&f->wire, FIN | WSH_OP_CONT, "rest");
    wire_byte(&f->wire, FIN | WSH_OP_PING); /* a head holds nothing */
    assert_int_equal(feed(f), WSH_DECODE_OK);
    expect(f, 'M', WSH_OP_BINARY, "partrest");
    assert_null(f->decoder.rx.data);
}

static void test_decoder_memory_follows_what_arrived(void **state)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    struct fixture *f = *state;

    wire_head(&f->wire, FIN | WSH_OP_BINARY, f->limits.max_message, mask);
    wire_bytes(&f->wire, "0123456789", 10);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_int_equal(f->decoder.rx.len, 10);
    assert_true(f->decoder.rx.cap <= 64);
}

static void test_decoder_memory_never_exceeds_the_limit(void **state)
{
    static const uint8_t zero[1000];
    struct fixture *f = *state;
    int i;

    f->limits.max_message = 10000;
    wire_frame(&f->wire, WSH_OP_BINARY, zero, 0);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    for (i = 0; i < 10; i++) {
        wire_frame(&f->wire, WSH_OP_CONT, zero, 1000);
        assert_int_equal(feed(f), WSH_DECODE_OK);
        assert_true(f->decoder.rx.cap <= 10000 + WSH_CONTROL_MAX);
    }
    wire_frame(&f->wire, FIN | WSH_OP_CONT, zero, 0);
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_int_equal(f->record.messages, 1);
}

static void test_decoder_message_at_limit_passes(void **state)
{
    struct fixture *f = *state;

    f->limits.max_message = 8;
    wire_text(&f->wire, FIN | WSH_OP_TEXT, "12345678");
    wire_text(&f->wire, WSH_OP_TEXT, "1234");
    wire_text(&f->wire, FIN | WSH_OP_PING, "0123456789"); /* not counted */
    wire_text(&f->wire, FIN | WSH_OP_CONT, "5678");
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_int_equal(f->record.messages, 2);
}

static void test_decoder_fragments_at_limit_pass(void **state)
{
    struct fixture *f = *state;
    int i;

    f->limits.max_fragments = 3;
    for (i = 0; i < 2; i++) { /* the count begins again */
        wire_text(&f->wire, WSH_OP_TEXT, "");
        wire_text(&f->wire, WSH_OP_CONT, "");
        wire_text(&f->wire, FIN | WSH_OP_CONT, "");
    }
    assert_int_equal(feed(f), WSH_DECODE_OK);
    assert_int_equal(f->record.messages, 2);
}

static void test_decoder_nothing_follows_a_close(void **state)
{
    struct fixture *f = *state;

    wire_text(&f->wire, FIN | WSH_OP_CLOSE,
              "\x03\xe8"
              "bye");
    wire_text(&f->wire, FIN | WSH_OP_TEXT, "late");
    assert_int_equal(feed(f), WSH_DECODE_STOPPED);
    expect(f, 'C', WSH_OP_CLOSE,
           "\x03\xe8"
           "bye");
    wire_text(&f->wire, FIN | WSH_OP_TEXT, "later");
    assert_int_equal(feed(f), WSH_DECODE_STOPPED);
    expect_no_more(f);
}

static void test_decoder_close_payloads_of_any_size_pass(void **state)
{
    char reason[125] = "\x13\x87"; /* 4999 */
    struct fixture *f = *state;

    memset(reason + 2, 'x', sizeof reason - 2);
    wire_frame(&f->wire, FIN | WSH_OP_CLOSE, reason, sizeof reason);
    assert_int_equal(feed(f), WSH_DECODE_STOPPED);
    expect_call(&f->record, &f->at, 'C', WSH_OP_CLOSE, reason, sizeof reason);
    wsh_decoder_init(&f->decoder);
    wire_text(&f->wire, FIN | WSH_OP_CLOSE, "");
    assert_int_equal(feed(f), WSH_DECODE_STOPPED);
    expect(f, 'C', WSH_OP_CLOSE, "");
}

static void test_decoder_sink_can_stop_at_any_call(void **state)
{
    struct fixture *f = *state;
    int stop;

    for (stop = 1; stop <= 3; stop++) {
        wsh_decoder_fini(&f->decoder);
        wsh_decoder_init(&f->decoder);
        f->record.messages = f->record.controls = 0;
        f->record.stop_at = stop;
        wire_text(&f->wire, WSH_OP_TEXT, "a");
        wire_text(&f->wire, FIN | WSH_OP_PING, "");
        wire_text(&f->wire, FIN | WSH_OP_CONT, "b");
        wire_text(&f->wire, FIN | WSH_OP_BINARY, "");
        wire_text(&f->wire, FIN | WSH_OP_BINARY, "not this one");
        assert_int_equal(feed(f), WSH_DECODE_STOPPED);
        assert_int_equal(f->record.messages + f->record.controls, stop);
        assert_null(f->decoder.rx.data);
        wire_text(&f->wire, FIN | WSH_OP_PING, "");
        assert_int_equal(feed(f), WSH_DECODE_STOPPED);
        assert_int_equal(f->record.messages + f->record.controls, stop);
    }
}

#define DECODER_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DECODER_TEST(test_decoder_single_frame_needs_no_copy),
        DECODER_TEST(test_decoder_all_length_forms_are_read),
        DECODER_TEST(test_decoder_fragments_with_control_between),
        DECODER_TEST(test_decoder_split_control_keeps_the_message),
        DECODER_TEST(test_decoder_split_character_survives_a_pong),
        DECODER_TEST(test_decoder_busy_says_when_something_is_open),
        DECODER_TEST(test_decoder_memory_goes_with_the_message),
        DECODER_TEST(test_decoder_memory_follows_what_arrived),
        DECODER_TEST(test_decoder_memory_never_exceeds_the_limit),
        DECODER_TEST(test_decoder_message_at_limit_passes),
        DECODER_TEST(test_decoder_fragments_at_limit_pass),
        DECODER_TEST(test_decoder_nothing_follows_a_close),
        DECODER_TEST(test_decoder_close_payloads_of_any_size_pass),
        DECODER_TEST(test_decoder_sink_can_stop_at_any_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Envelopes: what is written is read, whatever else is read is harmless. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "broker/envelope.h"
#include "ws_hub/broker.h"
#include "ws_hub/error.h"

enum { BYTES_MAX = WS_HUB_ENVELOPE_MAX + 64 };

static ws_hub_broker_message sample(void)
{
    return (ws_hub_broker_message){.struct_size = sizeof(ws_hub_broker_message),
                                   .type = WS_HUB_JSON,
                                   .data = "[1]",
                                   .len = 3,
                                   .exclude = {0x1122334455667788},
                                   .cls = WS_HUB_CLASS_CRITICAL,
                                   .key = "price",
                                   .key_len = 5,
                                   .origin = 0xfedcba9876543210,
                                   .published_us = 1700000000123456,
                                   .flags = WS_HUB_MESSAGE_DELIVERED};
}

/* Head and payload, as an adapter sends them. */
static size_t seal(const ws_hub_broker_message *message, uint8_t *bytes)
{
    size_t head = ws_hub_envelope_write(message, bytes);

    assert_true(head <= WS_HUB_ENVELOPE_MAX);
    if (message->len)
        memcpy(bytes + head, message->data, message->len);
    return head + message->len;
}

/* From a block of its exact size, so that the sanitizer sees any over-read. */
static int read_exact(const uint8_t *bytes, size_t len,
                      ws_hub_broker_message *message)
{
    uint8_t *copy = malloc(len ? len : 1);
    int error;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    error = ws_hub_envelope_read(copy, len, message);
    free(copy);
    return error;
}

static void test_envelope_every_member_survives(void **state)
{
    const ws_hub_broker_message in = sample();
    ws_hub_broker_message out;
    uint8_t bytes[BYTES_MAX];

    (void)state;
    assert_int_equal(ws_hub_envelope_read(bytes, seal(&in, bytes), &out), 0);
    assert_int_equal(out.struct_size, sizeof out);
    assert_int_equal(out.type, in.type);
    assert_int_equal(out.len, in.len);
    assert_memory_equal(out.data, in.data, in.len);
    assert_true(out.exclude.id == in.exclude.id);
    assert_int_equal(out.cls, in.cls);
    assert_int_equal(out.key_len, in.key_len);
    assert_memory_equal(out.key, in.key, in.key_len);
    assert_true(out.origin == in.origin);
    assert_true(out.published_us == in.published_us);
    assert_int_equal(out.flags, in.flags);
}

static void test_envelope_longest_key_fits_the_head(void **state)
{
    ws_hub_broker_message in = sample(), out;
    uint8_t bytes[BYTES_MAX];
    char key[WSH_ENVELOPE_KEY];

    (void)state;
    memset(key, 'k', sizeof key);
    in.key = key;
    in.key_len = sizeof key;
    assert_int_equal(ws_hub_envelope_read(bytes, seal(&in, bytes), &out), 0);
    assert_int_equal(out.key_len, sizeof key);
    assert_memory_equal(out.key, key, sizeof key);
    assert_memory_equal(out.data, "[1]", 3);
}

static void test_envelope_empty_payload_and_no_key_are_read(void **state)
{
    ws_hub_broker_message in = {.type = WS_HUB_TEXT}, out;
    uint8_t bytes[BYTES_MAX];

    (void)state;
    assert_int_equal(ws_hub_envelope_read(bytes, seal(&in, bytes), &out), 0);
    assert_int_equal(out.type, WS_HUB_TEXT);
    assert_int_equal(out.len, 0);
    assert_int_equal(out.key_len, 0);
    assert_null(out.key);
}

static void test_envelope_missing_time_is_filled_in(void **state)
{
    ws_hub_broker_message in = sample(), out;
    uint8_t bytes[BYTES_MAX];
    uint64_t before_s = (uint64_t)time(NULL);

    (void)state;
    in.published_us = 0;
    assert_int_equal(ws_hub_envelope_read(bytes, seal(&in, bytes), &out), 0);
    assert_true(out.published_us / 1000000 >= before_s);
    assert_true(out.published_us / 1000000 <= (uint64_t)time(NULL));
}

static void test_envelope_plain_messages_are_to_be_detected(void **state)
{
    static const char *const plain[] = {
        "", "{\"x\":1}", "text", "\xff", "\xff\xd8\xff\xe0", "\xff\xfb\x90wsh"};
    ws_hub_broker_message out;

    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        assert_int_equal(ws_hub_envelope_read(plain[i], strlen(plain[i]), &out),
                         0);
        assert_int_equal(out.type, WS_HUB_DETECT);
        assert_ptr_equal(out.data, plain[i]);
        assert_int_equal(out.len, strlen(plain[i]));
        assert_true(out.origin == 0);
    }
}

static void test_envelope_cut_off_or_longer_is_refused(void **state)
{
    const ws_hub_broker_message in = sample();
    ws_hub_broker_message out;
    uint8_t bytes[BYTES_MAX] = {0};
    size_t len = seal(&in, bytes);

    (void)state;
    for (size_t cut = 6; cut < len; cut++)
        assert_int_equal(read_exact(bytes, cut, &out), WS_HUB_EINVAL);
    assert_int_equal(read_exact(bytes, len + 1, &out), WS_HUB_EINVAL);
    assert_int_equal(read_exact(bytes, len, &out), 0);
}

static void refuses_with(size_t at, uint8_t value)
{
    const ws_hub_broker_message in = sample();
    ws_hub_broker_message out;
    uint8_t bytes[BYTES_MAX];
    size_t len = seal(&in, bytes);

    bytes[at] = value;
    assert_int_equal(read_exact(bytes, len, &out), WS_HUB_EINVAL);
    assert_null(out.data);
}

static void test_envelope_unknown_numbers_are_refused(void **state)
{
    (void)state;
    refuses_with(6, WSH_ENVELOPE_VERSION + 1);
    refuses_with(7, WS_HUB_DETECT);
    refuses_with(8, WS_HUB_CLASS_VOLATILE + 1);
    refuses_with(9, 255);
    refuses_with(12, 255);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_envelope_every_member_survives),
        cmocka_unit_test(test_envelope_longest_key_fits_the_head),
        cmocka_unit_test(test_envelope_empty_payload_and_no_key_are_read),
        cmocka_unit_test(test_envelope_missing_time_is_filled_in),
        cmocka_unit_test(test_envelope_plain_messages_are_to_be_detected),
        cmocka_unit_test(test_envelope_cut_off_or_longer_is_refused),
        cmocka_unit_test(test_envelope_unknown_numbers_are_refused),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

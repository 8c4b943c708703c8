/* wire.h: the client's side of the decoder tests: masked frames, and a sink
 * that writes down what it was given. */
#ifndef TESTS_UNIT_PROTOCOL_WIRE_H
#define TESTS_UNIT_PROTOCOL_WIRE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/check.h"
#include "protocol/decoder.h"

enum { FIN = 0x80 };

static inline void wire_bytes(struct wsh_buf *to, const void *data, size_t len)
{
    assert_int_equal(wsh_buf_append(to, data, len), 0);
}

static inline void wire_byte(struct wsh_buf *to, unsigned byte)
{
    uint8_t value = (uint8_t)byte;

    wire_bytes(to, &value, 1);
}

/* The head of a masked frame that says `len`, in its minimal form. */
static inline void wire_head(struct wsh_buf *to, unsigned first, uint64_t len,
                             const uint8_t mask[4])
{
    int shift = len <= 125 ? -8 : len <= 0xffff ? 8 : 56;

    wire_byte(to, first);
    wire_byte(to, 0x80u | (shift < 0 ? (unsigned)len : shift == 8 ? 126 : 127));
    for (; shift >= 0; shift -= 8)
        wire_byte(to, (unsigned)(len >> shift) & 0xff);
    wire_bytes(to, mask, 4);
}

static inline void wire_frame(struct wsh_buf *to, unsigned first,
                              const void *data, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    const uint8_t *bytes = data;
    size_t i;

    wire_head(to, first, len, mask);
    for (i = 0; i < len; i++)
        wire_byte(to, bytes[i] ^ mask[i % 4]);
}

static inline void wire_text(struct wsh_buf *to, unsigned first,
                             const char *text)
{
    wire_frame(to, first, text, strlen(text));
}

/* What a sink got: per call 'M' or 'C', opcode, length, bytes. */
struct record {
    struct wsh_buf log;
    int messages, controls;
    int stop_at; /* the call that answers false, 0: none */
};

static inline bool record_call(struct record *record, char kind,
                               enum wsh_opcode opcode, const uint8_t *data,
                               size_t len)
{
    uint32_t size = (uint32_t)len;

    wire_byte(&record->log, (unsigned)kind);
    wire_byte(&record->log, opcode);
    wire_bytes(&record->log, &size, sizeof size);
    wire_bytes(&record->log, data, len);
    return record->messages + record->controls != record->stop_at;
}

static inline bool record_message(void *arg, enum wsh_opcode opcode,
                                  uint8_t *data, size_t len)
{
    struct record *record = arg;

    record->messages++;
    return record_call(record, 'M', opcode, data, len);
}

static inline bool record_control(void *arg, enum wsh_opcode opcode,
                                  uint8_t *data, size_t len)
{
    struct record *record = arg;

    record->controls++;
    return record_call(record, 'C', opcode, data, len);
}

static const struct wsh_decoder_sink record_sink = {record_message,
                                                    record_control};
static const struct wsh_decoder_limits wide_limits = {1 << 20, 1000};

/* Feed a copy in a block of its exact size, so that ASan sees any step outside
 * it, and because the decoder unmasks in place. */
static inline enum wsh_decode_error
wire_feed(struct wsh_decoder *decoder, const struct wsh_decoder_limits *limits,
          const uint8_t *data, size_t len, struct record *record)
{
    enum wsh_decode_error error;
    uint8_t *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    error = wsh_decoder_feed(decoder, limits, copy, len, &record_sink, record);
    free(copy);
    return error;
}

static inline void expect_call(const struct record *record, size_t *at,
                               char kind, enum wsh_opcode opcode,
                               const void *data, size_t len)
{
    const uint8_t *log = record->log.data + *at;
    uint32_t size;

    assert_true(record->log.len >= *at + 6 + len);
    memcpy(&size, log + 2, sizeof size);
    assert_int_equal(log[0], kind);
    assert_int_equal(log[1], opcode);
    assert_int_equal(size, len);
    if (len > 0)
        assert_memory_equal(log + 6, data, len);
    *at += 6 + len;
}

#endif

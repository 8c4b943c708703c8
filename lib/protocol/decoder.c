/*
 * decoder.c: client-to-server frames to messages (RFC 6455 section 5).
 * Owns: rx and the place in the stream.
 *
 *   head    head_len < size of the head; in_payload false
 *     | mask complete: begin_frame()
 *   payload in_payload true, `left` bytes to come
 *     | left 0: end_data() or end_control(); head_len 0
 *   head ...                    any error: rx is freed, error is sticky
 *
 * Invariants: rx holds message_len bytes of the open message, then what came of
 * a control frame in work. message_op is set from the first frame's head to the
 * message's end. rx grows by what has arrived, never by what was announced.
 * Thread: that of the connection.
 */
#include "protocol/decoder.h"

#include <string.h>
#include "base/check.h"
#include "protocol/utf8.h"

enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { LEN_16 = 126, LEN_64 = 127, MASK_BYTES = 4 };

/* What every step of one feed needs. */
struct feed {
    struct wsh_decoder *decoder;
    const struct wsh_decoder_limits *limits;
    const struct wsh_decoder_sink *sink;
    void *arg;
    uint8_t *data; /* not yet taken */
    size_t len;
    uint32_t budget;
};

static void spend(struct feed *feed, uint32_t cost)
{
    feed->budget -= WSH_MIN(feed->budget, cost);
}

void wsh_decoder_init(struct wsh_decoder *decoder)
{
    *decoder = (struct wsh_decoder){0};
}

void wsh_decoder_fini(struct wsh_decoder *decoder)
{
    wsh_buf_fini(&decoder->rx);
}

bool wsh_decoder_busy(const struct wsh_decoder *decoder)
{
    return decoder->head_len > 0 || decoder->message_op != 0;
}

static bool is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

/* ---- head ---- */

static enum wsh_decode_error
check_first(struct wsh_decoder *decoder,
            const struct wsh_decoder_limits *limits)
{
    uint8_t first = decoder->head[0];

    decoder->opcode = first & OPCODE;
    decoder->fin = (first & FIN) != 0;
    if (first & RSV) /* no extension is ever negotiated */
        return WSH_DECODE_PROTOCOL;
    switch (decoder->opcode) {
    case WSH_OP_CLOSE:
    case WSH_OP_PING:
    case WSH_OP_PONG:
        return decoder->fin ? WSH_DECODE_OK : WSH_DECODE_PROTOCOL;
    case WSH_OP_CONT:
        if (!decoder->message_op)
            return WSH_DECODE_PROTOCOL;
        return decoder->fragments >= limits->max_fragments
                   ? WSH_DECODE_FRAGMENTS
                   : WSH_DECODE_OK;
    case WSH_OP_TEXT:
    case WSH_OP_BINARY:
        return decoder->message_op ? WSH_DECODE_PROTOCOL : WSH_DECODE_OK;
    default:
        return WSH_DECODE_PROTOCOL;
    }
}

static enum wsh_decode_error check_second(const struct wsh_decoder *decoder)
{
    uint8_t second = decoder->head[1];

    if (!(second & MASKED)) /* section 5.1: MUST close */
        return WSH_DECODE_PROTOCOL;
    if (is_control(decoder->opcode) && (second & LENGTH) > WSH_CONTROL_MAX)
        return WSH_DECODE_PROTOCOL;
    return WSH_DECODE_OK;
}

/* Bytes of head up to the mask; the second byte is there. */
static size_t length_end(const struct wsh_decoder *decoder)
{
    uint8_t length = decoder->head[1] & LENGTH;

    return length == LEN_16 ? 4 : length == LEN_64 ? 10 : 2;
}

static enum wsh_decode_error
check_length(struct wsh_decoder *decoder,
             const struct wsh_decoder_limits *limits)
{
    size_t end = length_end(decoder);
    uint64_t length = end == 2 ? decoder->head[1] & LENGTH : 0;
    size_t i;

    for (i = 2; i < end; i++)
        length = length << 8 | decoder->head[i];
    if ((end == 4 && length < LEN_16) || (end == 10 && length <= 0xffff))
        return WSH_DECODE_PROTOCOL; /* section 5.2: the minimal form is a MUST
                                     */
    if (length >> 63)
        return WSH_DECODE_PROTOCOL;
    if (!is_control(decoder->opcode) &&
        (decoder->message_len > limits->max_message ||
         length > limits->max_message - decoder->message_len))
        return WSH_DECODE_TOO_LARGE;
    decoder->left = length;
    return WSH_DECODE_OK;
}

/* A head is taken in steps, so that each byte is judged when it is there:
 * first byte, second byte, extended length, mask. */
static size_t step_end(const struct wsh_decoder *decoder)
{
    size_t end;

    if (decoder->head_len < 2)
        return decoder->head_len + 1u;
    end = length_end(decoder);
    return decoder->head_len < end ? end : end + MASK_BYTES;
}

static enum wsh_decode_error check_step(struct wsh_decoder *decoder,
                                        const struct wsh_decoder_limits *limits)
{
    enum wsh_decode_error error = WSH_DECODE_OK;

    if (decoder->head_len == 1)
        return check_first(decoder, limits);
    if (decoder->head_len == 2)
        error = check_second(decoder);
    if (!error && decoder->head_len == length_end(decoder))
        error = check_length(decoder, limits);
    return error;
}

static void begin_frame(struct wsh_decoder *decoder)
{
    decoder->in_payload = true;
    decoder->mask_at = 0;
    if (is_control(decoder->opcode))
        return;
    if (decoder->opcode != WSH_OP_CONT) {
        WSH_ASSERT(decoder->message_len == 0 && decoder->fragments == 0);
        WSH_ASSERT(decoder->utf8 == WSH_UTF8_OK);
        decoder->message_op = decoder->opcode;
    }
    decoder->fragments++;
}

/* Takes head bytes until the payload begins or the input ends. */
static enum wsh_decode_error take_head(struct feed *feed)
{
    struct wsh_decoder *decoder = feed->decoder;

    while (feed->len > 0 && !decoder->in_payload) {
        size_t end = step_end(decoder);
        size_t n = WSH_MIN(end - decoder->head_len, feed->len);
        enum wsh_decode_error error;

        memcpy(decoder->head + decoder->head_len, feed->data, n);
        decoder->head_len = (uint8_t)(decoder->head_len + n);
        feed->data += n;
        feed->len -= n;
        if (decoder->head_len < end)
            return WSH_DECODE_OK;
        error = check_step(decoder, feed->limits);
        if (error)
            return error;
        if (end > 2 && end == length_end(decoder) + MASK_BYTES)
            begin_frame(decoder);
    }
    return WSH_DECODE_OK;
}

/* ---- payload ---- */

/* Eight bytes at a time: the mask repeats every four, so one rotated copy of
 * it, doubled, serves the whole run. */
static void unmask(struct wsh_decoder *decoder, uint8_t *data, size_t len)
{
    const uint8_t *mask = decoder->head + decoder->head_len - MASK_BYTES;
    uint8_t turned[8];
    uint64_t key, word;
    size_t i;

    for (i = 0; i < sizeof turned; i++)
        turned[i] = mask[(decoder->mask_at + i) % MASK_BYTES];
    memcpy(&key, turned, sizeof key);
    for (i = 0; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        word ^= key;
        memcpy(data + i, &word, sizeof word);
    }
    for (; i < len; i++)
        data[i] ^= turned[i % sizeof turned];
    decoder->mask_at = (uint8_t)((decoder->mask_at + len) % MASK_BYTES);
}

static enum wsh_decode_error keep(struct feed *feed, const uint8_t *data,
                                  size_t len)
{
    struct wsh_buf *rx = &feed->decoder->rx;

    if (len == 0)
        return WSH_DECODE_OK;
    if (wsh_buf_reserve_max(rx, len,
                            feed->limits->max_message + WSH_CONTROL_MAX))
        return WSH_DECODE_NO_MEMORY;
    memcpy(rx->data + rx->len, data, len);
    rx->len += len;
    return WSH_DECODE_OK;
}

/* Section 5.5.1, 7.4 and 8.1. */
static enum wsh_decode_error check_close(const uint8_t *data, size_t len)
{
    if (len == 0)
        return WSH_DECODE_OK;
    if (len == 1 || !wsh_close_code_valid((unsigned)data[0] << 8 | data[1]))
        return WSH_DECODE_PROTOCOL;
    return wsh_utf8_valid(data + 2, len - 2) ? WSH_DECODE_OK : WSH_DECODE_UTF8;
}

static enum wsh_decode_error end_control(struct feed *feed, uint8_t *data,
                                         size_t len)
{
    struct wsh_decoder *decoder = feed->decoder;
    enum wsh_decode_error error = WSH_DECODE_OK;
    bool close = decoder->opcode == WSH_OP_CLOSE;

    if (close)
        error = check_close(data, len);
    if (error)
        return error;
    if (!feed->sink->control(feed->arg, decoder->opcode, data, len) || close)
        return WSH_DECODE_STOPPED; /* nothing follows a CLOSE */
    decoder->rx.len = decoder->message_len;
    return WSH_DECODE_OK;
}

static enum wsh_decode_error end_data(struct feed *feed, uint8_t *data,
                                      size_t len)
{
    struct wsh_decoder *decoder = feed->decoder;

    if (!decoder->fin)
        return WSH_DECODE_OK;
    if (decoder->utf8 != WSH_UTF8_OK) /* ends inside a character */
        return WSH_DECODE_UTF8;
    spend(feed, WSH_MESSAGE_COST);
    if (!feed->sink->message(feed->arg, decoder->message_op, data, len))
        return WSH_DECODE_STOPPED;
    decoder->message_op = 0;
    decoder->message_len = 0;
    decoder->fragments = 0;
    decoder->rx.len = 0;
    return WSH_DECODE_OK;
}

static enum wsh_decode_error take_control(struct feed *feed, uint8_t *data,
                                          size_t len)
{
    struct wsh_decoder *decoder = feed->decoder;
    size_t before = decoder->message_len;
    enum wsh_decode_error error;

    if (decoder->left == 0 && decoder->rx.len == before)
        return end_control(feed, data, len);
    error = keep(feed, data, len);
    if (error || decoder->left > 0)
        return error;
    return end_control(feed, decoder->rx.data + before,
                       decoder->rx.len - before);
}

static enum wsh_decode_error take_data(struct feed *feed, uint8_t *data,
                                       size_t len)
{
    struct wsh_decoder *decoder = feed->decoder;
    enum wsh_decode_error error;

    if (decoder->message_op == WSH_OP_TEXT)
        decoder->utf8 = wsh_utf8_feed(decoder->utf8, data, len);
    if (decoder->utf8 == WSH_UTF8_BAD)
        return WSH_DECODE_UTF8;
    if (decoder->left == 0 && decoder->fin && decoder->message_len == 0)
        return end_data(feed, data, len);
    error = keep(feed, data, len);
    if (error)
        return error;
    decoder->message_len = (uint32_t)decoder->rx.len;
    if (decoder->left > 0)
        return WSH_DECODE_OK;
    return end_data(feed, decoder->rx.data, decoder->rx.len);
}

/* Takes what there is of the frame's payload, which may be nothing. */
static enum wsh_decode_error take_payload(struct feed *feed)
{
    struct wsh_decoder *decoder = feed->decoder;
    uint8_t *data = feed->data;
    size_t len = (size_t)WSH_MIN(decoder->left, (uint64_t)feed->len);
    enum wsh_decode_error error;

    if (len > 0) {
        unmask(decoder, data, len);
        feed->data += len;
        feed->len -= len;
        decoder->left -= len;
    }
    error = is_control(decoder->opcode) ? take_control(feed, data, len)
                                        : take_data(feed, data, len);
    if (!error && decoder->left == 0) {
        decoder->in_payload = false;
        decoder->head_len = 0;
        spend(feed, WSH_FRAME_COST);
    }
    return error;
}

enum wsh_decode_error wsh_decoder_take(struct wsh_decoder *decoder,
                                       const struct wsh_decoder_limits *limits,
                                       struct wsh_decoder_input *input,
                                       const struct wsh_decoder_sink *sink,
                                       void *arg)
{
    struct feed feed = {.decoder = decoder,
                        .limits = limits,
                        .sink = sink,
                        .arg = arg,
                        .data = input->data,
                        .len = input->len,
                        .budget = input->budget};
    enum wsh_decode_error error = decoder->error;

    WSH_ASSERT(limits->max_message <= UINT32_MAX);
    while (!error && feed.len > 0 && feed.budget > 0) {
        error = take_head(&feed);
        if (!error && decoder->in_payload)
            error = take_payload(&feed);
    }
    decoder->error = (uint8_t)error;
    /* A buffer with nothing in it is of no use to a quiet connection. */
    if (error || decoder->rx.len == 0)
        wsh_buf_fini(&decoder->rx);
    input->data = feed.data;
    input->len = feed.len;
    input->budget = feed.budget;
    return error;
}

enum wsh_decode_error wsh_decoder_feed(struct wsh_decoder *decoder,
                                       const struct wsh_decoder_limits *limits,
                                       uint8_t *data, size_t len,
                                       const struct wsh_decoder_sink *sink,
                                       void *arg)
{
    struct wsh_decoder_input input = {data, len, 0};
    enum wsh_decode_error error;

    do {
        input.budget = UINT32_MAX;
        error = wsh_decoder_take(decoder, limits, &input, sink, arg);
    } while (!error && input.len > 0);
    return error;
}

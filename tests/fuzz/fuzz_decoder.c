/* A client's byte stream, decoded in one feed and in pieces: both must say the
 * same. The first byte gives the size of the pieces, the rest is the stream. */
#include <stdlib.h>
#include <string.h>
#include "base/map.h" /* wsh_siphash */
#include "fuzz.h"
#include "naive_utf8.h"
#include "protocol/decoder.h"

static const struct wsh_decoder_limits limits = {4096, 16};

struct sum {
    uint64_t hash[2]; /* seed of the next, so of everything so far */
    int closed;
};

static bool add(struct sum *sum, uint8_t kind, const uint8_t *data, size_t len)
{
    MUST_HOLD(!sum->closed);
    MUST_HOLD(len <= limits.max_message);
    sum->hash[0] = wsh_siphash(sum->hash, data, len);
    sum->hash[1] = wsh_siphash(sum->hash, &kind, 1);
    return true;
}

static bool message(void *arg, enum wsh_opcode opcode, uint8_t *data,
                    size_t len)
{
    MUST_HOLD(opcode == WSH_OP_TEXT || opcode == WSH_OP_BINARY);
    MUST_HOLD(opcode == WSH_OP_BINARY || naive_utf8(data, len) == NAIVE_OK);
    return add(arg, (uint8_t)opcode, data, len);
}

static bool control(void *arg, enum wsh_opcode opcode, uint8_t *data,
                    size_t len)
{
    struct sum *sum = arg;
    bool go_on = add(sum, (uint8_t)opcode, data, len);

    MUST_HOLD(len <= WSH_CONTROL_MAX);
    sum->closed = opcode == WSH_OP_CLOSE;
    MUST_HOLD(!sum->closed || len == 0 ||
              (len >= 2 && naive_utf8(data + 2, len - 2) == NAIVE_OK));
    return go_on;
}

static enum wsh_decode_error play(const uint8_t *data, size_t len, size_t piece,
                                  struct sum *sum)
{
    static const struct wsh_decoder_sink sink = {message, control};
    enum wsh_decode_error error = WSH_DECODE_OK;
    struct wsh_decoder decoder;
    uint8_t *copy = malloc(piece);
    size_t at, n;

    MUST_HOLD(copy);
    wsh_decoder_init(&decoder);
    for (at = 0; at < len; at += n) {
        n = len - at < piece ? len - at : piece;
        memcpy(copy, data + at, n);
        error = wsh_decoder_feed(&decoder, &limits, copy, n, &sink, sum);
        MUST_HOLD(decoder.rx.cap <= limits.max_message + WSH_CONTROL_MAX);
        MUST_HOLD(!error || !decoder.rx.data);
    }
    wsh_decoder_fini(&decoder);
    free(copy);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct sum whole = {{0}, 0}, pieces = {{0}, 0};
    size_t piece;

    if (len < 2)
        return 0;
    piece = data[0] + 1u;
    MUST_HOLD(play(data + 1, len - 1, len, &whole) ==
              play(data + 1, len - 1, piece, &pieces));
    MUST_HOLD(memcmp(whole.hash, pieces.hash, sizeof whole.hash) == 0);
    return 0;
}

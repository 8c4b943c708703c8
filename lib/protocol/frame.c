/*
 * frame.c: encodes server-to-client frames (RFC 6455 section 5.2, unmasked).
 * Owns: nothing. Thread: any.
 */
#include "protocol/frame.h"

#include <string.h>
#include "base/check.h"

enum { FIN = 0x80, LEN_16 = 126, LEN_64 = 127 };

static size_t head_size(size_t len)
{
    return len <= WSH_CONTROL_MAX ? 2 : len <= 0xffff ? 4 : 10;
}

static void put_length(uint8_t *to, uint64_t value, unsigned bytes)
{
    while (bytes > 0) {
        to[--bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static size_t head_write(uint8_t *to, bool fin, enum wsh_opcode opcode,
                         size_t len)
{
    size_t size = head_size(len);

    to[0] = (uint8_t)((fin ? FIN : 0) | opcode);
    if (size == 2) {
        to[1] = (uint8_t)len;
    } else {
        to[1] = size == 4 ? LEN_16 : LEN_64;
        put_length(to + 2, len, (unsigned)size - 2);
    }
    return size;
}

size_t wsh_message_size(size_t len, size_t fragment_bytes)
{
    size_t full, rest;

    WSH_ASSERT(fragment_bytes > 0);
    full = len / fragment_bytes;
    rest = len % fragment_bytes;
    return full * (head_size(fragment_bytes) + fragment_bytes) +
           (rest > 0 || len == 0 ? head_size(rest) + rest : 0);
}

/* Where gathering stands: bytes `used` of pieces[0] are written. */
struct gather {
    const struct wsh_piece *piece;
    size_t used;
};

static void gather_copy(struct gather *from, uint8_t *to, size_t len)
{
    while (len > 0) {
        size_t n = WSH_MIN(len, from->piece->len - from->used);

        if (n == 0) {
            from->piece++;
            from->used = 0;
            continue;
        }
        memcpy(to, (const uint8_t *)from->piece->data + from->used, n);
        from->used += n;
        to += n;
        len -= n;
    }
}

size_t wsh_message_write(uint8_t *to, enum wsh_opcode opcode,
                         const struct wsh_piece *pieces, size_t count,
                         size_t fragment_bytes)
{
    struct gather from = {pieces, 0};
    uint8_t *at = to;
    size_t left = 0;
    size_t i;

    WSH_ASSERT(fragment_bytes > 0);
    WSH_ASSERT(opcode == WSH_OP_TEXT || opcode == WSH_OP_BINARY);
    for (i = 0; i < count; i++)
        left += pieces[i].len;
    do {
        size_t len = WSH_MIN(left, fragment_bytes);

        left -= len;
        at += head_write(at, left == 0, opcode, len);
        gather_copy(&from, at, len);
        at += len;
        opcode = WSH_OP_CONT;
    } while (left > 0);
    return (size_t)(at - to);
}

size_t wsh_control_write(uint8_t *to, enum wsh_opcode opcode, const void *data,
                         size_t len)
{
    WSH_ASSERT(len <= WSH_CONTROL_MAX);
    WSH_ASSERT(opcode & 0x8);
    head_write(to, true, opcode, len);
    if (len > 0)
        memcpy(to + 2, data, len);
    return 2 + len;
}

size_t wsh_frame_size(const uint8_t *frame)
{
    uint64_t len = frame[1];
    unsigned bytes = len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0;
    unsigned i;

    WSH_ASSERT(len <= LEN_64); /* a mask bit would make it larger */
    if (bytes > 0)
        len = 0;
    for (i = 0; i < bytes; i++)
        len = len << 8 | frame[2 + i];
    return 2 + bytes + (size_t)len;
}

bool wsh_close_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/*
 * utf8.c: incremental UTF-8 validation, one state per kind of byte that may
 * come next (RFC 3629 section 4, the table of well-formed sequences).
 * Owns: nothing. Thread: any.
 */
#include "protocol/utf8.h"

#include <string.h>

/* States beside OK and BAD: how many continuation bytes are to come, and, where
 * the first of them is restricted, after which lead byte. */
enum {
    LAST = 2, /* one more, 80..bf */
    TWO,      /* two more, both 80..bf */
    AFTER_E0, /* a0..bf (no overlong form), then LAST */
    AFTER_ED, /* 80..9f (no surrogate), then LAST */
    THREE,    /* three more, all 80..bf */
    AFTER_F0, /* 90..bf (no overlong form), then TWO */
    AFTER_F4  /* 80..8f (nothing above U+10FFFF), then TWO */
};

struct step {
    uint8_t low, high, next;
};

static const struct step step_of[] = {
    [LAST] = {0x80, 0xbf, WSH_UTF8_OK}, [TWO] = {0x80, 0xbf, LAST},
    [AFTER_E0] = {0xa0, 0xbf, LAST},    [AFTER_ED] = {0x80, 0x9f, LAST},
    [THREE] = {0x80, 0xbf, TWO},        [AFTER_F0] = {0x90, 0xbf, TWO},
    [AFTER_F4] = {0x80, 0x8f, TWO},
};

static uint8_t lead(uint8_t byte)
{
    if (byte < 0x80)
        return WSH_UTF8_OK;
    if (byte < 0xc2) /* continuation, or an overlong form of ASCII */
        return WSH_UTF8_BAD;
    if (byte < 0xe0)
        return LAST;
    if (byte < 0xf0)
        return byte == 0xe0 ? AFTER_E0 : byte == 0xed ? AFTER_ED : TWO;
    if (byte < 0xf5)
        return byte == 0xf0 ? AFTER_F0 : byte == 0xf4 ? AFTER_F4 : THREE;
    return WSH_UTF8_BAD;
}

/* Skip ASCII, 16 bytes at a time while they last. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    const uint64_t high_bits = 0x8080808080808080u;
    uint64_t words[2];

    while (end - at >= (ptrdiff_t)sizeof words) {
        memcpy(words, at, sizeof words);
        if ((words[0] | words[1]) & high_bits)
            break;
        at += sizeof words;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

uint8_t wsh_utf8_feed(uint8_t state, const void *data, size_t len)
{
    const uint8_t *at = data;
    const uint8_t *end = at + len;

    if (len == 0 || state == WSH_UTF8_BAD)
        return state;
    while (at < end) {
        if (state == WSH_UTF8_OK) {
            if (*at < 0x80) {
                at = skip_ascii(at, end);
                continue;
            }
            state = lead(*at);
        } else {
            const struct step *step = &step_of[state];

            state = *at >= step->low && *at <= step->high ? step->next
                                                          : WSH_UTF8_BAD;
        }
        if (state == WSH_UTF8_BAD)
            return state;
        at++;
    }
    return state;
}

bool wsh_utf8_valid(const void *data, size_t len)
{
    return wsh_utf8_feed(WSH_UTF8_OK, data, len) == WSH_UTF8_OK;
}

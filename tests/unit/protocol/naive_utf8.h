/* naive_utf8.h: what UTF-8 is, decoded by its arithmetic: the other opinion for
 * tests and fuzzing. */
#ifndef TESTS_UNIT_PROTOCOL_NAIVE_UTF8_H
#define TESTS_UNIT_PROTOCOL_NAIVE_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { NAIVE_OK, NAIVE_CUT, NAIVE_BAD };

/* Bytes that a lead byte announces, 0: no lead byte. */
static inline size_t naive_length(uint8_t lead)
{
    return lead < 0x80             ? 1
           : (lead & 0xe0) == 0xc0 ? 2
           : (lead & 0xf0) == 0xe0 ? 3
           : (lead & 0xf8) == 0xf0 ? 4
                                   : 0;
}

/* May a code point with these first `have` of `want` bytes exist? Tries what
 * the missing bits could be at least and at most. */
static inline int naive_possible(const uint8_t *text, size_t have, size_t want)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t low = want == 1 ? text[0] : text[0] & (0xffu >> (want + 1));
    uint32_t high;
    size_t i;

    for (i = 1; i < have; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        low = low << 6 | (text[i] & 0x3f);
    }
    high = low;
    for (; i < want; i++) {
        low = low << 6;
        high = high << 6 | 0x3f;
    }
    if (high < least[want] || low > 0x10ffff)
        return 0;
    return !(low >= 0xd800 && high <= 0xdfff);
}

static inline int naive_utf8(const uint8_t *text, size_t len)
{
    while (len > 0) {
        size_t want = naive_length(text[0]);
        size_t have = want < len ? want : len;

        if (want == 0 || !naive_possible(text, have, want))
            return NAIVE_BAD;
        if (have < want)
            return NAIVE_CUT;
        text += want;
        len -= want;
    }
    return NAIVE_OK;
}

#endif

/*
 * siphash.c: SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input
 * PRF", 2012), written from the paper.
 * Owns: nothing. Thread: any.
 */
#include <string.h>
#include "base/map.h"

struct sip {
    uint64_t a, b, c, d; /* the paper's v0..v3 */
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate_left(s->b, 13) ^ s->a;
    s->d = rotate_left(s->d, 16) ^ s->c;
    s->a = rotate_left(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate_left(s->b, 17) ^ s->c;
    s->d = rotate_left(s->d, 21) ^ s->a;
    s->c = rotate_left(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    sip_round(s);
    s->a ^= word;
}

/* Little endian by definition, so that the same seed hashes the same anywhere;
 * compilers make one load of it where they can. */
static inline uint64_t load64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
           (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
           (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

uint64_t wsh_siphash(const uint64_t seed[2], const void *data, size_t len)
{
    const uint8_t *p = data;
    struct sip s = {
        seed[0] ^ 0x736f6d6570736575u,
        seed[1] ^ 0x646f72616e646f6du,
        seed[0] ^ 0x6c7967656e657261u,
        seed[1] ^ 0x7465646279746573u,
    };
    uint64_t last = (uint64_t)len << 56;
    size_t rest = len % 8;
    size_t i;

    for (i = 0; i < len - rest; i += 8)
        sip_word(&s, load64(p + i));
    for (i = 0; i < rest; i++)
        last |= (uint64_t)p[len - rest + i] << (8 * i);
    sip_word(&s, last);
    s.c ^= 0xff;
    for (i = 0; i < 4; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

/* rng.h: small deterministic generator (splitmix64) for jitter, seeds and
 * simulations; not for secrets. */
#ifndef WSH_BASE_RNG_H
#define WSH_BASE_RNG_H

#include <stdint.h>

struct wsh_rng {
    uint64_t state;
};

static inline uint64_t wsh_rng_next(struct wsh_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0..bound-1; bound > 0. */
static inline uint64_t wsh_rng_below(struct wsh_rng *rng, uint64_t bound)
{
    return wsh_rng_next(rng) % bound;
}

#endif

/* rendezvous.c: see rendezvous.h. The numbers here are part of what hubs of
 * different versions have to agree on: never change them. */
#include "rendezvous.h"

/* FNV-1a, 64 bits. */
static uint64_t fnv(const char *text, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    return hash;
}

/* The finalizer of splitmix64: FNV alone leaves names that differ in their last
 * byte close together. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t wsr_rendezvous_server(const char *identity, size_t len)
{
    return mix(fnv(identity, len));
}

unsigned wsr_rendezvous(const uint64_t *servers, unsigned count,
                        const char *channel, size_t len)
{
    uint64_t name = fnv(channel, len), best = 0;
    unsigned chosen = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t weight = mix(name ^ servers[i]);

        /* Equal weights: the server's own hash, so that the order of the list
         * never counts. */
        if (!i || weight > best ||
            (weight == best && servers[i] > servers[chosen])) {
            best = weight;
            chosen = i;
        }
    }
    return chosen;
}

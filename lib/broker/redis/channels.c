/* channels.c: see channels.h. Growing is best effort: without memory the chains
 * get longer; only the first entry and its own memory can fail. */
#include "channels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_SIZE = 64 };

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void round_of(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3: keyed, so that nobody can prepare names that collide; the short
 * variant, because the result is never seen outside. */
static uint64_t hash_of(const struct wsr_channels *channels, const char *name,
                        size_t len)
{
    uint64_t v[4] = {channels->seed[0] ^ 0x736f6d6570736575u,
                     channels->seed[1] ^ 0x646f72616e646f6du,
                     channels->seed[0] ^ 0x6c7967656e657261u,
                     channels->seed[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t word;

        memcpy(&word, name + i, 8);
        v[3] ^= word;
        round_of(v);
        v[0] ^= word;
    }
    for (unsigned shift = 0; i < len; i++, shift += 8)
        last |= (uint64_t)(uint8_t)name[i] << shift;
    v[3] ^= last;
    round_of(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (unsigned round = 0; round < 3; round++)
        round_of(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void wsr_channels_init(struct wsr_channels *channels)
{
    memset(channels, 0, sizeof *channels);
    /* Without randomness (a kernel still booting) addresses have to do. */
    if (getrandom(channels->seed, sizeof channels->seed, GRND_NONBLOCK) !=
        sizeof channels->seed)
        channels->seed[0] = (uint64_t)(uintptr_t)channels;
}

void wsr_channels_fini(struct wsr_channels *channels)
{
    free(channels->table);
    channels->table = NULL;
    channels->size = 0;
}

static struct wsr_channel **place(const struct wsr_channels *channels,
                                  uint64_t hash)
{
    return &channels->table[hash & (channels->size - 1)];
}

struct wsr_channel *wsr_channels_find(const struct wsr_channels *channels,
                                      const char *name, size_t len)
{
    struct wsr_channel *channel;
    uint64_t hash;

    if (!channels->count)
        return NULL;
    hash = hash_of(channels, name, len);
    for (channel = *place(channels, hash); channel; channel = channel->chain)
        if (channel->hash == hash && channel->len == len &&
            memcmp(channel->name, name, len) == 0)
            return channel;
    return NULL;
}

static void grow(struct wsr_channels *channels)
{
    struct wsr_channels larger = *channels;

    larger.size = channels->size ? channels->size * 2 : FIRST_SIZE;
    larger.table = calloc(larger.size, sizeof *larger.table);
    if (!larger.table)
        return;
    for (size_t i = 0; i < channels->size; i++) {
        struct wsr_channel *channel = channels->table[i], *next;

        for (; channel; channel = next) {
            struct wsr_channel **at = place(&larger, channel->hash);

            next = channel->chain;
            channel->chain = *at;
            *at = channel;
        }
    }
    free(channels->table);
    *channels = larger;
}

struct wsr_channel *wsr_channels_add(struct wsr_channels *channels,
                                     const char *name, size_t len)
{
    struct wsr_channel *channel, **at;

    if (channels->count >= channels->size)
        grow(channels);
    if (!channels->size)
        return NULL;
    channel = calloc(1, sizeof *channel + len);
    if (!channel)
        return NULL;
    memcpy(channel->name, name, len);
    channel->len = len;
    channel->hash = hash_of(channels, name, len);
    at = place(channels, channel->hash);
    channel->chain = *at;
    *at = channel;
    channels->count++;
    return channel;
}

void wsr_channels_remove(struct wsr_channels *channels,
                         struct wsr_channel *channel)
{
    struct wsr_channel **at = place(channels, channel->hash);

    while (*at != channel)
        at = &(*at)->chain;
    *at = channel->chain;
    channels->count--;
    free(channel);
}

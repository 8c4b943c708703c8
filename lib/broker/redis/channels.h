/*
 * channels.h: the channels that a topology of several servers has asked for,
 * and which server carries each.
 *
 * Owns the entries. A hash table over all of them, seeded at random (clients
 * choose the names: colliding ones must not slow anybody down), and one list
 * per server. An entry stays until every subscribe command has been answered,
 * wanted or not, so that a late answer is never taken for a new one.
 * Thread: the loop's.
 */
#ifndef WSR_CHANNELS_H
#define WSR_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct wsr_member;

struct wsr_channel {
    struct wsr_channel *chain;
    TAILQ_ENTRY(wsr_channel) list;
    struct wsr_member *member;
    uint64_t hash;
    unsigned asks; /* subscribe commands without an answer */
    bool wanted;
    bool live;          /* confirmed; the server has it */
    bool stray;         /* about to be dropped: its server has it no more */
    unsigned redirects; /* followed since it was asked for */
    size_t len;
    char name[];
};

TAILQ_HEAD(wsr_channel_list, wsr_channel);

struct wsr_channels {
    struct wsr_channel **table;
    size_t size; /* 0 or a power of two */
    size_t count;
    uint64_t seed[2];
};

/* Draws the seed. */
void wsr_channels_init(struct wsr_channels *channels);
/* No entry is left. */
void wsr_channels_fini(struct wsr_channels *channels);

struct wsr_channel *wsr_channels_find(const struct wsr_channels *channels,
                                      const char *name, size_t len);
/* The name is absent. In no list yet. NULL: no memory. */
struct wsr_channel *wsr_channels_add(struct wsr_channels *channels,
                                     const char *name, size_t len);
/* Frees it; it is in no list. */
void wsr_channels_remove(struct wsr_channels *channels,
                         struct wsr_channel *channel);

#endif

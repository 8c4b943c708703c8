/*
 * pending.h: commands whose replies are awaited, in the order they were sent.
 * Redis answers in that order, so the oldest one is whose reply comes next.
 * Thread: the loop's.
 */
#ifndef WSR_PENDING_H
#define WSR_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "reply.h"

/* Ends exactly once: with the reply, or with NULL if there will be none. */
typedef void (*wsr_command_cb)(void *user, const struct wsr_reply *reply);

struct wsr_pending {
    wsr_command_cb cb; /* NULL: nobody waits */
    void *user;
    uint64_t since_ms;
};

/* A ring that grows. Zeroed: empty. */
struct wsr_pendings {
    struct wsr_pending *ring;
    size_t size, first, count;
};

/* Room for one more; false: out of memory. */
bool wsr_pendings_reserve(struct wsr_pendings *pendings);
/* There is room. */
void wsr_pendings_push(struct wsr_pendings *pendings,
                       struct wsr_pending pending);
/* The oldest; NULL: none. Valid until the next call. */
struct wsr_pending *wsr_pendings_first(struct wsr_pendings *pendings);
/* There is one. */
struct wsr_pending wsr_pendings_pop(struct wsr_pendings *pendings);
void wsr_pendings_free(struct wsr_pendings *pendings);

#endif

/*
 * rate.h: two token buckets of one second's worth, for messages and bytes.
 * Zeroed memory is a full bucket. Time is an argument.
 */
#ifndef WSH_HUB_RATE_H
#define WSH_HUB_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct wsh_rate {
    uint64_t last_us;      /* 0: never used */
    float messages, bytes; /* tokens left */
    uint64_t over_us;      /* when the refusals under way began */
    uint64_t refused_us;   /* the last one */
};

/* Take a message of `len` bytes; limits per second, UINT32_MAX: none. False:
 * over a limit, nothing was taken. A message larger than a second's bytes
 * passes when the bucket is full, and empties it. */
bool wsh_rate_take(struct wsh_rate *rate, uint32_t max_messages,
                   uint32_t max_bytes, uint64_t len, uint64_t now_us);

/* Note that something was refused; true if that has been going on for
 * grace_us, with less than a second between any two. */
bool wsh_rate_refused(struct wsh_rate *rate, uint64_t now_us,
                      uint64_t grace_us);

#endif

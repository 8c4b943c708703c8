/*
 * backoff.c: the delay between connection attempts, for hosts that are clients
 * of a hub themselves.
 *
 * Owns nothing. Thread: any, signal handlers included.
 */
#include "ws_hub/backoff.h"

enum { BASE_MS = 500, JITTER_MS = 1000 };

uint32_t ws_hub_backoff_ms(unsigned attempt, uint32_t base_ms, uint64_t random)
{
    uint64_t delay = base_ms ? base_ms : BASE_MS;

    /* 15 doublings bring the smallest base to the limit, and the largest base
     * stays within 64 bits. */
    delay <<= attempt < 15 ? attempt : 15;
    delay += random % (JITTER_MS + 1);
    return delay < WS_HUB_BACKOFF_MAX_MS ? (uint32_t)delay
                                         : WS_HUB_BACKOFF_MAX_MS;
}

/** @file backoff.h  When a client in C tries again. */
#ifndef WS_HUB_BACKOFF_H
#define WS_HUB_BACKOFF_H

#include <stdint.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest delay between two attempts, milliseconds. */
#define WS_HUB_BACKOFF_MAX_MS 30000u

/**
 * Delay before a client's next connection attempt:
 * min(30 s, base_ms * 2^attempt + random(0..1000) ms).
 *
 * The jitter keeps the clients of a restarted server from coming back all at
 * once. Count an attempt as failed until its connection has been up for a while
 * (the browser client takes 10 s), else a server that accepts and drops is
 * called in a tight circle. Retry-After and goaway count more than this.
 *
 * @param attempt  attempts that failed in a row, 0 for the first delay
 * @param base_ms  milliseconds; 0: 500, as in the browser client
 * @param random   any number, equally likely; the caller's source
 * @return milliseconds, 0..WS_HUB_BACKOFF_MAX_MS
 *
 * Source: "min(30s, baseDelay * 2^attempt + random(0, 1000)ms)", from the
 * article the library is built after; ws_hub.js has the same function.
 * Thread: any+signal.  Callbacks: none.  Since: 0.1
 */
WS_HUB_API uint32_t ws_hub_backoff_ms(unsigned attempt, uint32_t base_ms,
                                      uint64_t random);

#ifdef __cplusplus
}
#endif
#endif

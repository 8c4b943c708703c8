/*
 * slow_host.h: a hub with one channel and clients of it, of which the first
 * ones do not keep up; every client checks what it gets (seq_check.h).
 *
 * The first `slow` clients have small socket buffers; the others always read,
 * so that what they have received tells how far the hub's loop is. Owner: the
 * test. Thread: one, beside the hub's loop.
 */
#ifndef WSH_TEST_SLOW_HOST_H
#define WSH_TEST_SLOW_HOST_H

#include <stdatomic.h>
#include <stdint.h>
#include "support/crowd.h"
#include "support/seq_check.h"
#include "ws_hub.h"

enum { SLOW_CLIENTS_MAX = 64, SLOW_LIMIT = 32768, SLOW_RESERVE = 8192 };

struct slow_host {
    ws_hub_options options; /* may be changed between init and start */
    ws_hub *hub;
    struct crowd *crowd;
    unsigned clients, slow; /* all; those that may be paused */
    struct seq_check check[SLOW_CLIENTS_MAX];
    uint64_t published;
    atomic_uint subscribed, closed;
    atomic_uint close_code;        /* of the last on_close */
    _Atomic uint64_t gaps, missed; /* on_gap */
};

void slow_init(struct slow_host *host);
/* All connected and subscribed. */
void slow_start(struct slow_host *host, unsigned slow, unsigned healthy);
/* The slow ones stop reading; and read again. */
void slow_pause(struct slow_host *host);
void slow_resume(struct slow_host *host);

/* One message of `size` bytes; key NULL: none. */
void slow_publish(struct slow_host *host, ws_hub_class cls, size_t size,
                  const char *key);
/* Until every client that reads has all that was published; then all of it is
 * accounted for the others as well. */
void slow_accounted(struct slow_host *host);
/* Publish normal messages until all that are paused are deprioritised. */
void slow_fill(struct slow_host *host, size_t size);
/* Until no client is slow and nothing waits; then one message more, to all:
 * what is missing at the end shows as a hole. */
void slow_recovered(struct slow_host *host);

ws_hub_stats_data slow_stats(const struct slow_host *host);
uint64_t slow_dropped(const struct slow_host *host, ws_hub_drop reason);
uint64_t slow_dropped_all(const struct slow_host *host);

/* Turns until condition(host). */
void slow_until(struct slow_host *host, bool (*condition)(void *host));
/* Stop in order, check the accounts, free. */
void slow_end(struct slow_host *host);

#endif

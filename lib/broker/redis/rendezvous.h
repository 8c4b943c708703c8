/*
 * rendezvous.h: which of several independent servers carries a channel.
 *
 * Rendezvous (highest random weight) hashing: each server has a weight for each
 * channel and the heaviest one carries it. A server that is added takes over
 * its share and nothing else moves. Every hub has the same answer, whatever the
 * order of its list, so the hash has no seed: a client that picks names may
 * load one server, never slow a look-up.
 * Pure. Thread: any.
 */
#ifndef WSR_RENDEZVOUS_H
#define WSR_RENDEZVOUS_H

#include <stddef.h>
#include <stdint.h>

/* Of a server's name: its URL without credentials. */
uint64_t wsr_rendezvous_server(const char *identity, size_t len);

/* Index into `servers`, which holds `count` > 0 different hashes. */
unsigned wsr_rendezvous(const uint64_t *servers, unsigned count,
                        const char *channel, size_t len);

#endif

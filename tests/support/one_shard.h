/*
 * one_shard.h: a hub of one shard without a broker, with pipes for sockets and
 * a clock that only the test moves. Enough for what a connection does alone.
 *
 * Owner: the test. Thread: one.
 */
#ifndef WSH_TEST_ONE_SHARD_H
#define WSH_TEST_ONE_SHARD_H

#include <stdbool.h>
#include <stdint.h>
#include "hub/conn.h"
#include "hub/hub.h"
#include "support/pipe.h"

struct one_shard {
    struct wsh_hub hub; /* first: wsh_hub_of */
    struct wsh_shard *shard;
    struct pipe_transport pipe;
    uint64_t now_us;
    bool hold; /* what the last turn asked for */
};

void one_shard_init(struct one_shard *one, const ws_hub_options *options);
/* Stops it abruptly: every end that is open is closed. */
void one_shard_fini(struct one_shard *one);

/* The end of a turn. */
void one_shard_turn(struct one_shard *one);
/* A connection with its handshake done and the answer read. */
void one_shard_connect(struct one_shard *one, struct pipe_end *end);
/* All that end's far side has written, and a turn. */
void one_shard_deliver(struct one_shard *one, struct pipe_end *end);

static inline struct wsh_conn *one_shard_conn(const struct pipe_end *end)
{
    return WSH_CONTAINER(end->link, struct wsh_conn, link);
}

static inline uint64_t one_shard_counted(const struct one_shard *one,
                                         unsigned which)
{
    return wsh_counted(&one->shard->counters, which);
}

#endif

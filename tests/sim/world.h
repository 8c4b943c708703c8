/*
 * world.h: a whole hub in one thread: shards, driver and memory broker with
 * pipes for sockets and a clock that only the test moves. Threads are played:
 * `current` says on which loop's thread the code runs, NULL is a thread of the
 * host.
 */
#ifndef WSH_SIM_WORLD_H
#define WSH_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include "base/rng.h"
#include "broker/driver.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "hub/hub.h"
#include "support/fake_loop.h"
#include "support/pipe.h"
#include "support/ws_peer.h"
#include "ws_hub/hub.h"

enum { LANES_MAX = 3, PEERS_MAX = 40, CHANNELS = 6 };

/* Who numbers messages: each lane, the host's thread, each client. */
enum {
    HOST_THREAD = LANES_MAX,
    FIRST_CLIENT,
    PUBLISHERS = FIRST_CLIENT + PEERS_MAX
};

struct world;
struct wsh_driver_config;

/* How a simulation of its own differs; NULL members: as sim_test has it. */
struct world_shape {
    const char *program; /* what replays a failure */
    void (*options)(struct world *world, ws_hub_options *options);
    /* Sets the adapter (ops, self), at least. */
    void (*driver)(struct world *world, struct wsh_driver_config *config);
};

struct lane {
    struct world *world;
    struct wsh_shard *shard;
    struct pipe_transport pipe;
    bool woken;
    bool idle;
};

/* A client, with what the oracle knows about it. */
struct peer {
    struct world *world;
    struct lane *lane;
    bool used;
    bool json;
    bool stalled; /* reads nothing for now */
    bool sent_close;
    struct pipe_end end;
    struct ws_peer ws;
    ws_hub_conn conn;  /* {0} until on_open */
    bool gone;         /* on_close was called */
    uint64_t expected; /* messages that were meant for it (raw mode) */
    uint64_t last[CHANNELS][PUBLISHERS]; /* sequence numbers seen */
    uint64_t last_direct;
};

struct world {
    struct wsh_hub hub; /* first: wsh_hub_of */
    const struct world_shape *shape;
    struct wsh_rng rng;
    uint64_t seed;
    uint64_t step;
    uint64_t now_us;
    struct lane lanes[LANES_MAX];
    unsigned lane_count;
    struct lane *current;
    struct fake_loop loop; /* of the driver, home */
    struct wsh_driver *driver;
    bool driver_closed;
    struct peer peers[PEERS_MAX];
    uint64_t sequence[CHANNELS][PUBLISHERS];
    uint64_t direct;
    uint64_t opened, closed;  /* callbacks */
    uint64_t heard, listened; /* by and for the host listener */
    ws_hub_listener *listener;
    ws_hub_policy policy[CHANNELS]; /* for slow clients */
    void (*on_gap)(struct world *world, ws_hub_conn conn, unsigned channel,
                   uint64_t missed);
    uint64_t gaps; /* callbacks */
    unsigned listened_channel;
};

/* Make and destroy; the shape (lanes, limits) follows from the seed. */
void world_init(struct world *world, uint64_t seed);
void world_init_as(struct world *world, uint64_t seed,
                   const struct world_shape *shape);
/* Stop, let everything end, check that nothing is left. */
void world_fini(struct world *world);

/* Run a lane: its mailbox, its sockets, the end of its turn. */
void world_turn(struct world *world, struct lane *lane);
/* Let everything come to rest: all delivered, all read but by stalled peers. */
void world_settle(struct world *world);
void world_check(struct world *world);
/* Whose connection is it? For callbacks. */
struct peer *world_peer(struct world *world, ws_hub_conn conn);

static inline uint64_t world_random(struct world *world, uint64_t below)
{
    return wsh_rng_below(&world->rng, below);
}

/* peer.c */
void peer_connect(struct world *world, struct peer *peer);
void peer_connect_as(struct lane *lane, struct peer *peer, bool json,
                     size_t window);
void peer_read(struct peer *peer, size_t most);
void peer_check(struct peer *peer);
void peer_fini(struct peer *peer);

/* steps.c: one random action; and the callback that sees client publishes. */
void world_step(struct world *world);
int sim_may_publish(ws_hub *hub, ws_hub_conn conn, const char *channel,
                    size_t channel_len, const void *data, size_t len,
                    void *user);

/* Print seed and step and abort: how to replay it is in the text. */
_Noreturn void world_fail(struct world *world, const char *what, int line);
#define CHECK(world, condition)                                                \
    do {                                                                       \
        if (!(condition))                                                      \
            world_fail((world), #condition, __LINE__);                         \
    } while (0)

#endif

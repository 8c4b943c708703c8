/*
 * outage.h: several hubs on one broker that goes wrong, in one thread and on
 * one clock.
 *
 *   clients - hub (world.h) - driver - fault adapter - member \
 *   clients - hub (world.h) - driver - fault adapter - member - server
 *   ...                                                       /
 *
 * The server is told of by server.c; what has been published, and who has to
 * have it, is kept in book.c; what happens is drawn in outage_test.c.
 */
#ifndef WSH_SIM_OUTAGE_H
#define WSH_SIM_OUTAGE_H

#include "sim/world.h"
#include "ws_hub/fault.h"

enum { HUBS = 2, CLIENTS = 10, MEMBER_CHANNELS = 64, RECORDS = 4096 };

/* A client of each hub, with what the book has to know. */
struct client {
    struct side *side;
    struct peer *peer;
    unsigned number; /* over all hubs */
    struct interest {
        bool wanted; /* it asked to be subscribed */
        bool on;     /* and it is */
        uint64_t from;
        uint64_t gap; /* when it was last told of one */
    } interest[CHANNELS];
    uint64_t last[CHANNELS][HUBS * (HOST_THREAD + 1)];
};

/* One hub, and what is around it. */
struct side {
    struct world world; /* first */
    struct outage *outage;
    unsigned index;
    void *fault;
    struct client clients[CLIENTS];
};

/* A hub's end of the server. */
struct member {
    struct server *server;
    unsigned index;
    const ws_hub_broker_host *host; /* NULL: not open */
    unsigned count;
    char channel[MEMBER_CHANNELS][64];
    struct wsh_list inbox; /* came from the server, not read yet */
};

struct server {
    struct outage *outage;
    bool down;
    struct member member[HUBS];
};

/* A publish. */
struct record {
    unsigned channel, publisher;
    unsigned hub;
    uint64_t number;
    int result;
    bool home;         /* on the first loop: the result is final */
    uint64_t at;       /* when it was published */
    uint64_t reached;  /* when the server had it; 0: not yet */
    bool echo_dropped; /* it went out marked as delivered */
    uint64_t got;      /* bit per client */
};

struct outage {
    uint64_t seed, step;
    struct wsh_rng rng;
    uint64_t clock; /* counts what the book notes: its time */
    uint64_t now_us;
    bool calm; /* no faults in this round: no gap, and no loss at all */
    struct server server;
    struct side sides[HUBS];
    uint64_t sequence[CHANNELS][HUBS * (HOST_THREAD + 1)];
    struct record records[RECORDS]; /* of this round */
    unsigned record_count;
    uint64_t received, gaps, explained, links_lost, unreached; /* for the end */
};

static inline uint64_t outage_random(struct outage *outage, uint64_t below)
{
    return wsh_rng_below(&outage->rng, below);
}

static inline struct side *side_of(struct world *world)
{
    return (struct side *)(void *)world;
}

/* server.c */
void server_init(struct outage *outage);
extern const ws_hub_broker_ops member_ops;
/* All links are lost; and none is made until it is up again. */
void server_set_down(struct outage *outage, bool down);
/* It forgets a subscription, and says so to nobody. */
void server_forget(struct member *member);
/* Let it read what has come, on its own loop. */
void member_read(struct member *member);
bool member_has(const struct member *member, const char *name, size_t len);

/* book.c */
size_t book_channel(char name[16], unsigned channel);
/* A publish on that thread of the side (HOST_THREAD: none of its loops). */
void book_publish(struct side *side, unsigned thread);
/* The server got it from that hub. */
void book_reached(struct outage *outage, const ws_hub_broker_message *message);
/* What a client reads. */
void book_read(void *client, uint8_t opcode, const uint8_t *data, size_t len);
/* After every step: nothing offered has vanished. */
void book_check_accounts(struct side *side);
/* All is at rest and healthy: every hole must be explained by a gap that was
 * told later, and what the server has is what the hubs want. A new round. */
void book_close_round(struct outage *outage);

#endif

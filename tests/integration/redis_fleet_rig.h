/*
 * redis_fleet_rig.h: an adapter over several real Redis servers, with the
 * simplest driver above it: what is dropped is subscribed again. Each channel's
 * messages are numbered, so nothing can come twice, out of order, or be lost
 * without the channel having been dropped in between.
 */
#ifndef WSH_TEST_REDIS_FLEET_RIG_H
#define WSH_TEST_REDIS_FLEET_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include "support/redis_nodes.h"
#include "ws_hub/broker.h"

enum { RIG_CHANNELS = 300 };

struct rig_channel {
    char name[24];
    bool asked, live;
    bool dropped; /* since its last message */
    unsigned drops;
    uint32_t sent, received; /* number of the last */
};

struct rig {
    ws_hub_broker_host host; /* first */
    ws_hub_loop *loop;
    const ws_hub_broker_ops *ops;
    void *self;
    struct redis_nodes *nodes;
    unsigned ready, lost, stopped, drops, messages;
    unsigned wrong; /* twice, or out of order, or lost unsaid */
    int probe_status;
    uint64_t listeners; /* of the last audited() */
    unsigned audited;
    struct rig_channel channels[RIG_CHANNELS];
};

/* Opened; not yet ready. */
struct rig *rig_open(struct redis_nodes *nodes);
/* Opened, and every channel has carried a message. */
struct rig *rig_open_live(struct redis_nodes *nodes);
/* Nothing was wrong, and nothing is left subscribed on running servers. */
void rig_close(struct rig *rig);

void rig_turn(struct rig *rig);
/* Turn until done(rig), or fail the test after 60 s. */
void rig_until(struct rig *rig, bool (*done)(struct rig *rig));
void rig_until_live(struct rig *rig);
bool rig_is_lost(struct rig *rig);
/* open() again, after a lost(). */
void rig_reopen(struct rig *rig);

/* The next number on each channel; how many were refused. */
unsigned rig_publish(struct rig *rig);
/* Publish on each, and wait until the last ones have come everywhere. */
void rig_exchange(struct rig *rig);

/* Channels that a server has subscribers of, other than probes. */
unsigned rig_carried(struct rig *rig, struct redis_node *node);

#endif

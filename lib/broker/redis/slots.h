/*
 * slots.h: which node of a cluster has which hash slot.
 *
 * Owns the table slot -> node and the nodes' addresses; pure, no I/O. What is
 * read here comes from a server: bounded, and never trusted to be well formed.
 * Thread: none of its own.
 */
#ifndef WSR_SLOTS_H
#define WSR_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "reply.h"
#include "url.h"

enum {
    WSR_SLOTS = 16384,
    WSR_NODES_MAX = 1024, /* the cluster specification's own bound: 1000 */
    WSR_NO_NODE = UINT16_MAX
};

/* An address without a scheme: a name, or an IP address without brackets. */
struct wsr_endpoint {
    char host[WSR_HOST_MAX];
    uint16_t port;
};

/* Zeroed memory is no table: wsr_slots_init() first. */
struct wsr_slots {
    struct wsr_endpoint *nodes; /* each owns one slot at least */
    unsigned node_count;
    unsigned node_cap;
    unsigned covered; /* slots that have an owner */
    uint16_t owner[WSR_SLOTS];
};

/* CRC16 (XMODEM) of the name, or of its {tag}, modulo 16384. */
unsigned wsr_slot_of(const char *channel, size_t len);

void wsr_slots_init(struct wsr_slots *slots);
void wsr_slots_fini(struct wsr_slots *slots);

/* Number of a node, which is added if it is new. WSR_NO_NODE: too many, or no
 * memory. */
unsigned wsr_slots_node(struct wsr_slots *slots,
                        const struct wsr_endpoint *node);
/* Give a range, both ends included, to a node. False: not a range. */
bool wsr_slots_assign(struct wsr_slots *slots, long long first, long long last,
                      unsigned node);

bool wsr_endpoint_equal(const struct wsr_endpoint *a,
                        const struct wsr_endpoint *b);
/* False: a host that is empty, too long, or holds what no host does. */
bool wsr_endpoint_set(struct wsr_endpoint *endpoint, const char *host,
                      size_t host_len, long long port);

/* Read the answer to CLUSTER SLOTS into an empty table. An empty or absent host
 * means `host`, the one that answered. Ranges that make no sense, or whose
 * master has no usable address, are left out.
 * @return 0; WS_HUB_EINVAL: it is not such an answer at all; WS_HUB_ENOMEM */
int wsr_slots_read(struct wsr_slots *slots, const struct wsr_reply *reply,
                   const char *host);

/* What CLUSTER INFO says of the node's view of the cluster. */
struct wsr_view {
    bool ok;        /* cluster_state:ok: it is with the majority */
    uint64_t epoch; /* cluster_current_epoch: a lower one is an older view */
};

/* False: it is not such an answer. */
bool wsr_view_read(struct wsr_view *view, const struct wsr_reply *reply);

#endif

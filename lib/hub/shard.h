/*
 * shard.h: one loop's share of the hub: its connections, channels, timers and
 * counters. Single writer: everything here is touched by the loop's thread
 * only, but for wsh_shard_post and the counters' readers.
 *
 * Life: create, attach (transport and loop port), turns; stop; when it is idle
 * (no connection left) the top takes transport and loop away and destroys it.
 */
#ifndef WSH_HUB_SHARD_H
#define WSH_HUB_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mpsc.h"
#include "base/rng.h"
#include "base/wheel.h"
#include "contract/link.h"
#include "contract/turn.h"
#include "hub/conn_table.h"
#include "hub/hub.h"
#include "metrics/counters.h"

/*
 * Work for a shard from anywhere. run() executes or, if the shard has ended,
 * only frees (canceled); it owns the task either way.
 */
struct wsh_task {
    struct wsh_mpsc_node node;
    void (*run)(struct wsh_shard *shard, struct wsh_task *task, bool canceled);
    size_t bytes; /* charged to the mailbox; 0: not bounded (control) */
};

enum { WSH_LOST_LIVE = 1, WSH_LOST_GAP = 2 };

/* Adaptive flush (DESIGN section 1): held back while turns bring messages. */
struct wsh_hold {
    uint64_t appended; /* messages since the last flush */
    uint64_t seen;     /* of them at the end of the last turn */
    uint64_t since_us; /* when the first of them came */
    unsigned turns;
    bool full; /* a channel's batch reached flush_bytes */
};

struct wsh_shard {
    struct wsh_hub *hub;
    unsigned index;
    const struct wsh_transport_ops *transport_ops;
    void *transport;
    struct wsh_loop_port port;

    struct wsh_mpsc mailbox;
    _Atomic size_t mailbox_bytes;
    _Atomic unsigned posters; /* threads inside wsh_shard_post */
    _Atomic bool closed;      /* posts are refused */

    /* What the home loop had no memory to tell: WSH_LOST_*, read by the task.
     */
    _Atomic unsigned lost_notices;
    struct wsh_task notices_lost;

    _Atomic unsigned links; /* connections that exist; the acceptor reads it */
    struct wsh_conn_table table;
    struct wsh_list conns;
    struct wsh_list dirty_conns; /* something to send and not blocked */
    struct wsh_list attention;   /* connections to look at after the flush */
    struct wsh_list behind;      /* those with more input than fits a turn */

    struct wsh_map channels;
    struct wsh_list dirty_channels; /* an open batch */
    struct wsh_list listeners;      /* of host code, all channels (home) */
    struct wsh_list dead_listeners; /* ended while a callback ran */
    unsigned hearing;               /* depth of listener callbacks */
    struct wsh_hold hold;
    uint64_t next_serial;  /* of channels */
    uint64_t relief_at_ms; /* no look at all queues before */

    struct wsh_wheel wheel;
    struct wsh_rng rng;
    struct wsh_send *sends; /* WSH_SENDS_MAX */
    uint8_t *arena;         /* gathered writes of one flush */
    struct wsh_buf scratch; /* an encoding in work */

    struct wsh_counters counters;
    bool stopping;
    void (*on_idle)(void *arg); /* stopping and no connection is left */
    void *on_idle_arg;
};

int wsh_shard_create(struct wsh_shard **out, struct wsh_hub *hub,
                     unsigned index, uint64_t now_us);
/* No connection is left; channels are gone; tasks that are left are canceled.
 * NULL is allowed. */
void wsh_shard_destroy(struct wsh_shard *shard);

void wsh_shard_attach(struct wsh_shard *shard,
                      const struct wsh_transport_ops *ops, void *transport,
                      const struct wsh_loop_port *port);

/* What transport and loop call; `hub`/`shard` of the contracts is the shard. */
extern const struct wsh_transport_events wsh_shard_transport_events;
extern const struct wsh_loop_events wsh_shard_loop_events;

/*
 * Queue a task, wake the loop. Any thread, the loop's included. 0;
 * WS_HUB_ELIMIT (mailbox_bytes); WS_HUB_ESTATE (ended). On error the task is
 * still the caller's.
 */
int wsh_shard_post(struct wsh_shard *shard, struct wsh_task *task);

/* Loop thread: refuse posts from now on, after those under way; cancel what is
 * queued. */
void wsh_shard_close_mailbox(struct wsh_shard *shard);

/* Loop thread: close every connection with 1001, or drop them (abrupt);
 * on_idle(arg) once none is left, maybe inside the call. May be called again
 * to become abrupt. */
void wsh_shard_stop(struct wsh_shard *shard, bool abrupt,
                    void (*on_idle)(void *arg), void *arg);

static inline bool wsh_shard_here(const struct wsh_shard *shard)
{
    return shard->port.here(shard->port.loop);
}

static inline uint64_t wsh_shard_now_ms(const struct wsh_shard *shard)
{
    return shard->port.now_us(shard->port.loop) / 1000;
}

/* Walks every container and the identity of the counters. Loop thread. */
void wsh_shard_check(const struct wsh_shard *shard);

#endif

/*
 * ws_hub_private.h: the top: it wires loops, transports, acceptor and driver to
 * a hub, and takes them down in order.
 *
 * A lane is one loop with its shard and transport; lane 0 is home. Start: every
 * lane's set-up runs on its own thread, home last with driver and acceptor.
 * Stop, orchestrated on home (stopping.c):
 *
 *   1. acceptor closes, every shard says goodbye to its connections
 *   2. all shards idle, acceptor gone: the driver closes
 *   3. driver gone: the other lanes close transport, mailbox and loop
 *   4. other lanes gone: home closes its own
 *   5. home's loop stopped: on_stopped, waiters wake, memory may go
 *
 * Thread: `state` under `lock`; the counters of the steps belong to home.
 */
#ifndef WSH_WS_HUB_PRIVATE_H
#define WSH_WS_HUB_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "broker/driver.h"
#include "hub/hub.h"
#include "hub/shard.h"
#include "loop/loop.h"
#include "transport/acceptor.h"
#include "transport/transport.h"
#include "ws_hub/hub.h"

enum hub_state { CREATED, RUNNING, STOPPED, FAILED };

struct lane {
    ws_hub *top;
    unsigned index;
    struct wsh_loop *loop;
    struct wsh_shard *shard;
    struct wsh_transport *transport;
    bool started;    /* its loop runs, or ran */
    unsigned handed; /* sockets handed to it; home counts */
    _Atomic unsigned arrived;
    _Atomic bool uring;
    struct wsh_task stop, idle, close, gone; /* steps, posted at most once */
};

struct ws_hub {
    struct wsh_hub hub; /* first: wsh_hub_of() */
    struct lane *lanes;
    unsigned lane_count;
    struct wsh_driver *driver;
    struct wsh_acceptor *acceptor;
    unsigned ports[16]; /* of bind_urls, from start on */
    char refusal[512];
    size_t refusal_len;
    double accept_tokens; /* of the rate limit; home */
    uint64_t accept_us;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum hub_state state;

    struct wsh_task stop_task, drop_task;
    _Atomic bool stop_posted, drop_posted;
    bool stopping, abrupt; /* home */
    bool acceptor_gone, driver_closing;
    unsigned lanes_idle, lanes_gone;
    bool destroy_when_stopped; /* host loop; under lock */
    unsigned undoing;          /* closes of a failed start; under lock */
};

/* ws_hub_accept.c */
int wsh_top_open_acceptor(ws_hub *top);

/* ws_hub_stop.c */
void wsh_top_init_tasks(ws_hub *top);
/* Home: begin, or become abrupt. */
void wsh_top_stop(ws_hub *top, bool abrupt);
/* Never started, stopped and joined, or failed. */
void wsh_top_free(ws_hub *top);

#endif

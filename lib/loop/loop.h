/*
 * loop.h: an event loop on libuv, either on a thread of our own or the host's.
 *
 * It drives one shard through wsh_loop_events, wakes for its mailbox, and is
 * the public loop contract (ws_hub_loop) for broker adapters. libuv is named
 * only in lib/loop and where a transport is given its loop.
 *
 * Owner: the hub's top (lib/ws_hub.c). Handles of a stopped loop are closed
 * asynchronously; `stopped` says when the memory may go.
 * Thread: as noted.
 */
#ifndef WSH_LOOP_LOOP_H
#define WSH_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/log.h"
#include "contract/turn.h"
#include "ws_hub/loop.h"

struct wsh_loop;

struct wsh_loop_config {
    void *host_uv_loop; /* uv_loop_t to attach to; NULL: a loop and thread of
                           our own, the thread not started yet */
    const struct wsh_loop_events *events;
    void *shard;
    /* Called after events->turn_end in the same turn (the transport's reaping);
     * true: run the next turn at once. May be NULL. */
    bool (*after_turn)(void *arg);
    void *after_turn_arg;
    const char *thread_name; /* at most 15 characters */
    const struct wsh_log *log;
};

/* Any thread; with a host loop that loop's. 0, WS_HUB_ENOMEM,
 * WS_HUB_ETRANSPORT. */
int wsh_loop_create(struct wsh_loop **out,
                    const struct wsh_loop_config *config);

/*
 * Begin to run. setup(arg) runs first, on the loop thread, with the loop ready
 * to take handles; its result is the result. With a thread of our own the call
 * waits for it; after an error the thread has ended (handles that setup left
 * are closed) and the loop can only be destroyed. The thread blocks all
 * signals.
 */
int wsh_loop_start(struct wsh_loop *loop, int (*setup)(void *arg), void *arg);

/*
 * Loop thread: close our own handles; `stopped(arg)` is called on the loop
 * thread when they are closed (never inside the call), and a thread of our own
 * then ends as soon as nothing else lives on its loop.
 */
void wsh_loop_stop(struct wsh_loop *loop, void (*stopped)(void *arg),
                   void *arg);

/* Wait for the thread of our own to end. Not on that thread. Idempotent. */
void wsh_loop_join(struct wsh_loop *loop);

/* Stopped (and joined), or never started. NULL is allowed. */
void wsh_loop_destroy(struct wsh_loop *loop);

/* Any thread, cheap: coalesced; see struct wsh_wake. */
void wsh_loop_wake(void *loop);

/* Is the caller on the loop's thread? Any thread. */
bool wsh_loop_here(const struct wsh_loop *loop);

/* The uv_loop_t. */
void *wsh_loop_uv(struct wsh_loop *loop);

/* Monotonic microseconds, read now. Any thread. */
uint64_t wsh_now_us(void);

/* The public contract; `(ws_hub_loop *)loop` is its first argument. */
const struct ws_hub_loop_ops *wsh_loop_contract(void);

#endif

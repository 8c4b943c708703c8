/*
 * fault.h: an adapter that goes wrong on purpose, between its rooms.
 *
 *   CLOSED -> OPENING -> UP <-> DOWN          (DOWN -> OPENING by open())
 *      ^         |        |      |
 *      +---------+-- CLOSING ----+
 *
 * What cannot pass at once waits in one of two lists: `in` (towards the hub:
 * delayed, or frozen) and `out` (calls, frozen only). Items of a channel keep
 * their order: one that finds another of its channel waiting, or just being
 * delivered, waits behind it (wsh_fault_channel.held).
 *
 * Two threads have no order between them, so what comes on another thread than
 * the loop's waits as well, until the next tick.
 *
 * Freeze and state are changed on the loop thread; messages come and, with an
 * inner adapter that allows it, publishes go on any. Everything below `lock` in
 * the struct is guarded by it; nothing is called with the lock held.
 *
 * Owner: the driver (destroy). Thread: the home loop, but for what is said.
 */
#ifndef WSH_BROKER_FAULT_FAULT_H
#define WSH_BROKER_FAULT_FAULT_H

#include <pthread.h>
#include <stdbool.h>
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "ws_hub/fault.h"

enum { WSH_FAULT_TICK_MS = 10, WSH_FAULT_CHAOS_MS = 100 };

enum wsh_fault_state {
    WSH_FAULT_CLOSED,
    WSH_FAULT_OPENING,
    WSH_FAULT_UP,
    WSH_FAULT_DOWN,
    WSH_FAULT_CLOSING
};

enum wsh_fault_kind {
    WSH_FAULT_MESSAGE, /* these go in */
    WSH_FAULT_SUBSCRIBED,
    WSH_FAULT_DROPPED,
    WSH_FAULT_AUDITED,
    WSH_FAULT_SUBSCRIBE, /* these go out */
    WSH_FAULT_UNSUBSCRIBE,
    WSH_FAULT_PUBLISH,
    WSH_FAULT_AUDIT
};

/* A channel that the inner adapter has, or shall have. */
struct wsh_fault_channel {
    struct wsh_map_node node;
    struct wsh_list list; /* in wsh_fault.channels, unless gone */
    bool asked;           /* subscribe() was called, no answer yet */
    bool live;            /* the inner adapter has confirmed it */
    bool gone;            /* forgotten, but for an item on its way */
    unsigned held;        /* items in `in`, and the one being delivered */
    uint64_t last_ms;     /* when the last of them is due */
    char name[];
};

struct wsh_fault_item {
    struct wsh_list list;
    enum wsh_fault_kind kind;
    struct wsh_fault_channel *channel; /* of those that go in; pinned: held */
    uint64_t due_ms;
    int status;
    uint64_t listeners;
    ws_hub_broker_message message; /* points into bytes */
    size_t name_len;
    char bytes[]; /* name, key, data */
};

struct wsh_fault {
    ws_hub_broker_host host; /* first: the inner adapter's callbacks get it */
    ws_hub_broker_ops ops;   /* as the hub sees it */
    ws_hub_broker_ops inner;
    void *inner_self;
    const ws_hub_broker_host *outer; /* NULL before open */
    ws_hub_fault_options options;
    ws_hub_timer *timer; /* ticks from open() to stopped */
    bool inner_started;  /* opened, not stopped */
    bool inner_open;     /* and not lost */
    bool inner_ready;
    bool open_lost; /* OPENING will end in lost */
    uint64_t opened_ms, chaos_ms;
    uint64_t thaw_ms; /* end of a freeze by chance; 0: by hand */
    pthread_t home;   /* the loop's thread, from open() on */
    unsigned depth;   /* of our functions that call out and then go on */
    bool doomed;      /* destroy() was called inside of one */

    pthread_mutex_t lock;
    enum wsh_fault_state state;
    bool frozen;
    bool overflow;     /* more came in than may wait: the tick loses the link */
    uint64_t now_ms;   /* of the last tick: other threads have no clock */
    uint64_t ready_ms; /* when to say ready after an EAGAIN; 0: not at all */
    struct wsh_rng rng;
    uint64_t count[WS_HUB_FAULT_COUNT];
    unsigned script[WS_HUB_FAULT_COUNT];
    struct wsh_map map;
    struct wsh_list channels;
    struct wsh_list in, out;
    unsigned waiting; /* items of both */
};

static inline void wsh_fault_lock(struct wsh_fault *fault)
{
    (void)pthread_mutex_lock(&fault->lock);
}

static inline void wsh_fault_unlock(struct wsh_fault *fault)
{
    (void)pthread_mutex_unlock(&fault->lock);
}

static inline uint64_t wsh_fault_now(const struct wsh_fault *fault)
{
    return fault->host.loop_ops->now_ms(fault->host.loop);
}

static inline struct wsh_fault *wsh_fault_of(const ws_hub_broker_host *host)
{
    return (struct wsh_fault *)(uintptr_t)host;
}

/* fault.c */

/* Draw: does this occasion have that fault? Locked. */
bool wsh_fault_happens(struct wsh_fault *fault, ws_hub_fault what);
/* 1..most. Locked. */
uint64_t wsh_fault_delay(struct wsh_fault *fault, unsigned most);
/* Around code that calls out and touches the adapter afterwards. */
void wsh_fault_enter(struct wsh_fault *fault);
void wsh_fault_leave(struct wsh_fault *fault);

/* held.c: what waits. All locked, but for item_create and item_destroy. */

struct wsh_fault_channel *wsh_fault_find(struct wsh_fault *fault,
                                         const char *name, size_t len);
/* Found or made; NULL: no memory. */
struct wsh_fault_channel *wsh_fault_get(struct wsh_fault *fault,
                                        const char *name, size_t len);
void wsh_fault_forget_if_idle(struct wsh_fault *fault,
                              struct wsh_fault_channel *channel);
/* Out of the table; freed now or after the item that is on its way. */
void wsh_fault_detach(struct wsh_fault *fault,
                      struct wsh_fault_channel *channel);
/* message may be NULL; copied. NULL: no memory. */
struct wsh_fault_item *
wsh_fault_item_create(enum wsh_fault_kind kind, const char *name, size_t len,
                      const ws_hub_broker_message *message);
/* Put it at the end of `in`, behind its channel. NULL, or no room: overflow. */
void wsh_fault_hold_in(struct wsh_fault *fault, struct wsh_fault_item *item,
                       struct wsh_fault_channel *channel, uint64_t due_ms);
/* Put it at the end of `out`. 0, WS_HUB_ENOMEM (NULL), WS_HUB_EAGAIN (full). */
int wsh_fault_hold_out(struct wsh_fault *fault, struct wsh_fault_item *item);
/* The first that is due, its channel still pinned; NULL: none. */
struct wsh_fault_item *wsh_fault_take_due(struct wsh_fault *fault,
                                          uint64_t now_ms);
struct wsh_fault_item *wsh_fault_take_out(struct wsh_fault *fault);
/* It was delivered: unpin its channel, free it. */
void wsh_fault_item_done(struct wsh_fault *fault, struct wsh_fault_item *item);
void wsh_fault_discard_channel(struct wsh_fault *fault,
                               struct wsh_fault_channel *channel);
void wsh_fault_discard_all(struct wsh_fault *fault);

/* link.c: the link's states. Unlocked. */

int wsh_fault_open(void *self, const ws_hub_broker_host *host);
void wsh_fault_close(void *self);
void wsh_fault_in_ready(const ws_hub_broker_host *host);
void wsh_fault_in_lost(const ws_hub_broker_host *host, const char *why);
void wsh_fault_in_stopped(const ws_hub_broker_host *host);
/* Any state but DOWN, CLOSED and CLOSING. */
void wsh_fault_lose(struct wsh_fault *fault, const char *why);
void wsh_fault_lose_channel(struct wsh_fault *fault,
                            struct wsh_fault_channel *channel);
void wsh_fault_thaw(struct wsh_fault *fault);

/* traffic.c: calls on their way out, answers and messages on their way in.
 * Unlocked. */

int wsh_fault_subscribe(void *self, const char *name, size_t len);
int wsh_fault_unsubscribe(void *self, const char *name, size_t len);
int wsh_fault_publish(void *self, const char *name, size_t len,
                      const ws_hub_broker_message *message);
int wsh_fault_audit(void *self, const char *name, size_t len);
int wsh_fault_in_message(const ws_hub_broker_host *host, const char *name,
                         size_t len, const ws_hub_broker_message *message);
void wsh_fault_in_subscribed(const ws_hub_broker_host *host, const char *name,
                             size_t len, int status);
void wsh_fault_in_dropped(const ws_hub_broker_host *host, const char *name,
                          size_t len, const char *why);
void wsh_fault_in_audited(const ws_hub_broker_host *host, const char *name,
                          size_t len, uint64_t listeners);
/* Let in what is due. */
void wsh_fault_deliver(struct wsh_fault *fault);
/* Make the calls that waited, in their order. The freeze is over when there is
 * none left. */
void wsh_fault_replay(struct wsh_fault *fault);

#endif

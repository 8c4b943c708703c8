/*
 * pipe.h: an in-process transport: the far ends of its links are plain
 * structures that a test drives. Everything that a socket may do, on demand:
 * take any number of bytes, be full, break, end.
 *
 * Owner: the test. Thread: none, all calls from one.
 */
#ifndef WSH_TEST_PIPE_H
#define WSH_TEST_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "contract/link.h"

struct pipe_transport {
    const struct wsh_transport_events *events;
    void *hub;
    struct wsh_list ends;
    size_t open;       /* links the hub has not seen closed */
    bool count_unsent; /* `held` has what the far end has not read */
    uint64_t held_calls;
};

/* The far end. It outlives the link: `link` is NULL once the hub is told. */
struct pipe_end {
    struct wsh_list node;
    struct pipe_transport *transport;
    struct wsh_link *link;
    size_t window;           /* bytes the "kernel" takes before it is full */
    struct wsh_buf to_far;   /* taken from the hub, not read yet */
    struct wsh_buf from_far; /* written here, not delivered yet */
    bool want;               /* the hub waits for `writable` */
    bool reading;
    bool broken;    /* sends fail */
    bool far_ended; /* EOF after from_far */
    bool shut;      /* FIN from the hub after to_far */
    bool dropped;
    void *user;
};

void pipe_init(struct pipe_transport *pipe,
               const struct wsh_transport_events *events, void *hub);
const struct wsh_transport_ops *pipe_ops(void);

/* A new connection. False: the hub refused it. */
bool pipe_connect(struct pipe_transport *pipe, struct pipe_end *end,
                  size_t window);
/* The far end sends. */
void pipe_write(struct pipe_end *end, const void *data, size_t len);
/* Deliver at most `most` bytes of it to the hub, or its EOF behind them. False:
 * there was nothing to do. */
bool pipe_deliver(struct pipe_end *end, size_t most);
/* The far end has read `len` bytes off to_far. */
void pipe_consumed(struct pipe_end *end, size_t len);
/* Call `writable` if it is due. */
bool pipe_writable(struct pipe_end *end);
/* End of a turn: what was dropped is closed. */
void pipe_turn_end(struct pipe_transport *pipe);
void pipe_end_fini(struct pipe_end *end);

#endif

/*
 * mpsc.h: intrusive queue, many producers, one consumer (Vyukov's design).
 *
 * Nodes of one producer come out in the order they went in. Push is wait-free;
 * pop never blocks: it may return NULL while a push is half done, and that
 * producer's wake comes after its push, so nothing is missed.
 * Owner: the embedding object owns the node; it is free again when popped.
 */
#ifndef WSH_BASE_MPSC_H
#define WSH_BASE_MPSC_H

#include <stdatomic.h>
#include <stdbool.h>

struct wsh_mpsc_node {
    _Atomic(struct wsh_mpsc_node *) next;
};

struct wsh_mpsc {
    _Atomic(struct wsh_mpsc_node *) head; /* producers */
    struct wsh_mpsc_node *tail;           /* consumer */
    struct wsh_mpsc_node stub;
};

void wsh_mpsc_init(struct wsh_mpsc *queue);
void wsh_mpsc_push(struct wsh_mpsc *queue, struct wsh_mpsc_node *node);
struct wsh_mpsc_node *wsh_mpsc_pop(struct wsh_mpsc *queue);
/* Consumer only; may say false while a push is half done. */
bool wsh_mpsc_empty(const struct wsh_mpsc *queue);

#endif

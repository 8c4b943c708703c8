/*
 * mpsc.c: intrusive queue, many producers, one consumer, after the design that
 * Dmitry Vyukov described (1024cores, "Intrusive MPSC node-based queue").
 *
 * Nodes form a chain from tail (oldest) to head (newest). A push swaps head
 * first and links the old head to itself second; between the two the chain is
 * cut, and the consumer sees an end there. The stub keeps the chain from ever
 * being empty. Invariant: tail is the stub or a node not yet popped.
 */
#include "base/mpsc.h"

#include <stddef.h>

void wsh_mpsc_init(struct wsh_mpsc *queue)
{
    atomic_init(&queue->stub.next, NULL);
    atomic_init(&queue->head, &queue->stub);
    queue->tail = &queue->stub;
}

void wsh_mpsc_push(struct wsh_mpsc *queue, struct wsh_mpsc_node *node)
{
    struct wsh_mpsc_node *before;

    atomic_store_explicit(&node->next, NULL, memory_order_relaxed);
    /* Release: whoever swaps after us links behind a node whose next is
     * reset. Acquire: we link behind such a node. */
    before = atomic_exchange_explicit(&queue->head, node, memory_order_acq_rel);
    /* Publishes the node's contents to the consumer. */
    atomic_store_explicit(&before->next, node, memory_order_release);
}

struct wsh_mpsc_node *wsh_mpsc_pop(struct wsh_mpsc *queue)
{
    struct wsh_mpsc_node *tail = queue->tail;
    struct wsh_mpsc_node *next =
        atomic_load_explicit(&tail->next, memory_order_acquire);

    if (tail == &queue->stub) {
        if (!next)
            return NULL;
        queue->tail = tail = next;
        next = atomic_load_explicit(&tail->next, memory_order_acquire);
    }
    if (!next) {
        /* The last node may go only when something stands behind it. If it is
         * not head, a push is half done and its end will be linked here. */
        if (tail != atomic_load_explicit(&queue->head, memory_order_acquire))
            return NULL;
        wsh_mpsc_push(queue, &queue->stub);
        next = atomic_load_explicit(&tail->next, memory_order_acquire);
        if (!next)
            return NULL;
    }
    queue->tail = next;
    return tail;
}

bool wsh_mpsc_empty(const struct wsh_mpsc *queue)
{
    return queue->tail == &queue->stub &&
           atomic_load_explicit(&queue->head, memory_order_acquire) ==
               &queue->stub;
}

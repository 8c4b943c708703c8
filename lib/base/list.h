/*
 * list.h: intrusive doubly-linked ring. A node is in at most one list; a node
 * that is in none points to itself, so that remove is idempotent.
 * Iterating code that calls out takes from the head until the list is empty.
 */
#ifndef WSH_BASE_LIST_H
#define WSH_BASE_LIST_H

#include <stdbool.h>
#include "base/check.h"

struct wsh_list {
    struct wsh_list *next, *prev;
};

static inline void wsh_list_init(struct wsh_list *node)
{
    node->next = node->prev = node;
}

static inline bool wsh_list_empty(const struct wsh_list *head)
{
    return head->next == head;
}

static inline void wsh_list_add_before(struct wsh_list *at,
                                       struct wsh_list *node)
{
    WSH_ASSERT(wsh_list_empty(node));
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void wsh_list_push(struct wsh_list *head, struct wsh_list *node)
{
    wsh_list_add_before(head, node);
}

static inline void wsh_list_remove(struct wsh_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    wsh_list_init(node);
}

/* Move all of `from` to the empty list `to`. */
static inline void wsh_list_take(struct wsh_list *to, struct wsh_list *from)
{
    wsh_list_init(to);
    if (wsh_list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    wsh_list_init(from);
}

#define WSH_LIST_FIRST(head, type, member)                                     \
    WSH_CONTAINER((head)->next, type, member)

#endif

/*
 * held.c: the channels of a fault adapter, and what waits to go in or out.
 *
 * Owns: channels and items. Invariants: `waiting` is the length of both lists;
 * within `in`, the items of one channel are in the order in which they came,
 * and none is due before the one ahead of it. Thread: any, locked.
 */
#include "broker/fault/fault.h"

#include <stdlib.h>
#include <string.h>

#include "ws_hub/error.h"

struct wsh_fault_channel *wsh_fault_find(struct wsh_fault *fault,
                                         const char *name, size_t len)
{
    struct wsh_map_node *node = wsh_map_find(&fault->map, name, len);

    return node ? WSH_CONTAINER(node, struct wsh_fault_channel, node) : NULL;
}

struct wsh_fault_channel *wsh_fault_get(struct wsh_fault *fault,
                                        const char *name, size_t len)
{
    struct wsh_fault_channel *channel = wsh_fault_find(fault, name, len);

    if (channel)
        return channel;
    channel = calloc(1, sizeof *channel + len);
    if (!channel)
        return NULL;
    memcpy(channel->name, name, len);
    channel->node.key = channel->name;
    channel->node.key_len = len;
    wsh_list_init(&channel->list);
    if (wsh_map_insert(&fault->map, &channel->node)) {
        free(channel);
        return NULL;
    }
    wsh_list_push(&fault->channels, &channel->list);
    return channel;
}

void wsh_fault_detach(struct wsh_fault *fault,
                      struct wsh_fault_channel *channel)
{
    WSH_ASSERT(!channel->gone);
    wsh_map_remove(&fault->map, &channel->node);
    wsh_list_remove(&channel->list);
    channel->gone = true;
    if (!channel->held)
        free(channel);
}

void wsh_fault_forget_if_idle(struct wsh_fault *fault,
                              struct wsh_fault_channel *channel)
{
    if (!channel->asked && !channel->live && !channel->held)
        wsh_fault_detach(fault, channel);
}

static void unpin(struct wsh_fault *fault, struct wsh_fault_channel *channel)
{
    WSH_ASSERT(channel->held > 0);
    channel->held--;
    if (!channel->gone)
        wsh_fault_forget_if_idle(fault, channel);
    else if (!channel->held)
        free(channel);
}

static void copy_message(struct wsh_fault_item *item, char *to,
                         const ws_hub_broker_message *message)
{
    ws_hub_broker_message *copy = &item->message;

    memcpy(copy, message, WSH_MIN(message->struct_size, sizeof *copy));
    copy->struct_size = sizeof *copy;
    if (copy->key_len) {
        memcpy(to, copy->key, copy->key_len);
        copy->key = to;
        to += copy->key_len;
    }
    if (copy->len) {
        memcpy(to, copy->data, copy->len);
        copy->data = to;
    }
}

struct wsh_fault_item *
wsh_fault_item_create(enum wsh_fault_kind kind, const char *name, size_t len,
                      const ws_hub_broker_message *message)
{
    size_t more = message ? message->key_len + message->len : 0;
    struct wsh_fault_item *item = calloc(1, sizeof *item + len + more);

    if (!item)
        return NULL;
    wsh_list_init(&item->list);
    item->kind = kind;
    item->name_len = len;
    memcpy(item->bytes, name, len);
    if (message)
        copy_message(item, item->bytes + len, message);
    return item;
}

void wsh_fault_hold_in(struct wsh_fault *fault, struct wsh_fault_item *item,
                       struct wsh_fault_channel *channel, uint64_t due_ms)
{
    /* A silent loss would be a fault that nobody asked for. */
    if (!item || fault->waiting >= fault->options.max_held) {
        free(item);
        fault->overflow = true;
        return;
    }
    if (channel->held)
        due_ms = WSH_MAX(due_ms, channel->last_ms);
    channel->last_ms = due_ms;
    channel->held++;
    item->channel = channel;
    item->due_ms = due_ms;
    wsh_list_push(&fault->in, &item->list);
    fault->waiting++;
}

int wsh_fault_hold_out(struct wsh_fault *fault, struct wsh_fault_item *item)
{
    if (!item)
        return WS_HUB_ENOMEM;
    if (fault->waiting >= fault->options.max_held) {
        free(item);
        return WS_HUB_EAGAIN;
    }
    wsh_list_push(&fault->out, &item->list);
    fault->waiting++;
    return 0;
}

static void take(struct wsh_fault *fault, struct wsh_fault_item *item)
{
    WSH_ASSERT(fault->waiting > 0);
    wsh_list_remove(&item->list);
    fault->waiting--;
}

struct wsh_fault_item *wsh_fault_take_due(struct wsh_fault *fault,
                                          uint64_t now_ms)
{
    struct wsh_list *at;

    for (at = fault->in.next; at != &fault->in; at = at->next) {
        struct wsh_fault_item *item =
            WSH_CONTAINER(at, struct wsh_fault_item, list);

        if (item->due_ms <= now_ms) {
            take(fault, item);
            return item;
        }
    }
    return NULL;
}

struct wsh_fault_item *wsh_fault_take_out(struct wsh_fault *fault)
{
    struct wsh_fault_item *item;

    if (wsh_list_empty(&fault->out))
        return NULL;
    item = WSH_LIST_FIRST(&fault->out, struct wsh_fault_item, list);
    take(fault, item);
    return item;
}

void wsh_fault_item_done(struct wsh_fault *fault, struct wsh_fault_item *item)
{
    if (item->channel)
        unpin(fault, item->channel);
    free(item);
}

void wsh_fault_discard_channel(struct wsh_fault *fault,
                               struct wsh_fault_channel *channel)
{
    struct wsh_list *at, *next;

    channel->held++; /* it outlives its items */
    for (at = fault->in.next; at != &fault->in; at = next) {
        struct wsh_fault_item *item =
            WSH_CONTAINER(at, struct wsh_fault_item, list);

        next = at->next;
        if (item->channel != channel)
            continue;
        take(fault, item);
        wsh_fault_item_done(fault, item);
    }
    channel->held--;
}

void wsh_fault_discard_all(struct wsh_fault *fault)
{
    struct wsh_fault_item *item;

    while ((item = wsh_fault_take_due(fault, UINT64_MAX)))
        wsh_fault_item_done(fault, item);
    while ((item = wsh_fault_take_out(fault)))
        wsh_fault_item_done(fault, item);
}

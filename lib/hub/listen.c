/*
 * listen.c: host code that hears channels.
 *
 * Listeners live on the home shard, as pins on its channels. A message is
 * copied once for all listeners of its channel and heard in a later turn, never
 * inside the publish, so a listener may publish what it likes.
 *
 * Owner: the hub; the handle dies with unlisten. A listener that ends while
 * callbacks run is only marked, and freed when the outermost one has returned.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "hub/parcel.h"
#include "protocol/channel_name.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

struct ws_hub_listener {
    struct wsh_task attach, detach; /* from other threads */
    struct wsh_hub *hub;
    struct wsh_list all;         /* in shard->listeners or dead_listeners */
    struct wsh_list node;        /* in channel->listeners */
    struct wsh_channel *channel; /* NULL: not attached */
    ws_hub_listen_cb cb;
    void *user;
    _Atomic bool dead;
    size_t len;
    char name[];
};

static void bury(struct wsh_shard *home, struct ws_hub_listener *listener)
{
    if (home->hearing)
        wsh_list_push(&home->dead_listeners, &listener->all);
    else
        free(listener);
}

static void detach(struct wsh_shard *home, struct ws_hub_listener *listener)
{
    struct wsh_channel *channel = listener->channel;

    wsh_list_remove(&listener->all);
    wsh_list_remove(&listener->node);
    listener->channel = NULL;
    bury(home, listener);
    if (channel)
        wsh_channel_unpin(channel);
}

static int attach(struct wsh_shard *home, struct ws_hub_listener *listener)
{
    int error = wsh_channel_pin(home, listener->name, listener->len,
                                &listener->channel);

    wsh_list_push(&home->listeners, &listener->all);
    if (error)
        return error;
    wsh_list_push(&listener->channel->listeners, &listener->node);
    return 0;
}

static void attach_arrives(struct wsh_shard *home, struct wsh_task *task,
                           bool canceled)
{
    struct ws_hub_listener *listener =
        WSH_CONTAINER(task, struct ws_hub_listener, attach);

    if (canceled)
        wsh_list_push(&home->listeners, &listener->all);
    else if (attach(home, listener))
        wsh_log(&home->hub->log, WS_HUB_LOG_ERROR,
                "a listener could not be attached: limit or memory");
}

static void detach_arrives(struct wsh_shard *home, struct wsh_task *task,
                           bool canceled)
{
    (void)canceled;
    detach(home, WSH_CONTAINER(task, struct ws_hub_listener, detach));
}

static struct ws_hub_listener *make(struct wsh_hub *hub, const char *channel,
                                    size_t len, ws_hub_listen_cb cb, void *user)
{
    struct ws_hub_listener *listener = calloc(1, sizeof *listener + len);

    if (!listener)
        return NULL;
    listener->attach.run = attach_arrives;
    listener->detach.run = detach_arrives;
    listener->hub = hub;
    wsh_list_init(&listener->all);
    wsh_list_init(&listener->node);
    listener->cb = cb;
    listener->user = user;
    listener->len = len;
    memcpy(listener->name, channel, len);
    return listener;
}

int ws_hub_listen(ws_hub *handle, const char *channel, size_t channel_len,
                  ws_hub_listen_cb cb, void *user, ws_hub_listener **out)
{
    struct wsh_hub *hub = handle ? wsh_hub_of(handle) : NULL;
    struct ws_hub_listener *listener;
    struct wsh_shard *home;
    int error;

    if (!out)
        return WS_HUB_EINVAL;
    *out = NULL;
    if (!hub || !cb || !channel ||
        !wsh_channel_name_valid(channel, channel_len))
        return WS_HUB_EINVAL;
    if (!atomic_load(&hub->running))
        return WS_HUB_ESTATE;
    listener = make(hub, channel, channel_len, cb, user);
    if (!listener)
        return WS_HUB_ENOMEM;
    home = hub->shards[WSH_HOME];
    error = wsh_shard_here(home) ? attach(home, listener)
                                 : wsh_shard_post(home, &listener->attach);
    if (error) {
        wsh_list_remove(&listener->all);
        free(listener);
        return error;
    }
    *out = listener;
    return 0;
}

void ws_hub_unlisten(ws_hub *handle, ws_hub_listener *listener)
{
    struct wsh_shard *home;

    if (!handle || !listener)
        return;
    home = listener->hub->shards[WSH_HOME];
    atomic_store(&listener->dead, true);
    if (wsh_shard_here(home))
        detach(home, listener);
    else
        (void)wsh_shard_post(home, &listener->detach);
    /* After the hub has stopped the post fails: destroy frees the listener. */
}

/* Run the callbacks of one channel. A cursor node marks the place, so that any
 * listener may go meanwhile, the current one included. */
static void call_all(struct wsh_shard *home, struct wsh_channel *channel,
                     const ws_hub_broker_message *message)
{
    struct wsh_list cursor;

    wsh_list_init(&cursor);
    wsh_list_add_before(channel->listeners.next, &cursor);
    while (cursor.next != &channel->listeners) {
        struct ws_hub_listener *listener =
            WSH_CONTAINER(cursor.next, struct ws_hub_listener, node);

        wsh_list_remove(&cursor);
        wsh_list_add_before(listener->node.next, &cursor);
        if (!atomic_load(&listener->dead))
            listener->cb(home->hub->handle, channel->node.key,
                         channel->node.key_len, message->type, message->data,
                         message->len, listener->user);
    }
    wsh_list_remove(&cursor);
}

static void hear_parcel(struct wsh_shard *home, const struct wsh_parcel *parcel)
{
    struct wsh_channel *channel =
        wsh_channel_find(home, parcel->channel, parcel->channel_len);

    if (!channel)
        return;
    channel->pins++;
    home->hearing++;
    call_all(home, channel, &parcel->message);
    wsh_channel_unpin(channel);
    if (--home->hearing)
        return;
    while (!wsh_list_empty(&home->dead_listeners)) {
        struct ws_hub_listener *listener =
            WSH_LIST_FIRST(&home->dead_listeners, struct ws_hub_listener, all);

        wsh_list_remove(&listener->all);
        free(listener);
    }
}

void wsh_channel_hear(struct wsh_channel *channel,
                      const ws_hub_broker_message *message)
{
    struct wsh_hub *hub = channel->shard->hub;

    if (wsh_parcel_send(hub, UINT64_C(1) << WSH_HOME, hear_parcel,
                        channel->node.key, channel->node.key_len, message))
        wsh_count(&channel->shard->counters, WSH_C_MAILBOX_REFUSED, 1);
}

void wsh_shard_fini_listeners(struct wsh_shard *shard)
{
    while (!wsh_list_empty(&shard->listeners))
        detach(shard,
               WSH_LIST_FIRST(&shard->listeners, struct ws_hub_listener, all));
}

/*
 * subscribe.c: a connection joins and leaves channels.
 *
 * Both sides know each other's index (wsh_sub.at, wsh_member.sub), so that
 * either removes in O(1) by moving its last element. Finding a connection's
 * subscription by channel scans the shorter of the two arrays.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "hub/channel.h"
#include "ws_hub/error.h"

/* A subscription that waits for the broker. Owner: the channel's list. */
struct waiting {
    struct wsh_list node;
    struct wsh_conn *conn;
    size_t id_len;
    char id[];
};

static void tell_host(struct wsh_conn *conn, struct wsh_view channel,
                      int status)
{
    struct wsh_hub *hub = conn->shard->hub;
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;

    if (callbacks->on_subscribed)
        callbacks->on_subscribed(hub->handle, wsh_conn_handle(conn),
                                 channel.data, channel.len, status,
                                 hub->settings.o.user);
}

static int add_sub(struct wsh_conn *conn, struct wsh_channel *channel)
{
    if (conn->sub_count == conn->sub_cap) {
        uint32_t cap = conn->sub_cap ? conn->sub_cap * 2 : 1;
        struct wsh_sub *subs = realloc(conn->subs, cap * sizeof *subs);

        if (!subs)
            return WS_HUB_ENOMEM;
        conn->subs = subs;
        conn->sub_cap = cap;
    }
    conn->subs[conn->sub_count].channel = channel;
    conn->subs[conn->sub_count].at = WSH_SUB_PENDING;
    conn->subs[conn->sub_count].missed = 0;
    conn->sub_count++;
    return 0;
}

static void remove_sub(struct wsh_conn *conn, uint32_t index)
{
    struct wsh_sub *moved;

    conn->sub_count--;
    if (index == conn->sub_count)
        return;
    conn->subs[index] = conn->subs[conn->sub_count];
    moved = &conn->subs[index];
    if (moved->at != WSH_SUB_PENDING)
        moved->channel->group[conn->mode].members[moved->at].sub = index;
}

static int add_member(struct wsh_conn *conn, uint32_t index)
{
    struct wsh_channel *channel = conn->subs[index].channel;
    struct wsh_group *group = &channel->group[conn->mode];

    if (group->count == group->cap) {
        uint32_t cap = group->cap ? group->cap * 2 : 2;
        struct wsh_member *members =
            realloc(group->members, cap * sizeof *members);

        if (!members)
            return WS_HUB_ENOMEM;
        group->members = members;
        group->cap = cap;
    }
    /* It gets what is published from now on. */
    wsh_channel_close_batch(channel);
    group->members[group->count].conn = conn;
    group->members[group->count].sub = index;
    conn->subs[index].at = group->count++;
    conn->subscribed = true;
    wsh_count(&conn->shard->counters, WSH_C_SUBSCRIPTIONS, 1);
    return 0;
}

static void remove_member(struct wsh_conn *conn, uint32_t index)
{
    struct wsh_channel *channel = conn->subs[index].channel;
    struct wsh_group *group = &channel->group[conn->mode];
    uint32_t at = conn->subs[index].at;

    /* It still gets what was published before. */
    wsh_channel_close_batch(channel);
    group->count--;
    if (at != group->count) {
        group->members[at] = group->members[group->count];
        group->members[at].conn->subs[group->members[at].sub].at = at;
    }
    conn->subs[index].at = WSH_SUB_PENDING;
    wsh_uncount(&conn->shard->counters, WSH_C_SUBSCRIPTIONS, 1);
}

static uint32_t find_in_subs(const struct wsh_conn *conn,
                             const struct wsh_channel *channel)
{
    for (uint32_t i = 0; i < conn->sub_count; i++)
        if (conn->subs[i].channel == channel)
            return i;
    return WSH_SUB_PENDING;
}

/* Index in conn->subs, WSH_SUB_PENDING: not subscribed. */
static uint32_t find_sub(const struct wsh_conn *conn,
                         const struct wsh_channel *channel)
{
    const struct wsh_group *group = &channel->group[conn->mode];

    if (conn->sub_count <= group->count || !wsh_list_empty(&channel->waiting))
        return find_in_subs(conn, channel);
    for (uint32_t i = 0; i < group->count; i++)
        if (group->members[i].conn == conn)
            return group->members[i].sub;
    return WSH_SUB_PENDING;
}

static struct waiting *find_waiting(const struct wsh_channel *channel,
                                    const struct wsh_conn *conn)
{
    struct wsh_list *node;

    for (node = channel->waiting.next; node != &channel->waiting;
         node = node->next)
        if (WSH_CONTAINER(node, struct waiting, node)->conn == conn)
            return WSH_CONTAINER(node, struct waiting, node);
    return NULL;
}

/* The subscription is set up, or has failed: answer the client and the host.
 * The name is passed apart: after a failure the channel may be gone. */
static void answer(struct wsh_conn *conn, struct wsh_view channel,
                   struct wsh_view id, int status, bool degraded)
{
    if (conn->mode == WS_HUB_MODE_JSON)
        wsh_json_subscribed(conn, channel, id, status, degraded);
    tell_host(conn, channel, status);
}

static int wait_for_broker(struct wsh_conn *conn, struct wsh_channel *channel,
                           struct wsh_view id)
{
    struct waiting *waiting = malloc(sizeof *waiting + id.len);

    if (!waiting)
        return WS_HUB_ENOMEM;
    waiting->conn = conn;
    waiting->id_len = id.len;
    if (id.len)
        memcpy(waiting->id, id.data, id.len);
    wsh_list_init(&waiting->node);
    wsh_list_push(&channel->waiting, &waiting->node);
    return 0;
}

int wsh_conn_subscribe(struct wsh_conn *conn, const char *name, size_t len,
                       struct wsh_view id)
{
    struct wsh_shard *shard = conn->shard;
    struct wsh_channel *channel = wsh_channel_find(shard, name, len);
    int error;

    if (channel && find_sub(conn, channel) != WSH_SUB_PENDING)
        return WS_HUB_EEXIST;
    if (conn->sub_count >= shard->hub->settings.o.max_channels_per_conn)
        return WS_HUB_ELIMIT;
    error = wsh_channel_pin(shard, name, len, &channel);
    if (error)
        return error;
    /* A new channel asks the host for its policy: look again. */
    if (conn->state != WSH_CONN_OPEN)
        error = WS_HUB_ENOENT;
    else if (find_sub(conn, channel) != WSH_SUB_PENDING)
        error = WS_HUB_EEXIST;
    else if (channel->refused)
        error =
            channel->refused == WS_HUB_ENOMEM ? WS_HUB_ENOMEM : WS_HUB_EBROKER;
    else
        error = add_sub(conn, channel);
    if (!error) {
        error = channel->live ? add_member(conn, conn->sub_count - 1)
                              : wait_for_broker(conn, channel, id);
        if (error)
            conn->sub_count--;
    }
    if (error) {
        wsh_channel_unpin(channel);
        return error;
    }
    if (channel->live) {
        channel->pins++; /* the callback may unsubscribe; it has the name */
        answer(conn, wsh_channel_view(channel), id, 0, channel->degraded);
        wsh_channel_unpin(channel);
    }
    return 0;
}

int wsh_conn_await(struct wsh_conn *conn, const char *name, size_t len,
                   struct wsh_view id)
{
    struct wsh_channel *channel = wsh_channel_find(conn->shard, name, len);
    int error;

    if (!channel || !find_waiting(channel, conn))
        return WS_HUB_ENOENT;
    error = wait_for_broker(conn, channel, id);
    if (!error)
        channel->pins++;
    return error;
}

/* Every subscribe that waits is answered, the host hears of it once. The pin of
 * one is left to the caller. */
static void fail_waiting(struct wsh_conn *conn, struct wsh_channel *channel,
                         int status)
{
    struct waiting *waiting;

    while ((waiting = find_waiting(channel, conn))) {
        struct wsh_view id = {waiting->id_len ? waiting->id : NULL,
                              waiting->id_len};

        wsh_list_remove(&waiting->node);
        if (conn->mode == WS_HUB_MODE_JSON)
            wsh_json_subscribed(conn, wsh_channel_view(channel), id, status,
                                false);
        free(waiting);
        if (find_waiting(channel, conn))
            wsh_channel_unpin(channel);
    }
    tell_host(conn, wsh_channel_view(channel), status);
}

static void leave(struct wsh_conn *conn, uint32_t index)
{
    struct wsh_channel *channel = conn->subs[index].channel;
    bool waits = conn->subs[index].at == WSH_SUB_PENDING;

    if (!waits)
        remove_member(conn, index);
    remove_sub(conn, index);
    if (waits)
        fail_waiting(conn, channel, WS_HUB_ECANCELED);
    wsh_channel_unpin(channel);
}

int wsh_conn_unsubscribe(struct wsh_conn *conn, const char *name, size_t len)
{
    struct wsh_channel *channel = wsh_channel_find(conn->shard, name, len);
    uint32_t index = channel ? find_sub(conn, channel) : WSH_SUB_PENDING;

    if (index == WSH_SUB_PENDING)
        return WS_HUB_ENOENT;
    leave(conn, index);
    return 0;
}

void wsh_conn_leave_all(struct wsh_conn *conn)
{
    /* From the end, and looked at anew each time: callbacks may change it. */
    while (conn->sub_count)
        leave(conn, conn->sub_count - 1);
}

/* The first that waits for a connection carries its subscription, and its pin
 * becomes the member's; others only want the answer. If it fails, they fail
 * with it. */
static void settle_one(struct wsh_channel *channel, struct waiting *waiting,
                       int status)
{
    struct wsh_conn *conn = waiting->conn;
    uint32_t index = find_in_subs(conn, channel);
    bool carries =
        index != WSH_SUB_PENDING && conn->subs[index].at == WSH_SUB_PENDING;
    struct wsh_view name = wsh_channel_view(channel);
    struct wsh_view id = {waiting->id_len ? waiting->id : NULL,
                          waiting->id_len};

    if (carries && !status)
        status = add_member(conn, index);
    if (carries && status) {
        remove_sub(conn, index);
        fail_waiting(conn, channel, status);
        wsh_channel_unpin(channel);
        return;
    }
    wsh_list_remove(&waiting->node);
    if (carries)
        answer(conn, name, id, status, channel->degraded);
    else
        wsh_json_subscribed(conn, name, id, status, channel->degraded);
    free(waiting);
    if (!carries)
        wsh_channel_unpin(channel);
}

void wsh_channel_settle_waiting(struct wsh_channel *channel, int status)
{
    /* A pin of its own: the last one that waits may be refused. */
    channel->pins++;
    while (!wsh_list_empty(&channel->waiting))
        settle_one(channel,
                   WSH_LIST_FIRST(&channel->waiting, struct waiting, node),
                   status);
    wsh_channel_unpin(channel);
}

#include "hub/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "protocol/event.h"
#include "ws_hub/error.h"

struct wsh_channel *wsh_channel_find(struct wsh_shard *shard, const char *name,
                                     size_t len)
{
    struct wsh_map_node *node = wsh_map_find(&shard->channels, name, len);

    return node ? WSH_CONTAINER(node, struct wsh_channel, node) : NULL;
}

static ws_hub_policy policy_of(const struct wsh_hub *hub, const char *name,
                               size_t len)
{
    const ws_hub_callbacks *callbacks = &hub->settings.callbacks;
    ws_hub_policy policy = WS_HUB_POLICY_DEFAULT;

    if (callbacks->policy_of)
        policy =
            callbacks->policy_of(hub->handle, name, len, hub->settings.o.user);
    if (policy <= WS_HUB_POLICY_DEFAULT || policy > WS_HUB_POLICY_CLOSE)
        policy = hub->settings.o.slow_policy;
    return policy;
}

static struct wsh_channel *make(struct wsh_shard *shard, const char *name,
                                size_t len)
{
    struct wsh_channel *channel = calloc(1, sizeof *channel + len);

    if (!channel)
        return NULL;
    memcpy(channel->name, name, len);
    channel->node.key = channel->name;
    channel->node.key_len = len;
    channel->shard = shard;
    channel->serial = ++shard->next_serial;
    wsh_list_init(&channel->dirty);
    wsh_list_init(&channel->listeners);
    wsh_list_init(&channel->waiting);
    if (wsh_map_insert(&shard->channels, &channel->node)) {
        free(channel);
        return NULL;
    }
    if (wsh_registry_join(&shard->hub->registry, name, len, shard->index)) {
        wsh_map_remove(&shard->channels, &channel->node);
        free(channel);
        return NULL;
    }
    wsh_count(&shard->counters, WSH_C_CHANNELS, 1);
    return channel;
}

/*
 * want and unwant are for the home loop. One task for both keeps their order;
 * the name is copied because the channel may be gone when the task runs.
 * Without memory a want is refused at once; a lost unwant leaves the broker
 * subscribed to a channel without listeners until it is wanted and left again.
 */
struct wish {
    struct wsh_task task;
    bool want;
    unsigned shard;
    size_t len;
    char name[];
};

static void wish_arrives(struct wsh_shard *home, struct wsh_task *task,
                         bool canceled)
{
    struct wish *wish = WSH_CONTAINER(task, struct wish, task);
    struct wsh_feed *feed = &home->hub->feed;

    if (!canceled)
        (wish->want ? feed->want : feed->unwant)(feed->driver, wish->name,
                                                 wish->len, wish->shard);
    free(wish);
}

static int tell_driver(struct wsh_shard *shard, bool want, const char *name,
                       size_t len)
{
    struct wsh_hub *hub = shard->hub;
    struct wish *wish;
    int error;

    if (shard->index == WSH_HOME) {
        (want ? hub->feed.want : hub->feed.unwant)(hub->feed.driver, name, len,
                                                   shard->index);
        return 0;
    }
    wish = malloc(sizeof *wish + len);
    if (!wish)
        return WS_HUB_ENOMEM;
    *wish = (struct wish){.task = {.run = wish_arrives},
                          .want = want,
                          .shard = shard->index,
                          .len = len};
    memcpy(wish->name, name, len);
    error = wsh_shard_post(hub->shards[WSH_HOME], &wish->task);
    if (error)
        free(wish);
    return error;
}

static void unmake(struct wsh_channel *channel)
{
    struct wsh_shard *shard = channel->shard;

    WSH_ASSERT(wsh_list_empty(&channel->waiting));
    WSH_ASSERT(wsh_list_empty(&channel->listeners));
    wsh_channel_close_batch(channel); /* nobody is left to offer it to */
    wsh_map_remove(&shard->channels, &channel->node);
    wsh_registry_leave(&shard->hub->registry, channel->node.key,
                       channel->node.key_len, shard->index);
    wsh_uncount(&shard->counters, WSH_C_CHANNELS, 1);
    if (tell_driver(shard, false, channel->node.key, channel->node.key_len))
        wsh_log(&shard->hub->log, WS_HUB_LOG_WARN,
                "the broker was not told that a channel was left");
    for (unsigned mode = 0; mode < WSH_MODES; mode++)
        free(channel->group[mode].members);
    wsh_buf_fini(&channel->json_head);
    free(channel);
}

int wsh_channel_pin(struct wsh_shard *shard, const char *name, size_t len,
                    struct wsh_channel **out)
{
    struct wsh_channel *channel = wsh_channel_find(shard, name, len);
    int error;

    *out = NULL;
    if (channel) {
        channel->pins++;
        *out = channel;
        return 0;
    }
    if (shard->channels.count >= shard->hub->settings.o.max_channels)
        return WS_HUB_ELIMIT;
    channel = make(shard, name, len);
    if (!channel)
        return WS_HUB_ENOMEM;
    channel->pins = 1;
    /* Only now: the callback may subscribe to it. */
    channel->policy = policy_of(shard->hub, name, len);
    error = tell_driver(shard, true, name, len);
    if (error) {
        wsh_channel_live(
            shard, name, len,
            error == WS_HUB_ESTATE ? WS_HUB_ECANCELED : WS_HUB_ENOMEM, false);
        wsh_channel_unpin(channel);
        return error == WS_HUB_ESTATE ? WS_HUB_ESTATE : WS_HUB_ENOMEM;
    }
    /* The driver could not even note it: as if it had not been asked. */
    if (channel->refused == WS_HUB_ENOMEM) {
        wsh_channel_unpin(channel);
        return WS_HUB_ENOMEM;
    }
    /* A local broker does not need to be asked: the registry knows the channel,
     * so that it is live here before the home loop hears of it. */
    if (shard->hub->feed.local)
        channel->live = true;
    *out = channel;
    return 0;
}

void wsh_channel_unpin(struct wsh_channel *channel)
{
    WSH_ASSERT(channel->pins > 0);
    if (--channel->pins == 0)
        unmake(channel);
}

void wsh_channel_live(struct wsh_shard *shard, const char *name, size_t len,
                      int status, bool degraded)
{
    struct wsh_channel *channel = wsh_channel_find(shard, name, len);

    if (!channel) /* left meanwhile */
        return;
    if (channel->live && status) /* local: nothing to refuse any more */
        return;
    channel->live = status == 0;
    channel->refused = status;
    channel->degraded = degraded;
    wsh_channel_settle_waiting(channel, status);
}

void wsh_channel_gap(struct wsh_shard *shard, const char *name, size_t len)
{
    struct wsh_channel *channel = wsh_channel_find(shard, name, len);

    if (!channel)
        return;
    channel->degraded = false;
    /* After what was published before the gap. */
    wsh_channel_close_batch(channel);
    for (unsigned mode = 0; mode < WSH_MODES; mode++) {
        const struct wsh_group *group = &channel->group[mode];

        for (uint32_t i = 0; i < group->count; i++)
            wsh_slow_broker_gap(group->members[i].conn, group->members[i].sub);
    }
}

static int gap_of(struct wsh_map_node *node, void *shard)
{
    wsh_channel_gap(shard, node->key, node->key_len);
    return 0;
}

static int mark_undecided(struct wsh_map_node *node, void *arg)
{
    struct wsh_channel *channel = WSH_CONTAINER(node, struct wsh_channel, node);

    (void)arg;
    if (!channel->live && !channel->refused)
        channel->refused = WS_HUB_ENOMEM;
    return 0;
}

static int find_marked(struct wsh_map_node *node, void *found)
{
    struct wsh_channel *channel = WSH_CONTAINER(node, struct wsh_channel, node);

    if (channel->refused != WS_HUB_ENOMEM || wsh_list_empty(&channel->waiting))
        return 0;
    *(struct wsh_channel **)found = channel;
    return 1;
}

void wsh_shard_notices_lost(struct wsh_shard *shard, unsigned which)
{
    struct wsh_channel *channel;

    if (which & WSH_LOST_GAP)
        wsh_map_each(&shard->channels, gap_of, shard);
    if (!(which & WSH_LOST_LIVE))
        return;
    /* Marked first: callbacks that subscribe again begin anew. */
    wsh_map_each(&shard->channels, mark_undecided, NULL);
    while (wsh_map_each(&shard->channels, find_marked, &channel))
        wsh_channel_settle_waiting(channel, WS_HUB_ENOMEM);
}

void wsh_channel_check(const struct wsh_channel *channel)
{
    uint32_t members = 0, waiting = 0, listeners = 0;
    const struct wsh_list *node;

    for (unsigned mode = 0; mode < WSH_MODES; mode++) {
        const struct wsh_group *group = &channel->group[mode];

        WSH_ASSERT(!group->batch || !wsh_list_empty(&channel->dirty));
        WSH_ASSERT(group->count <= group->cap);
        for (uint32_t i = 0; i < group->count; i++) {
            const struct wsh_conn *conn = group->members[i].conn;
            const struct wsh_sub *sub = &conn->subs[group->members[i].sub];

            WSH_ASSERT(conn->mode == mode && conn->state == WSH_CONN_OPEN);
            WSH_ASSERT(sub->channel == channel && sub->at == i);
        }
        members += group->count;
    }
    for (node = channel->waiting.next; node != &channel->waiting;
         node = node->next)
        waiting++;
    for (node = channel->listeners.next; node != &channel->listeners;
         node = node->next)
        listeners++;
    WSH_ASSERT(channel->pins == members + waiting + listeners);
}

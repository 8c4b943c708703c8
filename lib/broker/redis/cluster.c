/*
 * cluster.c: channels on the masters of a Redis cluster, each where its hash
 * slot is, by sharded pub/sub (Redis 7.0). See cluster.h.
 *
 * What is in flight when a slot moves: a subscribe is repeated at the new
 * owner; a subscription is ended by the old one and subscribed again by the
 * driver, with a gap; a publish is lost, and counted, because payloads are not
 * kept until they are answered. Such a publish falls into the gap that the own
 * subscribers are told of: the old owner refuses it after it has ended the
 * subscription.
 * Thread: the loop's.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>

/* A node with one slot of 16384 gets a name in 120 000 tries with a certainty
 * of 0.999; at about 100 ns each, and only once. */
enum { PROBE_TRIES = 120000, REDIRECTS_MAX = 5 };

static struct wsr_cluster *cluster_of(struct wsr_fleet *fleet)
{
    return (struct wsr_cluster *)fleet;
}

/* The member that has the channel, if there is anything to be had. */
static struct wsr_member *route(const struct wsr_cluster *cluster,
                                const char *channel, size_t len)
{
    if (!wsr_cluster_is_up(cluster))
        return NULL;
    return wsr_cluster_owner(cluster, wsr_slot_of(channel, len));
}

/* Seeds that are no masters were removed when that became known. */
static int add_seeds(struct wsr_cluster *cluster)
{
    const struct wsr_config *config = cluster->config;

    for (size_t i = 0; i < config->url_count; i++) {
        struct wsr_member *member;
        struct wsr_url *url = &config->urls[i];
        char name[WSR_NAME_MAX];
        bool there = false;

        wsr_url_name(url, name);
        TAILQ_FOREACH(member, &cluster->fleet.members, list)
        {
            there |= strcmp(wsr_server_name(member->server), name) == 0;
        }
        if (!there && wsr_fleet_add(&cluster->fleet, url, &member))
            return WS_HUB_ENOMEM;
    }
    return 0;
}

static int cluster_open(void *self, const ws_hub_broker_host *host)
{
    struct wsr_cluster *cluster = self;
    int error = add_seeds(cluster);

    cluster->fleet.host = host;
    if (!error)
        error = wsr_cluster_map_open(cluster);
    if (!error)
        error = wsr_fleet_open(&cluster->fleet, host);
    if (error)
        wsr_cluster_map_close(cluster);
    return error;
}

static int cluster_subscribe(void *self, const char *channel, size_t len)
{
    struct wsr_cluster *cluster = self;

    return wsr_fleet_subscribe(&cluster->fleet, route(cluster, channel, len),
                               channel, len);
}

static int cluster_unsubscribe(void *self, const char *channel, size_t len)
{
    struct wsr_cluster *cluster = self;

    return wsr_fleet_unsubscribe(&cluster->fleet, route(cluster, channel, len),
                                 channel, len);
}

static int cluster_publish(void *self, const char *channel, size_t len,
                           const ws_hub_broker_message *message)
{
    return wsr_fleet_publish(route(self, channel, len), channel, len, message);
}

static void cluster_close(void *self)
{
    struct wsr_cluster *cluster = self;

    wsr_fleet_close(&cluster->fleet);
}

static void cluster_destroy(void *self)
{
    struct wsr_cluster *cluster = self;

    wsr_fleet_fini(&cluster->fleet);
    wsr_cluster_map_fini(cluster);
    wsr_config_free(cluster->config);
    free(cluster);
}

static bool find_probe(struct wsr_cluster *cluster, struct wsr_member *member)
{
    char name[WS_HUB_CHANNEL_MAX];
    size_t base = wsr_probe_name(cluster->fleet.host, member->number, name);

    for (unsigned i = 0; i < PROBE_TRIES; i++) {
        size_t len =
            base + (size_t)snprintf(name + base, sizeof name - base, ".%u", i);

        if (route(cluster, name, len) == member) {
            memcpy(member->probe, name, len);
            member->probe_len = len;
            return true;
        }
    }
    return false;
}

/* A name stays until its slot moves to another node. */
static size_t cluster_probe_channel(void *self, unsigned link, char *name)
{
    struct wsr_cluster *cluster = self;
    struct wsr_member *member;

    if (!wsr_cluster_is_up(cluster) || link >= cluster->map.node_count)
        return 0;
    member = cluster->owners[link];
    if (!member)
        return 0;
    if ((!member->probe_len ||
         route(cluster, member->probe, member->probe_len) != member) &&
        !find_probe(cluster, member))
        return 0;
    memcpy(name, member->probe, member->probe_len);
    return member->probe_len;
}

static void cluster_suspect(void *self, const char *channel, size_t len)
{
    struct wsr_cluster *cluster = self;

    wsr_fleet_suspect(&cluster->fleet, route(cluster, channel, len), channel,
                      len);
    wsr_cluster_map_doubt(cluster);
}

static int cluster_audit(void *self, const char *channel, size_t len)
{
    struct wsr_cluster *cluster = self;

    return wsr_fleet_audit(&cluster->fleet, route(cluster, channel, len),
                           channel, len);
}

static const ws_hub_broker_ops ops = {
    .struct_size = sizeof ops,
    .name = "redis-cluster",
    .open = cluster_open,
    .subscribe = cluster_subscribe,
    .unsubscribe = cluster_unsubscribe,
    .publish = cluster_publish,
    .close = cluster_close,
    .destroy = cluster_destroy,
    .probe_channel = cluster_probe_channel,
    .suspect = cluster_suspect,
    .audit = cluster_audit,
};

static void on_up(struct wsr_fleet *fleet, struct wsr_member *member)
{
    struct wsr_cluster *cluster = cluster_of(fleet);

    (void)member;
    if (wsr_cluster_is_up(cluster))
        fleet->host->ready(fleet->host);
    else
        wsr_cluster_map_doubt(cluster);
}

static void on_down(struct wsr_fleet *fleet, struct wsr_member *member)
{
    (void)member;
    wsr_cluster_map_doubt(cluster_of(fleet));
}

static void on_shut(struct wsr_fleet *fleet)
{
    wsr_cluster_map_close(cluster_of(fleet));
}

/* Nothing is published in the whole cluster, though subscriptions stay. Ending
 * them is what tells subscribers of the gap; and what trails in must not come
 * behind what the hub delivers by itself now. */
static void take_down(struct wsr_cluster *cluster, const char *why)
{
    struct wsr_member *member;
    struct wsr_channel *channel;

    if (cluster->down)
        return;
    cluster->down = cluster->fleet.muted = true;
    wsr_log(cluster->fleet.host, WS_HUB_LOG_WARN, "cluster", "is down: %s",
            why);
    TAILQ_FOREACH(member, &cluster->fleet.members, list)
    {
        while ((channel = TAILQ_FIRST(&member->channels)))
            wsr_fleet_drop(&cluster->fleet, channel, "the cluster is down");
    }
}

static void on_refused(struct wsr_fleet *fleet, const char *text)
{
    struct wsr_cluster *cluster = cluster_of(fleet);

    if (strncmp(text, "CLUSTERDOWN", 11) == 0)
        take_down(cluster, text);
    if (fleet->open)
        wsr_cluster_map_doubt(cluster);
}

/* Follow a subscribe; what cannot be followed now is the driver's to repeat. */
static void follow(struct wsr_cluster *cluster, struct wsr_channel *channel)
{
    const ws_hub_broker_host *host = cluster->fleet.host;
    struct wsr_member *owner = route(cluster, channel->name, channel->len);
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = channel->len;

    if (!wsr_member_is_up(owner) || owner == channel->member ||
        channel->redirects > REDIRECTS_MAX) {
        wsr_fleet_drop(&cluster->fleet, channel, "its slot moved");
        return;
    }
    memcpy(name, channel->name, len);
    if (wsr_fleet_subscribe(&cluster->fleet, owner, name, len))
        host->dropped(host, name, len, "its slot moved");
}

/* ASK is not followed: Redis does not answer it to sharded pub/sub, where a
 * slot stays with its old owner until the migration's last step (7.0 to 8.0).
 */
static void on_redirect(struct wsr_fleet *fleet, struct wsr_member *member,
                        const struct wsr_redirect *redirect)
{
    struct wsr_cluster *cluster = cluster_of(fleet);
    const char *own = wsr_server_url(member->server)->host;
    struct wsr_channel *channel;
    struct wsr_endpoint node;

    if (!redirect->ask &&
        (redirect->host_len
             ? wsr_endpoint_set(&node, redirect->host, redirect->host_len,
                                redirect->port)
             : wsr_endpoint_set(&node, own, strlen(own), redirect->port)))
        wsr_cluster_map_correct(cluster, redirect->slot, &node);
    else
        wsr_cluster_map_doubt(cluster);
    if (redirect->on == WSR_ON_PUBLISH)
        return;
    if (redirect->on == WSR_ON_SUBSCRIBE) {
        channel = wsr_fleet_redirected(fleet, member, redirect->channel,
                                       redirect->channel_len);
        if (channel)
            follow(cluster, channel);
        return;
    }
    channel = wsr_channels_find(&fleet->channels, redirect->channel,
                                redirect->channel_len);
    if (channel && channel->member == member)
        wsr_fleet_drop(fleet, channel, "its slot moved");
}

static const struct wsr_fleet_events fleet_events = {
    .up = on_up,
    .down = on_down,
    .shut = on_shut,
    .refused = on_refused,
    .redirect = on_redirect,
};

int wsr_cluster_create(struct wsr_config *config,
                       const ws_hub_broker_ops **out_ops, void **self)
{
    struct wsr_cluster *cluster = calloc(1, sizeof *cluster);

    if (!cluster)
        return WS_HUB_ENOMEM;
    wsr_fleet_init(&cluster->fleet, &config->settings, &fleet_events);
    wsr_slots_init(&cluster->map);
    cluster->config = config;
    *out_ops = &ops;
    *self = cluster;
    return 0;
}

/*
 * cluster_map.c: learning who has which slot, and following changes.
 *
 * Any node can tell, but not every node knows: one that is cut off from the
 * majority, or was stopped for a while, goes on telling of the past. So CLUSTER
 * INFO is asked for beside CLUSTER SLOTS, and a view that is not "ok", or of an
 * older epoch than ours, is not taken; nor one that was long on its way. Nodes
 * are asked in turn.
 *
 * When: at the start, every 15 s, twice a second while something is wrong (a
 * node is away, a slot has no owner), and soon after an answer that does not
 * fit the map; never more often than every 100 ms.
 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>

enum {
    PERIOD_MS = 15000,
    TROUBLE_MS = 500,
    LEAST_MS = 100,
    STALE_MS = 2000, /* a view that took longer is not news */
    REFUSALS_MAX = 5 /* then the cluster itself has begun anew */
};

static uint64_t now_ms(const struct wsr_cluster *cluster)
{
    const ws_hub_broker_host *host = cluster->fleet.host;

    return host->loop_ops->now_ms(host->loop);
}

struct wsr_member *wsr_cluster_owner(const struct wsr_cluster *cluster,
                                     unsigned slot)
{
    unsigned node = cluster->map.owner[slot];

    return node == WSR_NO_NODE ? NULL : cluster->owners[node];
}

bool wsr_cluster_is_up(const struct wsr_cluster *cluster)
{
    return cluster->mapped && !cluster->down;
}

/* Refresh at `at_ms`, unless it happens earlier anyway. */
static void refresh_by(struct wsr_cluster *cluster, uint64_t at_ms)
{
    uint64_t now = now_ms(cluster);
    uint64_t least = cluster->refreshed_ms + LEAST_MS;

    if (!cluster->refresh)
        return;
    if (cluster->refreshed_ms && at_ms < least)
        at_ms = least;
    if (at_ms >= cluster->refresh_at_ms)
        return;
    cluster->refresh_at_ms = at_ms;
    cluster->fleet.host->loop_ops->timer_set(cluster->refresh,
                                             at_ms > now ? at_ms - now : 0);
}

void wsr_cluster_map_doubt(struct wsr_cluster *cluster)
{
    refresh_by(cluster, now_ms(cluster));
}

static bool all_is_well(const struct wsr_cluster *cluster)
{
    if (!wsr_cluster_is_up(cluster) || cluster->map.covered < WSR_SLOTS)
        return false;
    for (unsigned i = 0; i < cluster->map.node_count; i++)
        if (!wsr_member_is_up(cluster->owners[i]))
            return false;
    return true;
}

static void free_map(struct wsr_cluster *cluster)
{
    wsr_slots_fini(&cluster->map);
    wsr_slots_init(&cluster->map);
    memset(cluster->owners, 0, sizeof cluster->owners);
}

static bool is_at(const struct wsr_member *member,
                  const struct wsr_endpoint *node)
{
    const struct wsr_url *url = wsr_server_url(member->server);
    struct wsr_endpoint at;

    return wsr_endpoint_set(&at, url->host, strlen(url->host), url->port) &&
           wsr_endpoint_equal(&at, node);
}

/* The member at an address, made if there is none. NULL: no memory. */
static struct wsr_member *member_at(struct wsr_cluster *cluster,
                                    const struct wsr_endpoint *node)
{
    struct wsr_member *member;
    struct wsr_url url;

    TAILQ_FOREACH(member, &cluster->fleet.members, list)
    {
        if (is_at(member, node))
            return member;
    }
    if (!wsr_url_at(&url, &cluster->config->urls[0], node->host,
                    strlen(node->host), node->port) ||
        wsr_fleet_add(&cluster->fleet, &url, &member))
        return NULL;
    return member;
}

/* Members that own nothing go: former masters, and seeds under another name
 * than the cluster's own. If none of those can be reached, all is lost and the
 * seeds come back with the next open(). */
static void remove_strangers(struct wsr_cluster *cluster)
{
    struct wsr_member *member, *next;

    TAILQ_FOREACH(member, &cluster->fleet.members, list)
    member->stays = false;
    for (unsigned i = 0; i < cluster->map.node_count; i++)
        if (cluster->owners[i])
            cluster->owners[i]->stays = true;
    for (member = TAILQ_FIRST(&cluster->fleet.members); member; member = next) {
        next = TAILQ_NEXT(member, list);
        if (!member->stays)
            wsr_fleet_remove(&cluster->fleet, member);
        if (!cluster->fleet.open) /* the host closed it meanwhile */
            return;
    }
}

/* Channels whose slot has another owner now. A master that still runs tells of
 * each by itself, but one that hangs does not. Dropping calls out, so strays go
 * to the head of the list first; what is subscribed inside goes to the end. */
static void drop_strays(struct wsr_cluster *cluster, struct wsr_member *member)
{
    struct wsr_channel_list *list = &member->channels;
    struct wsr_channel *channel, *next;

    for (channel = TAILQ_FIRST(list); channel; channel = next) {
        unsigned slot = wsr_slot_of(channel->name, channel->len);

        next = TAILQ_NEXT(channel, list);
        channel->stray = wsr_cluster_owner(cluster, slot) != member;
        if (channel->stray) {
            TAILQ_REMOVE(list, channel, list);
            TAILQ_INSERT_HEAD(list, channel, list);
        }
    }
    while ((channel = TAILQ_FIRST(list)) && channel->stray)
        wsr_fleet_drop(&cluster->fleet, channel, "its slot moved");
}

static bool same_map(const struct wsr_slots *a, const struct wsr_slots *b)
{
    if (a->covered != b->covered)
        return false;
    for (unsigned slot = 0; slot < WSR_SLOTS; slot++) {
        unsigned i = a->owner[slot], j = b->owner[slot];

        if ((i == WSR_NO_NODE) != (j == WSR_NO_NODE))
            return false;
        if (i != WSR_NO_NODE && !wsr_endpoint_equal(&a->nodes[i], &b->nodes[j]))
            return false;
    }
    return true;
}

/* Takes over `map`. */
static void adopt(struct wsr_cluster *cluster, struct wsr_slots *map)
{
    struct wsr_member *member;

    free_map(cluster);
    cluster->map = *map;
    cluster->mapped = true;
    for (unsigned i = 0; i < map->node_count; i++)
        cluster->owners[i] = member_at(cluster, &map->nodes[i]);
    remove_strangers(cluster);
    TAILQ_FOREACH(member, &cluster->fleet.members, list)
    {
        drop_strays(cluster, member);
    }
}

static bool any_owner_is_up(const struct wsr_cluster *cluster)
{
    for (unsigned i = 0; i < cluster->map.node_count; i++)
        if (wsr_member_is_up(cluster->owners[i]))
            return true;
    return false;
}

static void on_info(void *user, const struct wsr_reply *reply)
{
    struct wsr_member *member = user;
    struct wsr_view view;

    member->view_ok = reply && wsr_view_read(&view, reply) && view.ok;
    member->view_epoch = member->view_ok ? view.epoch : 0;
}

/* Is it better than what we have? Anything is better than nothing. */
static bool is_news(struct wsr_cluster *cluster,
                    const struct wsr_member *member)
{
    bool stale = now_ms(cluster) - member->asked_ms > STALE_MS;

    if (!cluster->mapped ||
        (member->view_ok && member->view_epoch >= cluster->epoch && !stale)) {
        cluster->refused = 0;
        return true;
    }
    if (!member->view_ok || stale || ++cluster->refused <= REFUSALS_MAX)
        return false;
    cluster->refused = 0;
    return true;
}

/* True: there is a new map. */
static bool read_map(struct wsr_cluster *cluster, struct wsr_member *member,
                     const struct wsr_reply *reply)
{
    struct wsr_slots *map = malloc(sizeof *map);
    bool changed = false;

    if (!map)
        return false;
    wsr_slots_init(map);
    if (wsr_slots_read(map, reply, wsr_server_url(member->server)->host) ||
        !map->node_count) {
        wsr_log(cluster->fleet.host, WS_HUB_LOG_WARN,
                wsr_server_name(member->server), "tells of no slots: %.100s",
                reply->text ? reply->text : "");
    } else {
        cluster->epoch = member->view_epoch;
        changed = !cluster->mapped || !same_map(map, &cluster->map);
    }
    if (changed)
        adopt(cluster, map);
    else
        wsr_slots_fini(map);
    free(map);
    return changed;
}

/* A view has come that is worth reading. */
static void take_view(struct wsr_cluster *cluster, struct wsr_member *member,
                      const struct wsr_reply *reply)
{
    const ws_hub_broker_host *host = cluster->fleet.host;
    bool changed = read_map(cluster, member, reply);

    if (cluster->down && member->view_ok) {
        cluster->down = cluster->fleet.muted = false;
        changed = true;
    }
    if (changed && cluster->fleet.open && wsr_cluster_is_up(cluster) &&
        any_owner_is_up(cluster))
        host->ready(host);
}

static void on_slots(void *user, const struct wsr_reply *reply)
{
    struct wsr_member *member = user;
    struct wsr_cluster *cluster = (struct wsr_cluster *)member->fleet;

    member->asked = false;
    if (!reply || !cluster->fleet.open)
        return;
    wsr_fleet_enter(&cluster->fleet);
    if (is_news(cluster, member))
        take_view(cluster, member, reply);
    if (cluster->fleet.open && !all_is_well(cluster))
        refresh_by(cluster, now_ms(cluster) + TROUBLE_MS);
    wsr_fleet_leave(&cluster->fleet);
}

/* One that has not answered yet is not asked again. */
static bool ask(struct wsr_cluster *cluster, struct wsr_member *member)
{
    const struct wsr_arg info[] = {WSR_ARG("CLUSTER"), WSR_ARG("INFO")};
    const struct wsr_arg slots[] = {WSR_ARG("CLUSTER"), WSR_ARG("SLOTS")};

    if (!wsr_member_is_up(member) || member->asked ||
        wsr_server_command(member->server, info, 2, on_info, member))
        return false;
    member->asked_ms = now_ms(cluster);
    member->asked =
        !wsr_server_command(member->server, slots, 2, on_slots, member);
    return member->asked;
}

/* The first that can be asked goes to the end, so all have their turn. */
static void ask_somebody(struct wsr_cluster *cluster)
{
    struct wsr_members *members = &cluster->fleet.members;
    struct wsr_member *member;

    TAILQ_FOREACH(member, members, list)
    {
        if (ask(cluster, member)) {
            TAILQ_REMOVE(members, member, list);
            TAILQ_INSERT_TAIL(members, member, list);
            return;
        }
    }
}

static void on_refresh(ws_hub_timer *timer, void *user)
{
    struct wsr_cluster *cluster = user;

    (void)timer;
    cluster->refresh_at_ms = UINT64_MAX;
    cluster->refreshed_ms = now_ms(cluster);
    ask_somebody(cluster);
    refresh_by(cluster, now_ms(cluster) +
                            (all_is_well(cluster) ? PERIOD_MS : TROUBLE_MS));
}

int wsr_cluster_map_open(struct wsr_cluster *cluster)
{
    const ws_hub_broker_host *host = cluster->fleet.host;

    cluster->mapped = false;
    cluster->epoch = 0;
    cluster->refused = 0;
    cluster->refreshed_ms = 0;
    cluster->refresh_at_ms = UINT64_MAX;
    return host->loop_ops->timer_open(host->loop, on_refresh, cluster,
                                      &cluster->refresh);
}

void wsr_cluster_map_close(struct wsr_cluster *cluster)
{
    if (cluster->refresh)
        cluster->fleet.host->loop_ops->timer_close(cluster->refresh);
    cluster->refresh = NULL;
    cluster->mapped = cluster->down = cluster->fleet.muted = false;
}

void wsr_cluster_map_fini(struct wsr_cluster *cluster)
{
    wsr_slots_fini(&cluster->map);
}

void wsr_cluster_map_correct(struct wsr_cluster *cluster, unsigned slot,
                             const struct wsr_endpoint *node)
{
    unsigned index = wsr_slots_node(&cluster->map, node);

    wsr_cluster_map_doubt(cluster);
    if (index == WSR_NO_NODE)
        return;
    cluster->owners[index] = member_at(cluster, node);
    if (cluster->owners[index])
        (void)wsr_slots_assign(&cluster->map, slot, slot, index);
}

/*
 * fleet.c: members: their life, their back-off, their order at the end. What
 * they carry is in fleet_channels.c. See fleet.h.
 */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>
#include "fleet_private.h"
#include "topology.h"

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10000, BACKOFF_STEPS = 7 };

uint64_t wsr_fleet_random(struct wsr_fleet *fleet)
{
    uint64_t z = (fleet->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void wsr_fleet_init(struct wsr_fleet *fleet,
                    const struct wsr_settings *settings,
                    const struct wsr_fleet_events *events)
{
    fleet->settings = settings;
    fleet->events = events;
    TAILQ_INIT(&fleet->members);
    TAILQ_INIT(&fleet->removed);
    wsr_channels_init(&fleet->channels);
    fleet->random = fleet->channels.seed[1];
}

static void free_all(struct wsr_members *members)
{
    struct wsr_member *member;

    while ((member = TAILQ_FIRST(members))) {
        TAILQ_REMOVE(members, member, list);
        wsr_server_destroy(member->server);
        free(member);
    }
}

void wsr_fleet_fini(struct wsr_fleet *fleet)
{
    free_all(&fleet->members);
    free_all(&fleet->removed);
    wsr_channels_fini(&fleet->channels);
}

void wsr_fleet_enter(struct wsr_fleet *fleet)
{
    fleet->depth++;
}

void wsr_fleet_leave(struct wsr_fleet *fleet)
{
    if (--fleet->depth)
        return;
    free_all(&fleet->removed);
    if (!fleet->stopping)
        return;
    fleet->stopping = false;
    fleet->host->stopped(fleet->host); /* may free the fleet */
}

bool wsr_member_is_up(const struct wsr_member *member)
{
    return member && wsr_server_is_up(member->server);
}

/* A server that cannot even be opened (memory) is tried again like one that
 * failed. */
static void open_member(struct wsr_member *member)
{
    struct wsr_fleet *fleet = member->fleet;
    uint64_t most = BACKOFF_MAX_MS;

    if (wsr_server_open(member->server, fleet->host) == 0)
        return;
    fleet->host->loop_ops->timer_set(member->reopen, most);
}

static void on_reopen(ws_hub_timer *timer, void *user)
{
    struct wsr_member *member = user;

    (void)timer;
    open_member(member);
}

static void schedule_reopen(struct wsr_member *member)
{
    struct wsr_fleet *fleet = member->fleet;
    uint64_t most = BACKOFF_MAX_MS;

    if (member->attempt < BACKOFF_STEPS)
        most = (uint64_t)BACKOFF_FIRST_MS << member->attempt;
    member->attempt++;
    fleet->host->loop_ops->timer_set(
        member->reopen, most / 2 + wsr_fleet_random(fleet) % (most / 2 + 1));
}

/* Is anything up, or may be soon? */
static bool has_hope(const struct wsr_fleet *fleet)
{
    const struct wsr_member *member;

    TAILQ_FOREACH(member, &fleet->members, list)
    {
        if (wsr_server_is_up(member->server) ||
            wsr_server_is_opening(member->server))
            return true;
    }
    return false;
}

/* Silent: what it ends is told by lost or stopped. */
static void shut(struct wsr_fleet *fleet)
{
    struct wsr_member *member;

    fleet->open = false;
    TAILQ_FOREACH(member, &fleet->members, list)
    {
        wsr_server_close(member->server);
        if (member->reopen)
            fleet->host->loop_ops->timer_close(member->reopen);
        member->reopen = NULL;
        wsr_fleet_forget_channels(member);
    }
    if (fleet->events->shut)
        fleet->events->shut(fleet);
}

static void on_up(void *user)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;

    wsr_fleet_enter(fleet);
    member->attempt = 0;
    wsr_log(fleet->host, WS_HUB_LOG_INFO, wsr_server_name(member->server),
            "is up");
    fleet->events->up(fleet, member);
    wsr_fleet_leave(fleet);
}

static void on_down(void *user, const char *why)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;

    wsr_fleet_enter(fleet);
    wsr_log(fleet->host, WS_HUB_LOG_WARN, wsr_server_name(member->server),
            "is away: %s", why);
    if (has_hope(fleet)) {
        schedule_reopen(member);
        wsr_fleet_drop_channels(member, why);
        if (fleet->open && fleet->events->down)
            fleet->events->down(fleet, member);
    } else {
        shut(fleet);
        fleet->host->lost(fleet->host, why);
    }
    wsr_fleet_leave(fleet);
}

static const struct wsr_server_events server_events = {
    .up = on_up,
    .down = on_down,
    .subscribed = wsr_fleet_on_subscribed,
    .unsubscribed = wsr_fleet_on_unsubscribed,
    .message = wsr_fleet_on_message,
    .redirect = wsr_fleet_on_redirect,
    .publish_failed = wsr_fleet_on_publish_failed,
    .counted = wsr_fleet_on_counted,
    .room = wsr_fleet_on_room,
};

static int open_timer(struct wsr_member *member)
{
    const ws_hub_broker_host *host = member->fleet->host;

    return host->loop_ops->timer_open(host->loop, on_reopen, member,
                                      &member->reopen);
}

static int start_member(struct wsr_member *member)
{
    int error = open_timer(member);

    if (error)
        member->reopen = NULL;
    else
        open_member(member);
    return error;
}

int wsr_fleet_add(struct wsr_fleet *fleet, const struct wsr_url *url,
                  struct wsr_member **out)
{
    struct wsr_member *member = calloc(1, sizeof *member);

    *out = NULL;
    if (!member)
        return WS_HUB_ENOMEM;
    member->fleet = fleet;
    member->number = fleet->next_number++;
    TAILQ_INIT(&member->channels);
    if (wsr_server_create(&member->server, url, fleet->settings, &server_events,
                          member) ||
        (fleet->open && start_member(member))) {
        wsr_server_destroy(member->server);
        free(member);
        return WS_HUB_ENOMEM;
    }
    TAILQ_INSERT_TAIL(&fleet->members, member, list);
    *out = member;
    return 0;
}

void wsr_fleet_remove(struct wsr_fleet *fleet, struct wsr_member *member)
{
    wsr_fleet_enter(fleet);
    TAILQ_REMOVE(&fleet->members, member, list);
    TAILQ_INSERT_TAIL(&fleet->removed, member, list);
    wsr_server_close(member->server);
    if (member->reopen)
        fleet->host->loop_ops->timer_close(member->reopen);
    member->reopen = NULL;
    wsr_fleet_drop_channels(member, "its server left the cluster");
    wsr_fleet_leave(fleet);
}

int wsr_fleet_open(struct wsr_fleet *fleet, const ws_hub_broker_host *host)
{
    struct wsr_member *member;

    fleet->host = host;
    fleet->random ^= host->instance;
    fleet->open = true;
    TAILQ_FOREACH(member, &fleet->members, list)
    {
        member->attempt = 0;
        if (start_member(member)) {
            shut(fleet);
            return WS_HUB_ENOMEM;
        }
    }
    if (has_hope(fleet))
        return 0;
    shut(fleet);
    return WS_HUB_ENOMEM;
}

void wsr_fleet_close(struct wsr_fleet *fleet)
{
    wsr_fleet_enter(fleet);
    shut(fleet);
    fleet->stopping = true;
    wsr_fleet_leave(fleet);
}

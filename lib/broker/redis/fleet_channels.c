/*
 * fleet_channels.c: what the members of a fleet carry. See fleet.h.
 *
 * An answer counts only if it comes from the member that the channel is at now,
 * and only when it is the last one outstanding (struct wsr_channel, asks):
 * between an unsubscribe and the subscribe that overtook it on our side the
 * answers of both are on their way, in the order of the commands.
 */
#include "fleet_private.h"

#include <string.h>

#include <ws_hub/error.h>
#include "topology.h"

enum { LOG_EVERY_MS = 1000 };

static void take_out(struct wsr_fleet *fleet, struct wsr_channel *channel)
{
    TAILQ_REMOVE(&channel->member->channels, channel, list);
    wsr_channels_remove(&fleet->channels, channel);
}

/* Take it out and tell the host, which may do anything, so the name is copied:
 * it goes with the entry. */
static void take_out_dropped(struct wsr_fleet *fleet,
                             struct wsr_channel *channel, const char *why)
{
    const ws_hub_broker_host *host = fleet->host;
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = channel->len;
    bool wanted = channel->wanted;

    memcpy(name, channel->name, len);
    take_out(fleet, channel);
    if (wanted)
        host->dropped(host, name, len, why);
}

/* Nothing to say if the member has redirected the command. */
static void leave_member(const struct wsr_channel *channel)
{
    if (channel->live || channel->asks)
        (void)wsr_server_unsubscribe(channel->member->server, channel->name,
                                     channel->len);
}

void wsr_fleet_drop(struct wsr_fleet *fleet, struct wsr_channel *channel,
                    const char *why)
{
    leave_member(channel);
    take_out_dropped(fleet, channel, why);
}

void wsr_fleet_forget_channels(struct wsr_member *member)
{
    struct wsr_channel *channel;

    while ((channel = TAILQ_FIRST(&member->channels)))
        take_out(member->fleet, channel);
}

/* From the head until there is none: the host may close the adapter, and add
 * nothing, since the member is not up. */
void wsr_fleet_drop_channels(struct wsr_member *member, const char *why)
{
    struct wsr_channel *channel;

    while ((channel = TAILQ_FIRST(&member->channels)))
        take_out_dropped(member->fleet, channel, why);
}

static struct wsr_channel *add(struct wsr_fleet *fleet,
                               struct wsr_member *member, const char *name,
                               size_t len)
{
    struct wsr_channel *channel = wsr_channels_add(&fleet->channels, name, len);

    if (channel) {
        channel->member = member;
        TAILQ_INSERT_TAIL(&member->channels, channel, list);
    }
    return channel;
}

/* Leave the member that has it now; nothing that it still says counts. */
static void move(struct wsr_channel *channel, struct wsr_member *to)
{
    leave_member(channel);
    TAILQ_REMOVE(&channel->member->channels, channel, list);
    channel->member = to;
    channel->asks = 0;
    channel->live = channel->stray = false;
    TAILQ_INSERT_TAIL(&to->channels, channel, list);
}

int wsr_fleet_subscribe(struct wsr_fleet *fleet, struct wsr_member *member,
                        const char *name, size_t len)
{
    struct wsr_channel *channel;
    int error;

    if (!wsr_member_is_up(member))
        return WS_HUB_EAGAIN;
    channel = wsr_channels_find(&fleet->channels, name, len);
    if (channel && channel->member != member)
        move(channel, member);
    if (!channel)
        channel = add(fleet, member, name, len);
    if (!channel)
        return WS_HUB_ENOMEM;
    error = wsr_server_subscribe(member->server, name, len);
    if (!error) {
        channel->wanted = true;
        channel->asks++;
    } else if (!channel->asks) {
        take_out(fleet, channel);
    }
    return error;
}

int wsr_fleet_unsubscribe(struct wsr_fleet *fleet, struct wsr_member *member,
                          const char *name, size_t len)
{
    struct wsr_channel *channel =
        wsr_channels_find(&fleet->channels, name, len);
    int error;

    if (channel)
        member = channel->member;
    if (!wsr_member_is_up(member))
        return 0;
    error = wsr_server_unsubscribe(member->server, name, len);
    if (error || !channel)
        return error;
    channel->wanted = false;
    channel->redirects = 0;
    if (!channel->asks)
        take_out(fleet, channel);
    return 0;
}

int wsr_fleet_publish(struct wsr_member *member, const char *name, size_t len,
                      const ws_hub_broker_message *message)
{
    if (!wsr_member_is_up(member))
        return WS_HUB_EBROKER;
    return wsr_publish(member->server, name, len, message);
}

static struct wsr_member *member_of(struct wsr_fleet *fleet,
                                    struct wsr_member *otherwise,
                                    const char *name, size_t len)
{
    struct wsr_channel *channel =
        wsr_channels_find(&fleet->channels, name, len);

    return channel ? channel->member : otherwise;
}

int wsr_fleet_audit(struct wsr_fleet *fleet, struct wsr_member *member,
                    const char *name, size_t len)
{
    member = member_of(fleet, member, name, len);
    if (!wsr_member_is_up(member))
        return WS_HUB_EAGAIN;
    return wsr_server_count(member->server, name, len);
}

void wsr_fleet_suspect(struct wsr_fleet *fleet, struct wsr_member *member,
                       const char *name, size_t len)
{
    member = member_of(fleet, member, name, len);
    if (wsr_member_is_up(member))
        wsr_server_fail(member->server, "its probe did not come back");
}

/* The entry, if this member has the word on it. */
static struct wsr_channel *find_at(struct wsr_member *member, const char *name,
                                   size_t len)
{
    struct wsr_channel *channel =
        wsr_channels_find(&member->fleet->channels, name, len);

    return channel && channel->member == member ? channel : NULL;
}

/* A subscribe command has been answered. False: others are under way, or nobody
 * wants it any more. */
static bool is_last_answer(struct wsr_fleet *fleet, struct wsr_channel *channel)
{
    if (channel->asks)
        channel->asks--;
    if (channel->asks)
        return false;
    if (channel->wanted)
        return true;
    take_out(fleet, channel);
    return false;
}

struct wsr_channel *wsr_fleet_redirected(struct wsr_fleet *fleet,
                                         struct wsr_member *member,
                                         const char *name, size_t len)
{
    struct wsr_channel *channel = find_at(member, name, len);

    if (!channel || !is_last_answer(fleet, channel))
        return NULL;
    channel->live = false;
    channel->redirects++;
    return channel;
}

static void settle(struct wsr_fleet *fleet, struct wsr_channel *channel,
                   int status)
{
    const ws_hub_broker_host *host = fleet->host;
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = channel->len;

    channel->redirects = 0;
    memcpy(name, channel->name, len);
    if (status == WS_HUB_EBROKER) { /* for now, as far as we know */
        take_out_dropped(fleet, channel, "the server refused it");
        if (fleet->events->refused)
            fleet->events->refused(fleet, "");
        return;
    }
    if (status)
        take_out(fleet, channel);
    else
        channel->live = true;
    host->subscribed(host, name, len, status);
}

void wsr_fleet_on_subscribed(void *user, const char *name, size_t len,
                             int status)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;
    struct wsr_channel *channel = find_at(member, name, len);

    wsr_fleet_enter(fleet);
    if (channel && is_last_answer(fleet, channel))
        settle(fleet, channel, status);
    wsr_fleet_leave(fleet);
}

/* While a subscribe command is under way this answers an older unsubscribe, or
 * the command will be answered with a redirection. */
void wsr_fleet_on_unsubscribed(void *user, const char *name, size_t len)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;
    struct wsr_channel *channel = find_at(member, name, len);

    wsr_fleet_enter(fleet);
    if (channel && !channel->asks) {
        take_out_dropped(fleet, channel, "its slot moved");
        if (fleet->open && fleet->events->refused)
            fleet->events->refused(fleet, "");
    }
    wsr_fleet_leave(fleet);
}

/* A former master goes on as a replica, and has what its successor has: a
 * channel that has moved on must not be heard twice. */
void wsr_fleet_on_message(void *user, const char *name, size_t len,
                          const void *bytes, size_t bytes_len)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;

    wsr_fleet_enter(fleet);
    if (!fleet->muted && member_of(fleet, member, name, len) == member)
        wsr_deliver(fleet->host, name, len, bytes, bytes_len);
    wsr_fleet_leave(fleet);
}

/* Payloads are not kept until the server has answered, so what it refused is
 * lost; that is at least said. */
static void count_failed_publish(struct wsr_member *member, const char *text)
{
    struct wsr_fleet *fleet = member->fleet;
    uint64_t now = fleet->host->loop_ops->now_ms(fleet->host->loop);

    fleet->publishes_failed++;
    if (fleet->publishes_logged_ms &&
        now - fleet->publishes_logged_ms < LOG_EVERY_MS)
        return;
    fleet->publishes_logged_ms = now;
    wsr_log(fleet->host, WS_HUB_LOG_WARN, wsr_server_name(member->server),
            "refused a message (%llu in all): %s",
            (unsigned long long)fleet->publishes_failed, text);
}

void wsr_fleet_on_redirect(void *user, const struct wsr_redirect *redirect)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;

    wsr_fleet_enter(fleet);
    if (redirect->on == WSR_ON_PUBLISH)
        count_failed_publish(member, "its slot moved");
    if (fleet->events->redirect)
        fleet->events->redirect(fleet, member, redirect);
    else if (redirect->on == WSR_ON_SUBSCRIBE)
        wsr_fleet_on_subscribed(member, redirect->channel,
                                redirect->channel_len, WS_HUB_EBROKER);
    wsr_fleet_leave(fleet);
}

void wsr_fleet_on_publish_failed(void *user, const char *text)
{
    struct wsr_member *member = user;
    struct wsr_fleet *fleet = member->fleet;

    wsr_fleet_enter(fleet);
    count_failed_publish(member, text);
    if (fleet->events->refused)
        fleet->events->refused(fleet, text);
    wsr_fleet_leave(fleet);
}

void wsr_fleet_on_counted(void *user, const char *name, size_t len,
                          uint64_t listeners)
{
    struct wsr_member *member = user;
    const ws_hub_broker_host *host = member->fleet->host;

    wsr_fleet_enter(member->fleet);
    host->audited(host, name, len, listeners);
    wsr_fleet_leave(member->fleet);
}

void wsr_fleet_on_room(void *user)
{
    struct wsr_member *member = user;
    const ws_hub_broker_host *host = member->fleet->host;

    wsr_fleet_enter(member->fleet);
    host->ready(host);
    wsr_fleet_leave(member->fleet);
}

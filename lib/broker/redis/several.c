/*
 * several.c: channels spread over independent servers by rendezvous hashing.
 * Every hub needs the same set of servers, in any order.
 *
 * Owns the fleet and the servers' hashes. A server that is away takes only its
 * own channels along: they are dropped now and subscribed again when it is
 * back. They are never moved to another server, since other hubs may see that
 * server alive, and a channel in two places is two channels.
 * Thread: the loop's.
 */
#include "topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>
#include "fleet.h"
#include "rendezvous.h"

enum { PROBE_TRIES = 100000 };

struct several {
    struct wsr_fleet fleet; /* first: events come with it */
    struct wsr_config *config;
    unsigned count;
    struct wsr_member **members;
    uint64_t *hashes;
};

static struct wsr_member *route(const struct several *several,
                                const char *channel, size_t len)
{
    return several->members[wsr_rendezvous(several->hashes, several->count,
                                           channel, len)];
}

static int several_open(void *self, const ws_hub_broker_host *host)
{
    struct several *several = self;

    return wsr_fleet_open(&several->fleet, host);
}

static int several_subscribe(void *self, const char *channel, size_t len)
{
    struct several *several = self;

    return wsr_fleet_subscribe(&several->fleet, route(several, channel, len),
                               channel, len);
}

static int several_unsubscribe(void *self, const char *channel, size_t len)
{
    struct several *several = self;

    return wsr_fleet_unsubscribe(&several->fleet, route(several, channel, len),
                                 channel, len);
}

static int several_publish(void *self, const char *channel, size_t len,
                           const ws_hub_broker_message *message)
{
    return wsr_fleet_publish(route(self, channel, len), channel, len, message);
}

static void several_close(void *self)
{
    struct several *several = self;

    wsr_fleet_close(&several->fleet);
}

static void several_destroy(void *self)
{
    struct several *several = self;

    wsr_fleet_fini(&several->fleet);
    wsr_config_free(several->config);
    free(several->members);
    free(several->hashes);
    free(several);
}

/* Names are tried until one falls to the server: on average as many as there
 * are servers. */
static size_t several_probe_channel(void *self, unsigned link, char *name)
{
    struct several *several = self;
    struct wsr_member *member;
    size_t base;

    if (link >= several->count)
        return 0;
    member = several->members[link];
    if (member->probe_len) {
        memcpy(name, member->probe, member->probe_len);
        return member->probe_len;
    }
    base = wsr_probe_name(several->fleet.host, link, name);
    for (unsigned i = 0; i < PROBE_TRIES; i++) {
        size_t len =
            base +
            (size_t)snprintf(name + base, WS_HUB_CHANNEL_MAX - base, ".%u", i);

        if (route(several, name, len) == member) {
            memcpy(member->probe, name, len);
            return member->probe_len = len;
        }
    }
    return 0;
}

static void several_suspect(void *self, const char *channel, size_t len)
{
    struct several *several = self;

    wsr_fleet_suspect(&several->fleet, route(several, channel, len), channel,
                      len);
}

static int several_audit(void *self, const char *channel, size_t len)
{
    struct several *several = self;

    return wsr_fleet_audit(&several->fleet, route(several, channel, len),
                           channel, len);
}

static void on_up(struct wsr_fleet *fleet, struct wsr_member *member)
{
    (void)member;
    fleet->host->ready(fleet->host);
}

static const struct wsr_fleet_events fleet_events = {.up = on_up};

static const ws_hub_broker_ops ops = {
    .struct_size = sizeof ops,
    .name = "redis",
    .open = several_open,
    .subscribe = several_subscribe,
    .unsubscribe = several_unsubscribe,
    .publish = several_publish,
    .close = several_close,
    .destroy = several_destroy,
    .probe_channel = several_probe_channel,
    .suspect = several_suspect,
    .audit = several_audit,
};

static int add_servers(struct several *several)
{
    const struct wsr_config *config = several->config;
    const char *name;
    int error;

    for (size_t i = 0; i < config->url_count; i++) {
        error = wsr_fleet_add(&several->fleet, &config->urls[i],
                              &several->members[i]);
        if (error)
            return error;
        name = wsr_server_name(several->members[i]->server);
        several->hashes[i] = wsr_rendezvous_server(name, strlen(name));
    }
    several->count = (unsigned)config->url_count;
    return 0;
}

int wsr_several_create(struct wsr_config *config,
                       const ws_hub_broker_ops **out_ops, void **self)
{
    struct several *several = calloc(1, sizeof *several);

    if (!several)
        return WS_HUB_ENOMEM;
    wsr_fleet_init(&several->fleet, &config->settings, &fleet_events);
    several->config = config;
    several->members = calloc(config->url_count, sizeof *several->members);
    several->hashes = calloc(config->url_count, sizeof *several->hashes);
    if (!several->members || !several->hashes || add_servers(several)) {
        several->config = NULL; /* stays the caller's */
        several_destroy(several);
        return WS_HUB_ENOMEM;
    }
    *out_ops = &ops;
    *self = several;
    return 0;
}

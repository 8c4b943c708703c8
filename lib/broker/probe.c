/*
 * probe.c: does what is published on a link come back?
 *
 * Owns: a channel for each link of the adapter, named by the adapter and known
 * by its place in driver->probes. In every round the names are asked anew, so a
 * topology that changes is followed. A message carries the place and says whose
 * it is by its origin; any thread may bring it. Two rounds without one, and the
 * link is suspect.
 *
 * Thread: the home loop, but for wsh_probe_seen.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/driver_private.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

static const char prefix[] = "$ws_hub.";

enum { PREFIX_LEN = sizeof prefix - 1 };

enum state {
    UNUSED,
    AWAY,  /* not subscribed: its server is away */
    ASKED, /* being subscribed */
    LIVE
};

struct wsh_probe {
    enum state state;
    bool waiting;      /* since the last round, for `seen` */
    _Atomic bool seen; /* a message came back */
    unsigned silent;   /* rounds */
    size_t len;
    char name[WS_HUB_CHANNEL_MAX];
};

int wsh_probe_init(struct wsh_driver *driver)
{
    const struct wsh_driver_config *config = &driver->config;

    if (driver->local || !driver->ops.probe_channel || !driver->ops.suspect ||
        config->probe_ms == 0 || config->probe_ms == UINT_MAX)
        return 0;
    driver->probes = calloc(WSH_PROBES_MAX, sizeof *driver->probes);
    return driver->probes ? 0 : WS_HUB_ENOMEM;
}

void wsh_probe_fini(struct wsh_driver *driver)
{
    free(driver->probes);
    driver->probes = NULL;
}

bool wsh_probe_is(const char *channel, size_t len)
{
    return len >= PREFIX_LEN && memcmp(channel, prefix, PREFIX_LEN) == 0;
}

static struct wsh_probe *find(struct wsh_driver *driver, const char *channel,
                              size_t len)
{
    for (unsigned i = 0; driver->probes && i < WSH_PROBES_MAX; i++) {
        struct wsh_probe *probe = &driver->probes[i];

        if (probe->state != UNUSED && probe->len == len &&
            memcmp(probe->name, channel, len) == 0)
            return probe;
    }
    return NULL;
}

static void end(struct wsh_driver *driver, struct wsh_probe *probe)
{
    enum state before = probe->state;

    probe->state = UNUSED;
    if (before == ASKED || before == LIVE)
        (void)driver->ops.unsubscribe(driver->config.self, probe->name,
                                      probe->len);
}

static void begin(struct wsh_probe *probe, const char *name, size_t len)
{
    memcpy(probe->name, name, len);
    probe->len = len;
    probe->state = AWAY;
    probe->silent = 0;
    probe->waiting = false;
}

/* A link's channel may have another name now. */
static void ask_names(struct wsh_driver *driver)
{
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = 1;

    for (unsigned i = 0; i < WSH_PROBES_MAX; i++) {
        struct wsh_probe *probe = &driver->probes[i];

        if (len) /* the links have no end yet */
            len = driver->ops.probe_channel(driver->config.self, i, name);
        if (probe->state != UNUSED && probe->len == len &&
            memcmp(probe->name, name, len) == 0)
            continue;
        end(driver, probe);
        if (len && len <= sizeof name && wsh_probe_is(name, len))
            begin(probe, name, len);
    }
}

static void subscribe(struct wsh_driver *driver, struct wsh_probe *probe)
{
    int error;

    probe->state = ASKED;
    probe->waiting = true;
    atomic_store(&probe->seen, false);
    error = driver->ops.subscribe(driver->config.self, probe->name, probe->len);
    if (error && probe->state == ASKED)
        probe->state = AWAY;
}

/* A full output counts as a message that does not come back. */
static void publish(struct wsh_driver *driver, struct wsh_probe *probe)
{
    const uint8_t place = (uint8_t)(probe - driver->probes);
    const ws_hub_broker_message message = {.struct_size = sizeof message,
                                           .type = WS_HUB_BINARY,
                                           .data = &place,
                                           .len = sizeof place,
                                           .origin = driver->config.instance};
    int error;

    probe->waiting = true;
    atomic_store(&probe->seen, false);
    error = driver->ops.publish(driver->config.self, probe->name, probe->len,
                                &message);
    if (error && error != WS_HUB_EAGAIN)
        probe->waiting = false;
}

/* True: it was silent for too long. */
static bool judge(struct wsh_probe *probe)
{
    if (probe->state != ASKED && probe->state != LIVE)
        probe->silent = 0;
    else if (atomic_load(&probe->seen) || !probe->waiting)
        probe->silent = 0;
    else if (++probe->silent >= WSH_PROBE_SILENT)
        return true;
    return false;
}

static void suspect(struct wsh_driver *driver, struct wsh_probe *probe)
{
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = probe->len;

    probe->silent = 0;
    probe->waiting = false;
    wsh_driver_count(driver, WS_HUB_BROKER_EVENT_PROBE_SILENT);
    wsh_log(driver->config.log, WS_HUB_LOG_WARN,
            "broker %s: %.*s does not come back: its link is suspect",
            driver->ops.name, (int)len, probe->name);
    memcpy(name, probe->name, len); /* the call may end the probe */
    driver->ops.suspect(driver->config.self, name, len);
}

/* A subscribe that was not answered for as long as a probe may be silent: its
 * confirmation is lost, and asking again would only hide that. */
static void suspect_overdue(struct wsh_driver *driver)
{
    struct wsh_list *asked = &driver->in[WSH_TOPIC_SUBSCRIBING];
    uint64_t patience = WSH_PROBE_SILENT * (uint64_t)driver->config.probe_ms;
    struct wsh_topic *topic;

    if (!wsh_driver_up(driver) || wsh_list_empty(asked))
        return;
    topic = WSH_LIST_FIRST(asked, struct wsh_topic, list); /* the oldest */
    if (wsh_driver_now(driver) - topic->asked_ms < patience)
        return;
    wsh_driver_count(driver, WS_HUB_BROKER_EVENT_PROBE_SILENT);
    wsh_log(driver->config.log, WS_HUB_LOG_WARN,
            "broker %s: a subscribe is not answered: its link is suspect",
            driver->ops.name);
    topic->pins++;
    driver->ops.suspect(driver->config.self, topic->node.key,
                        topic->node.key_len);
    wsh_topic_unpin(driver, topic);
}

/* The calls may lose the link, and with it all probes. */
void wsh_probe_round(ws_hub_timer *timer, void *arg)
{
    struct wsh_driver *driver = arg;

    (void)timer;
    for (unsigned i = 0; i < WSH_PROBES_MAX && wsh_driver_up(driver); i++)
        if (judge(&driver->probes[i]))
            suspect(driver, &driver->probes[i]);
    suspect_overdue(driver);
    if (!wsh_driver_up(driver))
        return;
    wsh_driver_arm(driver, WSH_TIMER_PROBE, driver->config.probe_ms);
    ask_names(driver);
    for (unsigned i = 0; i < WSH_PROBES_MAX && wsh_driver_up(driver); i++) {
        struct wsh_probe *probe = &driver->probes[i];

        if (probe->state == AWAY)
            subscribe(driver, probe);
        else if (probe->state == LIVE)
            publish(driver, probe);
    }
}

void wsh_probe_ready(struct wsh_driver *driver, bool first)
{
    if (!driver->probes)
        return;
    if (first)
        wsh_driver_arm(driver, WSH_TIMER_PROBE, driver->config.probe_ms);
    ask_names(driver);
    for (unsigned i = 0; i < WSH_PROBES_MAX && wsh_driver_up(driver); i++)
        if (driver->probes[i].state == AWAY)
            subscribe(driver, &driver->probes[i]);
}

void wsh_probe_lost(struct wsh_driver *driver)
{
    for (unsigned i = 0; driver->probes && i < WSH_PROBES_MAX; i++)
        driver->probes[i].state = UNUSED;
    wsh_driver_disarm(driver, WSH_TIMER_PROBE);
}

void wsh_probe_subscribed(struct wsh_driver *driver, const char *channel,
                          size_t len, int status)
{
    struct wsh_probe *probe = find(driver, channel, len);

    if (!probe || probe->state != ASKED)
        return;
    probe->state = status ? AWAY : LIVE;
    probe->silent = 0;
    probe->waiting = false;
}

void wsh_probe_dropped(struct wsh_driver *driver, const char *channel,
                       size_t len)
{
    struct wsh_probe *probe = find(driver, channel, len);

    if (probe)
        probe->state = AWAY;
}

void wsh_probe_seen(struct wsh_driver *driver,
                    const ws_hub_broker_message *message)
{
    const uint8_t *place = message->data;

    if (driver->probes && message->len == sizeof *place &&
        message->origin == driver->config.instance)
        atomic_store(&driver->probes[*place].seen, true);
}

/*
 * fleet.h: several servers under one adapter: each member comes and goes by
 * itself, with its own back-off, and takes only its own channels along.
 *
 * Owns the members, the table of channels, and the order of events towards the
 * host. Knows nothing of how channels are spread: the topology (several,
 * cluster) chooses the member, and hears of redirections.
 *
 *   member:  AWAY -> opening -> up        a server.h object each
 *             ^         |        |
 *             +- back-off, 100 ms to 10 s, with jitter
 *   fleet:   shut -> open() -> ... -> all members failed: shut, host->lost
 *
 * Calls out from anywhere: the host may call the adapter inside each event,
 * close() included. So every way in from the loop is a turn (depth is counted);
 * stopped, and the memory of removed members, wait for the end of the outermost
 * turn.
 * Thread: the loop's.
 */
#ifndef WSR_FLEET_H
#define WSR_FLEET_H

#include <ws_hub/hub.h>
#include "channels.h"
#include "server.h"

struct wsr_member {
    TAILQ_ENTRY(wsr_member) list;
    struct wsr_fleet *fleet;
    struct wsr_server *server;
    struct wsr_channel_list channels;
    ws_hub_timer *reopen; /* NULL: the fleet is shut */
    unsigned attempt;     /* openings that failed, in a row */
    unsigned number;      /* never used again: for names of probe channels */

    /* The topology's own. */
    unsigned index;
    bool asked; /* for its map */
    uint64_t asked_ms;
    bool view_ok;
    uint64_t view_epoch;
    bool stays;
    size_t probe_len; /* 0: not found yet */
    char probe[WS_HUB_CHANNEL_MAX];
};

TAILQ_HEAD(wsr_members, wsr_member);

/* Inside all of these the fleet may be changed. */
struct wsr_fleet_events {
    void (*up)(struct wsr_fleet *fleet, struct wsr_member *member);
    /* Its channels have been dropped; it opens again by itself. NULL: none. */
    void (*down)(struct wsr_fleet *fleet, struct wsr_member *member);
    /* Every member has failed: it is shut and host->lost comes next. NULL. */
    void (*shut)(struct wsr_fleet *fleet);
    /* A member refused a publish, with this text; without text a subscribe, or
     * it ended a subscription. For now, and not as a redirection. NULL. */
    void (*refused)(struct wsr_fleet *fleet, const char *text);
    /* NULL: not a cluster. */
    void (*redirect)(struct wsr_fleet *fleet, struct wsr_member *member,
                     const struct wsr_redirect *redirect);
};

struct wsr_fleet {
    const ws_hub_broker_host *host; /* from the first open() on */
    const struct wsr_settings *settings;
    const struct wsr_fleet_events *events;
    struct wsr_members members;
    struct wsr_members removed; /* freed at the end of the turn */
    struct wsr_channels channels;
    unsigned depth; /* turns */
    bool open;
    bool stopping; /* host->stopped comes at the end of the turn */
    bool muted;    /* messages that still trail in are not for the host */
    unsigned next_number;
    uint64_t random;
    uint64_t publishes_failed; /* refused by a server after 0 was returned */
    uint64_t publishes_logged_ms;
};

/* On zeroed memory. */
void wsr_fleet_init(struct wsr_fleet *fleet,
                    const struct wsr_settings *settings,
                    const struct wsr_fleet_events *events);
void wsr_fleet_fini(struct wsr_fleet *fleet);

/* A member is opened at once if the fleet is. 0 or WS_HUB_ENOMEM. */
int wsr_fleet_add(struct wsr_fleet *fleet, const struct wsr_url *url,
                  struct wsr_member **out);
/* Drops its channels. Within a turn it stays readable until the end of it. */
void wsr_fleet_remove(struct wsr_fleet *fleet, struct wsr_member *member);

/* An adapter's open() and close(). */
int wsr_fleet_open(struct wsr_fleet *fleet, const ws_hub_broker_host *host);
void wsr_fleet_close(struct wsr_fleet *fleet);

/* For ways in from the loop that are not the fleet's own (timers, replies):
 * nothing of the fleet may be touched after leave. */
void wsr_fleet_enter(struct wsr_fleet *fleet);
void wsr_fleet_leave(struct wsr_fleet *fleet);

/* NULL is allowed: no member has the channel now. */
bool wsr_member_is_up(const struct wsr_member *member);

/* An adapter's operations on the member that has the channel. One that another
 * member carries is taken away from that. */
int wsr_fleet_subscribe(struct wsr_fleet *fleet, struct wsr_member *member,
                        const char *channel, size_t len);
int wsr_fleet_unsubscribe(struct wsr_fleet *fleet, struct wsr_member *member,
                          const char *channel, size_t len);
int wsr_fleet_publish(struct wsr_member *member, const char *channel,
                      size_t len, const ws_hub_broker_message *message);
int wsr_fleet_audit(struct wsr_fleet *fleet, struct wsr_member *member,
                    const char *channel, size_t len);
/* The member that carries the channel or, if none does, `member`. */
void wsr_fleet_suspect(struct wsr_fleet *fleet, struct wsr_member *member,
                       const char *channel, size_t len);

/* A subscribe of the channel was answered with a redirection: its entry, to be
 * subscribed elsewhere or dropped. NULL: nothing to do. */
struct wsr_channel *wsr_fleet_redirected(struct wsr_fleet *fleet,
                                         struct wsr_member *member,
                                         const char *channel, size_t len);

/* Unsubscribe it where it is, forget it and, if it is wanted, tell the host. */
void wsr_fleet_drop(struct wsr_fleet *fleet, struct wsr_channel *channel,
                    const char *why);

/* A random number, for choices and jitter. */
uint64_t wsr_fleet_random(struct wsr_fleet *fleet);

#endif

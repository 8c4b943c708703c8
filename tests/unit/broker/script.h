/*
 * script.h: the driver between a hub that takes notes and an adapter that a
 * test scripts; the clock is the test's. Thread: one.
 */
#ifndef WSH_TEST_BROKER_SCRIPT_H
#define WSH_TEST_BROKER_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include "broker/driver.h"
#include "support/fake_loop.h"

enum { SCRIPT_INSTANCE = 77, SCRIPT_LINKS = 2, SCRIPT_TEXT = 64 };

/* Strings of what happened, ';' after each. */
struct notes {
    char text[4096];
    size_t len;
};

struct fixture {
    struct fake_loop loop;
    struct wsh_log log;
    struct wsh_feed_counts counts;
    struct wsh_driver *driver;
    struct wsh_feed feed;
    const ws_hub_broker_host *host;
    /* The script. */
    bool ready_at_open;
    int open_result, subscribe_result, publish_result, audit_result;
    const char *away;     /* channel whose server is away; NULL: none */
    bool answers;         /* subscribe is confirmed at once */
    bool quiet;           /* no notes: there are too many */
    bool echoes;          /* what is published comes back at once */
    unsigned links;       /* probe channels */
    unsigned topology;    /* part of their names */
    bool suspect_is_lost; /* suspect() loses the link */
    void (*in_live)(struct fixture *f);
    void (*in_message)(struct fixture *f);
    /* What the adapter was asked. */
    unsigned opens, subscribes, unsubscribes, publishes, closes, audits;
    unsigned probes_subscribed, probes_published, suspects;
    unsigned flags_published; /* of the last message */
    uint64_t origin_published;
    struct notes sent, asked, left, audited, suspected;
    /* What the hub was told. */
    unsigned live, degraded, gaps, messages;
    int status;
    uint64_t live_shards, gap_shards, exclude;
    struct notes delivered;
};

/* cmocka's set-up and tear-down; the default configuration but that nothing is
 * probed or audited. */
int script_set_up(void **state);
int script_tear_down(void **state);
/* Make the driver anew with other settings, and open it. */
struct fixture *script_reopen(void **state,
                              void (*change)(struct wsh_driver_config *config));
struct fixture *opened(void **state);

void want(struct fixture *f, const char *name, unsigned shard);
void unwant(struct fixture *f, const char *name, unsigned shard);
void confirm(struct fixture *f, const char *name, int status);
/* want by shard 0, confirmed. */
void live(struct fixture *f, const char *name);
void drop(struct fixture *f, const char *name);
void audited(struct fixture *f, const char *name, uint64_t listeners);
void after(struct fixture *f, uint64_t ms);
/* On the home loop, a text. */
int publish(struct fixture *f, const char *channel, const char *text);
/* A message that comes from the broker. */
void arrive(struct fixture *f, const char *channel, uint64_t origin,
            unsigned flags, uint64_t exclude);
uint64_t counted(const struct fixture *f, ws_hub_broker_event event);

#endif

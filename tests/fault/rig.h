/*
 * rig.h: a hub in one thread for the torture: shards, driver and broker with
 * pipes for sockets and a clock that the test moves, as in the simulation, but
 * without chance, and every step of it may run out of memory.
 *
 * `current` says on which loop's thread the code runs, NULL is a thread of the
 * host. Code of the library runs IN_LIBRARY, all other code outside of it.
 */
#ifndef WSH_TEST_RIG_H
#define WSH_TEST_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include "broker/driver.h"
#include "fault/failing_alloc.h"
#include "hub/channel.h"
#include "hub/conn.h"
#include "hub/hub.h"
#include "support/fake_loop.h"
#include "support/pipe.h"
#include "support/ws_peer.h"
#include "ws_hub/hub.h"

enum { RIG_LANES = 2, RIG_CLIENTS = 24 };

struct rig;

struct rig_lane {
    struct rig *rig;
    struct wsh_shard *shard;
    struct pipe_transport pipe;
    bool woken, idle;
};

struct rig_client {
    struct rig *rig;
    struct rig_lane *lane;
    struct pipe_end end;
    struct ws_peer ws;
    ws_hub_conn conn; /* {0} until a callback had it */
    bool json;
    bool stalled; /* reads nothing for now */
    bool opened, gone;
    bool sent_close;
    bool welcomed;
    bool on_news;      /* was told that it is on the channel "news" */
    unsigned commands; /* that want an answer */
    unsigned answers;
    unsigned degraded; /* of them: the broker is away */
    unsigned messages; /* that were published on a channel, or echoes */
    unsigned gaps;
    uint64_t missed;      /* by their gap notices */
    uint64_t direct_lost; /* messages of its own that were not queued */
    bool left;            /* a channel, or was sent to from another thread: */
                          /* then its losses are not all told */
};

/* A broker that answers when it is told to. */
struct rig_broker {
    const ws_hub_broker_host *host;
    bool down;   /* open() is not followed by ready() */
    bool silent; /* subscribe() is not answered */
    unsigned opens;
};

struct rig {
    struct wsh_hub hub; /* first: wsh_hub_of() */
    uint64_t now_us;
    struct rig_lane lanes[RIG_LANES];
    struct wsh_shard *shards[RIG_LANES];
    unsigned lane_count;
    struct rig_lane *current;
    struct fake_loop loop; /* of the driver, home */
    struct wsh_driver *driver;
    struct rig_broker broker;
    bool driver_closed;
    struct rig_client clients[RIG_CLIENTS];
    unsigned client_count;
    unsigned opened, closed;   /* connections: callbacks */
    unsigned promised, told;   /* subscriptions of raw clients */
    unsigned heard, http;      /* by listeners; requests */
    unsigned echo_gaps;        /* so often on_gap publishes on "gaps" */
    ws_hub_listener *listener; /* ends in its own callback */
    bool strict;               /* there is memory: nothing may fail */
};

struct rig_shape {
    unsigned lanes;
    bool scripted; /* broker: rig.broker; else the memory broker */
};

static inline ws_hub *rig_handle(struct rig *rig)
{
    return (ws_hub *)(void *)rig;
}

/* 0 or WS_HUB_ENOMEM; fini either way. */
int rig_init(struct rig *rig, const struct rig_shape *shape);
/* Stop, let everything end, check that nothing is left. */
void rig_fini(struct rig *rig);
/* The first part of fini: every connection is closed. */
void rig_stop(struct rig *rig);

/* Run every lane until nothing moves. */
void rig_settle(struct rig *rig);
/* Time passes, then settle. */
void rig_pass(struct rig *rig, unsigned ms);
/* Structures, accounts, and that every answer came or was counted as lost. */
void rig_check(struct rig *rig);
/* New clients on every lane get everything: the hub is as good as new. */
void rig_fresh_session(struct rig *rig);

/* rig_client.c */

extern const ws_hub_callbacks rig_callbacks;
/* The client reads what is there and answers as a client should. False: nothing
 * to do. */
bool rig_client_read(struct rig_client *client);
void rig_client_fini(struct rig_client *client);

/* A client connects and sends its request, then settle. */
struct rig_client *rig_connect(struct rig *rig, unsigned lane, const char *path,
                               bool json);
/* A client without a request. */
struct rig_client *rig_dial(struct rig *rig, unsigned lane);
/* What a client sends, as long as it can. */
void rig_write(struct rig_client *client, const void *data, size_t len);
void rig_frame(struct rig_client *client, bool fin, uint8_t opcode,
               const void *data, size_t len);
/* A command that gets one answer. */
void rig_command(struct rig_client *client, const char *json);

/* API calls on the thread of `current`; the result is checked: 0, or what
 * follows from a lack of memory. */
void rig_subscribe(struct rig_client *client, const char *channel);
void rig_unsubscribe(struct rig_client *client, const char *channel);
void rig_send(struct rig_client *client, ws_hub_type type, const void *data,
              size_t len);
void rig_close(struct rig_client *client, unsigned code, const char *reason);
void rig_publish(struct rig *rig, const char *channel, ws_hub_type type,
                 const void *data, size_t len,
                 const struct rig_client *exclude);
void rig_publish_as(struct rig *rig, const char *channel, ws_hub_class cls,
                    const char *key, size_t len);
/* NULL after a lack of memory. */
ws_hub_listener *rig_listen(struct rig *rig, const char *channel);
void rig_unlisten(struct rig *rig, ws_hub_listener *listener);

/* Always true, or true as long as no allocation has failed. */
_Noreturn void rig_fail(const char *what, const char *file, int line);
#define RIG_CHECK(condition)                                                   \
    do {                                                                       \
        if (!(condition))                                                      \
            rig_fail(#condition, __FILE__, __LINE__);                          \
    } while (0)
#define RIG_EXPECT(condition) RIG_CHECK(alloc_failed() || (condition))

/* Where the torture is, for messages of failures. */
void rig_name_point(const char *scenario, unsigned long point, bool onwards);

#endif

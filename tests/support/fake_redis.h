/*
 * fake_redis.h: a Redis server that does what the test says, on the test's own
 * loop: it listens on a free port of 127.0.0.1 and answers each command by a
 * rule, or as a healthy empty server would.
 */
#ifndef WSH_TEST_FAKE_REDIS_H
#define WSH_TEST_FAKE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include "ws_hub/loop.h"

struct fake_redis;

/* Answers of a rule, beside RESP text. */
#define FAKE_SILENCE NULL
extern const char FAKE_CLOSE[];

/* A command that begins so ("PING", "SUBSCRIBE room") gets this answer. */
struct fake_rule {
    const char *command;
    const char *answer;
};

/* `rules` end with an empty one and stay valid; NULL: none. */
struct fake_redis *fake_redis_open(ws_hub_loop *loop,
                                   const ws_hub_loop_ops *ops,
                                   const struct fake_rule *rules);
void fake_redis_close(struct fake_redis *fake);

void fake_redis_rules(struct fake_redis *fake, const struct fake_rule *rules);
/* What each client gets at once, before it is closed; NULL: nothing. */
void fake_redis_turn_away(struct fake_redis *fake, const char *text);
/* Read nothing from clients, or read again. */
void fake_redis_deaf(struct fake_redis *fake, bool deaf);
/* Bytes to every client that has subscribed. */
void fake_redis_push(struct fake_redis *fake, const char *bytes, size_t len);
/* Close all clients. */
void fake_redis_drop(struct fake_redis *fake);

unsigned fake_redis_port(const struct fake_redis *fake);
unsigned fake_redis_accepted(const struct fake_redis *fake);
/* Commands of all clients, arguments with spaces between, one a line; the last
 * 16 KiB or so. */
const char *fake_redis_seen(const struct fake_redis *fake);

#endif

/*
 * redis_nodes.h: several redis-servers (redis_server.h): independent ones, or a
 * cluster whose first half are masters and whose second half their replicas.
 *
 * Every failure to get them going, and every error where none is expected,
 * fails the test.
 */
#ifndef WSH_TEST_REDIS_NODES_H
#define WSH_TEST_REDIS_NODES_H

#include <stdbool.h>
#include <time.h>
#include "support/redis_server.h"

enum { REDIS_NODES_MAX = 8, REDIS_SLOTS = 16384 };

struct redis_node {
    struct redis_server server;
    char bus_port[8]; /* in a cluster */
    char id[41];      /* in a cluster */
    struct redisContext *context;
    time_t asked_s; /* to take over */
};

struct redis_nodes {
    unsigned count;
    bool cluster;
    struct redis_node node[REDIS_NODES_MAX];
};

/* In a cluster `count` is even, or 1: a node without slots. Returns when all is
 * connected. */
void redis_nodes_start(struct redis_nodes *nodes, unsigned count, bool cluster);
void redis_nodes_stop(struct redis_nodes *nodes);

/* SIGKILL, and wait for its end; start it again where it was. */
void redis_node_kill(struct redis_node *node);
void redis_node_restart(struct redis_nodes *nodes, struct redis_node *node);

/* One command (hiredis format). The integer of an integer, 1 for OK or an array
 * (its size), -1 for an error. */
long long redis_node_command(struct redis_node *node, const char *format, ...);
/* The answer, to be freed with freeReplyObject(); never NULL, no error. */
struct redisReply *redis_node_ask(struct redis_node *node, const char *format,
                                  ...);

/* Does INFO (CLUSTER INFO, INFO replication) hold this text? */
bool redis_node_says(struct redis_node *node, const char *command,
                     const char *text);

/* By its own judgement; false if it was killed. */
bool redis_node_is_master(struct redis_node *node);
struct redis_node *redis_nodes_replica_of(struct redis_nodes *nodes,
                                          const struct redis_node *master);

/* Make a replica take over from its master, who lives: call it until it is
 * true. Redis has a vote on it once, gives up after 5 s, and has to be asked
 * again. */
bool redis_node_has_taken_over(struct redis_node *replica);

/* Move a slot from one master to another, as redis-cli does it. Returns when
 * all nodes know. */
void redis_nodes_move_slot(struct redis_nodes *nodes, unsigned slot,
                           struct redis_node *from, struct redis_node *to);

#endif

#include "support/redis_nodes.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

enum { DEADLINE_S = 60, TRIES = 5, MANUAL_FAILOVER_S = 6, DISAGREE_S = 5 };

static void pause_briefly(void)
{
    struct timespec ten_ms = {.tv_nsec = 10000000};

    nanosleep(&ten_ms, NULL);
}

static bool start_or_restart(const struct redis_nodes *nodes,
                             struct redis_node *node, bool again)
{
    const char *const more[] = {"--cluster-enabled",
                                "yes",
                                "--cluster-port",
                                node->bus_port,
                                "--cluster-node-timeout",
                                "2000",
                                "--repl-diskless-sync-delay",
                                "0",
                                NULL};
    const char *const *arguments = nodes->cluster ? more : NULL;

    return again ? redis_server_restart(&node->server, arguments)
                 : redis_server_start(&node->server, arguments);
}

static void connect_node(struct redis_node *node)
{
    struct timeval patience = {.tv_sec = DEADLINE_S};

    node->context = redisConnect("127.0.0.1", (int)node->server.port);
    assert_non_null(node->context);
    assert_int_equal(node->context->err, 0);
    redisSetTimeout(node->context, patience);
}

static void start_node(const struct redis_nodes *nodes, struct redis_node *node)
{
    for (unsigned i = 0; i < TRIES; i++) {
        snprintf(node->bus_port, sizeof node->bus_port, "%u",
                 redis_free_port());
        if (start_or_restart(nodes, node, false)) {
            connect_node(node);
            return;
        }
    }
    fail_msg("no redis-server could be started");
}

static redisReply *ask(struct redis_node *node, const char *format,
                       va_list arguments)
{
    redisReply *reply = redisvCommand(node->context, format, arguments);

    if (!reply)
        fail_msg("redis: %s: %s", format, node->context->errstr);
    return reply;
}

struct redisReply *redis_node_ask(struct redis_node *node, const char *format,
                                  ...)
{
    va_list arguments;
    redisReply *reply;

    va_start(arguments, format);
    reply = ask(node, format, arguments);
    va_end(arguments);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("redis: %s: %s", format, reply->str);
    return reply;
}

long long redis_node_command(struct redis_node *node, const char *format, ...)
{
    va_list arguments;
    redisReply *reply;
    long long result = 1;

    va_start(arguments, format);
    reply = ask(node, format, arguments);
    va_end(arguments);
    if (reply->type == REDIS_REPLY_INTEGER)
        result = reply->integer;
    else if (reply->type == REDIS_REPLY_ARRAY)
        result = (long long)reply->elements;
    else if (reply->type == REDIS_REPLY_ERROR)
        result = -1;
    freeReplyObject(reply);
    return result;
}

bool redis_node_says(struct redis_node *node, const char *command,
                     const char *text)
{
    redisReply *reply = redisCommand(node->context, command);
    bool says;

    assert_non_null(reply);
    says = reply->str && strstr(reply->str, text);
    freeReplyObject(reply);
    return says;
}

bool redis_node_is_master(struct redis_node *node)
{
    return node->context &&
           redis_node_says(node, "INFO replication", "role:master");
}

struct redis_node *redis_nodes_replica_of(struct redis_nodes *nodes,
                                          const struct redis_node *master)
{
    char line[32];

    snprintf(line, sizeof line, "master_port:%u", master->server.port);
    for (unsigned i = 0; i < nodes->count; i++)
        if (nodes->node[i].context &&
            redis_node_says(&nodes->node[i], "INFO replication", line))
            return &nodes->node[i];
    fail();
    return NULL;
}

bool redis_node_has_taken_over(struct redis_node *replica)
{
    time_t now = time(NULL);

    if (redis_node_is_master(replica))
        return true;
    if (now - replica->asked_s >= MANUAL_FAILOVER_S) {
        replica->asked_s = now;
        assert_int_equal(redis_node_command(replica, "CLUSTER FAILOVER"), 1);
    }
    return false;
}

static void wait_until_says(struct redis_node *node, const char *command,
                            const char *text)
{
    time_t end = time(NULL) + DEADLINE_S;

    while (!redis_node_says(node, command, text)) {
        assert_true(time(NULL) < end);
        pause_briefly();
    }
}

static void meet(struct redis_nodes *nodes)
{
    char all[40];

    for (unsigned i = 0; i < nodes->count; i++) {
        struct redis_node *node = &nodes->node[i];
        redisReply *id = redis_node_ask(node, "CLUSTER MYID");

        memcpy(node->id, id->str, 40);
        freeReplyObject(id);
        assert_int_equal(
            redis_node_command(node, "CLUSTER SET-CONFIG-EPOCH %u", i + 1), 1);
        assert_int_equal(redis_node_command(&nodes->node[0],
                                            "CLUSTER MEET 127.0.0.1 %u %s",
                                            node->server.port, node->bus_port),
                         1);
    }
    snprintf(all, sizeof all, "cluster_known_nodes:%u", nodes->count);
    for (unsigned i = 0; i < nodes->count; i++)
        wait_until_says(&nodes->node[i], "CLUSTER INFO", all);
}

static void form_cluster(struct redis_nodes *nodes)
{
    unsigned masters = nodes->count / 2;

    for (unsigned i = 0; i < masters; i++)
        assert_int_equal(
            redis_node_command(&nodes->node[i], "CLUSTER ADDSLOTSRANGE %u %u",
                               i * REDIS_SLOTS / masters,
                               (i + 1) * REDIS_SLOTS / masters - 1),
            1);
    meet(nodes);
    for (unsigned i = masters; i < nodes->count; i++)
        assert_int_equal(redis_node_command(&nodes->node[i],
                                            "CLUSTER REPLICATE %s",
                                            nodes->node[i - masters].id),
                         1);
    for (unsigned i = 0; i < nodes->count; i++)
        wait_until_says(&nodes->node[i], "CLUSTER INFO", "cluster_state:ok");
    for (unsigned i = masters; i < nodes->count; i++)
        wait_until_says(&nodes->node[i], "INFO replication",
                        "master_link_status:up");
}

void redis_nodes_start(struct redis_nodes *nodes, unsigned count, bool cluster)
{
    memset(nodes, 0, sizeof *nodes);
    nodes->count = count;
    nodes->cluster = cluster;
    for (unsigned i = 0; i < count; i++)
        start_node(nodes, &nodes->node[i]);
    if (cluster && count > 1)
        form_cluster(nodes);
}

void redis_node_kill(struct redis_node *node)
{
    if (node->context)
        redisFree(node->context);
    node->context = NULL;
    redis_server_kill(&node->server);
}

void redis_node_restart(struct redis_nodes *nodes, struct redis_node *node)
{
    assert_true(start_or_restart(nodes, node, true));
    connect_node(node);
}

/* What redis-server leaves behind. */
static void remove_file(const struct redis_node *node, const char *name)
{
    char path[96];

    snprintf(path, sizeof path, "%s/%s", node->server.dir, name);
    (void)unlink(path);
}

void redis_nodes_stop(struct redis_nodes *nodes)
{
    for (unsigned i = 0; i < nodes->count; i++) {
        struct redis_node *node = &nodes->node[i];

        redis_node_kill(node);
        if (!node->server.dir[0])
            continue;
        remove_file(node, "nodes.conf");
        remove_file(node, "dump.rdb");
        redis_server_stop(&node->server);
    }
    nodes->count = 0;
}

/* The highest configuration epoch that the node has heard of. */
static unsigned long current_epoch(struct redis_node *node)
{
    static const char name[] = "cluster_current_epoch:";
    redisReply *reply = redis_node_ask(node, "CLUSTER INFO");
    const char *at = strstr(reply->str, name);
    unsigned long epoch = at ? strtoul(at + sizeof name - 1, NULL, 10) : 0;

    freeReplyObject(reply);
    return epoch;
}

/* SETSLOT gives the new owner an epoch above all that it has heard of. If the
 * old one's is news to it, a ping of the old one that is on its way claims the
 * slot back, each of them names the other as its owner, and that stays so. */
static void wait_until_epochs_are_known(struct redis_nodes *nodes)
{
    time_t end = time(NULL) + DEADLINE_S;
    unsigned long least, most;

    for (;;) {
        least = ULONG_MAX;
        most = 0;
        for (unsigned i = 0; i < nodes->count; i++)
            if (nodes->node[i].context) {
                unsigned long epoch = current_epoch(&nodes->node[i]);

                least = epoch < least ? epoch : least;
                most = epoch > most ? epoch : most;
            }
        if (least == most)
            return;
        assert_true(time(NULL) < end);
        pause_briefly();
    }
}

/* Has the node heard who owns the slot? */
static bool knows_owner(struct redis_node *node, unsigned slot,
                        const struct redis_node *owner)
{
    redisReply *slots = redis_node_ask(node, "CLUSTER SLOTS");
    bool knows = false;

    for (size_t i = 0; i < slots->elements && !knows; i++) {
        redisReply **range = slots->element[i]->element;

        knows = range[0]->integer <= slot && slot <= range[1]->integer &&
                range[2]->element[1]->integer == owner->server.port;
    }
    freeReplyObject(slots);
    return knows;
}

static bool all_know_owner(struct redis_nodes *nodes, unsigned slot,
                           const struct redis_node *owner)
{
    for (unsigned i = 0; i < nodes->count; i++)
        if (nodes->node[i].context &&
            !knows_owner(&nodes->node[i], slot, owner))
            return false;
    return true;
}

static void tell_masters(struct redis_nodes *nodes, unsigned slot,
                         const struct redis_node *owner)
{
    for (unsigned i = 0; i < nodes->count / 2; i++)
        if (nodes->node[i].context)
            (void)redis_node_command(
                &nodes->node[i], "CLUSTER SETSLOT %u NODE %s", slot, owner->id);
}

/* Replicas as well: masters give no vote to one that claims what its master has
 * given away, and a failover by hand is voted on once. Where nodes go on to
 * disagree, the owner gets a higher epoch, as `redis-cli --cluster fix` does.
 */
static void wait_until_owner_is_known(struct redis_nodes *nodes, unsigned slot,
                                      struct redis_node *owner)
{
    time_t begin = time(NULL), told = begin;

    while (!all_know_owner(nodes, slot, owner)) {
        assert_true(time(NULL) - begin < DEADLINE_S);
        if (time(NULL) - told >= DISAGREE_S) {
            told = time(NULL);
            (void)redis_node_command(owner, "CLUSTER BUMPEPOCH");
            tell_masters(nodes, slot, owner);
        }
        pause_briefly();
    }
}

void redis_nodes_move_slot(struct redis_nodes *nodes, unsigned slot,
                           struct redis_node *from, struct redis_node *to)
{
    wait_until_epochs_are_known(nodes);
    assert_int_equal(redis_node_command(to, "CLUSTER SETSLOT %u IMPORTING %s",
                                        slot, from->id),
                     1);
    assert_int_equal(redis_node_command(from, "CLUSTER SETSLOT %u MIGRATING %s",
                                        slot, to->id),
                     1);
    /* The new owner first: there is no moment without one. */
    assert_int_equal(
        redis_node_command(to, "CLUSTER SETSLOT %u NODE %s", slot, to->id), 1);
    assert_int_equal(
        redis_node_command(from, "CLUSTER SETSLOT %u NODE %s", slot, to->id),
        1);
    tell_masters(nodes, slot, to);
    wait_until_owner_is_known(nodes, slot, to);
}

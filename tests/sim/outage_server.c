/*
 * outage_server.c: a broker inside the process: what a member publishes goes at
 * once into the inbox of every member that is subscribed; each reads it on its
 * own loop, because messages that come on several threads have no order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/outage.h"
#include "ws_hub/error.h"

struct letter {
    struct wsh_list list;
    ws_hub_broker_message message;
    size_t name_len;
    char bytes[]; /* name, data */
};

static void post(struct member *to, const char *name, size_t len,
                 const ws_hub_broker_message *message)
{
    struct letter *letter = calloc(1, sizeof *letter + len + message->len);

    if (!letter)
        abort();
    wsh_list_init(&letter->list);
    letter->message = *message;
    letter->message.data = letter->bytes + len;
    letter->name_len = len;
    memcpy(letter->bytes, name, len);
    if (message->len)
        memcpy(letter->bytes + len, message->data, message->len);
    wsh_list_push(&to->inbox, &letter->list);
}

static struct letter *take(struct member *member)
{
    struct letter *letter;

    if (wsh_list_empty(&member->inbox))
        return NULL;
    letter = WSH_LIST_FIRST(&member->inbox, struct letter, list);
    wsh_list_remove(&letter->list);
    return letter;
}

void member_read(struct member *member)
{
    struct world *world = &member->server->outage->sides[member->index].world;
    struct letter *letter;

    world->current = &world->lanes[WSH_HOME];
    while ((letter = take(member))) {
        (void)member->host->message(member->host, letter->bytes,
                                    letter->name_len, &letter->message);
        free(letter);
    }
    world->current = NULL;
}

static void forget_all(struct member *member)
{
    struct letter *letter;

    member->count = 0;
    while ((letter = take(member)))
        free(letter);
}

static int find(const struct member *member, const char *name, size_t len)
{
    for (unsigned i = 0; i < member->count; i++)
        if (strlen(member->channel[i]) == len &&
            memcmp(member->channel[i], name, len) == 0)
            return (int)i;
    return -1;
}

bool member_has(const struct member *member, const char *name, size_t len)
{
    return find(member, name, len) >= 0;
}

static int member_open(void *self, const ws_hub_broker_host *host)
{
    struct member *member = self;

    member->host = host;
    forget_all(member);
    if (member->server->down)
        host->lost(host, "connection refused");
    else
        host->ready(host);
    return 0;
}

static int member_subscribe(void *self, const char *name, size_t len)
{
    struct member *member = self;
    struct world *world = &member->server->outage->sides[member->index].world;

    CHECK(world, member->host && !member->server->down && len < 64);
    if (!member_has(member, name, len)) {
        CHECK(world, member->count < MEMBER_CHANNELS);
        snprintf(member->channel[member->count++], 64, "%.*s", (int)len, name);
    }
    member->host->subscribed(member->host, name, len, 0);
    return 0;
}

static int member_unsubscribe(void *self, const char *name, size_t len)
{
    struct member *member = self;
    int i = find(member, name, len);

    if (i >= 0)
        memcpy(member->channel[i], member->channel[--member->count], 64);
    return 0;
}

static int member_publish(void *self, const char *name, size_t len,
                          const ws_hub_broker_message *message)
{
    struct member *from = self;
    struct server *server = from->server;

    book_reached(server->outage, message);
    for (unsigned i = 0; i < HUBS; i++)
        if (member_has(&server->member[i], name, len))
            post(&server->member[i], name, len, message);
    return 0;
}

static int member_audit(void *self, const char *name, size_t len)
{
    struct member *member = self;
    uint64_t listeners = 0;

    /* A channel of other hubs as well would hide that this one is missing:
     * counted by connection, as no broker does, so that all is repaired. */
    listeners += member_has(member, name, len);
    member->host->audited(member->host, name, len, listeners);
    return 0;
}

static void member_close(void *self)
{
    struct member *member = self;

    forget_all(member);
    member->host->stopped(member->host);
}

const ws_hub_broker_ops member_ops = {
    .struct_size = sizeof member_ops,
    .name = "member",
    .open = member_open,
    .subscribe = member_subscribe,
    .unsubscribe = member_unsubscribe,
    .publish = member_publish,
    .close = member_close,
    .audit = member_audit,
};

void server_init(struct outage *outage)
{
    outage->server.outage = outage;
    for (unsigned i = 0; i < HUBS; i++) {
        outage->server.member[i].server = &outage->server;
        outage->server.member[i].index = i;
        wsh_list_init(&outage->server.member[i].inbox);
    }
}

void server_set_down(struct outage *outage, bool down)
{
    struct server *server = &outage->server;

    if (down == server->down)
        return;
    server->down = down;
    for (unsigned i = 0; down && i < HUBS; i++) {
        struct member *member = &server->member[i];
        struct world *world = &outage->sides[i].world;

        forget_all(member);
        world->current = &world->lanes[WSH_HOME];
        member->host->lost(member->host, "the server went down");
        world->current = NULL;
    }
}

void server_forget(struct member *member)
{
    struct outage *outage = member->server->outage;
    unsigned i;

    if (!member->count)
        return;
    i = (unsigned)outage_random(outage, member->count);
    memcpy(member->channel[i], member->channel[--member->count], 64);
}

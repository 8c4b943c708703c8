/*
 * outage_book.c: what was published, and who has to have it.
 *
 * The rule: whoever was subscribed when a message was published either has it,
 * or was told of a gap after it. That holds for what the server got, and for
 * what the client's own hub accepted. Nobody has a message twice, and the
 * messages of one publisher come in their order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/outage.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

size_t book_channel(char name[16], unsigned channel)
{
    return (size_t)snprintf(name, 16, "c%u", channel);
}

/* "cCHANNEL.PUBLISHER.NUMBER."; NULL: published before this round. */
static struct record *find(struct outage *outage, const char *text)
{
    unsigned channel, publisher;
    unsigned long long number;

    CHECK(&outage->sides[0].world,
          sscanf(text, "c%u.%u.%llu.", &channel, &publisher, &number) == 3);
    for (unsigned i = outage->record_count; i-- > 0;) {
        struct record *record = &outage->records[i];

        if (record->channel == channel && record->publisher == publisher &&
            record->number == number)
            return record;
    }
    return NULL;
}

void book_publish(struct side *side, unsigned thread)
{
    struct outage *outage = side->outage;
    struct world *world = &side->world;
    struct record *record = &outage->records[outage->record_count];
    ws_hub_publish_options options = {.struct_size = sizeof options};
    char name[16], text[64];
    size_t len;

    CHECK(world, outage->record_count < RECORDS);
    outage->record_count++;
    *record = (struct record){
        .channel = (unsigned)outage_random(outage, CHANNELS),
        .publisher = side->index * (HOST_THREAD + 1) + thread,
        .hub = side->index,
        .home = thread == WSH_HOME,
        .at = ++outage->clock,
        .result = 0,
    };
    record->number = ++outage->sequence[record->channel][record->publisher];
    len =
        (size_t)sprintf(text, "\"c%u.%u.%llu.\"", record->channel,
                        record->publisher, (unsigned long long)record->number);
    options.type = WS_HUB_JSON;
    world->current = thread < world->lane_count ? &world->lanes[thread] : NULL;
    record->result = ws_hub_publish((ws_hub *)(void *)world, name,
                                    book_channel(name, record->channel), text,
                                    len, &options);
    world->current = NULL;
}

void book_reached(struct outage *outage, const ws_hub_broker_message *message)
{
    struct record *record;
    char text[64];

    if (message->len < 2 || ((const char *)message->data)[0] != '"')
        return; /* a probe */
    snprintf(text, sizeof text, "%.*s", (int)message->len,
             (const char *)message->data);
    record = find(outage, text + 1);
    if (!record)
        return;
    CHECK(&outage->sides[record->hub].world, !record->reached);
    record->reached = ++outage->clock;
    record->echo_dropped = (message->flags & WS_HUB_MESSAGE_DELIVERED) != 0;
}

/* A publish that finds the channel's server away, or full, is delivered to own
 * subscribers at once: before earlier ones that are on their way back. */
static bool may_overtake(const struct record *record,
                         const struct client *client)
{
    if (record->hub != client->side->index)
        return false;
    return record->result == WS_HUB_DEGRADED ||
           (!record->home && (!record->reached || record->echo_dropped));
}

static void read_message(struct client *client, const char *data)
{
    struct world *world = &client->side->world;
    struct outage *outage = client->side->outage;
    struct record *record = find(outage, data);
    unsigned channel, publisher;
    unsigned long long number;
    uint64_t *last;

    if (sscanf(data, "c%u.%u.%llu.", &channel, &publisher, &number) != 3)
        abort();
    last = &client->last[channel][publisher];
    outage->received++;
    if (record) {
        CHECK(world, record->result >= 0); /* refused is not delivered */
        CHECK(world, record->reached || record->hub == client->side->index);
        CHECK(world, !(record->got >> client->number & 1)); /* not twice */
        record->got |= UINT64_C(1) << client->number;
        if (may_overtake(record, client))
            return;
    }
    if (number <= *last) {
        fprintf(stderr, "client %u of hub %u got %s after %llu\n",
                client->number, client->side->index, data,
                (unsigned long long)*last);
        world_fail(world, "twice, or out of order", __LINE__);
    }
    *last = number;
}

static void read_gap(struct client *client, const char *text)
{
    struct outage *outage = client->side->outage;
    const char *channel = strstr(text, "\"channel\":\"c");

    CHECK(&client->side->world, channel && strstr(text, "\"broker\""));
    CHECK(&client->side->world, !outage->calm);
    client->interest[channel[12] - '0'].gap = ++outage->clock;
    outage->gaps++;
}

void book_read(void *arg, uint8_t opcode, const uint8_t *data, size_t len)
{
    struct client *client = arg;
    char *text = strndup((const char *)data, len);
    const char *payload;

    (void)opcode;
    if (!text)
        abort();
    payload = strstr(text, "\"data\":\"");
    if (strstr(text, "\"op\":\"message\""))
        read_message(client, payload + 8);
    else if (strstr(text, "\"op\":\"gap\""))
        read_gap(client, text);
    free(text);
}

void book_check_accounts(struct side *side)
{
    struct world *world = &side->world;
    ws_hub_stats_data stats = {.struct_size = sizeof stats};
    uint64_t dropped = 0, closed = 0;

    wsh_hub_stats(&world->hub, &stats);
    for (unsigned i = 0; i < 32; i++) {
        dropped += stats.dropped[i];
        closed += stats.closed[i];
    }
    CHECK(world, stats.offered == stats.delivered + dropped + stats.pending);
    CHECK(world, stats.opened == stats.open + closed);
    world_check(world);
}

/* Closing a round. */

static bool must_have(const struct record *record, const struct client *client)
{
    const struct interest *interest = &client->interest[record->channel];

    if (!interest->on || interest->from >= record->at)
        return false;
    return record->reached || (record->home && record->result >= 0 &&
                               record->hub == client->side->index);
}

static void check_client(struct outage *outage, const struct client *client)
{
    for (unsigned i = 0; i < outage->record_count; i++) {
        const struct record *record = &outage->records[i];
        uint64_t at = record->reached ? record->reached : record->at;

        if (!must_have(record, client) || record->got >> client->number & 1)
            continue;
        if (client->interest[record->channel].gap <= at) {
            fprintf(stderr,
                    "client %u of hub %u, subscribed at %llu, gap at %llu, "
                    "misses c%u.%u.%llu of hub %u at %llu (%llu), result %d\n",
                    client->number, client->side->index,
                    (unsigned long long)client->interest[record->channel].from,
                    (unsigned long long)client->interest[record->channel].gap,
                    record->channel, record->publisher,
                    (unsigned long long)record->number, record->hub,
                    (unsigned long long)record->at,
                    (unsigned long long)record->reached, record->result);
            world_fail(&outage->sides[client->side->index].world,
                       "a hole that no gap explains", __LINE__);
        }
        outage->explained++;
    }
}

/* Every channel with listeners is subscribed, and no other one. */
static void check_subscriptions(struct side *side)
{
    struct member *member = &side->outage->server.member[side->index];
    struct world *world = &side->world;
    unsigned known = 0;
    char name[16];

    for (unsigned i = 0; i < CHANNELS; i++) {
        size_t len = book_channel(name, i);
        bool wanted = wsh_registry_shards(&world->hub.registry, name, len) != 0;

        CHECK(world, wanted == member_has(member, name, len));
        known += wanted;
    }
    for (unsigned i = 0; i < member->count; i++)
        known += strncmp(member->channel[i], "$ws_hub.", 8) == 0;
    CHECK(world, known == member->count);
}

/* Whoever asked to be subscribed was answered. */
static void check_answers(struct side *side)
{
    for (unsigned i = 0; i < CLIENTS * CHANNELS; i++) {
        const struct client *client = &side->clients[i / CHANNELS];
        const struct interest *interest = &client->interest[i % CHANNELS];

        if (interest->on == interest->wanted)
            continue;
        fprintf(stderr, "client %u of hub %u wants c%u (%d) and has it (%d)\n",
                client->number, side->index, i % CHANNELS, interest->wanted,
                interest->on);
        world_fail(&side->world, "a subscribe without an answer", __LINE__);
    }
}

void book_close_round(struct outage *outage)
{
    for (unsigned i = 0; i < outage->record_count; i++)
        outage->unreached += !outage->records[i].reached;
    for (unsigned i = 0; i < HUBS; i++) {
        struct side *side = &outage->sides[i];

        check_answers(side);
        check_subscriptions(side);
        for (unsigned k = 0; k < CLIENTS; k++)
            check_client(outage, &side->clients[k]);
    }
    outage->record_count = 0;
}

#include "fault/scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_hub/error.h"

static char text[200000]; /* a long message */

static void *filled(size_t len)
{
    memset(text, 'x', len);
    return text;
}

static void publish_all_types(struct rig *rig, const char *channel)
{
    rig_publish(rig, channel, WS_HUB_TEXT, "hello \"you\"\n", 12, NULL);
    rig_publish(rig, channel, WS_HUB_BINARY, "\0\1\2\3", 4, NULL);
    rig_publish(rig, channel, WS_HUB_JSON, "{\"a\":[1,2]}", 11, NULL);
}

/* Two raw clients, everything on the loop's thread. */
void scenario_raw(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 0, "/a", false);
    struct rig_client *b = rig_connect(rig, 0, "/b", false);

    RIG_EXPECT(a->opened && b->opened);
    rig->current = &rig->lanes[0];
    rig_subscribe(a, "news");
    rig_subscribe(a, "sport");
    rig_subscribe(a, "weather");
    rig_subscribe(b, "news");
    rig_subscribe(b, "gaps");
    rig->echo_gaps = 8;
    publish_all_types(rig, "news");
    for (unsigned i = 0; i < 20; i++) /* marks of one batch */
        rig_publish(rig, "news", WS_HUB_TEXT, "again", 5, i % 3 ? NULL : a);
    rig_settle(rig);
    RIG_EXPECT(a->messages == 16 && b->messages == 23);
    rig_frame(a, true, 1, "echo", 4);
    rig_frame(a, true, 2, filled(3000), 3000);
    rig_frame(a, true, 9, "ping", 4);
    rig_settle(rig);
    RIG_EXPECT(a->messages == 18 && a->ws.pongs == 1);
    rig->current = &rig->lanes[0];
    rig_unsubscribe(a, "sport");
    rig_close(b, 1000, "bye");
    rig_settle(rig);
    rig_frame(a, true, 8, "\3\350bye", 5);
    rig_settle(rig);
    RIG_EXPECT(a->gone && b->gone);
}

/* Heads in pieces, refusals, requests, a late decision, heartbeats. */
void scenario_handshakes(struct rig *rig)
{
    static const char page[] = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char none[] = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
    struct rig_client *split = rig_dial(rig, 0), *later, *http;
    struct wsh_buf request = {0};

    ws_peer_request(&request, "/split", NULL);
    rig_write(split, request.data, 20);
    rig_settle(rig);
    rig_write(split, request.data + 20, request.len - 20);
    wsh_buf_fini(&request);
    (void)rig_connect(rig, 0, "/no", false);
    http = rig_dial(rig, 0);
    rig_write(http, page, sizeof page - 1);
    http = rig_dial(rig, 0);
    rig_write(http, none, sizeof none - 1);
    http = rig_dial(rig, 0);
    rig_write(http, "nonsense\r\n\r\n", 12);
    later = rig_connect(rig, 0, "/later", true);
    rig_settle(rig);
    RIG_EXPECT(split->opened && !later->opened && rig->http == 2);
    if (later->conn.id)
        IN_LIBRARY((void)ws_hub_decide(rig_handle(rig), later->conn, 0));
    rig_settle(rig);
    RIG_EXPECT(later->opened && later->ws.messages == 1);
    rig_pass(rig, 31000);
    RIG_EXPECT(split->ws.pings == 1 && later->ws.pings == 1);
    rig_settle(rig);
}

/*
 * A JSON client on the other loop, where subscriptions wait for the broker.
 *
 * Strings of JSON clients stay below 16 bytes: jansson (2.14, lex_save) does
 * not notice that the buffer for a longer one could not grow. It loses a byte,
 * or the closing quote, and then reads and writes beyond the end.
 */
void scenario_json(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 1, "/a", true);
    struct rig_client *b = rig_connect(rig, 1, "/b", true);

    RIG_EXPECT(a->opened && b->opened);
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":\"news\",\"id\":1}");
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":\"news\",\"id\":2}");
    rig_command(b, "{\"op\":\"subscribe\",\"channel\":\"news\"}");
    rig_command(b, "{\"op\":\"subscribe\",\"channel\":\"left\",\"id\":\"x\"}");
    rig_command(b, "{\"op\":\"unsubscribe\",\"channel\":\"left\"}");
    rig_settle(rig);
    RIG_EXPECT(a->answers == 2 && b->answers == 3);
    rig_command(a, "{\"op\":\"publish\",\"channel\":\"news\",\"id\":3,"
                   "\"data\":{\"x\":\"y\"},\"echo\":false}");
    rig_command(a, "{\"op\":\"publish\",\"channel\":\"news\",\"id\":4,"
                   "\"d\\u0061ta\":[1,{\"x\":2}]}");
    rig_settle(rig);
    RIG_EXPECT(a->messages == 1 && b->messages == 2);
    publish_all_types(rig, "news");
    rig_settle(rig);
    RIG_EXPECT(a->messages == 4 && b->messages == 5);
    rig_command(a, "{\"op\":\"unsubscribe\",\"channel\":\"news\",\"id\":5}");
    rig_settle(rig);
    RIG_EXPECT(a->answers == a->commands && b->answers == b->commands);
}

/* Every way to be told no. */
void scenario_json_answers(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 0, "/a", true);

    RIG_EXPECT(a->opened);
    rig_command(a, "not json");
    rig_command(a, "[]");
    rig_command(a, "{\"op\":\"dance\",\"id\":\"1\"}");
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":7,\"id\":2}");
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":\"\"}");
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":\"$own\"}");
    rig_command(a, "{\"op\":\"subscribe\",\"channel\":\"secret\",\"id\":3}");
    rig_command(a, "{\"op\":\"publish\",\"channel\":\"secret\",\"data\":1}");
    rig_command(a, "{\"op\":\"presence\",\"channel\":\"news\",\"id\":4}");
    rig_command(a, "{\"op\":\"unsubscribe\",\"channel\":\"news\",\"id\":5}");
    rig_command(a, "{\"op\":\"ping\",\"id\":6}");
    a->commands++;
    rig_frame(a, true, 2, "binary", 6);
    rig_settle(rig);
    RIG_EXPECT(a->answers == 12);
}

/* Both ways, in fragments, with pings between them. */
void scenario_large(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 0, "/a", false);
    char *data = filled(sizeof text);

    RIG_EXPECT(a->opened);
    a->stalled = true;
    for (unsigned i = 0; i < 4; i++) {
        rig_frame(a, i == 3, i ? 0 : 1, data, 50000);
        rig_frame(a, true, 9, "between", 7);
        rig_settle(rig);
    }
    for (unsigned i = 0; i < 8; i++) { /* behind a torn frame */
        rig_frame(a, true, 9, "behind", 6);
        rig_settle(rig);
    }
    a->stalled = false;
    rig_settle(rig);
    RIG_EXPECT(a->messages == 1 && a->ws.pongs == 12);
    rig_frame(a, true, 8, NULL, 0);
    rig_settle(rig);
    RIG_EXPECT(a->gone);
}

/* Who does not read: the queue grows, then messages are dropped, then it is
 * closed behind what is on the wire. */
void scenario_slow(struct rig *rig)
{
    struct rig_client *slow = rig_connect(rig, 0, "/a", false);
    struct rig_client *fast = rig_connect(rig, 0, "/b", false);

    rig->current = &rig->lanes[0];
    rig_subscribe(slow, "news");
    rig_subscribe(fast, "news");
    slow->stalled = true;
    for (unsigned i = 0; i < 24; i++) {
        rig->current = &rig->lanes[0];
        rig_publish(rig, "news", WS_HUB_BINARY, filled(1500), 1500, NULL);
        rig_settle(rig);
        if (i % 4 == 0)
            rig_frame(slow, true, 9, "ping", 4);
    }
    RIG_EXPECT(fast->messages == 24);
    rig->current = &rig->lanes[0];
    rig_close(slow, 1000, "too slow");
    rig_frame(fast, true, 1, "\xff", 1); /* not UTF-8 */
    rig_settle(rig);
    slow->stalled = false;
    rig_settle(rig);
    RIG_EXPECT(slow->gone && slow->messages < 24 && slow->messages > 8);
    RIG_EXPECT(fast->gone && fast->ws.close_code == 1007);
}

static const char *const policies[] = {"oldest", "keyed", "newest", "gaps"};

static void subscribe_policies(struct rig_client *raw, struct rig_client *json)
{
    char command[64];

    for (unsigned i = 0; i < 4; i++) {
        raw->rig->current = raw->lane;
        rig_subscribe(raw, policies[i]);
        (void)snprintf(command, sizeof command,
                       "{\"op\":\"subscribe\",\"channel\":\"%s\"}",
                       policies[i]);
        rig_command(json, command);
    }
    rig_settle(raw->rig);
}

/* A turn's worth: several messages share a queue entry. */
static void publish_policies(struct rig *rig)
{
    static const char *const keys[] = {"a", "b", NULL, "c"};

    rig->current = &rig->lanes[0];
    for (unsigned i = 0; i < 4; i++) {
        rig_publish_as(rig, "oldest", WS_HUB_CLASS_NORMAL, NULL, 500);
        rig_publish_as(rig, "keyed", WS_HUB_CLASS_NORMAL, keys[i], 500);
    }
    rig_publish_as(rig, "newest", WS_HUB_CLASS_CRITICAL, NULL, 500);
    rig_publish_as(rig, "newest", WS_HUB_CLASS_VOLATILE, NULL, 500);
    rig_publish_as(rig, "closing", WS_HUB_CLASS_NORMAL, NULL, 4000);
    rig_settle(rig);
}

/* Slow clients under every policy: queued messages make way, gaps are told,
 * one is given up. */
void scenario_policies(struct rig *rig)
{
    struct rig_client *raw = rig_connect(rig, 0, "/a", false);
    struct rig_client *json = rig_connect(rig, 0, "/b", true);
    struct rig_client *closing = rig_connect(rig, 0, "/c", false);

    RIG_EXPECT(raw->opened && json->opened && closing->opened);
    subscribe_policies(raw, json);
    rig->current = &rig->lanes[0];
    rig_subscribe(closing, "closing");
    raw->stalled = json->stalled = closing->stalled = true;
    rig->echo_gaps = 8;
    for (unsigned turn = 0; turn < 14; turn++)
        publish_policies(rig);
    RIG_EXPECT(wsh_counted(&rig->shards[0]->counters, WSH_C_SLOW) == 3);
    raw->stalled = false;
    rig_settle(rig);
    json->stalled = false;
    rig_settle(rig);
    RIG_EXPECT(raw->gaps == 3 && json->gaps == 4);
    RIG_EXPECT(raw->missed > 20 && json->missed > 20);
    rig_pass(rig, 11000);
    closing->stalled = false;
    rig_settle(rig);
    RIG_EXPECT(closing->gone && closing->ws.close_code == 1013);
}

/* Everything from threads that are not the loop's. */
void scenario_mailbox(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 0, "/a", false);
    struct rig_client *b = rig_connect(rig, 1, "/b", false);
    struct rig_client *c = rig_connect(rig, 1, "/c", true);
    ws_hub_listener *kept = rig_listen(rig, "news"), *other;

    rig_subscribe(a, "news");
    rig_subscribe(b, "news");
    rig_subscribe(b, "quiet");
    rig_unsubscribe(b, "quiet");
    rig_command(c, "{\"op\":\"subscribe\",\"channel\":\"news\",\"id\":1}");
    rig_settle(rig);
    publish_all_types(rig, "news");
    rig_publish(rig, "news", WS_HUB_TEXT, "not b", 5, b);
    rig_settle(rig);
    RIG_EXPECT(a->messages == 4 && b->messages == 3 && c->messages == 4);
    RIG_EXPECT(rig->heard == 4);
    rig->current = &rig->lanes[1];
    publish_all_types(rig, "news");
    rig->current = &rig->lanes[0];
    rig->listener = rig_listen(rig, "other"); /* ends at the first message */
    other = rig_listen(rig, "other");
    publish_all_types(rig, "other");
    rig_settle(rig);
    RIG_EXPECT(rig->heard == 11 && a->messages == 7 && b->messages == 6);
    rig_send(b, WS_HUB_TEXT, "direct", 6);
    rig_unlisten(rig, kept);
    rig_unlisten(rig, other);
    rig_close(a, 1000, "from afar");
    rig_settle(rig);
    RIG_EXPECT(b->messages == 7 && a->gone);
}

static void lose(struct rig *rig)
{
    rig->broker.down = true;
    rig->current = &rig->lanes[0];
    IN_LIBRARY(rig->broker.host->lost(rig->broker.host, "torture"));
    rig_settle(rig);
}

static void confirm(struct rig *rig, const char *channel)
{
    rig->current = &rig->lanes[0];
    IN_LIBRARY(rig->broker.host->subscribed(rig->broker.host, channel,
                                            strlen(channel), 0));
    rig_settle(rig);
}

/* A broker that is slow, goes away and comes back, under raw and JSON clients
 * of both loops. */
void scenario_broker(struct rig *rig)
{
    struct rig_client *a = rig_connect(rig, 0, "/a", false);
    struct rig_client *b = rig_connect(rig, 1, "/b", true);
    struct rig_client *c = rig_connect(rig, 1, "/c", true);
    bool was_on_news;

    rig->broker.silent = true;
    rig_subscribe(a, "news");
    rig_command(b, "{\"op\":\"subscribe\",\"channel\":\"news\",\"id\":1}");
    rig_command(b, "{\"op\":\"subscribe\",\"channel\":\"b\",\"id\":2}");
    rig_settle(rig);
    RIG_EXPECT(rig->told == 0 && b->answers == 0);
    confirm(rig, "news");
    RIG_EXPECT(rig->told == 1 && b->answers == 1);
    was_on_news = b->on_news;
    lose(rig);
    RIG_EXPECT(b->answers == 2);
    rig_command(c, "{\"op\":\"subscribe\",\"channel\":\"c\",\"id\":3}");
    rig_command(c, "{\"op\":\"subscribe\",\"channel\":\"news\",\"id\":4}");
    rig_settle(rig);
    publish_all_types(rig, "news");
    rig_settle(rig);
    RIG_EXPECT(a->messages == 3 && c->messages == 3 && c->answers == 2);
    RIG_EXPECT(b->degraded == 1 && c->degraded == 2);
    rig_command(c,
                "{\"op\":\"publish\",\"channel\":\"z\",\"data\":0,\"id\":5}");
    rig_settle(rig);
    RIG_EXPECT(c->degraded == 3);
    rig->broker.down = rig->broker.silent = false;
    rig_pass(rig, 20000);
    RIG_CHECK(!was_on_news || b->gaps || b->end.link == NULL);
    RIG_EXPECT(rig->broker.opens == 2 && b->gaps == 2 && c->gaps == 2);
    publish_all_types(rig, "news");
    rig_settle(rig);
    RIG_EXPECT(a->messages == 6 && b->messages == 6);
    rig->current = &rig->lanes[0];
    rig_unsubscribe(a, "news");
    rig_frame(b, true, 8, NULL, 0);
    rig_frame(c, true, 8, NULL, 0);
    rig_pass(rig, 2000);
    RIG_EXPECT(b->gone && c->gone);
}

/* The end, with something queued and something that waits everywhere. */
void scenario_stop(struct rig *rig)
{
    struct rig_client *slow;

    (void)rig_connect(rig, 0, "/later", false);
    (void)rig_dial(rig, 0);
    for (unsigned i = 0; i < 2; i++) {
        slow = rig_connect(rig, i, "/slow", false);
        rig_subscribe(slow, "news");
        slow->stalled = true;
        (void)rig_connect(rig, i, "/json", true);
        rig_command(&rig->clients[rig->client_count - 1],
                    "{\"op\":\"subscribe\",\"channel\":\"news\"}");
    }
    rig_settle(rig);
    rig_publish(rig, "news", WS_HUB_BINARY, filled(20000), 20000, NULL);
    rig_settle(rig);
    rig->broker.silent = true;
    rig_subscribe(&rig->clients[2], "never");
    rig_publish(rig, "news", WS_HUB_BINARY, filled(20000), 20000, NULL);
    rig_stop(rig);
}

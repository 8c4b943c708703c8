/*
 * server.c: two connections as one server, and what Redis says on them.
 *
 * Replies to subscribes are told from pushes by what is awaited: the answer to
 * the oldest unanswered (un)subscribe carries its channel, anything else of the
 * kind came by itself. After an event of the topology nothing of the server is
 * touched unless `depth` keeps it: the topology may have destroyed it.
 */
#include "server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>
#include "conn.h"
#include "topology.h"

enum state { CLOSED, OPENING, UP, ENDING };

enum { WHY_MAX = 256, LOG_EVERY_MS = 1000 };

struct wsr_server {
    struct wsr_url url;
    char name[WSR_NAME_MAX];
    const struct wsr_settings *settings;
    const struct wsr_server_events *events;
    void *user;
    struct wsr_conn *subscriber, *publisher;
    const ws_hub_broker_host *host; /* unless CLOSED */
    enum state state;
    unsigned depth;
    bool doomed;
    bool failed_asked;  /* fail() was called: its text is the reason */
    uint64_t logged_ms; /* the last complaint, of this opening */
};

enum kind { SUBSCRIBE, UNSUBSCRIBE, FENCE, COUNT, COMMAND };

/* What is remembered of a command until its answer. */
struct asked {
    struct wsr_server *server;
    enum kind kind;
    wsr_command_cb cb; /* COMMAND on the subscriber */
    void *user;
    size_t len;
    char channel[];
};

static void leave(struct wsr_server *server)
{
    assert(server->depth > 0);
    if (--server->depth > 0 || !server->doomed)
        return;
    wsr_conn_destroy(server->subscriber);
    wsr_conn_destroy(server->publisher);
    free(server);
}

/* A server that refuses a thousand channels is not worth a thousand lines. */
static void complain(struct wsr_server *server, const char *what,
                     const char *text)
{
    uint64_t now = server->host->loop_ops->now_ms(server->host->loop);

    if (server->logged_ms && now - server->logged_ms < LOG_EVERY_MS)
        return;
    server->logged_ms = now ? now : 1;
    wsr_log(server->host, WS_HUB_LOG_WARN, server->name, "%s: %.150s", what,
            text);
}

/* MOVED 3999 127.0.0.1:6381, ASK likewise; false: it is not one. */
static bool read_redirect(const struct wsr_reply *reply,
                          struct wsr_redirect *out)
{
    const char *slot, *address, *colon;
    char *end;
    unsigned long number;

    out->ask = wsr_reply_error_is(reply, "ASK");
    if (!out->ask && !wsr_reply_error_is(reply, "MOVED"))
        return false;
    slot = strchr(reply->text, ' ');
    address = slot ? strchr(slot + 1, ' ') : NULL;
    colon = address ? strrchr(address, ':') : NULL;
    if (!colon)
        return false;
    number = strtoul(slot + 1, &end, 10);
    if (end != address || number > 16383)
        return false;
    out->slot = (unsigned)number;
    out->host = address + 1;
    out->host_len = (size_t)(colon - out->host);
    number = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || number == 0 || number > 65535)
        return false;
    out->port = (unsigned)number;
    return true;
}

/* Answers on the subscriber, and to counts */

static void on_subscribed(const struct asked *asked,
                          const struct wsr_reply *reply)
{
    struct wsr_server *server = asked->server;
    struct wsr_redirect redirect = {.on = WSR_ON_SUBSCRIBE,
                                    .channel = asked->channel,
                                    .channel_len = asked->len};
    int status = 0;

    if (read_redirect(reply, &redirect)) {
        server->events->redirect(server->user, &redirect);
        return;
    }
    if (reply->type == WSR_ERROR) {
        complain(server, "a subscribe was refused", reply->text);
        status = wsr_reply_error_is(reply, "NOPERM") ? WS_HUB_EFORBIDDEN
                                                     : WS_HUB_EBROKER;
    }
    server->events->subscribed(server->user, asked->channel, asked->len,
                               status);
}

/* [channel, number]; or an error, which counts as nobody. */
static void on_counted(const struct asked *asked, const struct wsr_reply *reply)
{
    struct wsr_server *server = asked->server;
    struct wsr_redirect redirect = {.on = WSR_ON_COUNT,
                                    .channel = asked->channel,
                                    .channel_len = asked->len};
    uint64_t listeners = 0;

    if (read_redirect(reply, &redirect)) {
        server->events->redirect(server->user, &redirect);
        return;
    }
    if (reply->type == WSR_ARRAY && reply->count == 2 &&
        reply->items[1].type == WSR_INTEGER && reply->items[1].integer > 0)
        listeners = (uint64_t)reply->items[1].integer;
    server->events->counted(server->user, asked->channel, asked->len,
                            listeners);
}

static void on_answer(void *user, const struct wsr_reply *reply)
{
    struct asked *asked = user;

    if (asked->kind == COMMAND) {
        if (asked->cb)
            asked->cb(asked->user, reply);
    } else if (reply && asked->kind == SUBSCRIBE) {
        on_subscribed(asked, reply);
    } else if (reply && asked->kind == COUNT) {
        on_counted(asked, reply);
    }
    free(asked);
}

static void on_published(void *user, const struct wsr_reply *reply)
{
    struct wsr_server *server = user;
    struct wsr_redirect redirect = {.on = WSR_ON_PUBLISH};

    if (!reply || reply->type != WSR_ERROR)
        return;
    if (read_redirect(reply, &redirect))
        server->events->redirect(server->user, &redirect);
    else
        server->events->publish_failed(server->user, reply->text);
}

/* Pushes */

static bool is_text(const struct wsr_reply *reply)
{
    return reply->type == WSR_STRING;
}

static bool answers(const struct wsr_pending *oldest, enum kind kind,
                    const struct wsr_reply *channel)
{
    const struct asked *asked = oldest ? oldest->user : NULL;

    return asked && asked->kind == kind && is_text(channel) &&
           asked->len == channel->len &&
           memcmp(asked->channel, channel->text, channel->len) == 0;
}

static void unsubscribed(struct wsr_server *server,
                         const struct wsr_reply *channel,
                         const struct wsr_pending *oldest)
{
    /* About to be subscribed again: that answer is the news. */
    if (!is_text(channel) || answers(oldest, SUBSCRIBE, channel))
        return;
    server->events->unsubscribed(server->user, channel->text, channel->len);
}

/* A message of another program can be larger than ours may: it alone is lost,
 * up to what the reader takes at all. */
static void on_message(struct wsr_server *server,
                       const struct wsr_reply *channel,
                       const struct wsr_reply *bytes)
{
    if (!is_text(channel) || !is_text(bytes))
        return;
    if (bytes->len > server->settings->max_message_bytes + WS_HUB_ENVELOPE_MAX)
        complain(server, "too large a message was dropped; channel",
                 channel->text);
    else
        server->events->message(server->user, channel->text, channel->len,
                                bytes->text, bytes->len);
}

/* A slot that moves away while its channel is being unsubscribed has two
 * endings: the server's own announcement, and an error to our command, and
 * nothing tells the first one from an answer. Whichever is second comes before
 * the answer to the PING behind the command. */
static bool is_second_ending(const struct wsr_pending *oldest,
                             const struct wsr_reply *reply)
{
    const struct asked *asked = oldest ? oldest->user : NULL;

    if (!asked || asked->kind != FENCE)
        return false;
    return reply->type == WSR_ERROR ||
           (reply->type == WSR_ARRAY && reply->count == 3 &&
            wsr_reply_is(&reply->items[0], "sunsubscribe") &&
            answers(oldest, FENCE, &reply->items[1]));
}

/* ["message", channel, bytes] and the three-part announcements, with an s in
 * front when sharded. An announcement that is no push is an answer: the right
 * one, or the connection is out of step. */
static bool on_push(void *user, const struct wsr_reply *reply,
                    const struct wsr_pending *oldest)
{
    struct wsr_server *server = user;
    const struct wsr_reply *items = reply->items;
    const char *word;

    if (is_second_ending(oldest, reply))
        return true;
    if (reply->type != WSR_ARRAY || reply->count != 3 || !is_text(&items[0]))
        return false;
    word = items[0].text;
    if (server->settings->sharded && *word == 's' && items[0].len > 1 &&
        strcmp(word, "subscribe") != 0)
        word++;
    if (strcmp(word, "message") == 0) {
        on_message(server, &items[1], &items[2]);
        return true;
    }
    if (strcmp(word, "unsubscribe") == 0) {
        if (answers(oldest, UNSUBSCRIBE, &items[1]))
            return false;
        unsubscribed(server, &items[1], oldest);
        return true;
    }
    if (strcmp(word, "subscribe") == 0 &&
        !answers(oldest, SUBSCRIBE, &items[1])) {
        wsr_conn_fail(server->subscriber, "answers are out of step");
        return true;
    }
    return false;
}

/* Up and down */

static void on_conn_up(void *user)
{
    struct wsr_server *server = user;

    if (server->state != OPENING || !wsr_conn_is_up(server->subscriber) ||
        !wsr_conn_is_up(server->publisher))
        return;
    server->state = UP;
    server->events->up(server->user);
}

/* Both go. Callbacks of unanswered commands run in here. */
static void end(struct wsr_server *server)
{
    server->state = ENDING;
    wsr_conn_close(server->subscriber);
    wsr_conn_close(server->publisher);
    server->state = CLOSED;
    server->host = NULL;
}

static void on_conn_down(struct wsr_server *server, const char *which,
                         const char *why)
{
    char text[WHY_MAX];

    if (server->state != OPENING && server->state != UP)
        return;
    (void)snprintf(text, sizeof text, "%s%s", server->failed_asked ? "" : which,
                   why);
    server->depth++;
    end(server);
    if (!server->doomed)
        server->events->down(server->user, text);
    leave(server);
}

static void on_subscriber_down(void *user, const char *why)
{
    on_conn_down(user, "subscriber: ", why);
}

static void on_publisher_down(void *user, const char *why)
{
    on_conn_down(user, "publisher: ", why);
}

static void on_room(void *user)
{
    struct wsr_server *server = user;

    server->events->room(server->user);
}

static const struct wsr_conn_events subscriber_events = {
    .up = on_conn_up,
    .down = on_subscriber_down,
    .push = on_push,
    .room = on_room,
};

static const struct wsr_conn_events publisher_events = {
    .up = on_conn_up,
    .down = on_publisher_down,
    .room = on_room,
};

/* The interface */

int wsr_server_create(struct wsr_server **out, const struct wsr_url *url,
                      const struct wsr_settings *settings,
                      const struct wsr_server_events *events, void *user)
{
    struct wsr_server *server = calloc(1, sizeof *server);

    *out = NULL;
    if (!server)
        return WS_HUB_ENOMEM;
    server->url = *url;
    server->settings = settings;
    server->events = events;
    server->user = user;
    wsr_url_name(url, server->name);
    server->subscriber =
        wsr_conn_create(&server->url, settings, &subscriber_events, server);
    server->publisher =
        wsr_conn_create(&server->url, settings, &publisher_events, server);
    if (!server->subscriber || !server->publisher) {
        wsr_conn_destroy(server->subscriber);
        wsr_conn_destroy(server->publisher);
        free(server);
        return WS_HUB_ENOMEM;
    }
    *out = server;
    return 0;
}

int wsr_server_open(struct wsr_server *server, const ws_hub_broker_host *host)
{
    int status;

    assert(server->state == CLOSED);
    server->failed_asked = false;
    server->logged_ms = 0;
    status = wsr_conn_open(server->subscriber, host);
    if (status)
        return status;
    status = wsr_conn_open(server->publisher, host);
    if (status) {
        wsr_conn_close(server->subscriber);
        return status;
    }
    server->host = host;
    server->state = OPENING;
    return 0;
}

void wsr_server_close(struct wsr_server *server)
{
    if (server->state == CLOSED || server->state == ENDING)
        return;
    server->depth++;
    end(server);
    leave(server);
}

void wsr_server_destroy(struct wsr_server *server)
{
    if (!server || server->doomed)
        return;
    server->depth++;
    wsr_server_close(server);
    server->doomed = true;
    leave(server);
}

void wsr_server_fail(struct wsr_server *server, const char *why)
{
    if (server->state != OPENING && server->state != UP)
        return;
    server->failed_asked = true;
    /* Both fail: what a closed publisher has not sent would go on to Redis. */
    wsr_conn_fail(server->subscriber, "%s", why);
    wsr_conn_fail(server->publisher, "%s", why);
}

bool wsr_server_is_up(const struct wsr_server *server)
{
    return server->state == UP && wsr_conn_is_up(server->subscriber) &&
           wsr_conn_is_up(server->publisher);
}

bool wsr_server_is_opening(const struct wsr_server *server)
{
    return server->state == OPENING;
}

const char *wsr_server_name(const struct wsr_server *server)
{
    return server->name;
}

const struct wsr_url *wsr_server_url(const struct wsr_server *server)
{
    return &server->url;
}

static struct asked *remember(struct wsr_server *server, enum kind kind,
                              const char *channel, size_t channel_len)
{
    struct asked *asked = calloc(1, sizeof *asked + channel_len);

    if (!asked)
        return NULL;
    asked->server = server;
    asked->kind = kind;
    asked->len = channel_len;
    if (channel_len > 0)
        memcpy(asked->channel, channel, channel_len);
    return asked;
}

static int ask(struct wsr_conn *conn, struct asked *asked,
               const struct wsr_arg *args, size_t count)
{
    int status;

    if (!asked)
        return WS_HUB_ENOMEM;
    status = wsr_conn_command(conn, args, count, false, on_answer, asked);
    if (status)
        free(asked);
    return status;
}

int wsr_server_subscribe(struct wsr_server *server, const char *channel,
                         size_t channel_len)
{
    struct wsr_arg args[2] = {server->settings->sharded ? WSR_ARG("SSUBSCRIBE")
                                                        : WSR_ARG("SUBSCRIBE"),
                              {channel, channel_len}};

    if (!wsr_server_is_up(server))
        return WS_HUB_EAGAIN;
    return ask(server->subscriber,
               remember(server, SUBSCRIBE, channel, channel_len), args, 2);
}

int wsr_server_unsubscribe(struct wsr_server *server, const char *channel,
                           size_t channel_len)
{
    struct wsr_arg args[2] = {server->settings->sharded
                                  ? WSR_ARG("SUNSUBSCRIBE")
                                  : WSR_ARG("UNSUBSCRIBE"),
                              {channel, channel_len}};
    const struct wsr_arg fence = WSR_ARG("PING");
    int status;

    if (!wsr_server_is_up(server))
        return 0;
    status = ask(server->subscriber,
                 remember(server, UNSUBSCRIBE, channel, channel_len), args, 2);
    /* Without it the connection may get out of step, which is noticed. */
    if (!status && server->settings->sharded)
        (void)ask(server->subscriber,
                  remember(server, FENCE, channel, channel_len), &fence, 1);
    return status;
}

int wsr_server_publish(struct wsr_server *server, const char *channel,
                       size_t channel_len, const void *head, size_t head_len,
                       const void *data, size_t data_len)
{
    struct wsr_arg args[4] = {server->settings->sharded ? WSR_ARG("SPUBLISH")
                                                        : WSR_ARG("PUBLISH"),
                              {channel, channel_len},
                              {head, head_len},
                              {data, data_len}};

    if (data_len > server->settings->max_message_bytes)
        return WS_HUB_ELIMIT;
    if (!wsr_server_is_up(server))
        return WS_HUB_EBROKER;
    return wsr_conn_command(server->publisher, args, 4, true, on_published,
                            server);
}

int wsr_server_count(struct wsr_server *server, const char *channel,
                     size_t channel_len)
{
    struct wsr_arg args[3] = {WSR_ARG("PUBSUB"),
                              server->settings->sharded ? WSR_ARG("SHARDNUMSUB")
                                                        : WSR_ARG("NUMSUB"),
                              {channel, channel_len}};

    if (!wsr_server_is_up(server))
        return WS_HUB_EAGAIN;
    return ask(server->publisher, remember(server, COUNT, channel, channel_len),
               args, 3);
}

int wsr_server_command(struct wsr_server *server, const struct wsr_arg *args,
                       size_t count, wsr_command_cb cb, void *user)
{
    assert(count > 0 && count <= WSR_ARGS_MAX);
    if (!wsr_server_is_up(server))
        return WS_HUB_EBROKER;
    return wsr_conn_command(server->publisher, args, count, false, cb, user);
}

int wsr_server_command_on_subscriber(struct wsr_server *server,
                                     const struct wsr_arg *args, size_t count,
                                     wsr_command_cb cb, void *user)
{
    struct asked *asked;

    assert(count > 0 && count <= WSR_ARGS_MAX);
    if (!wsr_server_is_up(server))
        return WS_HUB_EBROKER;
    asked = remember(server, COMMAND, NULL, 0);
    if (asked) {
        asked->cb = cb;
        asked->user = user;
    }
    return ask(server->subscriber, asked, args, count);
}

#include "support/fake_redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "broker/redis/reply.h"

enum { CLIENTS_MAX = 16, SEEN_MAX = 32 * 1024, LIMIT = 64 * 1024 * 1024 };

const char FAKE_CLOSE[] = "close";

struct client {
    struct fake_redis *fake;
    int fd; /* 0: free */
    ws_hub_watch *watch;
    struct wsr_reader *reader;
    bool subscribed;
};

struct fake_redis {
    ws_hub_loop *loop;
    const ws_hub_loop_ops *ops;
    const struct fake_rule *rules;
    const char *turn_away;
    int fd;
    ws_hub_watch *watch;
    unsigned port, accepted;
    bool deaf;
    struct client clients[CLIENTS_MAX];
    size_t seen_len;
    char seen[SEEN_MAX];
};

static void drop(struct client *client)
{
    if (client->fd == 0)
        return;
    client->fake->ops->watch_close(client->watch);
    (void)close(client->fd);
    wsr_reader_free(client->reader);
    memset(client, 0, sizeof *client);
}

static void tell(struct client *client, const char *bytes, size_t len)
{
    if (client->fd && send(client->fd, bytes, len, MSG_NOSIGNAL) < 0)
        drop(client);
}

static void note(struct fake_redis *fake, const struct wsr_reply *command)
{
    if (fake->seen_len > SEEN_MAX / 2) {
        memmove(fake->seen, fake->seen + fake->seen_len / 2,
                fake->seen_len - fake->seen_len / 2 + 1);
        fake->seen_len -= fake->seen_len / 2;
    }
    for (size_t i = 0; i < command->count; i++)
        fake->seen_len += (size_t)snprintf(
            fake->seen + fake->seen_len, SEEN_MAX - fake->seen_len, "%.100s%c",
            command->items[i].text, i + 1 == command->count ? '\n' : ' ');
}

/* ["subscribe", channel, 1] and the like. */
static void announce(struct client *client, const struct wsr_reply *command)
{
    const struct wsr_reply *word = &command->items[0],
                           *channel = &command->items[1];
    char text[600];
    int len;

    len =
        snprintf(text, sizeof text, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n",
                 word->len, word->text, channel->len, channel->text);
    for (char *at = text; at < text + 20; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    client->subscribed = true;
    tell(client, text, (size_t)len);
}

static void answer(struct client *client, const struct wsr_reply *command)
{
    const char *word = command->items[0].text, *text = "+OK\r\n";
    char numsub[400];

    if (strcmp(word, "PING") == 0)
        text = "+PONG\r\n";
    else if (strstr(word, "PUBLISH"))
        text = ":1\r\n";
    else if (strcmp(word, "PUBSUB") == 0 && command->count == 3) {
        (void)snprintf(numsub, sizeof numsub, "*2\r\n$%zu\r\n%s\r\n:7\r\n",
                       command->items[2].len, command->items[2].text);
        text = numsub;
    }
    if (strstr(word, "SUBSCRIBE") && command->count == 2)
        announce(client, command);
    else
        tell(client, text, strlen(text));
}

static const struct fake_rule *find_rule(const struct fake_redis *fake,
                                         const struct wsr_reply *command)
{
    const struct fake_rule *rule = fake->rules;
    char line[300] = "";

    for (size_t i = 0, used = 0; i < command->count && i < 2; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%.120s",
                                 i ? " " : "", command->items[i].text);
    for (; rule && rule->command; rule++)
        if (strncmp(line, rule->command, strlen(rule->command)) == 0)
            return rule;
    return NULL;
}

static void obey(struct client *client, const struct wsr_reply *command)
{
    const struct fake_rule *rule;

    assert_int_equal(command->type, WSR_ARRAY);
    note(client->fake, command);
    rule = find_rule(client->fake, command);
    if (!rule) {
        answer(client, command);
    } else if (rule->answer == FAKE_CLOSE) {
        drop(client);
    } else if (rule->answer) {
        client->subscribed |= strstr(command->items[0].text, "SUBSCR") != NULL;
        tell(client, rule->answer, strlen(rule->answer));
    }
}

static void on_client(ws_hub_watch *watch, int events, void *user)
{
    static char bytes[64 * 1024];
    struct client *client = user;
    const struct wsr_reply *command = NULL;
    ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    (void)watch;
    (void)events;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    assert_true(wsr_reader_feed(client->reader, bytes, (size_t)got));
    while (client->fd) {
        assert_true(wsr_reader_next(client->reader, &command));
        if (!command)
            break;
        obey(client, command);
    }
}

static void adopt(struct fake_redis *fake, int fd)
{
    struct client *client = fake->clients;

    while (client < fake->clients + CLIENTS_MAX && client->fd)
        client++;
    assert_true(client < fake->clients + CLIENTS_MAX);
    client->fake = fake;
    client->fd = fd;
    client->reader = wsr_reader_create(LIMIT);
    assert_non_null(client->reader);
    assert_int_equal(fake->ops->watch_open(fake->loop, fd,
                                           fake->deaf ? 0 : WS_HUB_READABLE,
                                           on_client, client, &client->watch),
                     0);
}

static void on_listener(ws_hub_watch *watch, int events, void *user)
{
    struct fake_redis *fake = user;
    int fd = accept4(fake->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)watch;
    (void)events;
    if (fd < 0)
        return;
    fake->accepted++;
    if (fake->turn_away) {
        (void)send(fd, fake->turn_away, strlen(fake->turn_away), MSG_NOSIGNAL);
        (void)close(fd);
        return;
    }
    adopt(fake, fd);
}

struct fake_redis *fake_redis_open(ws_hub_loop *loop,
                                   const ws_hub_loop_ops *ops,
                                   const struct fake_rule *rules)
{
    struct fake_redis *fake = calloc(1, sizeof *fake);
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t len = sizeof name;

    assert_non_null(fake);
    fake->loop = loop;
    fake->ops = ops;
    fake->rules = rules;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fake->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fake->fd >= 0);
    assert_int_equal(bind(fake->fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fake->fd, 16), 0);
    assert_int_equal(getsockname(fake->fd, (struct sockaddr *)&name, &len), 0);
    fake->port = ntohs(name.sin_port);
    assert_int_equal(ops->watch_open(loop, fake->fd, WS_HUB_READABLE,
                                     on_listener, fake, &fake->watch),
                     0);
    return fake;
}

void fake_redis_drop(struct fake_redis *fake)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        drop(&fake->clients[i]);
}

void fake_redis_close(struct fake_redis *fake)
{
    fake_redis_drop(fake);
    fake->ops->watch_close(fake->watch);
    (void)close(fake->fd);
    free(fake);
}

void fake_redis_rules(struct fake_redis *fake, const struct fake_rule *rules)
{
    fake->rules = rules;
}

void fake_redis_turn_away(struct fake_redis *fake, const char *text)
{
    fake->turn_away = text;
}

void fake_redis_deaf(struct fake_redis *fake, bool deaf)
{
    fake->deaf = deaf;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (fake->clients[i].fd)
            fake->ops->watch_set(fake->clients[i].watch,
                                 deaf ? 0 : WS_HUB_READABLE);
}

void fake_redis_push(struct fake_redis *fake, const char *bytes, size_t len)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (fake->clients[i].subscribed)
            tell(&fake->clients[i], bytes, len);
}

unsigned fake_redis_port(const struct fake_redis *fake)
{
    return fake->port;
}

unsigned fake_redis_accepted(const struct fake_redis *fake)
{
    return fake->accepted;
}

const char *fake_redis_seen(const struct fake_redis *fake)
{
    return fake->seen;
}

/*
 * feed.c: publishes the rounds of load.c through Redis, on one connection:
 * every command of a round is in memory beforehand, so that this costs little
 * more than its writes. The channels of a message number follow each other, as
 * they would with many publishers.
 *
 * Servers but nchan get a plain PUBLISH of the payload to the channel that the
 * client's path is. For nchan (--nchan 1) the message is what its own publisher
 * sends with nchan_redis_storage_mode nostore, version 1.3.6.
 */
#include "load.h"
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHANNEL_MAX = 64, HEAD_MAX = 160, REPLY = 4 };

/* Every channel has one subscriber, the server under test. */
static const char reply[REPLY + 1] = ":1\r\n";

struct feed {
    int fd;
    uint8_t *bytes;   /* of a round: numbers, and in them channels */
    size_t len, sent; /* of bytes */
    size_t block;     /* bytes of one number */
    size_t *payload;  /* where it is in a block, by channel */
    uint64_t replied; /* bytes of replies, all rounds */
};

static int connect_redis(struct load *l)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)l->opt.redis_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        load_die(l, NULL, "Redis: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO,
               &(struct timeval){.tv_sec = (time_t)l->opt.deadline_s},
               sizeof(struct timeval));
    return fd;
}

static size_t name_of(const struct load *l, char *to, uint32_t channel)
{
    const char *form =
        l->opt.nchan ? "{channel://bench/%u}:pubsub" : "/bench/%u";

    return (size_t)snprintf(to, CHANNEL_MAX, form, channel);
}

/* What nchan has around the payload (MessagePack). */
struct wrapping {
    uint8_t head[24], tail[5];
    size_t head_len, tail_len;
};

static struct wrapping wrapping_of(const struct load *l)
{
    static const uint8_t head[] = {0x9a, 0xa3, 'm',  's', 'g', 0xce, 0, 0,
                                   0x0e, 0x10, 0xce, 0,   0,   0,    0, 0,
                                   0,    0,    0xdb, 0,   0,   0,    0};
    static const uint8_t tail[] = {0xd9, 0, 0xd9, 0, 0};
    struct wrapping w = {.head_len = 0};
    uint32_t now = htobe32((uint32_t)time(NULL)), size = htobe32(l->opt.size);

    if (!l->opt.nchan)
        return w;
    memcpy(w.head, head, sizeof head);
    memcpy(w.head + 11, &now, sizeof now);
    memcpy(w.head + 19, &size, sizeof size);
    memcpy(w.tail, tail, sizeof tail);
    w.head_len = sizeof head;
    w.tail_len = sizeof tail;
    return w;
}

/* One command without its payload's stamp; returns its length. NULL: the length
 * only. */
static size_t put_command(const struct load *l, uint8_t *to, uint32_t channel,
                          size_t *payload)
{
    struct wrapping w = wrapping_of(l);
    char name[CHANNEL_MAX], head[HEAD_MAX];
    size_t name_len = name_of(l, name, channel), len;

    len = (size_t)snprintf(
        head, sizeof head, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
        name_len, name, w.head_len + l->opt.size + w.tail_len);
    *payload = len + w.head_len;
    if (to) {
        memcpy(to, head, len);
        memcpy(to + len, w.head, w.head_len);
        memcpy(to + *payload, l->filler, l->opt.size);
        memcpy(to + *payload + l->opt.size, w.tail, w.tail_len);
        memcpy(to + *payload + l->opt.size + w.tail_len, "\r\n", 2);
    }
    return *payload + l->opt.size + w.tail_len + 2;
}

void feed_open(struct load *l)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    struct feed *f = calloc(1, sizeof *f);
    size_t at = 0;

    if (!f || !(f->payload = calloc(l->opt.channels, sizeof *f->payload)))
        load_die(l, NULL, "memory");
    for (uint32_t channel = 0; channel < l->opt.channels; channel++)
        f->block += put_command(l, NULL, channel, &f->payload[channel]);
    f->bytes = malloc(f->block * l->opt.burst);
    if (!f->bytes)
        load_die(l, NULL, "memory");
    for (uint32_t channel = 0; channel < l->opt.channels; channel++) {
        size_t len =
            put_command(l, f->bytes + at, channel, &f->payload[channel]);

        f->payload[channel] += at;
        at += len;
    }
    for (uint32_t i = 1; i < l->opt.burst; i++)
        memcpy(f->bytes + i * f->block, f->bytes, f->block);
    f->len = f->sent = f->block * l->opt.burst;
    f->fd = connect_redis(l);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, f->fd, &event))
        load_die(l, NULL, "epoll_ctl: %s", strerror(errno));
    l->feed = f;
}

/* A subscriber is connected when the server says so, and subscribed when Redis
 * does. */
void feed_wait_subscribed(struct load *l)
{
    static const char ask[] = "PUBSUB CHANNELS *bench/*\r\n";
    unsigned tries = l->opt.deadline_s * 10, count = 0;

    while (count < l->opt.channels) {
        int fd = connect_redis(l);
        ssize_t n;

        if (tries-- == 0)
            load_die(l, NULL, "%u of %u channels are in Redis", count,
                     l->opt.channels);
        if (send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) < 0 ||
            (n = recv(fd, l->in, READ_MAX - 1, 0)) <= 0)
            load_die(l, NULL, "Redis: %s", strerror(errno));
        l->in[n] = 0;
        if (sscanf((char *)l->in, "*%u\r\n", &count) != 1)
            load_die(l, NULL, "Redis: %.60s", (char *)l->in);
        close(fd);
        usleep(100000);
    }
}

static void feed_send(struct load *l)
{
    struct feed *f = l->feed;

    while (f->sent < f->len) {
        ssize_t n = send(f->fd, f->bytes + f->sent, f->len - f->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            load_die(l, NULL, "publish to Redis: %s", strerror(errno));
        f->sent += (size_t)n;
    }
}

void feed_round(struct load *l)
{
    struct feed *f = l->feed;
    size_t len = l->opt.size < STAMP ? l->opt.size : STAMP;

    for (uint32_t i = 0; i < l->opt.burst; i++) {
        for (uint32_t channel = 0; channel < l->opt.channels; channel++) {
            uint8_t stamp[STAMP];

            load_stamp(stamp, channel, l->round, i);
            memcpy(f->bytes + i * f->block + f->payload[channel], stamp, len);
        }
    }
    f->sent = 0;
    feed_send(l);
}

void feed_event(struct load *l)
{
    struct feed *f = l->feed;
    ssize_t n;

    while ((n = recv(f->fd, l->in, READ_MAX, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (l->in[i] != (uint8_t)reply[f->replied++ % REPLY])
                load_die(l, NULL, "Redis has not one subscriber: %.20s",
                         (char *)l->in + i);
    }
    if (n == 0 || errno != EAGAIN)
        load_die(l, NULL, "Redis: %s", n ? strerror(errno) : "end of file");
    feed_send(l);
}

void feed_close(struct load *l)
{
    close(l->feed->fd);
    free(l->feed->payload);
    free(l->feed->bytes);
    free(l->feed);
    l->feed = NULL;
}

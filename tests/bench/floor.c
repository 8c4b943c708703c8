/*
 * floor.c: the least that a WebSocket fan-out server costs on this machine.
 *
 * Does the work of the example `relay` at the level of sockets and nothing
 * else: accepts, answers a real upgrade (the path is the channel), and sends
 * every frame of a client to all clients of its path, itself included. What it
 * leaves out is what a server is for: limits, timers, queues by client, checks.
 *
 * The rule that makes it the best bare server: one turn of epoll reads all that
 * is there (64 KiB a read, so a burst that was written at once is seen at
 * once), encodes it once into a ready buffer of the channel, and then makes one
 * send() per client of the channel, whatever the number of frames.
 *
 * One thread. Errors of its own end the process; errors of a peer end the peer.
 * usage: floor [--host ADDRESS] [--port NUMBER]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUCKETS = 1 << 15, EVENTS = 1024, ACCEPTS = 64, READ_MAX = 1 << 16 };

struct bytes {
    uint8_t *at;
    size_t len, cap;
};

struct channel {
    struct channel *next;  /* of the bucket */
    struct channel *dirty; /* next with something to send; itself: the last */
    struct conn **members;
    uint32_t count, cap;
    struct bytes ready; /* encoded frames of this turn */
    size_t path_len;
    char path[];
};

struct conn {
    struct channel *channel; /* NULL until the upgrade */
    int fd;
    uint32_t slot;     /* in channel->members */
    struct bytes rest; /* the beginning of a frame that was cut; rare */
    struct bytes late; /* what the kernel did not take; rare */
};

struct server {
    int epoll, listener, signals;
    struct channel *dirty;
    struct channel *buckets[BUCKETS];
    struct epoll_event events[EVENTS];
    uint8_t in[READ_MAX];
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void append(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->at = realloc(b->at, b->cap);
        if (!b->at)
            die("memory");
    }
    memcpy(b->at + b->len, data, len);
    b->len += len;
}

static void drop_bytes(struct bytes *b)
{
    free(b->at);
    *b = (struct bytes){0};
}

static void watch(struct server *s, int op, int fd, uint32_t events, void *ptr)
{
    struct epoll_event event = {.events = events, .data.ptr = ptr};

    if (epoll_ctl(s->epoll, op, fd, &event))
        die("epoll_ctl");
}

/* Channels are never freed: a benchmark has as many as it was told to have. */
static struct channel *find_channel(struct server *s, const char *path,
                                    size_t len)
{
    uint32_t hash = 2166136261u;
    struct channel *c;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)path[i]) * 16777619u;
    for (c = s->buckets[hash % BUCKETS]; c; c = c->next)
        if (c->path_len == len && memcmp(c->path, path, len) == 0)
            return c;
    c = calloc(1, sizeof *c + len);
    if (!c)
        die("memory");
    memcpy(c->path, path, len);
    c->path_len = len;
    c->next = s->buckets[hash % BUCKETS];
    s->buckets[hash % BUCKETS] = c;
    return c;
}

static void join(struct channel *channel, struct conn *c)
{
    if (channel->count == channel->cap) {
        channel->cap = channel->cap ? channel->cap * 2 : 2;
        channel->members =
            realloc(channel->members, channel->cap * sizeof *channel->members);
        if (!channel->members)
            die("memory");
    }
    c->channel = channel;
    c->slot = channel->count;
    channel->members[channel->count++] = c;
}

static void close_conn(struct conn *c)
{
    struct channel *channel = c->channel;

    if (channel) {
        struct conn *last = channel->members[--channel->count];

        channel->members[c->slot] = last;
        last->slot = c->slot;
    }
    close(c->fd);
    drop_bytes(&c->rest);
    drop_bytes(&c->late);
    free(c);
}

/* Errors are not handled here: the peer's end comes as an event of its own. */
static void send_to(struct server *s, struct conn *c, const uint8_t *data,
                    size_t len)
{
    ssize_t n = 0;

    if (c->late.len == 0)
        n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n == (ssize_t)len || (n < 0 && errno != EAGAIN))
        return;
    if (c->late.len == 0)
        watch(s, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, c);
    if (n < 0)
        n = 0;
    append(&c->late, data + n, len - (size_t)n);
}

static void send_late(struct server *s, struct conn *c)
{
    ssize_t n =
        send(c->fd, c->late.at, c->late.len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return;
    c->late.len -= (size_t)n;
    memmove(c->late.at, c->late.at + n, c->late.len);
    if (c->late.len == 0) {
        drop_bytes(&c->late);
        watch(s, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
}

/* Returns the bytes of the request, 0 if it is not whole yet, -1 if it is not
 * one. `in` ends with a NUL. */
static int upgrade(struct server *s, struct conn *c, const char *in)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char name[] = "\r\nSec-WebSocket-Key: ";
    const char *end = strstr(in, "\r\n\r\n");
    const char *key = strcasestr(in, name);
    unsigned char sha[20], accept[32];
    char text[24 + sizeof guid], answer[192];
    size_t path_len;
    int len;

    if (!end)
        return 0;
    if (strncmp(in, "GET /", 5) != 0 || !key || key > end)
        return -1;
    key += sizeof name - 1;
    path_len = strcspn(in + 4, " \r\n");
    if (strcspn(key, "\r") != 24)
        return -1;
    snprintf(text, sizeof text, "%.24s%s", key, guid);
    SHA1((unsigned char *)text, sizeof text - 1, sha);
    EVP_EncodeBlock(accept, sha, sizeof sha);
    len = snprintf(answer, sizeof answer,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                   accept);
    join(find_channel(s, in + 4, path_len), c);
    send_to(s, c, (uint8_t *)answer, (size_t)len);
    return (int)(end + 4 - in);
}

/* Append one message to what its channel will send at the end of the turn. */
static void publish(struct server *s, struct channel *channel, uint8_t first,
                    const uint8_t *data, size_t len)
{
    uint8_t head[4] = {first, (uint8_t)len};

    if (len > 125) {
        head[1] = 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
    }
    append(&channel->ready, head, len > 125 ? 4 : 2);
    append(&channel->ready, data, len);
    if (!channel->dirty) {
        channel->dirty = s->dirty ? s->dirty : channel;
        s->dirty = channel;
    }
}

/* One frame of a client: bytes taken, 0 if it is cut, -1 to close. Control
 * frames but close are ignored; frames of 64 KiB and more are refused. */
static int take_frame(struct server *s, struct conn *c, uint8_t *in, size_t n)
{
    size_t head = 6, len;
    uint8_t *key;

    if (n < 2)
        return 0;
    len = in[1] & 127u;
    if (!(in[1] & 128) || len == 127 || (in[0] & 15) == 8)
        return -1;
    if (len == 126) {
        if (n < 4)
            return 0;
        len = (size_t)in[2] << 8 | in[3];
        head = 8;
    }
    if (head + len > READ_MAX - 1)
        return -1;
    if (n < head + len)
        return 0;
    key = in + head - 4;
    for (size_t i = 0; i < len; i++)
        in[head + i] ^= key[i & 3];
    if (!(in[0] & 8))
        publish(s, c->channel, in[0], in + head, len);
    return (int)(head + len);
}

static void read_conn(struct server *s, struct conn *c)
{
    size_t used = 0, have = c->rest.len;
    ssize_t n;
    int taken = 0;

    if (have)
        memcpy(s->in, c->rest.at, have);
    n = recv(c->fd, s->in + have, READ_MAX - 1 - have, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_conn(c);
        return;
    }
    have += (size_t)n;
    s->in[have] = 0;
    do {
        taken = c->channel ? take_frame(s, c, s->in + used, have - used)
                           : upgrade(s, c, (char *)s->in);
        used += taken > 0 ? (size_t)taken : 0;
    } while (taken > 0 && used < have);
    if (taken < 0) {
        close_conn(c);
        return;
    }
    c->rest.len = 0;
    if (used < have)
        append(&c->rest, s->in + used, have - used);
    else if (c->rest.at)
        drop_bytes(&c->rest);
}

static void flush(struct server *s)
{
    while (s->dirty) {
        struct channel *channel = s->dirty;

        s->dirty = channel->dirty == channel ? NULL : channel->dirty;
        channel->dirty = NULL;
        for (uint32_t i = 0; i < channel->count; i++)
            send_to(s, channel->members[i], channel->ready.at,
                    channel->ready.len);
        channel->ready.len = 0;
    }
}

static void accept_some(struct server *s)
{
    int one = 1, fd;

    for (int i = 0; i < ACCEPTS; i++) {
        struct conn *c;

        fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        c = calloc(1, sizeof *c);
        if (fd < 0 || !c)
            die("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void listen_at(struct server *s, const char *host, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof a;
    int one = 1;

    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->listener < 0 || inet_pton(AF_INET, host, &a.sin_addr) != 1 ||
        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(s->listener, (struct sockaddr *)&a, sizeof a) ||
        listen(s->listener, 4096) ||
        getsockname(s->listener, (struct sockaddr *)&a, &len))
        die("listen");
    printf("listening on ws://%s:%u\n", host, ntohs(a.sin_port));
    fflush(stdout);
}

/* One turn; false after SIGTERM. */
static bool turn(struct server *s)
{
    int n = epoll_wait(s->epoll, s->events, EVENTS, -1);

    for (int i = 0; i < n; i++) {
        struct epoll_event *event = &s->events[i];

        if (event->data.ptr == &s->signals)
            return false;
        if (event->data.ptr == &s->listener) {
            accept_some(s);
            continue;
        }
        if (event->events & EPOLLOUT)
            send_late(s, event->data.ptr);
        if (event->events & ~(uint32_t)EPOLLOUT)
            read_conn(s, event->data.ptr);
    }
    flush(s);
    return true;
}

int main(int argc, char **argv)
{
    struct server *s = calloc(1, sizeof *s);
    const char *host = "127.0.0.1";
    unsigned port = 0;
    sigset_t stop;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--host") == 0)
            host = argv[i + 1];
        else if (strcmp(argv[i], "--port") == 0)
            port = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (!s)
        die("memory");
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    s->signals = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->signals < 0 || s->epoll < 0)
        die("set-up");
    watch(s, EPOLL_CTL_ADD, s->signals, EPOLLIN, &s->signals);
    listen_at(s, host, port);
    watch(s, EPOLL_CTL_ADD, s->listener, EPOLLIN, &s->listener);
    while (turn(s))
        continue;
    _exit(0); /* the memory goes with the process */
}

#include "load.h"
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 2048, BY_SOURCE = 4000 };

/* The example of RFC 6455 section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* On loopback, a few thousand clients to a source address: with one address the
 * kernel searches longer and longer for a free port, up to 0.5 ms a connect,
 * and what would be measured is this process. */
static void bind_source(struct load *l, struct client *c)
{
    uint32_t host = ntohl(l->address.sin_addr.s_addr);
    uint32_t index = (uint32_t)(c - l->clients);
    struct sockaddr_in source = {.sin_family = AF_INET};
    int one = 1;

    if (host >> 24 != 127)
        return;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / BY_SOURCE);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source))
        load_die(l, c, "bind: %s", strerror(errno));
}

void client_connect(struct load *l, struct client *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        load_die(l, c, "socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind_source(l, c);
    if (connect(c->fd, (struct sockaddr *)&l->address, sizeof l->address) &&
        errno != EINPROGRESS)
        load_die(l, c, "connect: %s", strerror(errno));
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event))
        load_die(l, c, "epoll_ctl: %s", strerror(errno));
    c->state = CLIENT_CONNECTING;
    l->connecting++;
}

static void ask_upgrade(struct load *l, struct client *c)
{
    char text[512];
    int error = 0, len;
    socklen_t size = sizeof error;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        load_die(l, c, "connect: %s", strerror(error));
    len = snprintf(text, sizeof text,
                   "GET /bench/%u HTTP/1.1\r\nHost: %s:%u\r\n"
                   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: " KEY "\r\n\r\n",
                   c->channel, l->opt.host, l->opt.port);
    if (send(c->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        load_die(l, c, "request: %s", strerror(errno));
    c->answer = malloc(ANSWER_MAX + 1);
    if (!c->answer)
        load_die(l, c, "memory");
    c->state = CLIENT_UPGRADING;
}

/* Returns the bytes that belong to the answer. */
static size_t read_answer(struct load *l, struct client *c, const uint8_t *p,
                          size_t n)
{
    uint32_t before = c->answer_len;
    char *end;

    if (n > ANSWER_MAX - before)
        n = ANSWER_MAX - before;
    memcpy(c->answer + before, p, n);
    c->answer_len += (uint32_t)n;
    c->answer[c->answer_len] = 0;
    end = strstr(c->answer, "\r\n\r\n");
    if (!end && c->answer_len < ANSWER_MAX)
        return n;
    if (!end || strncmp(c->answer, "HTTP/1.1 101 ", 13) != 0)
        load_die(l, c, "refused: %.*s", (int)strcspn(c->answer, "\r\n"),
                 c->answer);
    if (!strcasestr(c->answer, "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"))
        load_die(l, c, "wrong Sec-WebSocket-Accept");
    n = (size_t)(end + 4 - c->answer) - before;
    free(c->answer);
    c->answer = NULL;
    c->state = CLIENT_OPEN;
    l->connecting--;
    l->opened++;
    return n;
}

/* Masked with a key of zero: the payload goes out as it is. */
static void send_pong(struct load *l, struct client *c, size_t len)
{
    uint8_t frame[6 + sizeof c->control] = {0x8a, (uint8_t)(0x80 | len)};

    memcpy(frame + 6, c->control, len);
    l->pings++;
    if (l->unsent[c->channel] &&
        c == &l->clients[(size_t)c->channel * l->opt.subscribers])
        return; /* it would land inside of a frame; the next ping will do */
    if (send(c->fd, frame, 6 + len, MSG_NOSIGNAL) != (ssize_t)(6 + len))
        load_die(l, c, "pong: %s", strerror(errno));
}

/* Bytes of a head, as far as its first two bytes tell. */
static size_t head_size(const struct client *c)
{
    if (c->head_len < 2)
        return 2;
    return (c->head[1] & 127) == 127 ? 10 : (c->head[1] & 127) == 126 ? 4 : 2;
}

static void begin_frame(struct load *l, struct client *c)
{
    unsigned opcode = c->head[0] & 15u, len = c->head[1] & 127u;
    uint16_t len16;
    uint64_t len64;

    if ((c->head[0] & 0x70) || (c->head[1] & 0x80))
        load_die(l, c, "bad frame head %02x %02x", c->head[0], c->head[1]);
    memcpy(&len16, c->head + 2, sizeof len16);
    memcpy(&len64, c->head + 2, sizeof len64);
    c->left = len == 127 ? be64toh(len64) : len == 126 ? be16toh(len16) : len;
    c->in_frame = true;
    if (opcode & 8) {
        if (!(c->head[0] & 0x80) || len > 125)
            load_die(l, c, "bad control frame");
        return;
    }
    if (opcode != (c->in_message ? 0 : l->feed ? 1 : 2))
        load_die(l, c, "unexpected opcode %u", opcode);
    if (c->got >= l->opt.burst)
        load_die(l, c, "surplus message in round %u", l->round);
    if (c->left > l->opt.size - c->at)
        load_die(l, c, "message of %llu bytes, %u expected",
                 (unsigned long long)c->left + c->at, l->opt.size);
}

static void end_frame(struct load *l, struct client *c)
{
    unsigned opcode = c->head[0] & 15u, len = c->head[1] & 127u;

    c->in_frame = false;
    c->head_len = 0;
    if (opcode == 8)
        load_die(l, c, "closed by the server, code %u",
                 len < 2 ? 0u : (unsigned)c->control[0] << 8 | c->control[1]);
    if (opcode == 9)
        send_pong(l, c, len);
    if (opcode & 8)
        return;
    c->in_message = !(c->head[0] & 0x80);
    if (c->in_message)
        return;
    if (c->at != l->opt.size)
        load_die(l, c, "message of %u bytes, %u expected", c->at, l->opt.size);
    c->at = 0;
    c->got++;
    l->got++;
}

static void check(struct load *l, struct client *c, const uint8_t *p, size_t n)
{
    uint8_t stamp[STAMP];
    size_t stamped = 0;

    if (c->at < STAMP) {
        load_stamp(stamp, c->channel, l->round, c->got);
        stamped = STAMP - c->at < n ? STAMP - c->at : n;
        if (memcmp(stamp + c->at, p, stamped) != 0)
            load_die(l, c, "not message %u of round %u", c->got, l->round);
    }
    if (memcmp(l->filler + c->at + stamped, p + stamped, n - stamped) != 0)
        load_die(l, c, "damaged message");
    c->at += (uint32_t)n;
}

static size_t read_payload(struct load *l, struct client *c, const uint8_t *p,
                           size_t n)
{
    if (n > c->left)
        n = (size_t)c->left;
    if (c->head[0] & 8)
        memcpy(c->control + (c->head[1] & 127) - c->left, p, n);
    else
        check(l, c, p, n);
    c->left -= n;
    return n;
}

static void read_frames(struct load *l, struct client *c, const uint8_t *p,
                        size_t n)
{
    const uint8_t *end = p + n;

    while (p < end) {
        if (c->in_frame) {
            p += read_payload(l, c, p, (size_t)(end - p));
        } else {
            c->head[c->head_len++] = *p++;
            if (c->head_len == head_size(c))
                begin_frame(l, c);
        }
        if (c->in_frame && c->left == 0)
            end_frame(l, c);
    }
}

void client_publish(struct load *l, struct client *c)
{
    uint32_t *unsent = &l->unsent[c->channel];
    const uint8_t *end = l->bursts + (c->channel + 1) * l->burst_len;
    ssize_t n = send(c->fd, end - *unsent, *unsent, MSG_NOSIGNAL);

    if (n > 0)
        *unsent -= (uint32_t)n;
    else if (errno != EAGAIN)
        load_die(l, c, "publish: %s", strerror(errno));
}

static void client_read(struct load *l, struct client *c)
{
    ssize_t n;

    do { /* edge-triggered: a short read has emptied the socket */
        size_t used = 0;

        n = recv(c->fd, l->in, READ_MAX, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            load_die(l, c, "connection lost: %s",
                     n ? strerror(errno) : "end of file");
        if (c->state == CLIENT_UPGRADING)
            used = read_answer(l, c, l->in, (size_t)n);
        read_frames(l, c, l->in + used, (size_t)n - used);
    } while (n == READ_MAX);
}

void client_event(struct load *l, struct client *c, uint32_t events)
{
    if (c->state == CLIENT_CONNECTING) {
        ask_upgrade(l, c);
        return;
    }
    if ((events & EPOLLOUT) && c->state == CLIENT_OPEN &&
        l->unsent[c->channel] &&
        c == &l->clients[(size_t)c->channel * l->opt.subscribers])
        client_publish(l, c);
    if (events & ~(uint32_t)EPOLLOUT)
        client_read(l, c);
}

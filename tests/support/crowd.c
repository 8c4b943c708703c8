#include "support/crowd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_S = 120, IN_FLIGHT = 256, EVENTS = 512, READ = 65536 };

struct crowd {
    unsigned port, count, open, started, pending;
    int epoll;
    crowd_message_cb on_message;
    void *message_arg;
    void (*idle)(void *arg);
    void *idle_arg;
    void (*say)(struct crowd_client *client, struct wsh_buf *request);
    struct crowd_client client[];
};

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__,      \
                    #condition, errno);                                        \
            abort();                                                           \
        }                                                                      \
    } while (0)

static void on_ws_message(void *arg, uint8_t opcode, const uint8_t *data,
                          size_t len)
{
    struct crowd_client *client = arg;

    if (client->crowd->on_message)
        client->crowd->on_message(client, opcode, data, len,
                                  client->crowd->message_arg);
}

struct crowd *crowd_create(unsigned port, unsigned count)
{
    struct crowd *crowd =
        calloc(1, sizeof *crowd + count * sizeof crowd->client[0]);

    REQUIRE(crowd);
    crowd->port = port;
    crowd->count = count;
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(crowd->epoll >= 0);
    for (unsigned i = 0; i < count; i++) {
        struct crowd_client *client = &crowd->client[i];

        client->crowd = crowd;
        client->index = i;
        client->fd = -1;
        client->ws.on_message = on_ws_message;
        client->ws.arg = client;
    }
    return crowd;
}

unsigned crowd_open_count(const struct crowd *crowd)
{
    return crowd->open;
}

struct crowd_client *crowd_client(struct crowd *crowd, unsigned index)
{
    REQUIRE(index < crowd->count);
    return &crowd->client[index];
}

void crowd_on_message(struct crowd *crowd, crowd_message_cb cb, void *arg)
{
    crowd->on_message = cb;
    crowd->message_arg = arg;
}

void crowd_on_idle(struct crowd *crowd, void (*idle)(void *arg), void *arg)
{
    crowd->idle = idle;
    crowd->idle_arg = arg;
}

void crowd_on_start(struct crowd *crowd,
                    void (*say)(struct crowd_client *client,
                                struct wsh_buf *request))
{
    crowd->say = say;
}

/* With the segments of loopback (64 KiB) a small buffer would be filled by one,
 * and its reader would wait for timers of TCP. */
static void shrink(struct crowd_client *client)
{
    int segment = 1000;

    if (!client->receive_buffer)
        return;
    REQUIRE(setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF,
                       &client->receive_buffer,
                       sizeof client->receive_buffer) == 0);
    REQUIRE(setsockopt(client->fd, IPPROTO_TCP, TCP_MAXSEG, &segment,
                       sizeof segment) == 0);
}

static void watch(struct crowd_client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    REQUIRE(epoll_ctl(client->crowd->epoll, EPOLL_CTL_ADD, client->fd,
                      &event) == 0);
}

/* Loopback takes a connect and a small request at once, so the socket becomes
 * non-blocking only then. */
static void start(struct crowd_client *client, const char *path,
                  const char *subprotocol)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct wsh_buf request = {0};

    to.sin_port = htons((uint16_t)client->crowd->port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(client->fd >= 0);
    shrink(client);
    REQUIRE(connect(client->fd, (struct sockaddr *)&to, sizeof to) == 0);
    ws_peer_request(&request, path, subprotocol);
    if (client->crowd->say)
        client->crowd->say(client, &request);
    REQUIRE(send(client->fd, request.data, request.len, MSG_NOSIGNAL) ==
            (ssize_t)request.len);
    wsh_buf_fini(&request);
    watch(client);
    client->crowd->pending++;
}

static void stop(struct crowd_client *client)
{
    if (client->fd < 0)
        return;
    (void)close(client->fd);
    client->fd = -1;
    if (client->open)
        client->crowd->open--;
    else
        client->crowd->pending--;
    client->open = false;
    ws_peer_fini(&client->ws);
}

static void answer_close(struct crowd_client *client)
{
    struct wsh_buf frame = {0};

    ws_peer_frame(&frame, true, 8, 1, "\3\350", 2);
    /* The server may be gone already. */
    (void)send(client->fd, frame.data, frame.len, MSG_NOSIGNAL);
    wsh_buf_fini(&frame);
}

void crowd_read(struct crowd_client *client, size_t most)
{
    static uint8_t data[READ];
    ssize_t got =
        recv(client->fd, data, most < READ ? most : READ, MSG_DONTWAIT);
    bool was_closed = client->ws.closed;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        stop(client);
        return;
    }
    client->bytes += (uint64_t)got;
    ws_peer_feed(&client->ws, data, (size_t)got);
    if (client->ws.upgraded && !client->open) {
        client->open = true;
        client->crowd->open++;
        client->crowd->pending--;
    }
    if (client->ws.closed && !was_closed)
        answer_close(client);
}

void crowd_pause(struct crowd_client *client)
{
    REQUIRE(!client->paused);
    REQUIRE(epoll_ctl(client->crowd->epoll, EPOLL_CTL_DEL, client->fd, NULL) ==
            0);
    client->paused = true;
}

void crowd_resume(struct crowd_client *client)
{
    REQUIRE(client->paused);
    client->paused = false;
    watch(client);
}

void crowd_turn(struct crowd *crowd, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(crowd->epoll, events, EVENTS, wait_ms);

    for (int i = 0; i < n; i++)
        crowd_read(events[i].data.ptr, READ);
    if (crowd->idle)
        crowd->idle(crowd->idle_arg);
}

void crowd_until(struct crowd *crowd, bool (*done)(void *arg), void *arg)
{
    time_t end = time(NULL) + DEADLINE_S;

    while (!done(arg)) {
        crowd_turn(crowd, crowd->idle ? 0 : 100);
        REQUIRE(time(NULL) < end);
    }
}

static bool few_pending(void *arg)
{
    return ((struct crowd *)arg)->pending < IN_FLIGHT;
}

static bool none_pending(void *arg)
{
    return ((struct crowd *)arg)->pending == 0;
}

void crowd_connect(struct crowd *crowd, const char *path, unsigned modulo,
                   const char *subprotocol)
{
    char text[128];

    for (; crowd->started < crowd->count; crowd->started++) {
        crowd_until(crowd, few_pending, crowd);
        (void)snprintf(text, sizeof text, path, crowd->started % modulo);
        start(&crowd->client[crowd->started], text, subprotocol);
    }
    crowd_until(crowd, none_pending, crowd);
}

static bool all_closed(void *arg)
{
    struct crowd *crowd = arg;

    return crowd->open == 0 && crowd->pending == 0;
}

void crowd_until_closed(struct crowd *crowd)
{
    crowd_until(crowd, all_closed, crowd);
}

void crowd_send(struct crowd_client *client, uint8_t opcode, const void *data,
                size_t len)
{
    struct wsh_buf frame = {0};

    ws_peer_frame(&frame, true, opcode, 0x01020304, data, len);
    REQUIRE(send(client->fd, frame.data, frame.len, MSG_NOSIGNAL) ==
            (ssize_t)frame.len);
    wsh_buf_fini(&frame);
}

void crowd_destroy(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++)
        stop(&crowd->client[i]);
    (void)close(crowd->epoll);
    free(crowd);
}

unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    REQUIRE(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

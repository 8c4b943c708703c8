#include "fault/guests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GUESTS_MAX = 16, READ = 65536 };

static void hang_up(struct guest *guest)
{
    if (guest->fd < 0)
        return;
    (void)close(guest->fd);
    guest->fd = -1;
}

static void connect_to(struct guest *guest, unsigned port, const void *request,
                       size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET};

    memset(guest, 0, sizeof *guest);
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    guest->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (guest->fd < 0)
        abort();
    if (connect(guest->fd, (struct sockaddr *)&to, sizeof to) ||
        send(guest->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        hang_up(guest);
}

void guest_dial(struct guest *guest, unsigned port, const char *path,
                const char *subprotocol)
{
    struct wsh_buf request = {0};

    ws_peer_request(&request, path, subprotocol);
    connect_to(guest, port, request.data, request.len);
    wsh_buf_fini(&request);
}

void guest_get(struct guest *guest, unsigned port, const char *path)
{
    char request[128];
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);

    connect_to(guest, port, request, (size_t)len);
}

void guest_send(struct guest *guest, uint8_t opcode, const void *data,
                size_t len)
{
    struct wsh_buf frame = {0};

    if (guest->fd < 0 || !guest->ws.upgraded)
        return;
    ws_peer_frame(&frame, true, opcode, 0x55aa1234, data, len);
    (void)send(guest->fd, frame.data, frame.len, MSG_NOSIGNAL);
    wsh_buf_fini(&frame);
}

bool guest_settled(const struct guest *guest)
{
    return guest->fd < 0 || guest->ws.upgraded || guest->ws.refused;
}

static void readable(struct guest *guest)
{
    static uint8_t data[READ];
    ssize_t got = recv(guest->fd, data, sizeof data, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(guest);
        return;
    }
    ws_peer_feed(&guest->ws, data, (size_t)got);
    if (guest->ws.closed && !guest->answered_close) {
        guest->answered_close = true;
        guest_send(guest, 8, "\3\350", 2);
    }
}

void guests_turn(struct guest *guests, unsigned count, int wait_ms)
{
    struct pollfd polled[GUESTS_MAX];

    if (count > GUESTS_MAX)
        abort();
    for (unsigned i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
    if (poll(polled, count, wait_ms) <= 0)
        return;
    for (unsigned i = 0; i < count; i++)
        if (guests[i].fd >= 0 && polled[i].revents)
            readable(&guests[i]);
}

void guests_close(struct guest *guests, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        hang_up(&guests[i]);
        ws_peer_fini(&guests[i].ws);
    }
}

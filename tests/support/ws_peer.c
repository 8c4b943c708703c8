#include "support/ws_peer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef assert
/* Also in release builds: these are the test's checks. */
#define assert(condition)                                                      \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: server violates: %s\n", __FILE__,          \
                    __LINE__, #condition);                                     \
            abort();                                                           \
        }                                                                      \
    } while (0)

void ws_peer_fini(struct ws_peer *peer)
{
    wsh_buf_fini(&peer->in);
    wsh_buf_fini(&peer->message);
}

static void append(struct wsh_buf *to, const void *data, size_t len)
{
    if (len && wsh_buf_append(to, data, len))
        abort();
}

static void control(struct ws_peer *peer, uint8_t opcode, const uint8_t *data,
                    size_t len)
{
    assert(len <= 125);
    if (opcode == 8) {
        assert(len != 1);
        peer->closed = true;
        peer->close_code = len ? (unsigned)(data[0] << 8 | data[1]) : 1005;
    } else if (opcode == 9) {
        peer->pings++;
        if (peer->on_ping)
            peer->on_ping(peer->arg, data, len);
    } else {
        assert(opcode == 10);
        peer->pongs++;
    }
}

static void frame(struct ws_peer *peer, bool fin, uint8_t opcode,
                  const uint8_t *data, size_t len)
{
    assert(!peer->closed);
    if (opcode >= 8) {
        assert(fin);
        control(peer, opcode, data, len);
        return;
    }
    assert(opcode <= 2);
    assert((opcode == 0) == (peer->opcode != 0));
    if (opcode)
        peer->opcode = opcode;
    append(&peer->message, data, len);
    if (!fin)
        return;
    peer->messages++;
    opcode = peer->opcode;
    peer->opcode = 0;
    if (peer->on_message)
        peer->on_message(peer->arg, opcode, peer->message.data,
                         peer->message.len);
    peer->message.len = 0;
}

/* One frame from the front; its size, 0: not complete. */
static size_t take_frame(struct ws_peer *peer, const uint8_t *p, size_t len)
{
    size_t head = 2, size;

    if (len < 2)
        return 0;
    assert((p[0] & 0x70) == 0);
    assert((p[1] & 0x80) == 0);
    size = p[1];
    if (size == 126) {
        head = 4;
        if (len < head)
            return 0;
        size = (size_t)p[2] << 8 | p[3];
        assert(size > 125);
    } else if (size == 127) {
        head = 10;
        if (len < head)
            return 0;
        size = 0;
        for (int i = 2; i < 10; i++)
            size = size << 8 | p[i];
        assert(size > 65535);
    }
    if (len < head + size)
        return 0;
    frame(peer, (p[0] & 0x80) != 0, p[0] & 15, p + head, size);
    return head + size;
}

static size_t take_head(struct ws_peer *peer, const uint8_t *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);

    if (!end)
        return 0;
    assert(len > 12 && memcmp(p, "HTTP/1.1 ", 9) == 0);
    if (memcmp(p + 9, "101", 3) == 0)
        peer->upgraded = true;
    else
        peer->refused = true;
    return (size_t)((const uint8_t *)end - p) + 4;
}

void ws_peer_feed(struct ws_peer *peer, const uint8_t *data, size_t len)
{
    size_t at = 0, taken;

    append(&peer->in, data, len);
    do {
        const uint8_t *p = peer->in.data + at;
        size_t left = peer->in.len - at;

        if (peer->refused)
            taken = left;
        else if (peer->upgraded)
            taken = take_frame(peer, p, left);
        else
            taken = take_head(peer, p, left);
        at += taken;
    } while (taken && at < peer->in.len);
    if (!at)
        return;
    peer->in.len -= at;
    memmove(peer->in.data, peer->in.data + at, peer->in.len);
}

bool ws_peer_at_boundary(const struct ws_peer *peer)
{
    return peer->in.len == 0 && peer->opcode == 0;
}

void ws_peer_request(struct wsh_buf *to, const char *path,
                     const char *subprotocol)
{
    char text[512];
    int len =
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: test\r\n"
                 "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "%s%s%s\r\n",
                 path, subprotocol ? "Sec-WebSocket-Protocol: " : "",
                 subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");

    append(to, text, (size_t)len);
}

void ws_peer_frame(struct wsh_buf *to, bool fin, uint8_t opcode, uint32_t mask,
                   const void *data, size_t len)
{
    uint8_t head[14] = {(uint8_t)((fin ? 0x80 : 0) | opcode)}, key[4];
    size_t size = 2, start;

    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        size = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        size = 10;
    }
    memcpy(key, &mask, 4);
    memcpy(head + size, key, 4);
    append(to, head, size + 4);
    start = to->len;
    append(to, data, len);
    for (size_t i = 0; i < len; i++)
        to->data[start + i] ^= key[i & 3];
}

/*
 * peer.c: a client of the simulation and what it knows: each message says who
 * published it where and as which number, so that a repetition, a swap or a
 * message of a channel that it is not on shows at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"
#include "ws_hub/error.h"

/* "cCHANNEL.PUBLISHER.NUMBER." at the start of the text, padding behind. */
static void check_published(struct peer *peer, const char *text)
{
    unsigned channel, publisher;
    unsigned long long number;
    uint64_t *last;

    if (sscanf(text, "c%u.%u.%llu.", &channel, &publisher, &number) != 3)
        world_fail(peer->world, "a message that nobody published", __LINE__);
    CHECK(peer->world, channel < CHANNELS && publisher < PUBLISHERS);
    last = &peer->last[channel][publisher];
    CHECK(peer->world, number > *last);
    *last = number;
}

static void check_direct(struct peer *peer, const char *text)
{
    uint64_t number = strtoull(text + 1, NULL, 10);

    CHECK(peer->world, number > peer->last_direct);
    peer->last_direct = number;
}

static int base64_value(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);

    return c && at ? (int)(at - digits) : -1;
}

static void decode_base64(const char *from, char *to, size_t size)
{
    unsigned bits = 0, have = 0;
    size_t len = 0;
    int value;

    while ((value = base64_value(*from++)) >= 0 && len + 1 < size) {
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[len++] = (char)(bits >> have & 255);
        }
    }
    to[len] = 0;
}

static void check_event(struct peer *peer, const char *text)
{
    static const char head[] = "{\"op\":\"message\",\"channel\":\"";
    const char *data;
    char plain[64];

    if (strncmp(text, head, sizeof head - 1))
        return; /* an answer, welcome, error */
    data = strstr(text, "\"data\":\"");
    CHECK(peer->world, data);
    data += 8;
    if (strstr(data, "\"encoding\":\"base64\"")) {
        decode_base64(data, plain, sizeof plain);
        data = plain;
    }
    check_published(peer, data);
}

static void on_message(void *arg, uint8_t opcode, const uint8_t *data,
                       size_t len)
{
    struct peer *peer = arg;
    char *text = strndup((const char *)data, len);

    (void)opcode;
    if (!text)
        abort();
    if (peer->json && text[0] == '{')
        check_event(peer, text);
    else if (text[0] == 'c')
        check_published(peer, text);
    else if (text[0] == 'd')
        check_direct(peer, text);
    else if (text[0] == '"') /* JSON to a raw client */
        check_published(peer, text + 1);
    else
        CHECK(peer->world, text[0] == 'e'); /* an echo of its own */
    free(text);
}

static void on_ping(void *arg, const uint8_t *data, size_t len)
{
    struct peer *peer = arg;
    struct wsh_buf frame = {0};

    if (peer->sent_close || peer->end.far_ended)
        return;
    ws_peer_frame(&frame, true, 10, 7, data, len);
    pipe_write(&peer->end, frame.data, frame.len);
    wsh_buf_fini(&frame);
}

void peer_connect(struct world *world, struct peer *peer)
{
    size_t window = (size_t)64 << world_random(world, 12);
    struct lane *lane = &world->lanes[world_random(world, world->lane_count)];

    peer_connect_as(lane, peer, world_random(world, 2) != 0, window);
}

void peer_connect_as(struct lane *lane, struct peer *peer, bool json,
                     size_t window)
{
    struct world *world = lane->world;
    struct wsh_buf request = {0};

    peer_fini(peer);
    memset(peer, 0, sizeof *peer);
    peer->world = world;
    peer->lane = lane;
    peer->json = json;
    peer->ws.on_message = on_message;
    peer->ws.on_ping = on_ping;
    peer->ws.arg = peer;
    peer->used = true;
    world->current = peer->lane;
    CHECK(world, pipe_connect(&peer->lane->pipe, &peer->end, window));
    world->current = NULL;
    ws_peer_request(&request, "/sim", peer->json ? "x, ws_hub.v1" : NULL);
    pipe_write(&peer->end, request.data, request.len);
    wsh_buf_fini(&request);
}

void peer_read(struct peer *peer, size_t most)
{
    size_t len = peer->end.to_far.len < most ? peer->end.to_far.len : most;

    if (len) {
        ws_peer_feed(&peer->ws, peer->end.to_far.data, len);
        pipe_consumed(&peer->end, len);
    }
    /* A well-behaved client answers a close and ends when the server has. */
    if (peer->ws.closed && !peer->sent_close && !peer->end.far_ended) {
        struct wsh_buf frame = {0};

        ws_peer_frame(&frame, true, 8, 9, "\3\350", 2);
        pipe_write(&peer->end, frame.data, frame.len);
        wsh_buf_fini(&frame);
        peer->sent_close = true;
    }
    if (peer->end.shut && peer->end.to_far.len == 0)
        peer->end.far_ended = true;
}

/* What the hub says it delivered is what arrived, once the pipe is empty. */
void peer_check(struct peer *peer)
{
    struct world *world = peer->world;
    struct wsh_conn *conn;

    if (!peer->conn.id || peer->gone)
        return;
    conn = wsh_conn_find(peer->lane->shard, peer->conn);
    CHECK(world, conn);
    if (peer->end.to_far.len == 0)
        CHECK(world, peer->ws.messages == conn->delivered);
    else
        CHECK(world, peer->ws.messages <= conn->delivered);
}

void peer_fini(struct peer *peer)
{
    if (!peer->used)
        return;
    ws_peer_fini(&peer->ws);
    pipe_end_fini(&peer->end);
    peer->used = false;
}

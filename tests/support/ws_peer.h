/*
 * ws_peer.h: a client's half of WebSocket over bytes: writes masked frames,
 * reads the server's stream and aborts at anything that RFC 6455 does not
 * allow.
 */
#ifndef WSH_TEST_WS_PEER_H
#define WSH_TEST_WS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

struct ws_peer {
    struct wsh_buf in;      /* not decoded yet */
    struct wsh_buf message; /* fragments so far */
    bool upgraded;
    bool refused;   /* an HTTP answer other than 101 */
    bool closed;    /* a close frame came: nothing may follow */
    uint8_t opcode; /* of the open message, 0: none */
    unsigned close_code;
    uint64_t messages, pongs, pings;
    void (*on_message)(void *arg, uint8_t opcode, const uint8_t *data,
                       size_t len);
    void (*on_ping)(void *arg, const uint8_t *data, size_t len);
    void *arg;
};

void ws_peer_fini(struct ws_peer *peer);
/* Bytes from the server. */
void ws_peer_feed(struct ws_peer *peer, const uint8_t *data, size_t len);
/* Nothing of a frame or message is half read. */
bool ws_peer_at_boundary(const struct ws_peer *peer);

/* Append a request, NULL for no subprotocol; or a frame, masked with `mask`. */
void ws_peer_request(struct wsh_buf *to, const char *path,
                     const char *subprotocol);
void ws_peer_frame(struct wsh_buf *to, bool fin, uint8_t opcode, uint32_t mask,
                   const void *data, size_t len);

#endif

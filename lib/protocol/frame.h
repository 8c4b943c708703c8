/*
 * frame.h: server-to-client frames (RFC 6455 section 5), the one place where a
 * frame is encoded.
 *
 * A message longer than fragment_bytes becomes several frames, so that control
 * frames can pass between them.
 */
#ifndef WSH_PROTOCOL_FRAME_H
#define WSH_PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wsh_opcode {
    WSH_OP_CONT = 0x0,
    WSH_OP_TEXT = 0x1,
    WSH_OP_BINARY = 0x2,
    WSH_OP_CLOSE = 0x8,
    WSH_OP_PING = 0x9,
    WSH_OP_PONG = 0xa
};

enum { WSH_FRAME_HEAD_MAX = 10, WSH_CONTROL_MAX = 125 };

/* A piece of a message that is gathered from several places. */
struct wsh_piece {
    const void *data;
    size_t len;
};

/* Encoded size of a message of len bytes. fragment_bytes > 0. */
size_t wsh_message_size(size_t len, size_t fragment_bytes);
/* Write the frames of the message that the pieces make; `to` has
 * wsh_message_size() bytes. opcode TEXT or BINARY. Returns the size. */
size_t wsh_message_write(uint8_t *to, enum wsh_opcode opcode,
                         const struct wsh_piece *pieces, size_t count,
                         size_t fragment_bytes);
/* Write one control frame (len <= WSH_CONTROL_MAX) into 2 + len bytes. */
size_t wsh_control_write(uint8_t *to, enum wsh_opcode opcode, const void *data,
                         size_t len);
/* Size of the whole frame (head + payload) that starts at `frame`, as written
 * by the functions above (complete, unmasked). */
size_t wsh_frame_size(const uint8_t *frame);

/* Codes that may appear in a close frame on the wire (RFC 6455 section 7.4;
 * 1012..1014 by the IANA registry). */
bool wsh_close_code_valid(unsigned code);

#endif

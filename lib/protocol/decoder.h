/*
 * decoder.h: client-to-server byte stream to messages (RFC 6455 sections 5, 7
 * and 8), strict: everything that section 5 forbids ends the stream.
 *
 * Bytes are unmasked in place. A message whose single frame lies within one
 * feed is handed out without a copy; everything else gathers in `rx`, which an
 * idle connection does not hold. Text is validated as it arrives: 1007 at the
 * first impossible byte, not at the end of the message.
 *
 * Owner: embedded in the connection; fini frees rx.
 * Limits: max_message on the payload of a message, seen in the frame header
 * already (1009); max_fragments on its frames (1008).
 */
#ifndef WSH_PROTOCOL_DECODER_H
#define WSH_PROTOCOL_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "protocol/frame.h"

enum wsh_decode_error {
    WSH_DECODE_OK = 0,
    WSH_DECODE_PROTOCOL,  /* 1002 */
    WSH_DECODE_UTF8,      /* 1007 */
    WSH_DECODE_TOO_LARGE, /* 1009 */
    WSH_DECODE_FRAGMENTS, /* 1008 */
    WSH_DECODE_NO_MEMORY, /* 1011 */
    WSH_DECODE_STOPPED    /* the sink said stop, or a CLOSE was handed out */
};

struct wsh_decoder_limits {
    size_t max_message;
    uint32_t max_fragments;
};

/* Where decoded things go. Each returns false to stop (the feed returns
 * STOPPED and the decoder takes nothing more). data is borrowed, may be NULL if
 * len is 0. A CLOSE payload is checked: empty, or a valid code and UTF-8. */
struct wsh_decoder_sink {
    bool (*message)(void *arg, enum wsh_opcode opcode, uint8_t *data,
                    size_t len);
    bool (*control)(void *arg, enum wsh_opcode opcode, uint8_t *data,
                    size_t len);
};

struct wsh_decoder {
    struct wsh_buf rx;    /* message so far, then the control frame in work */
    uint64_t left;        /* payload bytes of the current frame to come */
    uint32_t message_len; /* bytes of rx that are the message */
    uint32_t fragments;   /* frames of the message so far */
    uint8_t head[14];
    uint8_t head_len;   /* bytes of head so far; frame in work if complete */
    uint8_t opcode;     /* of the current frame */
    uint8_t message_op; /* TEXT or BINARY while a message is open, else 0 */
    uint8_t utf8;
    uint8_t mask_at; /* 0..3 */
    bool fin;
    bool in_payload;
    uint8_t error; /* enum wsh_decode_error; sticky */
};

/* Bytes to decode, and how much work may be done on them. Both are counted
 * down. The budget ends a feed behind a frame, however far it is overdrawn. */
struct wsh_decoder_input {
    uint8_t *data;
    size_t len;
    uint32_t budget; /* WSH_FRAME_COST and WSH_MESSAGE_COST are taken from it */
};

enum { WSH_FRAME_COST = 1, WSH_MESSAGE_COST = 8 };

void wsh_decoder_init(struct wsh_decoder *decoder);
void wsh_decoder_fini(struct wsh_decoder *decoder);
/* Feed bytes; 0 or a sticky error. The sink must not free the decoder. Bytes
 * that the budget has left over must be fed again, before others. */
enum wsh_decode_error wsh_decoder_take(struct wsh_decoder *decoder,
                                       const struct wsh_decoder_limits *limits,
                                       struct wsh_decoder_input *input,
                                       const struct wsh_decoder_sink *sink,
                                       void *arg);
/* All of them, whatever it costs. */
enum wsh_decode_error wsh_decoder_feed(struct wsh_decoder *decoder,
                                       const struct wsh_decoder_limits *limits,
                                       uint8_t *data, size_t len,
                                       const struct wsh_decoder_sink *sink,
                                       void *arg);
/* In the middle of a frame or message (for deadlines). */
bool wsh_decoder_busy(const struct wsh_decoder *decoder);

#endif

/*
 * event.h: JSON events of the server (PROTOCOL.md): their texts, not yet
 * framed.
 *
 * Every function appends one JSON object to `to` and returns 0 or WS_HUB_ENOMEM
 * (`to` is then as before). Strings are escaped here; `id` is JSON text.
 */
#ifndef WSH_PROTOCOL_EVENT_H
#define WSH_PROTOCOL_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "protocol/http.h"

/* Append a JSON string with its quotes; text must be valid UTF-8. Escapes
 * quote, backslash, C0 and, for HTML safety, nothing more. */
int wsh_json_string(struct wsh_buf *to, const char *text, size_t len);
/* Append base64 with quotes. */
int wsh_json_base64(struct wsh_buf *to, const void *data, size_t len);

/* conn becomes a string of 16 hex digits: JavaScript numbers end at 2^53. */
int wsh_event_welcome(struct wsh_buf *to, uint64_t conn, const char *server,
                      unsigned ping_ms);
int wsh_event_subscribed(struct wsh_buf *to, struct wsh_view channel,
                         struct wsh_view id, bool degraded);
int wsh_event_unsubscribed(struct wsh_buf *to, struct wsh_view channel,
                           struct wsh_view id);
int wsh_event_published(struct wsh_buf *to, struct wsh_view id, bool degraded);
int wsh_event_pong(struct wsh_buf *to, struct wsh_view id);
/* error: a name of ws_hub_refuse; channel, id, detail may be absent. */
int wsh_event_error(struct wsh_buf *to, const char *error,
                    struct wsh_view channel, struct wsh_view id,
                    const char *detail);
/* missed < 0: null. */
int wsh_event_gap(struct wsh_buf *to, struct wsh_view channel, int64_t missed,
                  const char *reason);

/* The part of `message` before its data: {"op":"message","channel":"C","data":
 * A channel computes it once; after the data comes WSH_EVENT_MESSAGE_TAIL, or
 * for base64 data WSH_EVENT_BASE64_TAIL. */
int wsh_event_message_head(struct wsh_buf *to, struct wsh_view channel);
#define WSH_EVENT_MESSAGE_TAIL "}"
#define WSH_EVENT_BASE64_TAIL ",\"encoding\":\"base64\"}"

#endif

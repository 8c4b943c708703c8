/*
 * upgrade.h: the opening handshake (RFC 6455 section 4.2), without I/O.
 */
#ifndef WSH_PROTOCOL_UPGRADE_H
#define WSH_PROTOCOL_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include "protocol/http.h"

/* The subprotocol of JSON mode (PROTOCOL.md). */
#define WSH_SUBPROTOCOL "ws_hub.v1"

enum { WSH_ANSWER_MAX = 512 };

/* Does the request want WebSocket (Upgrade names it)? */
bool wsh_upgrade_wanted(const struct wsh_head *head);

/* Check it: method GET, HTTP/1.1, Host, Connection: upgrade, Upgrade:
 * websocket, version 13, one key of 16 bytes in base64, no body. 0 or the
 * status: 400, 405, 426 (the answer then names version 13). */
int wsh_upgrade_check(const struct wsh_head *head);

/* Does the client offer the JSON subprotocol? */
bool wsh_upgrade_offers_json(const struct wsh_head *head);

/* The 101 answer; returns its length. No extension is ever accepted. */
size_t wsh_upgrade_answer(char to[WSH_ANSWER_MAX], const struct wsh_head *head,
                          bool json);

/* A short answer with an empty or text body and Connection: close; 503 and 429
 * carry Retry-After if retry_after_s is not 0, 426 Sec-WebSocket-Version, 405
 * Allow. Returns its length. */
size_t wsh_http_refusal(char to[WSH_ANSWER_MAX], int status,
                        unsigned retry_after_s);

/* Reason phrase of a status, "Unknown" if it is none of the known. */
const char *wsh_http_phrase(int status);

#endif

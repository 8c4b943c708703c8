/*
 * utf8.h: incremental UTF-8 validation (RFC 3629; RFC 6455 section 8.1), fast
 * on ASCII, failing at the first byte that cannot be continued.
 */
#ifndef WSH_PROTOCOL_UTF8_H
#define WSH_PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WSH_UTF8_OK = 0, WSH_UTF8_BAD = 1 }; /* other values: in mid-character */

/* Returns the new state; start with WSH_UTF8_OK; BAD is final. */
uint8_t wsh_utf8_feed(uint8_t state, const void *data, size_t len);
/* A whole text. */
bool wsh_utf8_valid(const void *data, size_t len);

#endif

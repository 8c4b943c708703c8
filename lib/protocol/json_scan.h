/*
 * json_scan.h: looks at JSON text without building anything.
 *
 * The scan bounds what a parser may spend on a text before it sees a byte of
 * it; the search finds the exact text of a member, which a parsed tree has lost
 * (numbers keep their digits that way). Neither allocates.
 */
#ifndef WSH_PROTOCOL_JSON_SCAN_H
#define WSH_PROTOCOL_JSON_SCAN_H

#include <stddef.h>
#include "protocol/command.h" /* limits */

enum wsh_scan_result {
    WSH_SCAN_OK = 0,
    WSH_SCAN_BYTES, /* longer than max_bytes */
    WSH_SCAN_DEPTH,
    WSH_SCAN_VALUES
};

/* Any bytes; what is not JSON may pass, a parser's work on it is bounded too.
 */
enum wsh_scan_result wsh_json_scan(const char *text, size_t len,
                                   const struct wsh_command_limits *limits);

/* The text of the value of a top-level member. `text` is a VALID object (a
 * parser took it). Absent (data NULL) if there is none, or if its key is
 * written with escapes. */
struct wsh_view wsh_json_member(const char *text, size_t len, const char *key);

#endif

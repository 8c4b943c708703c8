/*
 * http.h: request heads (RFC 9112), without I/O, strict where leniency is a
 * hole: CRLF only, no folding, no space before the colon, no control bytes in
 * values, one Host, no body on GET.
 */
#ifndef WSH_PROTOCOL_HTTP_H
#define WSH_PROTOCOL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WSH_HEADERS_MAX = 64 };

struct wsh_view {
    const char *data; /* not NUL-terminated; NULL: absent */
    size_t len;
};

struct wsh_head {
    struct wsh_view method, target, path, query;
    int minor; /* HTTP/1.minor */
    struct wsh_view name[WSH_HEADERS_MAX], value[WSH_HEADERS_MAX];
    size_t count;
};

/*
 * Length of the head at the start of data, its final CRLFCRLF included; 0: not
 * complete yet. `seen` is how much of data an earlier call has looked at.
 */
size_t wsh_head_end(const uint8_t *data, size_t len, size_t seen);

/* Parse a complete head of len bytes. Views point into data. Returns 0 or the
 * HTTP status to answer with: 400, 414 (target over 4096 bytes), 431 (too many
 * fields), 505. */
int wsh_head_parse(const uint8_t *data, size_t len, struct wsh_head *head);

/* First field of that name, any case; data NULL if absent. */
struct wsh_view wsh_head_find(const struct wsh_head *head, const char *name);
/* How many fields of that name. */
size_t wsh_head_times(const struct wsh_head *head, const char *name);
/* A comma-separated list field (all occurrences) holds the token, any case. */
bool wsh_head_has_token(const struct wsh_head *head, const char *name,
                        const char *token);
bool wsh_view_is(struct wsh_view view, const char *text); /* exact */
bool wsh_view_is_nocase(struct wsh_view view, const char *text);
/* Take the next element that is not empty off a comma-separated list. */
bool wsh_view_list_next(struct wsh_view *rest, struct wsh_view *element);

#endif

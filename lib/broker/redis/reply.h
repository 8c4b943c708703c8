/*
 * reply.h: what a Redis server says, as trees, from bytes in any pieces.
 *
 * Owns a redisReader and an arena that every reply is built into: once both
 * have grown to the size of the usual push, a message costs no allocation. A
 * reply is valid until the next one is asked for.
 *
 * The peer is not trusted: a bulk string longer than the limit, an array with
 * too many elements and a reply that is too large altogether are errors, found
 * at the header that announces them. After an error only free() is allowed.
 *
 * Thread: the loop's.
 */
#ifndef WSR_REPLY_H
#define WSR_REPLY_H

#include <stdbool.h>
#include <stddef.h>

enum wsr_type {
    WSR_NIL,
    WSR_STRING,
    WSR_STATUS,
    WSR_ERROR,
    WSR_INTEGER,
    WSR_ARRAY
};

struct wsr_reply {
    enum wsr_type type;
    const char *text; /* STRING, STATUS, ERROR: NUL-terminated besides */
    size_t len;
    long long integer;
    struct wsr_reply *items; /* ARRAY */
    size_t count;
};

struct wsr_reader;

/* max_bulk: bytes of the longest string. NULL: out of memory. */
struct wsr_reader *wsr_reader_create(size_t max_bulk);
void wsr_reader_free(struct wsr_reader *reader);

/* Give it bytes, and ask for replies until there is none before the next: false
 * is an error, with its text in wsr_reader_error(). */
bool wsr_reader_feed(struct wsr_reader *reader, const char *bytes, size_t len);

/* false: an error. true: *reply is the next reply, NULL: bytes are missing. */
bool wsr_reader_next(struct wsr_reader *reader, const struct wsr_reply **reply);
const char *wsr_reader_error(const struct wsr_reader *reader);

/* `reply` is a string (STRING or STATUS) with exactly these bytes. */
bool wsr_reply_is(const struct wsr_reply *reply, const char *text);
/* `reply` is an error that begins with this word. */
bool wsr_reply_error_is(const struct wsr_reply *reply, const char *word);

#endif

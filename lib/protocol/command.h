/*
 * command.h: JSON commands of clients (PROTOCOL.md), decoded with jansson.
 *
 * Before jansson sees a byte, one scan without allocation bounds size, depth
 * and the number of values: its tree takes up to 79 bytes of heap per byte.
 * Duplicate keys, NUL, numbers out of range, lone surrogates are refused.
 */
#ifndef WSH_PROTOCOL_COMMAND_H
#define WSH_PROTOCOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include "protocol/http.h" /* wsh_view */

enum wsh_op {
    WSH_CMD_SUBSCRIBE,
    WSH_CMD_UNSUBSCRIBE,
    WSH_CMD_PUBLISH,
    WSH_CMD_PRESENCE,
    WSH_CMD_PING
};

struct wsh_command_limits {
    size_t max_bytes;
    unsigned max_depth;
    size_t max_values; /* commas and openings; 16384 is plenty */
};

/* `id` of a command: a string of at most 64 bytes or an integer, kept as JSON
 * text, to be given back as it came. */
enum { WSH_ID_MAX = 400 };

/* The views point into the text that was decoded or into the tree. */
struct wsh_command {
    enum wsh_op op;
    struct wsh_view
        channel;          /* checked by wsh_channel_name_valid, not reserved */
    struct wsh_view data; /* JSON text of "data", publish only */
    bool echo;            /* publish, default true */
    struct wsh_view cls;  /* "critical", "normal", "volatile"; default normal */
    struct wsh_view key;
    char id[WSH_ID_MAX]; /* JSON text */
    size_t id_len;       /* 0: none */
    void *tree;          /* jansson's */
    char *dumped;        /* data, if the text's own could not be used */
};

/*
 * Decode. Returns ws_hub_refuse (metrics.h) or -1 if all is well; fini is
 * needed in both cases (after a refusal id and channel may be set, for the
 * error answer). `detail` gets a static text for the error's "detail".
 */
int wsh_command_decode(struct wsh_command *command, const void *text,
                       size_t len, const struct wsh_command_limits *limits,
                       const char **detail);
void wsh_command_fini(struct wsh_command *command);

/* One JSON value of any kind, within the limits (host and broker payloads). */
bool wsh_json_valid(const void *text, size_t len,
                    const struct wsh_command_limits *limits);

#endif

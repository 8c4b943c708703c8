/* settings.h: what is common to all servers of an adapter. Pointers are
 * borrowed from its struct wsr_config. */
#ifndef WSR_SETTINGS_H
#define WSR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

struct wsr_tls_context;

struct wsr_settings {
    unsigned connect_timeout_ms; /* name, connect, AUTH and SELECT together */
    unsigned command_timeout_ms; /* of silence while an answer is due */
    unsigned keepalive_s;
    size_t max_output_bytes;  /* per connection */
    size_t max_message_bytes; /* payload without its head, both ways */
    size_t max_inbound_bytes; /* of a string from the server; at least that */
    const struct wsr_tls_context *tls; /* NULL: no server wants it */
    const char *tls_name; /* in certificates; NULL: the host of the URL */
    bool sharded;         /* SSUBSCRIBE, SPUBLISH, SUNSUBSCRIBE, SHARDNUMSUB */
};

#endif

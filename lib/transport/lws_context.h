/*
 * lws_context.h: making an lws context on a uv loop, and what of lws is
 * process-wide.
 *
 * Everything that lws does behind a host's back is undone here: its log goes to
 * the host's log callback instead of stderr, and SIGPIPE keeps its disposition
 * (see transport.h for TLS).
 */
#ifndef WSH_TRANSPORT_LWS_CONTEXT_H
#define WSH_TRANSPORT_LWS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <libwebsockets.h>
#include <uv.h>
#include "base/log.h"

struct wsh_lws_config {
    uv_loop_t *uv;
    const char *tls_cert; /* NULL: plain */
    const char *tls_key;
    size_t read_bytes;
    unsigned max_links; /* sockets at a time; 0: no limit */
    const struct lws_protocols *protocols;
    void *user; /* lws_context_user() */
    const struct wsh_log *log;
};

/*
 * Make context and virtual host. *context is NULL only if there was none; after
 * an error it may be set and then has to be destroyed as after success. lws
 * writes NULL to it when it is gone. event_fd: of lws's wake-up pipe, for
 * close_step; -1 if it is not known. table: lws takes only sockets with a lower
 * descriptor than that. Errors are logged.
 */
int wsh_lws_open(struct lws_context **context, struct lws_vhost **vhost,
                 int *event_fd, unsigned *table,
                 const struct wsh_lws_config *config);

/* One step of destroying it; call it once per loop turn, outside of lws, until
 * *context is NULL. `begun` is kept by the caller, false at first. `maimed`:
 * lws has lost a socket, and would wait for it for ever; its memory stays. */
void wsh_lws_close_step(struct lws_context **context, uv_loop_t *uv,
                        bool *begun, bool maimed, int event_fd);

/* Is there a handle on the loop, maybe closing, with this `data`? lws points
 * from there to a socket or its context. */
bool wsh_lws_has_handle(uv_loop_t *uv, const void *data);

/* Where lws lines of this thread go; NULL: nowhere. */
void wsh_lws_log_to(const struct wsh_log *log);
/* Forget it if it is `log`. */
void wsh_lws_log_off(const struct wsh_log *log);

#endif

/*
 * transport.h: connected sockets of one shard, on libwebsockets.
 *
 * Sockets are adopted in lws's raw-skt role, with TLS if configured. So lws
 * owns descriptors, TLS and polling, and none of its HTTP, h2 or ws parsers can
 * be reached by a peer (RELIABILITY section 2a lists what that avoids); HTTP
 * and WebSocket are the hub's. Plain sockets are written with io_uring batches
 * or send(), never through lws_write, so lws holds no bytes of theirs; TLS goes
 * through lws_write, and lws holds at most one record (16 KiB) of a slow link.
 * `shut` of a TLS link sends FIN without close_notify: lws's raw role has none.
 *
 * Process-wide: lws's log function becomes ours (nothing goes to stderr), and
 * its lines go to the transport that runs on the thread. SIGPIPE keeps its
 * disposition, but for TLS where it was SIG_DFL: OpenSSL writes without
 * MSG_NOSIGNAL, so there it stays ignored, as lws sets it. (Loop threads of our
 * own block it anyway.) lws keeps 16 bytes per loop for each descriptor that
 * RLIMIT_NOFILE allows, and takes no descriptor above what that was at create,
 * or above a million.
 *
 * Owner: the hub's top. Thread: the loop's, all of it.
 */
#ifndef WSH_TRANSPORT_TRANSPORT_H
#define WSH_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/log.h"
#include "contract/link.h"

struct wsh_transport;

struct wsh_transport_config {
    void *uv_loop;        /* uv_loop_t, ours or the host's */
    const char *tls_cert; /* NULL: plain */
    const char *tls_key;
    int sender;         /* ws_hub_sender */
    unsigned max_links; /* sockets that may be adopted at a time; 0: no limit */
    bool count_unsent;  /* `held` has what the kernel holds as well */
    size_t read_bytes;  /* one read, shared by all sockets; 0: 65536 */
    const struct wsh_transport_events *events;
    void *hub;                 /* first argument of events */
    const struct wsh_log *log; /* stays valid */
};

/* 0; WS_HUB_ENOMEM; WS_HUB_ETRANSPORT (logged: no uv plugin of lws, bad
 * certificate, io_uring demanded and refused or with TLS). After an error
 * handles may still be closing on the loop: run it before it is closed. */
int wsh_transport_create(struct wsh_transport **out,
                         const struct wsh_transport_config *config);

const struct wsh_transport_ops *wsh_transport_ops(void);

/* Take over a connected, non-blocking socket: events->opened comes before
 * return, and so may `closed` (a TLS handshake that fails at once: returns 0).
 * On error the socket is closed, and so is the link if there was one:
 * WS_HUB_ENOMEM, WS_HUB_ETRANSPORT; there was none, and the hub has not heard
 * of it: WS_HUB_ELIMIT, the descriptor is too high (logged). */
int wsh_transport_adopt(struct wsh_transport *transport, int fd,
                        const struct wsh_peer *peer);

/* End of a loop turn: close what was dropped, some of it: closing a socket
 * takes long, and thousands may be dropped in one turn. True: there is more. */
bool wsh_transport_turn_end(struct wsh_transport *transport);

/* Drop every link (their `closed` come first), then close lws; `done(arg)`
 * comes when nothing of the transport is left on the loop; the memory is gone
 * then. Once, in any callback; all of it happens in later turns. */
void wsh_transport_close(struct wsh_transport *transport,
                         void (*done)(void *arg), void *arg);

bool wsh_transport_uses_uring(const struct wsh_transport *transport);

#endif

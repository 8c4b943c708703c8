/*
 * acceptor.h: listening sockets: accept in batches, decide early, hand over.
 *
 * Lives on the first loop. Refusals are answered here with a ready 503 before
 * anything is allocated for the peer (plain sockets; with TLS the socket is
 * just closed) and linger shortly so that the answer is read, in a bounded
 * number. Without descriptors it frees a reserve one, answers, and pauses for
 * 100 ms instead of spinning; it recovers by itself. The log has one line an
 * episode.
 *
 * Owner: the hub's top. Thread: the first loop's.
 */
#ifndef WSH_TRANSPORT_ACCEPTOR_H
#define WSH_TRANSPORT_ACCEPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include "base/log.h"
#include "contract/link.h"

struct wsh_acceptor;

struct wsh_acceptor_config {
    void *uv_loop;
    const char *const *urls; /* ws_hub_options.bind_urls */
    size_t url_count;
    bool tls;
    unsigned notsent_lowat; /* of the options */
    /* The ready answer for refused peers. */
    const void *refusal;
    size_t refusal_len;
    /* May this peer in? 0, or the ws_hub_reject + 1 that is counted. */
    int (*admit)(void *arg, const struct wsh_peer *peer);
    /* The socket is the callee's now: non-blocking, CLOEXEC, TCP_NODELAY. */
    void (*accepted)(void *arg, int fd, const struct wsh_peer *peer);
    /* EMFILE, ENFILE, ENOMEM: counted there; `answered` says if a 503 went out.
     */
    void (*starved)(void *arg, bool answered);
    void *arg;
    const struct wsh_log *log;
};

/* Binds and listens at once (SO_REUSEADDR; backlog 4096; v6 sockets take v6
 * only; a name binds all its addresses; a stale unix socket file that nobody
 * listens on is replaced). 0, WS_HUB_EINVAL (an address), WS_HUB_ETRANSPORT
 * (logged), WS_HUB_ENOMEM. After an error handles may still be closing on the
 * loop. */
int wsh_acceptor_create(struct wsh_acceptor **out,
                        const struct wsh_acceptor_config *config);

/* Port bound for url index, 0 if not TCP. */
unsigned wsh_acceptor_port(const struct wsh_acceptor *acceptor, size_t index);

/* Check the form of an address without binding. 0 or WS_HUB_EINVAL. */
int wsh_acceptor_check_url(const char *url);

/* Close the listening sockets (not inherited ones; unix socket files are
 * removed), then done(arg), later. Once; legal inside the callbacks. */
void wsh_acceptor_close(struct wsh_acceptor *acceptor, void (*done)(void *arg),
                        void *arg);

#endif

/*
 * tls.h: TLS between a connection and its Redis server, by OpenSSL.
 *
 * The connection owns the socket and waits for it. OpenSSL reaches it through a
 * BIO of ours, since the writes of its own raise SIGPIPE in the host.
 *
 * The server's certificate is always verified, and that it is for the name that
 * was asked for (RFC 6125); TLS is 1.2 or newer.
 *
 * Owner: the context is the adapter's; a session its connection's.
 * Thread: the context's functions any; a session's the loop's.
 */
#ifndef WSR_TLS_H
#define WSR_TLS_H

#include <stddef.h>
#include <sys/types.h>

enum wsr_tls_step { WSR_TLS_DONE, WSR_TLS_READ, WSR_TLS_WRITE, WSR_TLS_FAILED };

/* PEM files, read at once; NULL: see ws_hub/redis.h. */
struct wsr_tls_files {
    const char *ca, *cert, *key;
};

struct wsr_tls_context;
struct wsr_tls;

/* 0; WS_HUB_EINVAL (`why` gets a static text); WS_HUB_ENOMEM. */
int wsr_tls_context_create(struct wsr_tls_context **out,
                           const struct wsr_tls_files *files, const char **why);
/* No session is left. NULL is allowed. */
void wsr_tls_context_free(struct wsr_tls_context *context);

/* On a connected socket, to the server that `name` (a host name or an address)
 * is; NULL: out of memory. */
struct wsr_tls *wsr_tls_create(const struct wsr_tls_context *context, int fd,
                               const char *name);
/* Says nothing to the peer. NULL is allowed. */
void wsr_tls_free(struct wsr_tls *tls);

/* Until it is not READ or WRITE, which say what the socket must be. */
enum wsr_tls_step wsr_tls_handshake(struct wsr_tls *tls);

/* As recv and send: -1 and errno, which is EAGAIN for "later" and EPROTO for
 * what why() tells. A send that was told EAGAIN must be repeated with the same
 * bytes, which may have moved, and more behind them. */
ssize_t wsr_tls_recv(struct wsr_tls *tls, void *bytes, size_t len);
ssize_t wsr_tls_send(struct wsr_tls *tls, const void *bytes, size_t len);

/* Static text on the last failure. */
const char *wsr_tls_why(const struct wsr_tls *tls);

#endif

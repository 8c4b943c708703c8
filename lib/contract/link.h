/*
 * link.h: where the hub and a transport meet.
 *
 * A transport moves bytes of connected sockets: it knows nothing of HTTP,
 * WebSocket frames, channels or JSON. The hub knows nothing of sockets, TLS or
 * event loops. Each established socket is one wsh_link, embedded in the hub's
 * connection, so that the two share one allocation.
 *
 * Owner: the hub allocates (opened) and frees (closed). In between exactly one
 * `closed` comes for every `opened`, whatever happens.
 * Thread: everything on the loop thread of the link's shard.
 * Re-entry: the transport may call events inside of ops only where it is said;
 * the hub may call any op inside any event.
 */
#ifndef WSH_CONTRACT_LINK_H
#define WSH_CONTRACT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsh_link {
    void *impl;     /* the transport's: lws wsi, pipe end; NULL when closed */
    int fd;         /* socket for the senders, -1 if none */
    uint32_t index; /* the transport's */
    uint16_t flags; /* the transport's */
    uint16_t slot;  /* the transport's */
};

/* Who is at the other end. */
struct wsh_peer {
    uint8_t family;   /* AF_INET, AF_INET6, AF_UNIX; 0 unknown */
    uint16_t port;    /* host byte order */
    uint8_t addr[16]; /* v4 in the first four bytes */
};

/*
 * One write: in `data`, `len`; out `result`: bytes taken, 0 if the socket is
 * full, negative if the link is broken (a `closed` will follow by itself). If
 * fewer than len bytes were taken the transport calls `writable` later, once.
 * "Taken" means that data is not needed any more.
 */
struct wsh_send {
    struct wsh_link *link;
    const void *data;
    uint32_t len;
    int32_t result;
};

struct wsh_transport_ops {
    /* Write v[0..n-1], at most WSH_SENDS_MAX, at most one per link. Calls no
     * event. All results are set at return. */
    void (*send)(void *self, struct wsh_send *v, size_t n);

    /* Call `writable` once, in a later turn, when the socket takes bytes. */
    void (*want_write)(void *self, struct wsh_link *link);

    /* Stop or resume reading; for a peer whose input must wait. */
    void (*read_enable)(void *self, struct wsh_link *link, bool on);

    /* Send FIN after what was taken; reading goes on (until EOF: `closed`).
     * Idempotent. */
    void (*shut)(void *self, struct wsh_link *link);

    /* Close now; what the kernel has not sent may be lost. Idempotent. Ends in
     * `closed`, never inside this call. */
    void (*drop)(void *self, struct wsh_link *link);

    /* Bytes taken that are not gone: what the transport itself holds (TLS
     * records) and, if it was told to look, the kernel. May cost a system call:
     * not per write. */
    size_t (*held)(void *self, const struct wsh_link *link);
};

enum { WSH_SENDS_MAX = 1024 };

struct wsh_transport_events {
    /* A socket (TLS finished or not) was accepted for this shard. NULL: out of
     * memory, or refused; the transport closes the socket. The transport then
     * fills the link. */
    struct wsh_link *(*opened)(void *hub, const struct wsh_peer *peer);

    /* Bytes arrived, in order. They may be changed in place; borrowed. */
    void (*received)(void *hub, struct wsh_link *link, uint8_t *data,
                     size_t len);

    /* As asked for, or after a short send. */
    void (*writable)(void *hub, struct wsh_link *link);

    /* The socket is gone (EOF, error, drop); the link is dead at return. */
    void (*closed)(void *hub, struct wsh_link *link);
};

#endif

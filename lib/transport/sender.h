/*
 * sender.h: how plain sockets are written: many send() at once.
 *
 * Two implementations: io_uring (one system call for a whole batch) and write
 * (one send() each). Both leave what the kernel does not take to the caller: no
 * copy is kept, nothing is pending when send returns.
 *
 * Owner: the transport. Thread: the one that created it, always: the ring is
 * set up for a single issuer.
 */
#ifndef WSH_TRANSPORT_SENDER_H
#define WSH_TRANSPORT_SENDER_H

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include "base/log.h"
#include "contract/link.h"

struct wsh_sender {
    /* v[0..n-1], n <= WSH_SENDS_MAX; every result is set. A link without a
     * descriptor gets a negative one. */
    void (*send)(struct wsh_sender *self, struct wsh_send *v, size_t n);
    void (*destroy)(struct wsh_sender *self);
};

/* Stateless, cannot fail; destroy does nothing. */
struct wsh_sender *wsh_sender_write(void);

/* 0; WS_HUB_ENOMEM; WS_HUB_ENOTSUP: not built in, or the kernel or its seccomp
 * filter refuses; `why` is then a static text. */
int wsh_sender_uring(struct wsh_sender **out, const struct wsh_log *log,
                     const char **why);

/* What a negative errno of send() means for wsh_send.result. Shortage of kernel
 * memory counts as "full": the socket is fine and is tried again. */
static inline int32_t wsh_sender_result(int32_t res)
{
    switch (res) {
    case -EAGAIN:
#if EAGAIN != EWOULDBLOCK
    case -EWOULDBLOCK:
#endif
    case -EINTR:
    case -ENOBUFS:
    case -ENOMEM:
        return 0;
    default:
        return res;
    }
}

static inline void wsh_sender_one(struct wsh_send *send_)
{
    ssize_t sent = send(send_->link->fd, send_->data, send_->len,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    send_->result = sent < 0 ? wsh_sender_result(-errno) : (int32_t)sent;
}

#endif

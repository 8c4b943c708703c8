/*
 * resolve.h: the addresses of a host, without blocking the loop.
 *
 * Numeric addresses are read at once. Names go through getaddrinfo() on a
 * thread of their own, which shares nothing with the caller but a counted job;
 * so cancelling is immediate, and a resolver that hangs for a minute keeps its
 * thread and its job for that long and nothing else.
 *
 * Thread: the loop's.
 */
#ifndef WSR_RESOLVE_H
#define WSR_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <ws_hub/loop.h>

enum { WSR_ADDRESSES_MAX = 8 };

struct wsr_address {
    struct sockaddr_storage bytes;
    socklen_t len;
};

struct wsr_addresses {
    struct wsr_address list[WSR_ADDRESSES_MAX];
    unsigned count;
};

struct wsr_resolve;

/* `why` is NULL, or a static text and `addresses` is empty. From the loop. */
typedef void (*wsr_resolved_cb)(void *user,
                                const struct wsr_addresses *addresses,
                                const char *why);

/* host is a v4 or v6 address (with %scope, perhaps); false: a name. */
bool wsr_resolve_numeric(const char *host, unsigned port,
                         struct wsr_addresses *out);

/* 0; WS_HUB_ENOMEM (or no descriptor, no thread). */
int wsr_resolve_start(struct wsr_resolve **out, ws_hub_loop *loop,
                      const ws_hub_loop_ops *loop_ops, const char *host,
                      unsigned port, wsr_resolved_cb cb, void *user);

/* Before or inside the callback; frees. NULL is allowed. */
void wsr_resolve_cancel(struct wsr_resolve *resolve);

#endif

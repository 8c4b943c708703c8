/*
 * listen_url.h: "tcp://HOST:PORT", "unix:/PATH" and "fd:NUMBER" to listening
 * sockets.
 *
 * A name may stand for several addresses: all of them are bound, with one port.
 * v6 sockets take v6 only, so "tcp://0.0.0.0:80" and "tcp://[::]:80" go
 * together. Owner: the caller closes the descriptors, but for inherited ones.
 */
#ifndef WSH_TRANSPORT_LISTEN_URL_H
#define WSH_TRANSPORT_LISTEN_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/log.h"

enum wsh_listen_kind { WSH_LISTEN_TCP, WSH_LISTEN_UNIX, WSH_LISTEN_FD };

struct wsh_listen_url {
    enum wsh_listen_kind kind;
    char host[256];   /* TCP, without brackets */
    char port[6];     /* TCP, digits */
    const char *path; /* unix; points into the url */
    int fd;
};

/* 0 or WS_HUB_EINVAL. Looks at the form only. */
int wsh_listen_url_parse(struct wsh_listen_url *out, const char *url);

enum { WSH_LISTEN_ADDRS = 8, WSH_LISTEN_BACKLOG = 4096 };

struct wsh_listen_sockets {
    int fd[WSH_LISTEN_ADDRS]; /* non-blocking, listening */
    size_t count;
    unsigned port; /* 0 if not TCP */
    bool inherited;
    dev_t dev; /* of the unix socket's file */
    ino_t ino;
};

/* Bind and listen. notsent_lowat: of the options, UINT_MAX leaves it alone. 0;
 * WS_HUB_EINVAL (fd: is no listening stream socket); WS_HUB_ETRANSPORT. Errors
 * are logged, with the url. Resolving may block. */
int wsh_listen_open(struct wsh_listen_sockets *out, const char *url,
                    unsigned notsent_lowat, const struct wsh_log *log);

#endif

/*
 * url.h: where a Redis server is and who we are there.
 *
 *   redis://[[user]:password@]host[:port][/db]
 *   rediss://  the same, with TLS
 *   redis+unix:///path[?db=N&user=U&password=P]
 *
 * User, password and path are percent-decoded; host may be [v6]. A struct is a
 * plain value: copy it freely.
 */
#ifndef WSR_URL_H
#define WSR_URL_H

#include <stdbool.h>
#include <stddef.h>

enum {
    WSR_HOST_MAX = 256,
    WSR_PATH_MAX = 108, /* sun_path */
    WSR_SECRET_MAX = 512,
    WSR_NAME_MAX = WSR_HOST_MAX + 16,
};

struct wsr_url {
    char host[WSR_HOST_MAX]; /* without brackets; empty: path counts */
    char path[WSR_PATH_MAX];
    unsigned port;
    unsigned db;
    bool tls;
    char user[WSR_SECRET_MAX];
    char password[WSR_SECRET_MAX]; /* empty: no AUTH */
};

/* 0 or WS_HUB_EINVAL. `why` gets a static text. */
int wsr_url_parse(const char *text, struct wsr_url *out, const char **why);

/* The server at host:port, with the credentials of `like`; false: too long. */
bool wsr_url_at(struct wsr_url *out, const struct wsr_url *like,
                const char *host, size_t host_len, unsigned port);

/* "host:port", "[v6]:port" or the path: for logs, never with a secret. */
void wsr_url_name(const struct wsr_url *url, char name[WSR_NAME_MAX]);

#endif

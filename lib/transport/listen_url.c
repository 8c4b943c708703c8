/* listen_url.c: see the header. */
#include "transport/listen_url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/check.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

/* Form */

static bool is_number(const char *text, size_t len, long max)
{
    size_t i;

    if (len < 1 || len > 9)
        return false;
    for (i = 0; i < len; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return strtol(text, NULL, 10) <= max;
}

static bool is_host(const char *host, size_t len, bool bracketed)
{
    const char *extra = bracketed ? ":%.-_" : ".-_";
    size_t i;

    if (len < 1)
        return false;
    for (i = 0; i < len; i++) {
        char c = host[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z') || strchr(extra, c)))
            return false;
    }
    return true;
}

static int parse_tcp(struct wsh_listen_url *out, const char *rest)
{
    const char *colon = strrchr(rest, ':');
    bool bracketed = rest[0] == '[';
    size_t host_len;

    if (!colon || !is_number(colon + 1, strlen(colon + 1), 65535))
        return WS_HUB_EINVAL;
    if (strlen(colon + 1) >= sizeof out->port)
        return WS_HUB_EINVAL;
    host_len = (size_t)(colon - rest);
    if (bracketed) {
        if (host_len < 2 || colon[-1] != ']')
            return WS_HUB_EINVAL;
        rest++;
        host_len -= 2;
    }
    if (host_len >= sizeof out->host || !is_host(rest, host_len, bracketed))
        return WS_HUB_EINVAL;
    out->kind = WSH_LISTEN_TCP;
    memcpy(out->host, rest, host_len);
    (void)snprintf(out->port, sizeof out->port, "%s", colon + 1);
    return 0;
}

int wsh_listen_url_parse(struct wsh_listen_url *out, const char *url)
{
    struct sockaddr_un un;

    memset(out, 0, sizeof *out);
    out->fd = -1;
    if (strncmp(url, "tcp://", 6) == 0)
        return parse_tcp(out, url + 6);
    if (strncmp(url, "unix:/", 6) == 0) {
        out->kind = WSH_LISTEN_UNIX;
        out->path = url + 5;
        return url[6] && strlen(out->path) < sizeof un.sun_path ? 0
                                                                : WS_HUB_EINVAL;
    }
    if (strncmp(url, "fd:", 3) == 0 &&
        is_number(url + 3, strlen(url + 3), 999999999)) {
        out->kind = WSH_LISTEN_FD;
        out->fd = (int)strtol(url + 3, NULL, 10);
        return 0;
    }
    return WS_HUB_EINVAL;
}

/* Sockets */

static int fail(const struct wsh_log *log, const char *url, const char *what,
                const char *why)
{
    wsh_log(log, WS_HUB_LOG_ERROR, "%s: %s: %s", url, what, why);
    return WS_HUB_ETRANSPORT;
}

/* Linux hands these on to the sockets that are accepted: no calls per client.
 */
static void set_tcp_options(int fd, unsigned lowat)
{
    int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (lowat != UINT_MAX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat,
                         sizeof lowat);
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } addr;
    socklen_t len = sizeof addr;

    memset(&addr, 0, sizeof addr);
    if (getsockname(fd, &addr.any, &len))
        return 0;
    if (addr.any.sa_family == AF_INET)
        return ntohs(addr.v4.sin_port);
    if (addr.any.sa_family == AF_INET6)
        return ntohs(addr.v6.sin6_port);
    return 0;
}

/* A listening socket, or -1 with errno. */
static int listen_at(const struct addrinfo *ai, unsigned port, unsigned lowat)
{
    struct sockaddr_storage addr;
    int one = 1, error;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    ai->ai_protocol);

    if (fd < 0)
        return -1;
    memcpy(&addr, ai->ai_addr, ai->ai_addrlen);
    if (ai->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        ((struct sockaddr_in6 *)&addr)->sin6_port = htons((uint16_t)port);
    } else {
        ((struct sockaddr_in *)&addr)->sin_port = htons((uint16_t)port);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    set_tcp_options(fd, lowat);
    if (bind(fd, (struct sockaddr *)&addr, ai->ai_addrlen) == 0 &&
        listen(fd, WSH_LISTEN_BACKLOG) == 0)
        return fd;
    error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* Resolvers repeat addresses, and "localhost" may name one that is not there.
 */
static bool is_repeated(const struct addrinfo *first, const struct addrinfo *ai)
{
    const struct addrinfo *at;

    for (at = first; at != ai; at = at->ai_next)
        if (at->ai_addrlen == ai->ai_addrlen &&
            memcmp(at->ai_addr, ai->ai_addr, ai->ai_addrlen) == 0)
            return true;
    return false;
}

static void close_sockets(struct wsh_listen_sockets *out)
{
    while (out->count > 0)
        (void)close(out->fd[--out->count]);
}

static int bind_all(struct wsh_listen_sockets *out, const struct addrinfo *list,
                    unsigned lowat)
{
    const struct addrinfo *ai;
    int error = EADDRNOTAVAIL;

    for (ai = list; ai && out->count < WSH_LISTEN_ADDRS; ai = ai->ai_next) {
        int fd;

        if ((ai->ai_family != AF_INET && ai->ai_family != AF_INET6) ||
            is_repeated(list, ai))
            continue;
        fd = listen_at(ai, out->port, lowat);
        if (fd >= 0) {
            out->fd[out->count++] = fd;
            out->port = port_of(fd); /* port 0: the others get the same */
            continue;
        }
        error = errno;
        if (error != EADDRNOTAVAIL && error != EAFNOSUPPORT)
            break;
    }
    if (out->count > 0 && (error == EADDRNOTAVAIL || error == EAFNOSUPPORT))
        return 0;
    close_sockets(out);
    return error;
}

static int open_tcp(struct wsh_listen_sockets *out,
                    const struct wsh_listen_url *parsed, const char *url,
                    unsigned lowat, const struct wsh_log *log)
{
    struct addrinfo hints, *list = NULL;
    int error;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    error = getaddrinfo(parsed->host, parsed->port, &hints, &list);
    if (error)
        return fail(log, url, "resolve", gai_strerror(error));
    out->port = (unsigned)strtoul(parsed->port, NULL, 10);
    error = bind_all(out, list, lowat);
    freeaddrinfo(list);
    return error ? fail(log, url, "listen", strerror(error)) : 0;
}

/* A socket file that nobody listens on is a crashed server's. Anything else,
 * a busy listener (EAGAIN) included, is left alone. */
static bool is_stale(const struct sockaddr_un *addr)
{
    struct stat st;
    bool stale = false;
    int fd;

    if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        stale = connect(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 &&
                errno == ECONNREFUSED;
        (void)close(fd);
    }
    return stale;
}

static int open_unix(struct wsh_listen_sockets *out, const char *path,
                     const char *url, const struct wsh_log *log)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct sockaddr *any = (const struct sockaddr *)&addr;
    struct stat st;
    int fd, error;

    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(log, url, "socket", strerror(errno));
    error = bind(fd, any, sizeof addr) ? errno : 0;
    if (error == EADDRINUSE && is_stale(&addr)) {
        (void)unlink(path);
        error = bind(fd, any, sizeof addr) ? errno : 0;
    }
    if (error == 0 && listen(fd, WSH_LISTEN_BACKLOG))
        error = errno;
    if (error) {
        (void)close(fd);
        return fail(log, url, "listen", strerror(error));
    }
    if (lstat(path, &st) == 0) {
        out->dev = st.st_dev;
        out->ino = st.st_ino;
    }
    out->fd[out->count++] = fd;
    return 0;
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

/* The descriptor's own flags (CLOEXEC) stay as they are; that it must not block
 * is a matter of all who share the socket. */
static int open_fd(struct wsh_listen_sockets *out, int fd, const char *url,
                   unsigned lowat, const struct wsh_log *log)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        socket_option(fd, SO_ACCEPTCONN) != 1) {
        (void)fail(log, url, "inherit", "not a listening stream socket");
        return WS_HUB_EINVAL;
    }
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return fail(log, url, "inherit", strerror(errno));
    out->port = port_of(fd);
    if (out->port)
        set_tcp_options(fd, lowat);
    out->inherited = true;
    out->fd[out->count++] = fd;
    return 0;
}

int wsh_listen_open(struct wsh_listen_sockets *out, const char *url,
                    unsigned notsent_lowat, const struct wsh_log *log)
{
    struct wsh_listen_url parsed;

    memset(out, 0, sizeof *out);
    if (wsh_listen_url_parse(&parsed, url)) {
        (void)fail(log, url, "parse", "not tcp://HOST:PORT, unix:/PATH, fd:N");
        return WS_HUB_EINVAL;
    }
    if (parsed.kind == WSH_LISTEN_TCP)
        return open_tcp(out, &parsed, url, notsent_lowat, log);
    if (parsed.kind == WSH_LISTEN_UNIX)
        return open_unix(out, parsed.path, url, log);
    return open_fd(out, parsed.fd, url, notsent_lowat, log);
}

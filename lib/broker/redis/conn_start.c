/*
 * conn_start.c: how a connection comes up: addresses, one after the other, TLS,
 * then the greeting. HELLO is not used: RESP2 is what every server speaks.
 *
 * The last command of the greeting is PING, because a server that is loading
 * its data or that wants a password answers others all the same.
 */
#include "conn_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <ws_hub/error.h>

static const char FULL[] = "ERR max number of clients";

static bool begins(const struct wsr_reply *reply, const char *text)
{
    return reply->type == WSR_ERROR &&
           strncmp(reply->text, text, strlen(text)) == 0;
}

void wsr_conn_refused(struct wsr_conn *conn, const char *what,
                      const struct wsr_reply *reply)
{
    const char *text = reply->type == WSR_ERROR ? reply->text : NULL;

    if (begins(reply, FULL))
        wsr_conn_fail(conn, "the server has its maximum of clients");
    else if (wsr_reply_error_is(reply, "LOADING"))
        wsr_conn_fail(conn, "the server is still loading its data");
    else if (wsr_reply_error_is(reply, "NOAUTH"))
        wsr_conn_fail(conn, "the server wants a password");
    else if (wsr_reply_error_is(reply, "WRONGPASS"))
        wsr_conn_fail(conn, "wrong user or password");
    else
        wsr_conn_fail(conn, "%s: %.150s", what,
                      text ? text : "an unexpected answer");
}

/* AUTH and SELECT must succeed. */
static void on_needed(void *user, const struct wsr_reply *reply,
                      const char *what)
{
    if (reply && !wsr_reply_is(reply, "OK"))
        wsr_conn_refused(user, what, reply);
}

static void on_auth(void *user, const struct wsr_reply *reply)
{
    on_needed(user, reply, "AUTH");
}

static void on_select(void *user, const struct wsr_reply *reply)
{
    on_needed(user, reply, "SELECT");
}

/* Refused or not, but for the farewell that a server with too many clients
 * sends before it reads anything: it answers whatever came first. */
static void on_name(void *user, const struct wsr_reply *reply)
{
    if (reply && begins(reply, FULL))
        wsr_conn_refused(user, "", reply);
}

static void on_ping(void *user, const struct wsr_reply *reply)
{
    struct wsr_conn *conn = user;

    if (!reply)
        return;
    /* A user without the right to PING is a user all the same. */
    if (wsr_reply_is(reply, "PONG") || wsr_reply_error_is(reply, "NOPERM"))
        wsr_conn_is_greeted(conn);
    else
        wsr_conn_refused(conn, "PING", reply);
}

#define WORD(literal) ((struct wsr_arg){(literal), sizeof(literal) - 1})

static struct wsr_arg text_arg(const char *text)
{
    return (struct wsr_arg){text, strlen(text)};
}

static int queue_auth(struct wsr_conn *conn)
{
    const struct wsr_url *url = conn->url;
    struct wsr_arg args[3] = {WORD("AUTH")};
    size_t count = 1;

    if (!url->user[0] && !url->password[0])
        return 0;
    if (url->user[0])
        args[count++] = text_arg(url->user);
    args[count++] = text_arg(url->password);
    return wsr_conn_queue(conn, args, count, false, on_auth, conn);
}

static int queue_select(struct wsr_conn *conn)
{
    char number[16];
    struct wsr_arg args[2] = {WORD("SELECT")};

    if (conn->url->db == 0)
        return 0;
    (void)snprintf(number, sizeof number, "%u", conn->url->db);
    args[1] = text_arg(number);
    return wsr_conn_queue(conn, args, 2, false, on_select, conn);
}

/* The name is for people who look at CLIENT LIST; a refusal does not matter. */
static int queue_name(struct wsr_conn *conn)
{
    const char *name = conn->host->server_id ? conn->host->server_id : "ws_hub";
    struct wsr_arg args[3] = {WORD("CLIENT"), WORD("SETNAME"), text_arg(name)};

    return wsr_conn_queue(conn, args, 3, false, on_name, conn);
}

static void greet(struct wsr_conn *conn)
{
    static const struct wsr_arg ping = {"PING", 4};

    conn->state = WSR_GREETING;
    if (queue_auth(conn) || queue_select(conn) || queue_name(conn) ||
        wsr_conn_queue(conn, &ping, 1, false, on_ping, conn)) {
        wsr_conn_fail(conn, "out of memory");
        return;
    }
    wsr_conn_flush(conn);
}

void wsr_conn_secure(struct wsr_conn *conn)
{
    const ws_hub_loop_ops *loop = conn->host->loop_ops;

    switch (wsr_tls_handshake(conn->tls)) {
    case WSR_TLS_DONE:
        greet(conn);
        break;
    case WSR_TLS_READ:
        loop->watch_set(conn->watch, WS_HUB_READABLE);
        break;
    case WSR_TLS_WRITE:
        loop->watch_set(conn->watch, WS_HUB_WRITABLE);
        break;
    case WSR_TLS_FAILED:
        wsr_conn_fail(conn, "TLS: %s", wsr_tls_why(conn->tls));
        break;
    }
}

static void begin_tls(struct wsr_conn *conn)
{
    const struct wsr_settings *settings = conn->settings;

    conn->tls = wsr_tls_create(settings->tls, conn->fd,
                               settings->tls_name ? settings->tls_name
                                                  : conn->url->host);
    if (!conn->tls) {
        wsr_conn_fail(conn, "out of memory");
        return;
    }
    conn->state = WSR_SECURING;
    wsr_conn_secure(conn);
}

/* Errors are ignored: without these options it works as well. */
static void set_options(const struct wsr_conn *conn, int family)
{
    int on = 1, idle = (int)conn->settings->keepalive_s, count = 3;
    int interval = idle / count > 0 ? idle / count : 1;

    if (family == AF_UNIX)
        return;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval,
                     sizeof interval);
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void drop_attempt(struct wsr_conn *conn)
{
    if (conn->watch)
        conn->host->loop_ops->watch_close(conn->watch);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    conn->watch = NULL;
    conn->fd = -1;
}

/* 0, or the errno. */
static int try_address(struct wsr_conn *conn, const struct wsr_address *to)
{
    int family = to->bytes.ss_family;

    conn->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (conn->fd < 0)
        return errno;
    set_options(conn, family);
    if (connect(conn->fd, (const struct sockaddr *)&to->bytes, to->len) &&
        errno != EINPROGRESS)
        return errno;
    /* Connected at once or not, the next turn finds it writable. */
    return conn->host->loop_ops->watch_open(conn->host->loop, conn->fd,
                                            WS_HUB_WRITABLE, wsr_conn_on_events,
                                            conn, &conn->watch)
               ? ENOMEM
               : 0;
}

/* `error` is the previous attempt's. */
static void try_next(struct wsr_conn *conn, int error)
{
    conn->state = WSR_CONNECTING;
    while (conn->next_address < conn->addresses.count) {
        drop_attempt(conn);
        error = try_address(conn, &conn->addresses.list[conn->next_address++]);
        if (error == 0)
            return;
    }
    wsr_conn_fail(conn, "connect: %s", strerror(error));
}

void wsr_conn_connected(struct wsr_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error)
        try_next(conn, error);
    else if (conn->url->tls)
        begin_tls(conn);
    else
        greet(conn);
}

static void on_resolved(void *user, const struct wsr_addresses *addresses,
                        const char *why)
{
    struct wsr_conn *conn = user;

    wsr_conn_enter(conn);
    if (why) {
        wsr_conn_fail(conn, "%s: %s", conn->url->host, why);
    } else {
        conn->addresses = *addresses;
        wsr_resolve_cancel(conn->resolve);
        conn->resolve = NULL;
        try_next(conn, 0);
    }
    wsr_conn_leave(conn);
}

static void unix_address(const struct wsr_url *url, struct wsr_addresses *out)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    memcpy(name.sun_path, url->path, sizeof name.sun_path);
    memcpy(&out->list[0].bytes, &name, sizeof name);
    out->list[0].len = sizeof name;
    out->count = 1;
}

int wsr_conn_start(struct wsr_conn *conn)
{
    const struct wsr_url *url = conn->url;

    if (!url->host[0])
        unix_address(url, &conn->addresses);
    else if (!wsr_resolve_numeric(url->host, url->port, &conn->addresses))
        return wsr_resolve_start(&conn->resolve, conn->host->loop,
                                 conn->host->loop_ops, url->host, url->port,
                                 on_resolved, conn);
    try_next(conn, 0);
    return 0;
}

/* standin.c: see the header. */
#include "standin.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lws_config.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { PATIENCE_MS = 10000 };

/* With a foreign loop lws 4.3.5 never closes the eventfd of a context. */
#if LWS_LIBRARY_VERSION_NUMBER >= 4002000
enum { LWS_LEAKS = 1 };
#else
enum { LWS_LEAKS = 0 };
#endif

int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

static void on_log(int level, const char *text, void *user)
{
    struct standin *hub = user;
    size_t used = strlen(hub->log_text);

    (void)level;
    (void)snprintf(hub->log_text + used, sizeof hub->log_text - used, "%s\n",
                   text);
}

static struct wsh_link *on_opened(void *arg, const struct wsh_peer *peer)
{
    struct standin *hub = arg;
    struct conn *conn;

    assert_int_equal(hub->in_op, 0);
    assert_non_null(peer);
    if (hub->refuse)
        return NULL;
    assert_true(hub->opened < CONNS_MAX);
    conn = calloc(1, sizeof *conn);
    assert_non_null(conn);
    conn->live = true;
    hub->conns[hub->opened++] = conn;
    return &conn->link;
}

static struct conn *check_live(struct standin *hub, struct wsh_link *link)
{
    struct conn *conn = (struct conn *)link;

    assert_int_equal(hub->in_op, 0);
    assert_true(conn->live);
    return conn;
}

static void on_received(void *arg, struct wsh_link *link, uint8_t *data,
                        size_t len)
{
    struct standin *hub = arg;
    struct conn *conn = check_live(hub, link);

    conn->got = realloc(conn->got, conn->got_len + len);
    assert_non_null(conn->got);
    memcpy(conn->got + conn->got_len, data, len);
    conn->got_len += len;
    memset(data, 0, len); /* the contract: may be changed in place */
    if (conn->echo)
        (void)standin_send(hub, conn, conn->got + conn->got_len - len, len);
    if (conn->drop_on_data)
        standin_drop(hub, conn);
}

static void on_writable(void *arg, struct wsh_link *link)
{
    check_live(arg, link)->writable++;
}

/* The connection stays allocated until teardown, to be looked at. */
static void on_closed(void *arg, struct wsh_link *link)
{
    struct standin *hub = arg;
    struct conn *conn = check_live(hub, link);
    size_t i;

    conn->live = false;
    hub->closed++;
    if (hub->drop_all_on_close)
        for (i = 0; i < hub->opened; i++)
            if (hub->conns[i]->live)
                standin_drop(hub, hub->conns[i]);
}

static const struct wsh_transport_events events = {on_opened, on_received,
                                                   on_writable, on_closed};

static void on_prepare(uv_prepare_t *handle)
{
    struct standin *hub = handle->data;

    if (hub->transport && !hub->done)
        while (wsh_transport_turn_end(hub->transport))
            continue;
}

static void on_impatient(uv_timer_t *timer)
{
    struct standin *hub = timer->data;

    hub->out_of_patience = true;
}

int standin_open(struct standin *hub, int sender, const char *tls_cert,
                 const char *tls_key, size_t read_bytes, unsigned max_links)
{
    struct wsh_transport_config config = {
        .uv_loop = &hub->uv,
        .tls_cert = tls_cert,
        .tls_key = tls_key,
        .sender = sender,
        .count_unsent = !tls_cert,
        .max_links = max_links,
        .read_bytes = read_bytes,
        .events = &events,
        .hub = hub,
        .log = &hub->log,
    };

    memset(hub, 0, sizeof *hub);
    /* The first loop of a process opens descriptors that stay. */
    assert_int_equal(uv_loop_init(&hub->uv), 0);
    assert_int_equal(uv_loop_close(&hub->uv), 0);
    hub->fds_before = open_descriptors();
    hub->log.write = on_log;
    hub->log.user = hub;
    assert_int_equal(uv_loop_init(&hub->uv), 0);
    (void)uv_prepare_init(&hub->uv, &hub->prepare);
    hub->prepare.data = hub;
    (void)uv_prepare_start(&hub->prepare, on_prepare);
    (void)uv_timer_init(&hub->uv, &hub->patience);
    hub->patience.data = hub;
    return wsh_transport_create(&hub->transport, &config);
}

static void on_done(void *arg)
{
    struct standin *hub = arg;

    assert_false(hub->done); /* exactly once */
    assert_int_equal(hub->closed, hub->opened);
    hub->done = true;
}

void standin_close(struct standin *hub)
{
    size_t i;

    if (hub->transport) {
        wsh_transport_close(hub->transport, on_done, hub);
        assert_false(hub->done);
        standin_until(hub, hub->done);
    }
    uv_close((uv_handle_t *)&hub->prepare, NULL);
    uv_close((uv_handle_t *)&hub->patience, NULL);
    assert_int_equal(uv_run(&hub->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&hub->uv), 0);
    for (i = 0; i < hub->opened; i++) {
        free(hub->conns[i]->got);
        free(hub->conns[i]);
    }
    assert_in_range(open_descriptors(), hub->fds_before,
                    hub->fds_before + LWS_LEAKS);
}

void standin_patience(struct standin *hub)
{
    hub->out_of_patience = false;
    (void)uv_timer_start(&hub->patience, on_impatient, PATIENCE_MS, 0);
}

void standin_step(struct standin *hub)
{
    (void)uv_run(&hub->uv, UV_RUN_ONCE);
    assert_false(hub->out_of_patience);
}

void standin_poll(struct standin *hub)
{
    (void)uv_run(&hub->uv, UV_RUN_NOWAIT);
    assert_false(hub->out_of_patience);
}

void standin_turns(struct standin *hub, int n)
{
    while (n-- > 0)
        (void)uv_run(&hub->uv, UV_RUN_NOWAIT);
}

static void adopt(struct standin *hub, int fd, int family)
{
    struct wsh_peer peer = {.family = (uint8_t)family};

    assert_int_equal(wsh_transport_adopt(hub->transport, fd, &peer), 0);
}

int standin_connect(struct standin *hub)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                pair),
                     0);
    adopt(hub, pair[0], AF_UNIX);
    return pair[1];
}

int standin_connect_tcp(struct standin *hub)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0), server;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
    server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(server >= 0);
    (void)close(listener);
    (void)fcntl(client, F_SETFL, O_NONBLOCK);
    adopt(hub, server, AF_INET);
    return client;
}

struct conn *standin_last(struct standin *hub)
{
    assert_true(hub->opened > 0);
    return hub->conns[hub->opened - 1];
}

int32_t standin_send(struct standin *hub, struct conn *conn, const void *data,
                     size_t len)
{
    struct wsh_send send = {&conn->link, data, (uint32_t)len, INT32_MIN};

    hub->in_op++;
    wsh_transport_ops()->send(hub->transport, &send, 1);
    hub->in_op--;
    return send.result;
}

void standin_drop(struct standin *hub, struct conn *conn)
{
    hub->in_op++;
    wsh_transport_ops()->drop(hub->transport, &conn->link);
    hub->in_op--;
}

void standin_shut(struct standin *hub, struct conn *conn)
{
    hub->in_op++;
    wsh_transport_ops()->shut(hub->transport, &conn->link);
    hub->in_op--;
}

void standin_read_enable(struct standin *hub, struct conn *conn, bool on)
{
    hub->in_op++;
    wsh_transport_ops()->read_enable(hub->transport, &conn->link, on);
    hub->in_op--;
}

void standin_want_write(struct standin *hub, struct conn *conn)
{
    hub->in_op++;
    wsh_transport_ops()->want_write(hub->transport, &conn->link);
    hub->in_op--;
}

long take_all(int fd, void *to, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t got = recv(fd, (char *)to + len, size - len, MSG_DONTWAIT);

        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        else
            return len > 0 ? (long)len : -1;
    }
    return (long)len;
}

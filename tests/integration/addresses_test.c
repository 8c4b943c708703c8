/*
 * addresses_test.c: every kind of address that a hub can listen on, with a
 * client that comes in by it; and the accounts of those who do not get in.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/crowd.h"
#include "support/identity.h"
#include "support/ws_peer.h"
#include "ws_hub.h"

enum { DEADLINE_S = 20, HANDSHAKE_MS = 100 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static union address v4_at(unsigned port)
{
    union address to = {.v4 = {.sin_family = AF_INET}};

    to.v4.sin_port = htons((uint16_t)port);
    to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

static union address v6_at(unsigned port)
{
    union address to = {.v6 = {.sin6_family = AF_INET6}};

    to.v6.sin6_port = htons((uint16_t)port);
    to.v6.sin6_addr = in6addr_loopback;
    return to;
}

static union address unix_at(const char *path)
{
    union address to = {.un = {.sun_family = AF_UNIX}};

    assert_true(strlen(path) < sizeof to.un.sun_path);
    memcpy(to.un.sun_path, path, strlen(path) + 1);
    return to;
}

static socklen_t address_len(const union address *address)
{
    return address->any.sa_family == AF_INET    ? sizeof address->v4
           : address->any.sa_family == AF_INET6 ? sizeof address->v6
                                                : sizeof address->un;
}

/* Clients: blocking, with a deadline on every read. */

static int connect_to(const union address *to)
{
    struct timeval deadline = {.tv_sec = DEADLINE_S};
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    assert_int_equal(connect(fd, &to->any, address_len(to)), 0);
    return fd;
}

static void send_all(int fd, struct wsh_buf *bytes)
{
    assert_int_equal(send(fd, bytes->data, bytes->len, MSG_NOSIGNAL),
                     bytes->len);
    wsh_buf_fini(bytes);
}

static void read_some(int fd, struct ws_peer *peer)
{
    uint8_t bytes[4096];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);

    assert_true(got > 0);
    ws_peer_feed(peer, bytes, (size_t)got);
}

static void expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    assert_int_equal(close(fd), 0);
}

static void check_text(void *arg, uint8_t opcode, const uint8_t *data,
                       size_t len)
{
    assert_int_equal(opcode, 1);
    assert_int_equal(len, strlen(arg));
    assert_memory_equal(data, arg, len);
}

/* Upgrade, say something, hear it, go. */
static void visit(const union address *to)
{
    struct ws_peer peer = {.on_message = check_text, .arg = "hello"};
    struct wsh_buf bytes = {0};
    int fd = connect_to(to);

    ws_peer_request(&bytes, "/", NULL);
    send_all(fd, &bytes);
    while (!peer.upgraded && !peer.refused)
        read_some(fd, &peer);
    assert_true(peer.upgraded);
    memset(&bytes, 0, sizeof bytes);
    ws_peer_frame(&bytes, true, 1, 0x12345678, "hello", 5);
    send_all(fd, &bytes);
    while (peer.messages < 1)
        read_some(fd, &peer);
    assert_int_equal(close(fd), 0);
    ws_peer_fini(&peer);
}

/* The hub: an echo that remembers its last guest's address. */

struct host {
    ws_hub *hub;
    char peer[64]; /* to be read when the hub has stopped */
};

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct host *host = user;

    (void)hub;
    (void)conn;
    snprintf(host->peer, sizeof host->peer, "%s", ws_hub_request_peer(request));
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    (void)user;
    assert_int_equal(ws_hub_send(hub, conn, type, data, len), 0);
}

static int try_open_host(struct host *host, const char *const *urls,
                         size_t count)
{
    ws_hub_callbacks callbacks = {.struct_size = sizeof callbacks,
                                  .on_open = on_open,
                                  .on_message = on_message};
    ws_hub_options options;

    memset(host, 0, sizeof *host);
    ws_hub_options_init(&options);
    options.bind_urls = urls;
    options.bind_count = count;
    options.callbacks = &callbacks;
    options.user = host;
    assert_int_equal(ws_hub_create(&host->hub, &options), 0);
    return ws_hub_start(host->hub);
}

static void open_host(struct host *host, const char *const *urls, size_t count)
{
    assert_int_equal(try_open_host(host, urls, count), 0);
}

static void close_host(struct host *host)
{
    assert_int_equal(ws_hub_stop(host->hub), 0);
    assert_int_equal(ws_hub_run(host->hub), 0);
    check_identity(host->hub, 1);
    ws_hub_destroy(host->hub);
}

/* A directory of our own, and a socket's name in it. */

struct place {
    char directory[32];
    char path[48];
    char url[64];
};

static void make_place(struct place *place)
{
    strcpy(place->directory, "/tmp/ws_hub_test_XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/socket", place->directory);
    snprintf(place->url, sizeof place->url, "unix:%s", place->path);
}

/* Fails if anything is left in it. */
static void remove_place(const struct place *place)
{
    assert_int_equal(rmdir(place->directory), 0);
}

static int listen_on(const union address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &address->any, address_len(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static unsigned port_of(int fd)
{
    union address bound;
    socklen_t len = sizeof bound;

    assert_int_equal(getsockname(fd, &bound.any, &len), 0);
    return ntohs(bound.v4.sin_port);
}

static bool has_v6(void)
{
    union address any = v6_at(0);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, &any.any, sizeof any.v6) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

static void test_addresses_unix_socket_comes_and_goes(void **state)
{
    struct place place;
    struct host host;
    union address to;
    const char *url = place.url;

    (void)state;
    make_place(&place);
    to = unix_at(place.path);
    open_host(&host, &url, 1);
    assert_int_equal(ws_hub_port(host.hub, 0), 0);
    visit(&to);
    close_host(&host);
    assert_string_equal(host.peer, "unix");
    remove_place(&place);
}

static void
test_addresses_unix_socket_of_a_dead_server_is_replaced(void **state)
{
    struct place place;
    struct host host;
    union address to;
    const char *url = place.url;

    (void)state;
    make_place(&place);
    to = unix_at(place.path);
    close(listen_on(&to));
    open_host(&host, &url, 1);
    visit(&to);
    close_host(&host);
    remove_place(&place);
}

static void test_addresses_unix_socket_in_use_is_left_alone(void **state)
{
    struct place place;
    struct host first, second;
    union address to;
    const char *url = place.url;

    (void)state;
    make_place(&place);
    to = unix_at(place.path);
    open_host(&first, &url, 1);
    assert_int_equal(try_open_host(&second, &url, 1), WS_HUB_ETRANSPORT);
    ws_hub_destroy(second.hub);
    visit(&to);
    close_host(&first);
    remove_place(&place);
}

static void test_addresses_inherited_socket_stays_the_hosts(void **state)
{
    union address any = v4_at(0), to;
    struct host host;
    int fd = listen_on(&any), guest;
    char url[16];
    const char *urls = url;

    (void)state;
    to = v4_at(port_of(fd));
    snprintf(url, sizeof url, "fd:%d", fd);
    for (int round = 0; round < 2; round++) {
        open_host(&host, &urls, 1);
        assert_int_equal(ws_hub_port(host.hub, 0), port_of(fd));
        visit(&to);
        close_host(&host);
        assert_memory_equal(host.peer, "127.0.0.1:", 10);
    }
    guest = connect_to(&to); /* it listens on without a hub */
    close(guest);
    assert_int_equal(close(fd), 0);
}

static void test_addresses_inherited_unix_socket_keeps_its_file(void **state)
{
    struct place place;
    struct host host;
    union address to;
    char url[16];
    const char *urls = url;
    int fd;

    (void)state;
    make_place(&place);
    to = unix_at(place.path);
    fd = listen_on(&to);
    snprintf(url, sizeof url, "fd:%d", fd);
    open_host(&host, &urls, 1);
    assert_int_equal(ws_hub_port(host.hub, 0), 0);
    visit(&to);
    close_host(&host);
    assert_int_equal(unlink(place.path), 0);
    assert_int_equal(close(fd), 0);
    remove_place(&place);
}

static void
test_addresses_descriptor_that_does_not_listen_is_refused(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct host host;
    char url[16];
    const char *urls = url;

    (void)state;
    snprintf(url, sizeof url, "fd:%d", fd);
    assert_int_equal(try_open_host(&host, &urls, 1), WS_HUB_EINVAL);
    ws_hub_destroy(host.hub);
    assert_int_equal(close(fd), 0);
}

static void test_addresses_v6_port_is_picked_and_told(void **state)
{
    const char *url = "tcp://[::1]:0";
    struct host host;
    union address to;

    (void)state;
    if (!has_v6())
        skip();
    open_host(&host, &url, 1);
    assert_in_range(ws_hub_port(host.hub, 0), 1, 65535);
    to = v6_at(ws_hub_port(host.hub, 0));
    visit(&to);
    close_host(&host);
    assert_memory_equal(host.peer, "[::1]:", 6);
}

static void test_addresses_several_serve_at_once(void **state)
{
    struct place place;
    struct host host;
    const char *urls[] = {"tcp://127.0.0.1:0", place.url, "tcp://127.0.0.1:0"};
    union address to[3];

    (void)state;
    make_place(&place);
    open_host(&host, urls, 3);
    assert_int_equal(ws_hub_port(host.hub, 1), 0);
    assert_int_equal(ws_hub_port(host.hub, 3), 0);
    assert_int_not_equal(ws_hub_port(host.hub, 0), ws_hub_port(host.hub, 2));
    to[0] = v4_at(ws_hub_port(host.hub, 0));
    to[1] = unix_at(place.path);
    to[2] = v4_at(ws_hub_port(host.hub, 2));
    for (int i = 0; i < 6; i++)
        visit(&to[i % 3]);
    close_host(&host);
    remove_place(&place);
}

static void test_addresses_port_in_use_fails_the_start(void **state)
{
    unsigned before = count_descriptors();
    union address any = v4_at(0);
    int fd = listen_on(&any);
    struct host host;
    char url[32];
    const char *urls[] = {"tcp://127.0.0.1:0", url};

    (void)state;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port_of(fd));
    assert_int_equal(try_open_host(&host, urls, 2), WS_HUB_ETRANSPORT);
    ws_hub_destroy(host.hub);
    assert_int_equal(close(fd), 0);
    assert_int_equal(count_descriptors(), before);
}

static uint64_t total(const uint64_t counts[32])
{
    uint64_t sum = 0;

    for (int i = 0; i < 32; i++)
        sum += counts[i];
    return sum;
}

static ws_hub *impatient_hub(void)
{
    const char *url = "tcp://127.0.0.1:0";
    ws_hub_options options;
    ws_hub *hub;

    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.handshake_timeout_ms = HANDSHAKE_MS;
    assert_int_equal(ws_hub_create(&hub, &options), 0);
    assert_int_equal(ws_hub_start(hub), 0);
    return hub;
}

static void test_addresses_unfinished_handshakes_are_timeouts_only(void **state)
{
    static const char *const heads[] = {"", "GE", "GET / HTTP/1.1\r\nHost: x"};
    ws_hub_stats_data stats = {.struct_size = sizeof stats};
    ws_hub *hub = impatient_hub();
    union address to = v4_at(ws_hub_port(hub, 0));
    int fd[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        fd[i] = connect_to(&to);
        assert_int_equal(send(fd[i], heads[i], strlen(heads[i]), 0),
                         strlen(heads[i]));
    }
    for (int i = 0; i < 3; i++)
        expect_end(fd[i]);
    assert_int_equal(ws_hub_stop(hub), 0);
    assert_int_equal(ws_hub_run(hub), 0);
    assert_int_equal(ws_hub_stats(hub, &stats), 0);
    assert_int_equal(stats.accepted, 3);
    assert_int_equal(stats.rejected[WS_HUB_REJECT_TIMEOUT], 3);
    assert_int_equal(total(stats.rejected), 3);
    assert_int_equal(stats.opened + stats.http + total(stats.closed), 0);
    check_identity(hub, 1);
    ws_hub_destroy(hub);
}

/* The host has opened so many files that a client's number is above what lws
 * has room for: it is refused and counted, the next one is served. */
static void test_addresses_descriptor_too_high_is_rejected(void **state)
{
    enum { LIMIT = 200 };
    static const char url[] = "tcp://127.0.0.1:0", *const urls[] = {url};
    ws_hub_stats_data stats = {.struct_size = sizeof stats};
    struct rlimit old, low;
    struct host host;
    union address to;
    int file[LIMIT], files = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = LIMIT;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    open_host(&host, urls, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    to = v4_at(ws_hub_port(host.hub, 0));

    do {
        file[files] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(file[files] >= 0);
    } while (file[files++] < LIMIT - 1);
    expect_end(connect_to(&to));
    while (files > 0)
        assert_int_equal(close(file[--files]), 0);
    visit(&to);
    assert_int_equal(ws_hub_stop(host.hub), 0);
    assert_int_equal(ws_hub_run(host.hub), 0);
    assert_int_equal(ws_hub_stats(host.hub, &stats), 0);
    assert_int_equal(stats.rejected[WS_HUB_REJECT_DESCRIPTORS], 1);
    assert_int_equal(total(stats.rejected), 1);
    close_host(&host);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_addresses_unix_socket_comes_and_goes),
        cmocka_unit_test(
            test_addresses_unix_socket_of_a_dead_server_is_replaced),
        cmocka_unit_test(test_addresses_unix_socket_in_use_is_left_alone),
        cmocka_unit_test(test_addresses_inherited_socket_stays_the_hosts),
        cmocka_unit_test(test_addresses_inherited_unix_socket_keeps_its_file),
        cmocka_unit_test(
            test_addresses_descriptor_that_does_not_listen_is_refused),
        cmocka_unit_test(test_addresses_v6_port_is_picked_and_told),
        cmocka_unit_test(test_addresses_descriptor_too_high_is_rejected),
        cmocka_unit_test(test_addresses_several_serve_at_once),
        cmocka_unit_test(test_addresses_port_in_use_fails_the_start),
        cmocka_unit_test(
            test_addresses_unfinished_handshakes_are_timeouts_only),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

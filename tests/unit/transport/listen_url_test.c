/* listen_url_test.c: addresses to listening sockets. */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "transport/acceptor.h"
#include "transport/listen_url.h"
#include "ws_hub/error.h"

enum { LOWAT = 50000 };

static const struct wsh_log nowhere = {NULL, NULL};

static void test_listen_url_good_forms_accepted(void **state)
{
    static const char *const good[] = {"tcp://127.0.0.1:80",
                                       "tcp://[::1]:0",
                                       "tcp://localhost:65535",
                                       "tcp://a-b.example.org:1",
                                       "tcp://[fe80::1%eth0]:9",
                                       "unix:/run/x.sock",
                                       "fd:3",
                                       "fd:0"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(wsh_acceptor_check_url(good[i]), 0);
}

static void test_listen_url_bad_forms_refused(void **state)
{
    char too_long[128] = "unix:/";
    const char *const bad[] = {"",
                               "tcp://",
                               "tcp://host",
                               "tcp://:80",
                               "tcp://host:",
                               "tcp://host:65536",
                               "tcp://host:-1",
                               "tcp://host:8x",
                               "tcp://host:000080",
                               "tcp://[::1]80",
                               "tcp://[]:80",
                               "tcp://[::1:80",
                               "tcp://::1:80",
                               "tcp://ho st:80",
                               "tcp://host/path:80",
                               "http://host:80",
                               "unix:relative",
                               "unix:/",
                               "unix:",
                               too_long,
                               "fd:",
                               "fd:-1",
                               "fd:3x",
                               "fd:9999999999"};
    size_t i;

    (void)state;
    memset(too_long + 6, 'x', sizeof too_long - 7); /* sun_path ends at 107 */
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(wsh_acceptor_check_url(bad[i]), WS_HUB_EINVAL);
}

static void test_listen_url_parts_are_split(void **state)
{
    struct wsh_listen_url url;

    (void)state;
    assert_int_equal(wsh_listen_url_parse(&url, "tcp://[::1]:8080"), 0);
    assert_int_equal(url.kind, WSH_LISTEN_TCP);
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.port, "8080");
    assert_int_equal(wsh_listen_url_parse(&url, "unix:/run/x"), 0);
    assert_int_equal(url.kind, WSH_LISTEN_UNIX);
    assert_string_equal(url.path, "/run/x");
    assert_int_equal(wsh_listen_url_parse(&url, "fd:12"), 0);
    assert_int_equal(url.kind, WSH_LISTEN_FD);
    assert_int_equal(url.fd, 12);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void test_listen_open_port_zero_accepts_with_options(void **state)
{
    struct wsh_listen_sockets sockets;
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int client = socket(AF_INET, SOCK_STREAM, 0), server;

    (void)state;
    assert_int_equal(
        wsh_listen_open(&sockets, "tcp://127.0.0.1:0", LOWAT, &nowhere), 0);
    assert_int_equal(sockets.count, 1);
    assert_in_range(sockets.port, 1, 65535);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr.sin_port = htons((uint16_t)sockets.port);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof addr), 0);
    server = accept(sockets.fd[0], NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(option(server, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(server, IPPROTO_TCP, TCP_NOTSENT_LOWAT), LOWAT);
    (void)close(server);
    (void)close(client);
    (void)close(sockets.fd[0]);
}

static void test_listen_open_without_lowat_leaves_the_systems(void **state)
{
    int untouched = socket(AF_INET, SOCK_STREAM, 0);
    struct wsh_listen_sockets sockets;

    (void)state;
    assert_int_equal(
        wsh_listen_open(&sockets, "tcp://127.0.0.1:0", UINT_MAX, &nowhere), 0);
    assert_int_equal(option(sockets.fd[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT),
                     option(untouched, IPPROTO_TCP, TCP_NOTSENT_LOWAT));
    (void)close(untouched);
    (void)close(sockets.fd[0]);
}

static void test_listen_open_name_binds_each_address_on_one_port(void **state)
{
    struct wsh_listen_sockets sockets;
    size_t i;

    (void)state;
    assert_int_equal(
        wsh_listen_open(&sockets, "tcp://localhost:0", LOWAT, &nowhere), 0);
    assert_in_range(sockets.count, 1, WSH_LISTEN_ADDRS);
    for (i = 0; i < sockets.count; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof addr;

        assert_int_equal(
            getsockname(sockets.fd[i], (struct sockaddr *)&addr, &len), 0);
        assert_int_equal(ntohs(addr.ss_family == AF_INET
                                   ? ((struct sockaddr_in *)&addr)->sin_port
                                   : ((struct sockaddr_in6 *)&addr)->sin6_port),
                         sockets.port);
        (void)close(sockets.fd[i]);
    }
}

static void test_listen_open_busy_port_fails(void **state)
{
    struct wsh_listen_sockets first, second;
    char url[64];

    (void)state;
    assert_int_equal(
        wsh_listen_open(&first, "tcp://127.0.0.1:0", LOWAT, &nowhere), 0);
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%u", first.port);
    assert_int_equal(wsh_listen_open(&second, url, LOWAT, &nowhere),
                     WS_HUB_ETRANSPORT);
    assert_int_equal(second.count, 0);
    (void)close(first.fd[0]);
}

static void test_listen_open_unknown_name_fails(void **state)
{
    struct wsh_listen_sockets sockets;

    (void)state;
    assert_int_equal(wsh_listen_open(&sockets, "tcp://no-such-host.invalid:0",
                                     LOWAT, &nowhere),
                     WS_HUB_ETRANSPORT);
}

/* A path of this process, and its address; nothing is there. */
static void unix_path(char path[64], char url[80])
{
    (void)snprintf(path, 64, "/tmp/ws_hub_listen_%d.sock", (int)getpid());
    (void)snprintf(url, 80, "unix:%s", path);
    (void)unlink(path);
}

static void test_listen_open_stale_unix_socket_is_replaced(void **state)
{
    struct wsh_listen_sockets sockets;
    char path[64], url[80];

    (void)state;
    unix_path(path, url);
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere), 0);
    (void)close(sockets.fd[0]); /* as a crash leaves it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere), 0);
    assert_int_equal(sockets.port, 0);
    (void)close(sockets.fd[0]);
    (void)unlink(path);
}

static void test_listen_open_live_unix_socket_is_left_alone(void **state)
{
    struct wsh_listen_sockets first, second;
    char path[64], url[80];

    (void)state;
    unix_path(path, url);
    assert_int_equal(wsh_listen_open(&first, url, LOWAT, &nowhere), 0);
    assert_int_equal(wsh_listen_open(&second, url, LOWAT, &nowhere),
                     WS_HUB_ETRANSPORT);
    assert_int_equal(access(path, F_OK), 0);
    (void)close(first.fd[0]);
    (void)unlink(path);
}

static void test_listen_open_other_file_is_left_alone(void **state)
{
    struct wsh_listen_sockets sockets;
    char path[64], url[80];
    FILE *file;

    (void)state;
    unix_path(path, url);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere),
                     WS_HUB_ETRANSPORT);
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
}

static void test_listen_open_fd_must_listen(void **state)
{
    struct wsh_listen_sockets sockets;
    char url[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    (void)snprintf(url, sizeof url, "fd:%d", fd);
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere),
                     WS_HUB_EINVAL);
    assert_int_equal(listen(fd, 1), 0); /* binds to a port of its own */
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere), 0);
    assert_true(sockets.inherited);
    assert_int_equal(sockets.fd[0], fd);
    assert_in_range(sockets.port, 1, 65535);
    (void)close(fd);
    assert_int_equal(wsh_listen_open(&sockets, url, LOWAT, &nowhere),
                     WS_HUB_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_url_good_forms_accepted),
        cmocka_unit_test(test_listen_url_bad_forms_refused),
        cmocka_unit_test(test_listen_url_parts_are_split),
        cmocka_unit_test(test_listen_open_port_zero_accepts_with_options),
        cmocka_unit_test(test_listen_open_without_lowat_leaves_the_systems),
        cmocka_unit_test(test_listen_open_name_binds_each_address_on_one_port),
        cmocka_unit_test(test_listen_open_busy_port_fails),
        cmocka_unit_test(test_listen_open_unknown_name_fails),
        cmocka_unit_test(test_listen_open_stale_unix_socket_is_replaced),
        cmocka_unit_test(test_listen_open_live_unix_socket_is_left_alone),
        cmocka_unit_test(test_listen_open_other_file_is_left_alone),
        cmocka_unit_test(test_listen_open_fd_must_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

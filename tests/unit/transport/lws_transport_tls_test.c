/* lws_transport_tls_test.c: TLS links, with a certificate made for the run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "tls_client.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

struct fixture {
    struct tls_files files;
    struct standin hub;
    struct tls_client client;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    *state = f;
    if (!tls_files_make(&f->files))
        return -1;
    return standin_open(&f->hub, WS_HUB_SENDER_AUTO, f->files.cert,
                        f->files.key, 0, 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    standin_close(&f->hub);
    tls_files_remove(&f->files);
    free(f);
    return 0;
}

static struct conn *establish(struct fixture *f)
{
    tls_connect(&f->client, &f->hub, standin_connect_tcp(&f->hub));
    tls_write(&f->client, "GET", 3);
    standin_until(&f->hub, standin_last(&f->hub)->got_len == 3);
    return standin_last(&f->hub);
}

static void test_tls_bytes_come_back_echoed(void **state)
{
    struct fixture *f = *state;
    struct conn *conn = establish(f);
    char back[8] = "";

    conn->echo = true;
    tls_write(&f->client, "hello", 5);
    standin_until(&f->hub, conn->got_len == 8);
    assert_int_equal(tls_read(&f->client, back, 5), 5);
    assert_string_equal(back, "hello");
    tls_close(&f->client);
    standin_until(&f->hub, f->hub.closed == 1);
}

static void test_tls_big_message_arrives_both_ways(void **state)
{
    enum { N = 200000 };
    struct fixture *f = *state;
    struct conn *conn = establish(f);
    static uint8_t out[N], back[N];
    size_t sent = 0, got = 0;
    int i;

    for (i = 0; i < N; i++)
        out[i] = (uint8_t)(i * 7);
    standin_patience(&f->hub);
    while (got < N) {
        if (sent < N)
            sent += (size_t)standin_send(&f->hub, conn, out + sent, N - sent);
        got += (size_t)tls_read(&f->client, back + got, (int)(N - got));
        standin_poll(&f->hub);
    }
    assert_memory_equal(out, back, N);
    for (i = 0; i < N; i += 10000)
        tls_write(&f->client, out + i, 10000);
    standin_until(&f->hub, conn->got_len == N + 3);
    assert_memory_equal(conn->got + 3, out, N);
    tls_close(&f->client);
}

static void test_tls_full_socket_takes_one_record_more(void **state)
{
    struct fixture *f = *state;
    struct conn *conn = establish(f);
    const struct wsh_transport_ops *ops = wsh_transport_ops();
    static uint8_t bytes[100000], sink[1 << 20];
    int32_t sent;

    assert_int_equal(ops->held(f->hub.transport, &conn->link), 0);
    do
        sent = standin_send(&f->hub, conn, bytes, sizeof bytes);
    while (sent == sizeof bytes);
    assert_in_range(ops->held(f->hub.transport, &conn->link), 1, 16384);
    assert_int_equal(standin_send(&f->hub, conn, bytes, 1), 0);
    standin_turns(&f->hub, 5);
    assert_int_equal(conn->writable, 0);
    standin_patience(&f->hub);
    while (conn->writable == 0) {
        (void)tls_read(&f->client, sink, sizeof sink);
        standin_poll(&f->hub);
    }
    assert_int_equal(ops->held(f->hub.transport, &conn->link), 0);
    standin_turns(&f->hub, 5);
    assert_int_equal(conn->writable, 1);
    tls_close(&f->client);
}

static void test_tls_full_socket_does_not_spin_on_input(void **state)
{
    struct fixture *f = *state;
    struct conn *conn = establish(f);
    static uint8_t bytes[100000], sink[1 << 20];

    while (standin_send(&f->hub, conn, bytes, sizeof bytes) > 0)
        ;
    tls_write(&f->client, "input", 5);
    standin_turns(&f->hub, 5);
    /* With input waiting and output stuck nothing must keep the loop busy. */
    (void)uv_timer_stop(&f->hub.patience);
    assert_int_equal(uv_backend_timeout(&f->hub.uv) != 0, 1);
    assert_int_equal(conn->got_len, 3);
    standin_patience(&f->hub);
    while (conn->got_len < 8) {
        (void)tls_read(&f->client, sink, sizeof sink);
        standin_poll(&f->hub);
    }
    tls_close(&f->client);
}

static void test_tls_reading_off_holds_input_back(void **state)
{
    struct fixture *f = *state;
    struct conn *conn = establish(f);

    standin_read_enable(&f->hub, conn, false);
    tls_write(&f->client, "late", 4);
    standin_turns(&f->hub, 10);
    assert_int_equal(conn->got_len, 3);
    standin_read_enable(&f->hub, conn, true);
    standin_until(&f->hub, conn->got_len == 7);
    tls_close(&f->client);
}

static void test_tls_send_before_handshake_waits(void **state)
{
    struct fixture *f = *state;
    int fd = standin_connect_tcp(&f->hub);
    struct conn *conn = standin_last(&f->hub);

    assert_int_equal(standin_send(&f->hub, conn, "early", 5), 0);
    standin_turns(&f->hub, 5);
    assert_int_equal(conn->writable, 0);
    tls_connect(&f->client, &f->hub, fd);
    tls_write(&f->client, "x", 1);
    standin_until(&f->hub, conn->writable == 1);
    assert_int_equal(standin_send(&f->hub, conn, "early", 5), 5);
    tls_close(&f->client);
}

static void test_tls_garbage_handshake_closed_once(void **state)
{
    struct fixture *f = *state;
    int fd = standin_connect_tcp(&f->hub);

    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    standin_until(&f->hub, f->hub.closed == 1);
    (void)close(fd);
}

static void test_tls_garbage_before_adoption_closed_once(void **state)
{
    struct fixture *f = *state;
    struct wsh_peer peer = {.family = AF_UNIX};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(write(pair[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_int_equal(wsh_transport_adopt(f->hub.transport, pair[0], &peer), 0);
    assert_int_equal(f->hub.opened, 1);
    assert_int_equal(f->hub.closed, 1);
    (void)close(pair[1]);
}

static void test_tls_peer_leaves_in_handshake_closed_once(void **state)
{
    struct fixture *f = *state;

    (void)close(standin_connect_tcp(&f->hub));
    standin_until(&f->hub, f->hub.closed == 1);
}

static void test_tls_drop_in_handshake_closed_once(void **state)
{
    struct fixture *f = *state;
    int fd = standin_connect_tcp(&f->hub);

    standin_drop(&f->hub, standin_last(&f->hub));
    standin_until(&f->hub, f->hub.closed == 1);
    (void)close(fd);
}

static void test_tls_shut_sends_what_is_held_then_fin(void **state)
{
    struct fixture *f = *state;
    struct conn *conn = establish(f);
    static uint8_t bytes[100000], sink[1 << 20];
    size_t sent = 0, got = 0;
    int32_t now;
    int n = 0;

    do {
        now = standin_send(&f->hub, conn, bytes, sizeof bytes);
        sent += (size_t)now;
    } while (now == sizeof bytes);
    standin_shut(&f->hub, conn);
    standin_patience(&f->hub);
    while ((n = tls_read(&f->client, sink, sizeof sink)) >= 0) {
        got += (size_t)n;
        standin_poll(&f->hub);
    }
    assert_int_equal(got, sent);
    tls_close(&f->client);
    standin_until(&f->hub, f->hub.closed == 1);
}

static void test_tls_version_is_at_least_1_2(void **state)
{
    struct fixture *f = *state;

    (void)establish(f);
    assert_true(SSL_version(f->client.ssl) >= TLS1_2_VERSION);
    tls_close(&f->client);
}

static void test_tls_nothing_of_peers_is_an_error(void **state)
{
    struct fixture *f = *state;
    int fd = standin_connect_tcp(&f->hub);

    assert_int_equal(write(fd, "garbage garbage", 15), 15);
    standin_until(&f->hub, f->hub.closed == 1);
    assert_string_equal(f->hub.log_text, "");
    (void)close(fd);
}

/* Without the fixture. */

static void test_tls_bad_certificate_fails_and_leaves_nothing(void **state)
{
    static struct standin hub;
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        assert_int_equal(standin_open(&hub, WS_HUB_SENDER_AUTO,
                                      "/nonexistent/cert.pem",
                                      "/nonexistent/key.pem", 0, 0),
                         WS_HUB_ETRANSPORT);
        assert_non_null(strstr(hub.log_text, "/nonexistent/cert.pem"));
        assert_null(hub.transport);
        standin_close(&hub);
    }
}

static void test_tls_with_demanded_uring_fails(void **state)
{
    static struct standin hub;

    (void)state;
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_URING, "/x", "/y", 0, 0),
                     WS_HUB_ETRANSPORT);
    standin_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_tls_bytes_come_back_echoed),
        CASE(test_tls_big_message_arrives_both_ways),
        CASE(test_tls_full_socket_takes_one_record_more),
        CASE(test_tls_full_socket_does_not_spin_on_input),
        CASE(test_tls_reading_off_holds_input_back),
        CASE(test_tls_send_before_handshake_waits),
        CASE(test_tls_garbage_handshake_closed_once),
        CASE(test_tls_garbage_before_adoption_closed_once),
        CASE(test_tls_peer_leaves_in_handshake_closed_once),
        CASE(test_tls_drop_in_handshake_closed_once),
        CASE(test_tls_shut_sends_what_is_held_then_fin),
        CASE(test_tls_version_is_at_least_1_2),
        CASE(test_tls_nothing_of_peers_is_an_error),
#undef CASE
        cmocka_unit_test(test_tls_bad_certificate_fails_and_leaves_nothing),
        cmocka_unit_test(test_tls_with_demanded_uring_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

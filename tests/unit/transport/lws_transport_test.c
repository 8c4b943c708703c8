/* lws_transport_test.c: plain links of the transport over real sockets. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>
#include "standin.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

static int setup(void **state)
{
    struct standin *hub = malloc(sizeof *hub);

    assert_non_null(hub);
    assert_int_equal(
        standin_open(hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, CONNS_MAX), 0);
    *state = hub;
    return 0;
}

static int teardown(void **state)
{
    standin_close(*state);
    free(*state);
    return 0;
}

/* Fill the kernel's buffers; returns the bytes that were taken. */
static size_t fill(struct standin *hub, struct conn *conn)
{
    static uint8_t bytes[65536];
    size_t taken = 0;
    int32_t sent;

    do {
        sent = standin_send(hub, conn, bytes, sizeof bytes);
        assert_true(sent >= 0);
        taken += (size_t)sent;
    } while (sent == sizeof bytes);
    return taken;
}

static void test_transport_bytes_come_back_echoed(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);
    char back[16] = "";

    standin_last(hub)->echo = true;
    assert_int_equal(write(fd, "hello", 5), 5);
    standin_until(hub, standin_last(hub)->got_len == 5);
    assert_int_equal(take_all(fd, back, sizeof back), 5);
    assert_string_equal(back, "hello");
    (void)close(fd);
}

static void test_transport_peer_closes_closed_once(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect_tcp(hub);

    (void)close(fd);
    standin_until(hub, hub->closed == 1);
    assert_false(standin_last(hub)->live);
}

static void test_transport_drop_closes_later(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);
    char byte;

    standin_drop(hub, standin_last(hub));
    standin_drop(hub, standin_last(hub));
    assert_int_equal(hub->closed, 0);
    standin_until(hub, hub->closed == 1);
    standin_turns(hub, 3);
    assert_int_equal(take_all(fd, &byte, 1), -1);
    (void)close(fd);
}

static void test_transport_drop_inside_received_ends_input(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);

    standin_last(hub)->drop_on_data = true;
    assert_int_equal(write(fd, "x", 1), 1);
    standin_until(hub, hub->closed == 1);
    assert_int_equal(standin_last(hub)->got_len, 1);
    (void)close(fd);
}

static void test_transport_dropped_link_refuses_bytes(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);

    standin_drop(hub, standin_last(hub));
    assert_true(standin_send(hub, standin_last(hub), "x", 1) < 0);
    standin_until(hub, hub->closed == 1);
    (void)close(fd);
}

static void test_transport_drop_inside_closed_reaches_all(void **state)
{
    struct standin *hub = *state;
    int fd[5], i;

    for (i = 0; i < 5; i++)
        fd[i] = standin_connect(hub);
    hub->drop_all_on_close = true;
    standin_drop(hub, hub->conns[2]);
    standin_until(hub, hub->closed == 5);
    for (i = 0; i < 5; i++)
        (void)close(fd[i]);
}

static void test_transport_full_socket_writable_comes_once(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect_tcp(hub);
    struct conn *conn = standin_last(hub);
    static char sink[1 << 20];
    size_t taken = fill(hub, conn), seen = 0;
    long got;

    assert_int_equal(standin_send(hub, conn, "x", 1), 0);
    standin_turns(hub, 5);
    assert_int_equal(conn->writable, 0);
    standin_patience(hub);
    while (seen < taken) {
        got = take_all(fd, sink, sizeof sink);
        assert_true(got >= 0);
        seen += (size_t)got;
        standin_poll(hub);
    }
    standin_until(hub, conn->writable > 0);
    standin_turns(hub, 5);
    assert_int_equal(conn->writable, 1);
    (void)close(fd);
}

static void
test_transport_held_counts_what_the_kernel_has_not_sent(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect_tcp(hub);
    struct conn *conn = standin_last(hub);
    const struct wsh_transport_ops *ops = wsh_transport_ops();
    size_t taken;

    assert_int_equal(ops->held(hub->transport, &conn->link), 0);
    taken = fill(hub, conn);
    assert_in_range(ops->held(hub->transport, &conn->link), 1, taken);
    (void)close(fd);
}

static void test_transport_want_write_comes_in_a_later_turn(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);

    standin_want_write(hub, standin_last(hub));
    standin_want_write(hub, standin_last(hub));
    assert_int_equal(standin_last(hub)->writable, 0);
    standin_until(hub, standin_last(hub)->writable > 0);
    standin_turns(hub, 5);
    assert_int_equal(standin_last(hub)->writable, 1);
    (void)close(fd);
}

static void test_transport_reading_off_holds_input_back(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);

    standin_read_enable(hub, standin_last(hub), false);
    assert_int_equal(write(fd, "late", 4), 4);
    standin_turns(hub, 10);
    assert_int_equal(standin_last(hub)->got_len, 0);
    standin_read_enable(hub, standin_last(hub), true);
    standin_until(hub, standin_last(hub)->got_len == 4);
    (void)close(fd);
}

static void
test_transport_broken_link_closes_though_reading_is_off(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect_tcp(hub);

    standin_read_enable(hub, standin_last(hub), false);
    (void)close(fd);
    /* The first write draws the reset, a later one sees it. */
    standin_patience(hub);
    while (hub->closed == 0) {
        (void)standin_send(hub, standin_last(hub), "x", 1);
        standin_poll(hub);
    }
    assert_int_equal(hub->closed, 1);
}

static void test_transport_shut_sends_fin_and_reads_on(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);
    char byte[4];

    assert_int_equal(standin_send(hub, standin_last(hub), "bye", 3), 3);
    standin_shut(hub, standin_last(hub));
    standin_shut(hub, standin_last(hub));
    assert_int_equal(take_all(fd, byte, 4), 3);
    assert_int_equal(take_all(fd, byte, 4), -1);
    assert_int_equal(write(fd, "ok", 2), 2);
    standin_until(hub, standin_last(hub)->got_len == 2);
    assert_int_equal(hub->closed, 0);
    (void)close(fd);
    standin_until(hub, hub->closed == 1);
}

static void test_transport_opened_refuses_socket_is_closed(void **state)
{
    struct standin *hub = *state;
    struct wsh_peer peer = {.family = AF_UNIX};
    int pair[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    hub->refuse = true;
    assert_int_equal(wsh_transport_adopt(hub->transport, pair[0], &peer),
                     WS_HUB_ENOMEM);
    standin_turns(hub, 3);
    assert_int_equal(take_all(pair[1], &byte, 1), -1);
    assert_int_equal(hub->opened + hub->closed, 0);
    (void)close(pair[1]);
}

static void test_transport_batch_of_a_thousand_arrives(void **state)
{
    enum { N = 1000 };
    struct standin *hub = *state;
    static struct wsh_send v[N];
    static int fd[N];
    char text[16], back[16];
    int i;

    for (i = 0; i < N; i++)
        fd[i] = standin_connect(hub);
    for (i = 0; i < N; i++)
        v[i] = (struct wsh_send){&hub->conns[i]->link, "frame", 5, 0};
    wsh_transport_ops()->send(hub->transport, v, N);
    for (i = 0; i < N; i++) {
        (void)snprintf(text, sizeof text, "frame");
        memset(back, 0, sizeof back);
        assert_int_equal(v[i].result, 5);
        assert_int_equal(take_all(fd[i], back, sizeof back), 5);
        assert_string_equal(back, text);
        (void)close(fd[i]);
    }
    standin_until(hub, hub->closed == N);
}

static void test_transport_batch_reports_each_link_by_itself(void **state)
{
    enum { N = 16, FULL = 3, BROKEN = 7 };
    struct standin *hub = *state;
    struct wsh_send v[N];
    int fd[N], i;

    for (i = 0; i < N; i++)
        fd[i] = standin_connect(hub);
    (void)fill(hub, hub->conns[FULL]);
    (void)close(fd[BROKEN]);
    for (i = 0; i < N; i++)
        v[i] = (struct wsh_send){&hub->conns[i]->link, "frame", 5, 99};
    wsh_transport_ops()->send(hub->transport, v, N);
    for (i = 0; i < N; i++)
        if (i == FULL)
            assert_int_equal(v[i].result, 0);
        else if (i == BROKEN)
            assert_true(v[i].result < 0);
        else
            assert_int_equal(v[i].result, 5);
    standin_until(hub, hub->closed == 1);
    assert_false(hub->conns[BROKEN]->live);
    for (i = 0; i < N; i++)
        if (i != BROKEN)
            (void)close(fd[i]);
}

static void test_transport_close_closes_every_link_first(void **state)
{
    struct standin *hub = *state;
    int fd[20], i;

    for (i = 0; i < 20; i++)
        fd[i] = standin_connect_tcp(hub);
    standin_turns(hub, 2);
    /* teardown closes, and checks the balance when `done` comes */
    for (i = 0; i < 20; i += 2)
        standin_drop(hub, hub->conns[i]);
    for (i = 0; i < 20; i++)
        (void)close(fd[i]);
}

static void test_transport_nothing_was_logged(void **state)
{
    struct standin *hub = *state;
    int fd = standin_connect(hub);

    standin_turns(hub, 3);
    (void)close(fd);
    standin_until(hub, hub->closed == 1);
    assert_string_equal(hub->log_text, "");
}

/* Without the fixture: they open hubs of their own. */

static void forget_transport(void *arg)
{
    struct standin *hub = arg;

    hub->transport = NULL;
}

struct opener {
    uv_check_t check;
    int fd[256], count;
};

/* Another thread would do it at any time: here it is in the middle of a turn.
 */
static void open_one(uv_check_t *check)
{
    struct opener *opener = check->data;

    assert_true(opener->count < 256);
    opener->fd[opener->count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(opener->fd[opener->count++] >= 0);
}

/* What the host opens while a transport ends is the host's: lws 4.1 closes its
 * pipe's number twice. */
static void test_transport_closing_leaves_new_descriptors_alone(void **state)
{
    static struct standin hub;
    struct opener opener = {.count = 0};

    (void)state;
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, 4),
                     0);
    (void)uv_check_init(&hub.uv, &opener.check);
    opener.check.data = &opener;
    (void)uv_check_start(&opener.check, open_one);
    wsh_transport_close(hub.transport, forget_transport, &hub);
    standin_until(&hub, hub.transport == NULL);
    while (opener.count-- > 0)
        assert_int_equal(close(opener.fd[opener.count]), 0);
    uv_close((uv_handle_t *)&opener.check, NULL);
    standin_close(&hub);
}

static void test_transport_created_and_closed_a_hundred_times(void **state)
{
    static struct standin hub;
    int i, fd;

    (void)state;
    for (i = 0; i < 100; i++) {
        assert_int_equal(
            standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, 4), 0);
        fd = i % 3 == 0 ? -1 : standin_connect(&hub);
        if (i % 3 == 2)
            standin_turns(&hub, 2);
        if (fd >= 0)
            (void)close(fd);
        standin_close(&hub); /* descriptors, handles, balance */
        assert_string_equal(hub.log_text, "");
    }
}

static void test_transport_over_max_links_refuses(void **state)
{
    static struct standin hub;
    struct wsh_peer peer = {.family = AF_UNIX};
    int fd[3], pair[2], i;
    char byte;

    (void)state;
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_WRITE, NULL, NULL, 0, 3),
                     0);
    for (i = 0; i < 3; i++)
        fd[i] = standin_connect(&hub);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(wsh_transport_adopt(hub.transport, pair[0], &peer),
                     WS_HUB_ETRANSPORT);
    assert_int_equal(take_all(pair[1], &byte, 1), -1);
    (void)close(pair[1]);
    for (i = 0; i < 3; i++)
        (void)close(fd[i]);
    standin_close(&hub);
}

/* lws has a table by descriptor that does not grow. */
static void test_transport_descriptor_above_the_table_is_refused(void **state)
{
    static struct standin hub;
    struct wsh_peer peer = {.family = AF_UNIX};
    struct rlimit old, low;
    int pair[2], high, fd;
    char byte;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_WRITE, NULL, NULL, 0, 3),
                     0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    high = fcntl(pair[0], F_DUPFD_CLOEXEC, 200);
    assert_true(high >= 200);
    (void)close(pair[0]);
    assert_int_equal(wsh_transport_adopt(hub.transport, high, &peer),
                     WS_HUB_ELIMIT);
    assert_int_equal(hub.opened, 0);
    assert_int_equal(take_all(pair[1], &byte, 1), -1);
    (void)close(pair[1]);
    assert_non_null(strstr(hub.log_text, "raise that"));
    fd = standin_connect(&hub);
    assert_int_equal(write(fd, "x", 1), 1);
    standin_until(&hub, standin_last(&hub)->got_len == 1);
    (void)close(fd);
    standin_close(&hub);
}

static void test_transport_small_read_buffer_reads_everything(void **state)
{
    static struct standin hub;
    static char bytes[50000];
    int fd;

    (void)state;
    assert_int_equal(
        standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 1024, 0), 0);
    fd = standin_connect(&hub);
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    standin_until(&hub, standin_last(&hub)->got_len == sizeof bytes);
    assert_memory_equal(standin_last(&hub)->got, bytes, sizeof bytes);
    (void)close(fd);
    standin_close(&hub);
}

static void
test_transport_without_descriptors_fails_and_leaves_nothing(void **state)
{
    static struct standin hub;
    struct rlimit limit;
    rlim_t old;
    int lowest = dup(0);

    (void)state;
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    old = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest + 9; /* the loop, a ring, not lws */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, 1),
                     WS_HUB_ETRANSPORT);
    limit.rlim_cur = old;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_non_null(strstr(hub.log_text, "descriptors"));
    standin_close(&hub);
}

static void on_sigpipe(int signal)
{
    (void)signal;
}

static void test_transport_plain_leaves_sigpipe_alone(void **state)
{
    static struct standin hub;
    struct sigaction mine = {.sa_handler = on_sigpipe}, seen, old;

    (void)state;
    (void)sigaction(SIGPIPE, &mine, &old);
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, 1),
                     0);
    (void)sigaction(SIGPIPE, &old, &seen);
    assert_ptr_equal(seen.sa_handler, on_sigpipe);
    standin_close(&hub);
}

static void test_transport_uses_uring_as_told(void **state)
{
    static struct standin hub;

    (void)state;
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_WRITE, NULL, NULL, 0, 1),
                     0);
    assert_false(wsh_transport_uses_uring(hub.transport));
    standin_close(&hub);
    assert_int_equal(standin_open(&hub, WS_HUB_SENDER_AUTO, NULL, NULL, 0, 1),
                     0);
    /* or a line that says why not */
    assert_true(wsh_transport_uses_uring(hub.transport) !=
                (strstr(hub.log_text, "no io_uring") != NULL));
    standin_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_transport_bytes_come_back_echoed),
        CASE(test_transport_peer_closes_closed_once),
        CASE(test_transport_drop_closes_later),
        CASE(test_transport_drop_inside_received_ends_input),
        CASE(test_transport_dropped_link_refuses_bytes),
        CASE(test_transport_drop_inside_closed_reaches_all),
        CASE(test_transport_full_socket_writable_comes_once),
        CASE(test_transport_held_counts_what_the_kernel_has_not_sent),
        CASE(test_transport_want_write_comes_in_a_later_turn),
        CASE(test_transport_reading_off_holds_input_back),
        CASE(test_transport_broken_link_closes_though_reading_is_off),
        CASE(test_transport_shut_sends_fin_and_reads_on),
        CASE(test_transport_opened_refuses_socket_is_closed),
        CASE(test_transport_batch_of_a_thousand_arrives),
        CASE(test_transport_batch_reports_each_link_by_itself),
        CASE(test_transport_close_closes_every_link_first),
        CASE(test_transport_nothing_was_logged),
#undef CASE
        cmocka_unit_test(test_transport_created_and_closed_a_hundred_times),
        cmocka_unit_test(test_transport_closing_leaves_new_descriptors_alone),
        cmocka_unit_test(test_transport_over_max_links_refuses),
        cmocka_unit_test(test_transport_descriptor_above_the_table_is_refused),
        cmocka_unit_test(test_transport_small_read_buffer_reads_everything),
        cmocka_unit_test(
            test_transport_without_descriptors_fails_and_leaves_nothing),
        cmocka_unit_test(test_transport_plain_leaves_sigpipe_alone),
        cmocka_unit_test(test_transport_uses_uring_as_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

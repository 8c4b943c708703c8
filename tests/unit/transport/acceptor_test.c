/* acceptor_test.c: listening, admitting, refusing and starving. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>
#include <cmocka.h>
#include "standin.h"
#include "transport/acceptor.h"
#include "transport/linger.h"
#include "ws_hub/error.h"

static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n\r\n";

enum { PEERS_MAX = 256, PATIENCE_MS = 10000 };

struct gate {
    uv_loop_t uv;
    uv_timer_t patience;
    bool impatient;
    struct wsh_acceptor *acceptor;
    struct wsh_log log;
    bool refuse, close_on_admit, close_on_accept, done;
    int fd[PEERS_MAX];
    struct wsh_peer peer[PEERS_MAX];
    int accepted, refused, starved, answered;
    int fds_before;
};

static void on_done(void *arg)
{
    struct gate *gate = arg;

    assert_false(gate->done);
    gate->done = true;
}

static void close_acceptor(struct gate *gate)
{
    wsh_acceptor_close(gate->acceptor, on_done, gate);
    gate->acceptor = NULL;
}

static int on_admit(void *arg, const struct wsh_peer *peer)
{
    struct gate *gate = arg;

    (void)peer;
    gate->refused += gate->refuse;
    if (gate->close_on_admit)
        close_acceptor(gate);
    return gate->refuse;
}

static void on_accepted(void *arg, int fd, const struct wsh_peer *peer)
{
    struct gate *gate = arg;

    assert_true(gate->accepted < PEERS_MAX);
    gate->fd[gate->accepted] = fd;
    gate->peer[gate->accepted++] = *peer;
    if (gate->close_on_accept)
        close_acceptor(gate);
}

static void on_starved(void *arg, bool answered)
{
    struct gate *gate = arg;

    gate->starved++;
    gate->answered += answered;
}

static int listen_on(struct gate *gate, const char *url, bool tls)
{
    const char *urls[] = {url};
    struct wsh_acceptor_config config = {
        .uv_loop = &gate->uv,
        .urls = urls,
        .url_count = 1,
        .tls = tls,
        .notsent_lowat = 65536,
        .refusal = answer,
        .refusal_len = sizeof answer - 1,
        .admit = on_admit,
        .accepted = on_accepted,
        .starved = on_starved,
        .arg = gate,
        .log = &gate->log,
    };

    return wsh_acceptor_create(&gate->acceptor, &config);
}

static void on_impatient(uv_timer_t *timer)
{
    ((struct gate *)timer->data)->impatient = true;
}

static int setup(void **state)
{
    struct gate *gate = calloc(1, sizeof *gate);

    assert_non_null(gate);
    /* The first loop of a process opens descriptors that stay. */
    assert_int_equal(uv_loop_init(&gate->uv), 0);
    assert_int_equal(uv_loop_close(&gate->uv), 0);
    gate->fds_before = open_descriptors();
    assert_int_equal(uv_loop_init(&gate->uv), 0);
    (void)uv_timer_init(&gate->uv, &gate->patience);
    gate->patience.data = gate;
    *state = gate;
    return 0;
}

static int teardown(void **state)
{
    struct gate *gate = *state;

    if (gate->acceptor) {
        close_acceptor(gate);
        assert_false(gate->done);
    }
    uv_close((uv_handle_t *)&gate->patience, NULL);
    assert_int_equal(uv_run(&gate->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&gate->uv), 0);
    while (gate->accepted > 0)
        (void)close(gate->fd[--gate->accepted]);
    assert_int_equal(open_descriptors(), gate->fds_before);
    free(gate);
    return 0;
}

#define until(gate, condition)                                                 \
    do {                                                                       \
        (void)uv_timer_start(&(gate)->patience, on_impatient, PATIENCE_MS, 0); \
        while (!(condition)) {                                                 \
            (void)uv_run(&(gate)->uv, UV_RUN_ONCE);                            \
            assert_false((gate)->impatient);                                   \
        }                                                                      \
    } while (0)

static int dial(const struct gate *gate)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr.sin_port = htons((uint16_t)wsh_acceptor_port(gate->acceptor, 0));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void read_answer(struct gate *gate, int fd)
{
    char text[256] = "", byte;
    long len = 0;

    until(gate, (len = take_all(fd, text, sizeof text - 1)) != 0);
    assert_int_equal(len, sizeof answer - 1);
    assert_string_equal(text, answer);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0); /* FIN, not RST */
}

static void test_acceptor_hands_over_socket_and_peer(void **state)
{
    struct gate *gate = *state;
    struct sockaddr_in mine;
    socklen_t len = sizeof mine;
    int fd;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    fd = dial(gate);
    until(gate, gate->accepted == 1);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
    assert_int_equal(gate->peer[0].family, AF_INET);
    assert_int_equal(gate->peer[0].port, ntohs(mine.sin_port));
    assert_memory_equal(gate->peer[0].addr, "\x7f\0\0\1", 4);
    assert_true(fcntl(gate->fd[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(gate->fd[0], F_GETFD) & FD_CLOEXEC);
    (void)close(fd);
}

static void test_acceptor_storm_is_accepted_whole(void **state)
{
    enum { N = 200 };
    struct gate *gate = *state;
    int fd[N], i;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    for (i = 0; i < N; i++)
        fd[i] = dial(gate);
    (void)uv_run(&gate->uv, UV_RUN_ONCE);
    assert_in_range(gate->accepted, 1, 64); /* one event, one batch */
    until(gate, gate->accepted == N);
    for (i = 0; i < N; i++)
        (void)close(fd[i]);
}

static void test_acceptor_refused_peer_reads_the_answer(void **state)
{
    struct gate *gate = *state;
    int fd, fds;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    gate->refuse = true;
    fd = dial(gate);
    fds = open_descriptors();
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    until(gate, gate->refused == 1);
    /* More input must not turn the answer into a reset. */
    assert_int_equal(write(fd, "more", 4), 4);
    read_answer(gate, fd);
    assert_int_equal(open_descriptors(), fds + 1); /* lingers */
    (void)close(fd);
    until(gate, open_descriptors() == fds - 1);
    assert_int_equal(gate->accepted, 0);
}

static void test_acceptor_refused_peer_that_stays_is_closed(void **state)
{
    struct gate *gate = *state;
    int fd, fds;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    gate->refuse = true;
    fd = dial(gate);
    fds = open_descriptors();
    until(gate, gate->refused == 1);
    until(gate, open_descriptors() == fds); /* a second later */
    (void)close(fd);
}

static void test_acceptor_lingering_is_bounded(void **state)
{
    enum { N = WSH_LINGER_MAX + 30 };
    struct gate *gate = *state;
    int fd[N], i, fds;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    gate->refuse = true;
    for (i = 0; i < N; i++)
        fd[i] = dial(gate);
    fds = open_descriptors();
    until(gate, gate->refused == N);
    assert_in_range(open_descriptors(), fds, fds + WSH_LINGER_MAX);
    for (i = 0; i < N; i++) {
        read_answer(gate, fd[i]);
        (void)close(fd[i]);
    }
}

static void test_acceptor_tls_refusal_closes_silently(void **state)
{
    struct gate *gate = *state;
    int fd;
    char byte;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", true), 0);
    gate->refuse = true;
    fd = dial(gate);
    until(gate, gate->refused == 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    (void)close(fd);
}

/* Leave the process without a free descriptor; returns the old limit. */
static rlim_t exhaust(void)
{
    struct rlimit limit;
    rlim_t old;
    int lowest = dup(0);

    assert_true(lowest >= 0);
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    old = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return old;
}

static void restore_limit(rlim_t old)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = old;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_acceptor_starved_answers_pauses_and_recovers(void **state)
{
    struct gate *gate = *state;
    int fd[3], i;
    rlim_t old;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    for (i = 0; i < 3; i++)
        fd[i] = dial(gate);
    assert_int_equal(write(fd[0], "GET", 3), 3); /* unread: a reset */
    old = exhaust();
    until(gate, gate->starved == 1);
    assert_int_equal(gate->answered, 1);
    assert_int_equal(gate->accepted, 0);
    assert_true(uv_backend_timeout(&gate->uv) > 0); /* pauses */
    (void)uv_run(&gate->uv, UV_RUN_NOWAIT);
    assert_int_equal(gate->starved, 1);
    restore_limit(old);
    until(gate, gate->accepted == 2);
    read_answer(gate, fd[0]);
    for (i = 0; i < 3; i++)
        (void)close(fd[i]);
}

static void test_acceptor_starved_without_peers_does_not_count(void **state)
{
    struct gate *gate = *state;
    int fd, spare;
    rlim_t old;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    fd = dial(gate);
    spare = dup(0); /* room for this peer, none for a look at the next */
    old = exhaust();
    (void)close(spare);
    until(gate, gate->accepted == 1);
    assert_int_equal(gate->starved, 0);
    restore_limit(old);
    (void)close(fd);
}

static void test_acceptor_close_inside_accepted_is_allowed(void **state)
{
    struct gate *gate = *state;
    int fd[2];

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    fd[0] = dial(gate);
    fd[1] = dial(gate);
    gate->close_on_accept = true;
    until(gate, gate->done);
    assert_int_equal(gate->accepted, 1);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

static void test_acceptor_close_inside_admit_is_allowed(void **state)
{
    struct gate *gate = *state;
    int fd;

    assert_int_equal(listen_on(gate, "tcp://127.0.0.1:0", false), 0);
    fd = dial(gate);
    gate->refuse = gate->close_on_admit = true;
    until(gate, gate->done);
    assert_int_equal(gate->accepted, 0);
    (void)close(fd);
}

static void test_acceptor_unix_path_goes_with_it(void **state)
{
    struct gate *gate = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char url[128];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(addr.sun_path, sizeof addr.sun_path,
                   "/tmp/ws_hub_acceptor_%d.sock", (int)getpid());
    (void)snprintf(url, sizeof url, "unix:%s", addr.sun_path);
    assert_int_equal(listen_on(gate, url, false), 0);
    assert_int_equal(wsh_acceptor_port(gate->acceptor, 0), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    until(gate, gate->accepted == 1);
    assert_int_equal(gate->peer[0].family, AF_UNIX);
    close_acceptor(gate);
    assert_int_equal(access(addr.sun_path, F_OK), -1);
    (void)close(fd);
}

static void test_acceptor_inherited_socket_stays_open(void **state)
{
    struct gate *gate = *state;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    char url[16];

    assert_int_equal(listen(listener, 8), 0);
    (void)snprintf(url, sizeof url, "fd:%d", listener);
    assert_int_equal(listen_on(gate, url, false), 0);
    fd = dial(gate);
    until(gate, gate->accepted == 1);
    close_acceptor(gate);
    until(gate, gate->done);
    assert_int_equal(fcntl(listener, F_GETFD), 0);
    (void)close(listener);
    (void)close(fd);
}

static void test_acceptor_bad_address_leaves_nothing(void **state)
{
    struct gate *gate = *state;

    assert_int_equal(listen_on(gate, "http://x:1", false), WS_HUB_EINVAL);
    assert_null(gate->acceptor);
    assert_int_equal(listen_on(gate, "unix:/nonexistent/dir/x", false),
                     WS_HUB_ETRANSPORT);
    assert_null(gate->acceptor);
    (void)uv_run(&gate->uv, UV_RUN_NOWAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_acceptor_hands_over_socket_and_peer),
        CASE(test_acceptor_storm_is_accepted_whole),
        CASE(test_acceptor_refused_peer_reads_the_answer),
        CASE(test_acceptor_refused_peer_that_stays_is_closed),
        CASE(test_acceptor_lingering_is_bounded),
        CASE(test_acceptor_tls_refusal_closes_silently),
        CASE(test_acceptor_starved_answers_pauses_and_recovers),
        CASE(test_acceptor_starved_without_peers_does_not_count),
        CASE(test_acceptor_close_inside_accepted_is_allowed),
        CASE(test_acceptor_close_inside_admit_is_allowed),
        CASE(test_acceptor_unix_path_goes_with_it),
        CASE(test_acceptor_inherited_socket_stays_open),
        CASE(test_acceptor_bad_address_leaves_nothing),
#undef CASE
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

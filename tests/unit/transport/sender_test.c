/* sender_test.c: both senders, case by case the same. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "standin.h"
#include "transport/sender.h"
#include "ws_hub/error.h"

enum { N = 40 };

struct lines {
    struct wsh_sender *sender;
    struct wsh_log log;
    char log_text[256];
    struct wsh_link link[N];
    int peer[N];
    struct wsh_send v[N];
};

static void on_log(int level, const char *text, void *user)
{
    struct lines *lines = user;

    (void)level;
    (void)snprintf(lines->log_text, sizeof lines->log_text, "%s", text);
}

static struct lines *make_lines(void **state)
{
    struct lines *lines = calloc(1, sizeof *lines);
    int i, pair[2];

    assert_non_null(lines);
    lines->log.write = on_log;
    lines->log.user = lines;
    for (i = 0; i < N; i++) {
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        lines->link[i].fd = pair[0];
        lines->peer[i] = pair[1];
        lines->v[i] = (struct wsh_send){&lines->link[i], "frame", 5, 99};
    }
    *state = lines;
    return lines;
}

static int setup_write(void **state)
{
    make_lines(state)->sender = wsh_sender_write();
    return 0;
}

static int setup_uring(void **state)
{
    struct lines *lines = make_lines(state);
    const char *why;
    int error = wsh_sender_uring(&lines->sender, &lines->log, &why);

    if (error) {
        assert_int_equal(error, WS_HUB_ENOTSUP);
        assert_non_null(why);
        print_message("# no io_uring here: %s\n", why);
    }
    return 0;
}

static int teardown(void **state)
{
    struct lines *lines = *state;
    int i;

    if (lines->sender)
        lines->sender->destroy(lines->sender);
    for (i = 0; i < N; i++) {
        if (lines->link[i].fd >= 0)
            (void)close(lines->link[i].fd);
        (void)close(lines->peer[i]);
    }
    free(lines);
    return 0;
}

static void need_sender(const struct lines *lines)
{
    if (!lines->sender)
        skip();
}

static void send_n(struct lines *lines, size_t n)
{
    lines->sender->send(lines->sender, lines->v, n);
}

static void check_arrived(struct lines *lines, int i)
{
    char text[16] = "";

    assert_int_equal(lines->v[i].result, 5);
    assert_int_equal(take_all(lines->peer[i], text, sizeof text), 5);
    assert_string_equal(text, "frame");
}

static void test_sender_every_batch_size_arrives(void **state)
{
    struct lines *lines = *state;
    size_t n, i;

    need_sender(lines);
    for (n = 0; n <= N; n++) {
        send_n(lines, n);
        for (i = 0; i < n; i++)
            check_arrived(lines, (int)i);
    }
}

static void test_sender_full_and_broken_are_told_apart(void **state)
{
    struct lines *lines = *state;
    static char bytes[1 << 20];
    int i;

    need_sender(lines);
    while (write(lines->link[3].fd, bytes, sizeof bytes) > 0)
        ;
    (void)close(lines->link[5].fd);
    lines->link[5].fd = -1; /* as the transport does when it drops */
    (void)shutdown(lines->peer[7], SHUT_RDWR);
    send_n(lines, N);
    assert_int_equal(lines->v[3].result, 0);
    assert_int_equal(lines->v[5].result, -EBADF);
    assert_int_equal(lines->v[7].result, -EPIPE);
    for (i = 0; i < N; i++)
        if (i != 3 && i != 5 && i != 7)
            check_arrived(lines, i);
}

static void test_sender_short_send_takes_a_part(void **state)
{
    struct lines *lines = *state;
    enum { BIG = 4 << 20 };
    char *bytes = calloc(1, BIG);
    int i, small = 4096;

    need_sender(lines);
    assert_non_null(bytes);
    for (i = 0; i < N; i++) {
        (void)setsockopt(lines->link[i].fd, SOL_SOCKET, SO_SNDBUF, &small,
                         sizeof small);
        lines->v[i].data = bytes;
        lines->v[i].len = BIG;
    }
    send_n(lines, N);
    for (i = 0; i < N; i++)
        assert_in_range(lines->v[i].result, 1, BIG - 1);
    free(bytes);
}

static int ring_descriptor(void)
{
    DIR *dir = opendir("/proc/self/fd");
    char path[64], target[64];
    struct dirent *entry;
    int found = -1;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        ssize_t len;

        (void)snprintf(path, sizeof path, "/proc/self/fd/%.16s", entry->d_name);
        len = readlink(path, target, sizeof target - 1);
        if (len > 0 && memmem(target, (size_t)len, "io_uring", 8))
            found = atoi(entry->d_name);
    }
    (void)closedir(dir);
    return found;
}

static void test_sender_uring_ring_is_not_inherited(void **state)
{
    need_sender(*state);
    assert_true(fcntl(ring_descriptor(), F_GETFD) & FD_CLOEXEC);
}

static void test_sender_uring_failing_goes_on_with_send(void **state)
{
    struct lines *lines = *state;
    int ring = ring_descriptor(), null = open("/dev/null", O_RDONLY), round, i;

    need_sender(lines);
    assert_int_equal(dup3(null, ring, O_CLOEXEC), ring);
    for (round = 0; round < 2; round++) {
        send_n(lines, N);
        for (i = 0; i < N; i++)
            check_arrived(lines, i);
    }
    assert_non_null(strstr(lines->log_text, "io_uring failed"));
    (void)close(null);
}

/* Containers refuse io_uring with a seccomp filter. */
static int child_without_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};
    struct wsh_log nowhere = {NULL, NULL};
    struct wsh_sender *sender;
    const char *why = NULL;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        return 2;
    return wsh_sender_uring(&sender, &nowhere, &why) == WS_HUB_ENOTSUP &&
                   !sender && why
               ? 0
               : 1;
}

static void test_sender_uring_refused_by_seccomp_says_so(void **state)
{
    pid_t child = fork();
    int status = -1;

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(child_without_uring());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WRITE(name) {#name "_write", name, setup_write, teardown, NULL}
#define URING(name)                                                            \
    {                                                                          \
#name "_uring", name, setup_uring, teardown, NULL                      \
    }
        WRITE(test_sender_every_batch_size_arrives),
        URING(test_sender_every_batch_size_arrives),
        WRITE(test_sender_full_and_broken_are_told_apart),
        URING(test_sender_full_and_broken_are_told_apart),
        WRITE(test_sender_short_send_takes_a_part),
        URING(test_sender_short_send_takes_a_part),
        URING(test_sender_uring_ring_is_not_inherited),
        URING(test_sender_uring_failing_goes_on_with_send),
        cmocka_unit_test(test_sender_uring_refused_by_seccomp_says_so),
#undef WRITE
#undef URING
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

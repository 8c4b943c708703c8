/* output_test.c: commands become the bytes they should, whatever the socket
 * takes at a time; and the ring of what is unanswered keeps its order. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "broker/redis/output.h"
#include "broker/redis/pending.h"

static void add(struct wsr_output *output, const struct wsr_arg *args,
                size_t count, bool joined)
{
    size_t before = wsr_output_waiting(output);
    size_t size = wsr_command_size(args, count, joined);

    assert_true(wsr_output_reserve(output, size));
    wsr_output_command(output, args, count, joined);
    assert_int_equal(wsr_output_waiting(output), before + size);
}

static void assert_waiting(const struct wsr_output *output, const char *bytes)
{
    assert_int_equal(wsr_output_waiting(output), strlen(bytes));
    assert_memory_equal(output->bytes + output->start, bytes, strlen(bytes));
}

static void test_output_command_is_an_array_of_strings(void **state)
{
    const struct wsr_arg args[] = {{"SET", 3}, {"", 0}, {"0123456789", 10}};
    struct wsr_output output = {0};

    (void)state;
    add(&output, args, 3, false);
    assert_waiting(&output,
                   "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
    wsr_output_free(&output);
}

static void test_output_joined_arguments_are_one_string(void **state)
{
    const struct wsr_arg args[] = {{"P", 1}, {"head", 4}, {"data", 4}};
    const struct wsr_arg empty[] = {{"P", 1}, {NULL, 0}, {NULL, 0}};
    struct wsr_output output = {0};

    (void)state;
    add(&output, args, 3, true);
    add(&output, empty, 3, true);
    assert_waiting(&output, "*2\r\n$1\r\nP\r\n$8\r\nheaddata\r\n"
                            "*2\r\n$1\r\nP\r\n$0\r\n\r\n");
    wsr_output_free(&output);
}

/* What has been read so far must be the beginning of what was written. */
struct stream {
    char *want;
    size_t want_len, want_size, got_len;
    int ends[2];
};

static void note(struct stream *stream, const struct wsr_output *output,
                 size_t from)
{
    size_t more = wsr_output_waiting(output) - from;

    if (stream->want_len + more > stream->want_size) {
        stream->want_size = 2 * (stream->want_len + more);
        stream->want = realloc(stream->want, stream->want_size);
        assert_non_null(stream->want);
    }
    memcpy(stream->want + stream->want_len,
           output->bytes + output->start + from, more);
    stream->want_len += more;
}

static void take(struct stream *stream, size_t most)
{
    char bytes[8192];
    ssize_t got = recv(stream->ends[1], bytes,
                       most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);

    if (got <= 0)
        return;
    assert_true(stream->got_len + (size_t)got <= stream->want_len);
    assert_memory_equal(bytes, stream->want + stream->got_len, (size_t)got);
    stream->got_len += (size_t)got;
}

static void test_output_partial_writes_lose_and_double_nothing(void **state)
{
    static char payload[5000];
    struct wsr_output output = {0};
    struct stream stream = {0};
    unsigned random = 1;
    int small = 4096;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream.ends), 0);
    (void)setsockopt(stream.ends[0], SOL_SOCKET, SO_SNDBUF, &small,
                     sizeof small);
    for (unsigned step = 0; step < 3000; step++) {
        struct wsr_arg arg = {payload, 0};
        size_t before = wsr_output_waiting(&output);

        random = random * 1103515245 + 12345;
        arg.len = (random >> 8) % sizeof payload;
        memset(payload, (int)('a' + step % 26), arg.len);
        if (before < 200000) {
            add(&output, &arg, 1, false);
            note(&stream, &output, before);
        }
        assert_int_equal(wsr_output_send(&output, stream.ends[0], NULL), 0);
        take(&stream, (random >> 4) % 8000 + 1);
    }
    while (stream.got_len < stream.want_len) {
        assert_int_equal(wsr_output_send(&output, stream.ends[0], NULL), 0);
        take(&stream, 8192);
    }
    assert_int_equal(wsr_output_waiting(&output), 0);
    wsr_output_free(&output);
    free(stream.want);
    (void)close(stream.ends[0]);
    (void)close(stream.ends[1]);
}

static void test_output_large_block_is_given_back(void **state)
{
    static char payload[1 << 20];
    const struct wsr_arg arg = {payload, sizeof payload};
    struct wsr_output output = {0};
    struct stream stream = {0};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream.ends), 0);
    add(&output, &arg, 1, false);
    note(&stream, &output, 0);
    while (stream.got_len < stream.want_len) {
        assert_int_equal(wsr_output_send(&output, stream.ends[0], NULL), 0);
        take(&stream, 8192);
    }
    assert_int_equal(output.size, 0);
    free(stream.want);
    (void)close(stream.ends[0]);
    (void)close(stream.ends[1]);
}

static void test_output_broken_socket_is_an_error(void **state)
{
    const struct wsr_arg arg = {"PING", 4};
    struct wsr_output output = {0};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)close(ends[1]);
    add(&output, &arg, 1, false);
    assert_int_equal(wsr_output_send(&output, ends[0], NULL), EPIPE);
    wsr_output_free(&output);
    (void)close(ends[0]);
}

static void test_pending_order_is_kept_while_the_ring_grows(void **state)
{
    struct wsr_pendings pendings = {0};
    uint64_t in = 0, out = 0;

    (void)state;
    assert_null(wsr_pendings_first(&pendings));
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 7; i++) {
            assert_true(wsr_pendings_reserve(&pendings));
            wsr_pendings_push(&pendings,
                              (struct wsr_pending){.since_ms = in++});
        }
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(wsr_pendings_pop(&pendings).since_ms, out++);
    }
    while (out < in) {
        assert_int_equal(wsr_pendings_first(&pendings)->since_ms, out);
        assert_int_equal(wsr_pendings_pop(&pendings).since_ms, out++);
    }
    assert_null(wsr_pendings_first(&pendings));
    wsr_pendings_free(&pendings);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_output_command_is_an_array_of_strings),
        cmocka_unit_test(test_output_joined_arguments_are_one_string),
        cmocka_unit_test(test_output_partial_writes_lose_and_double_nothing),
        cmocka_unit_test(test_output_large_block_is_given_back),
        cmocka_unit_test(test_output_broken_socket_is_an_error),
        cmocka_unit_test(test_pending_order_is_kept_while_the_ring_grows),
    };

    return cmocka_run_group_tests_name("redis_output", cases, NULL, NULL);
}

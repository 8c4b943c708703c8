#include "output.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tls.h"

enum { FIRST_SIZE = 4096, KEPT_SIZE = 256 * 1024 };

static size_t digits(size_t number)
{
    size_t n = 1;

    while (number >= 10) {
        number /= 10;
        n++;
    }
    return n;
}

/* "$5\r\n" or "*5\r\n" */
static size_t header_size(size_t number)
{
    return 1 + digits(number) + 2;
}

/* Length of the n-th string, of which the last may be made of two arguments. */
static size_t string_len(const struct wsr_arg *args, size_t strings, size_t n,
                         bool joined)
{
    return args[n].len + (joined && n + 1 == strings ? args[n + 1].len : 0);
}

size_t wsr_command_size(const struct wsr_arg *args, size_t count, bool joined)
{
    size_t strings = joined ? count - 1 : count;
    size_t size = header_size(strings);

    for (size_t i = 0; i < strings; i++) {
        size_t len = string_len(args, strings, i, joined);

        size += header_size(len) + len + 2;
    }
    return size;
}

bool wsr_output_reserve(struct wsr_output *output, size_t more)
{
    size_t waiting = wsr_output_waiting(output), size = output->size;
    char *bytes;

    if (size - output->end >= more)
        return true;
    /* Moved to the front only if that frees half of the block: each byte is
     * then moved once on average, however slowly the socket takes them. */
    if (output->start >= size / 2 && size - waiting >= more) {
        memmove(output->bytes, output->bytes + output->start, waiting);
    } else {
        if (size < FIRST_SIZE)
            size = FIRST_SIZE;
        while (size - waiting < more)
            size *= 2;
        bytes = malloc(size);
        if (!bytes)
            return false;
        if (waiting > 0)
            memcpy(bytes, output->bytes + output->start, waiting);
        free(output->bytes);
        output->bytes = bytes;
        output->size = size;
    }
    output->start = 0;
    output->end = waiting;
    return true;
}

static void append(struct wsr_output *output, const void *bytes, size_t len)
{
    assert(output->size - output->end >= len);
    if (len > 0)
        memcpy(output->bytes + output->end, bytes, len);
    output->end += len;
}

static void append_header(struct wsr_output *output, char mark, size_t number)
{
    char text[32];
    size_t at = sizeof text;

    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text[--at] = mark;
    append(output, text + at, sizeof text - at);
}

void wsr_output_command(struct wsr_output *output, const struct wsr_arg *args,
                        size_t count, bool joined)
{
    size_t strings = joined ? count - 1 : count;

    append_header(output, '*', strings);
    for (size_t i = 0; i < strings; i++) {
        append_header(output, '$', string_len(args, strings, i, joined));
        append(output, args[i].bytes, args[i].len);
        if (joined && i + 1 == strings)
            append(output, args[count - 1].bytes, args[count - 1].len);
        append(output, "\r\n", 2);
    }
}

size_t wsr_output_waiting(const struct wsr_output *output)
{
    return output->end - output->start;
}

int wsr_output_send(struct wsr_output *output, int fd, struct wsr_tls *tls)
{
    while (output->start < output->end) {
        const char *bytes = output->bytes + output->start;
        size_t len = wsr_output_waiting(output);
        ssize_t sent = tls ? wsr_tls_send(tls, bytes, len)
                           : send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        output->start += (size_t)sent;
    }
    output->start = output->end = 0;
    if (output->size > KEPT_SIZE)
        wsr_output_free(output);
    return 0;
}

void wsr_output_free(struct wsr_output *output)
{
    free(output->bytes);
    memset(output, 0, sizeof *output);
}

/*
 * output.h: commands on their way to a server: one growing block of bytes, cut
 * off at the front as the socket takes them. Thread: the loop's.
 */
#ifndef WSR_OUTPUT_H
#define WSR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct wsr_tls;

struct wsr_arg {
    const void *bytes;
    size_t len;
};

/* Zeroed: empty. */
struct wsr_output {
    char *bytes;
    size_t start, end, size;
};

/* Bytes of a command as RESP. `joined`: the last two arguments are one string,
 * so that a head and a payload need not be copied together first. */
size_t wsr_command_size(const struct wsr_arg *args, size_t count, bool joined);

/* Room for so many bytes more; false: out of memory, nothing has changed. */
bool wsr_output_reserve(struct wsr_output *output, size_t more);

/* Append a command; wsr_command_size() bytes are reserved. */
void wsr_output_command(struct wsr_output *output, const struct wsr_arg *args,
                        size_t count, bool joined);

size_t wsr_output_waiting(const struct wsr_output *output);

/* Send what the socket takes, through `tls` if that is not NULL. 0; or the
 * errno of a socket that is broken. */
int wsr_output_send(struct wsr_output *output, int fd, struct wsr_tls *tls);

void wsr_output_free(struct wsr_output *output);

#endif

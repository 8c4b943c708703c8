/*
 * standin.h: a hub of a few lines on a real transport, and sockets to reach it,
 * all on one thread: the test pumps the loop until what it waits for is there.
 *
 * It checks the contract as it goes: events only for live links, none inside of
 * an op, exactly one `closed` per `opened` (counted at teardown).
 */
#ifndef WSH_TESTS_STANDIN_H
#define WSH_TESTS_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "transport/transport.h"

struct conn {
    struct wsh_link link; /* first: the hub gets it back as one */
    bool live;
    uint8_t *got; /* received bytes */
    size_t got_len;
    int writable; /* calls */
    bool echo;
    bool drop_on_data;
};

enum { CONNS_MAX = 1200 };

struct standin {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_timer_t patience;
    bool out_of_patience;
    struct wsh_transport *transport;
    struct wsh_log log;
    char log_text[4096]; /* every line */
    struct conn *conns[CONNS_MAX];
    size_t opened, closed;
    bool refuse; /* opened returns NULL */
    bool drop_all_on_close;
    int in_op; /* events are forbidden while it is set */
    bool done;
    int fds_before;
};

/* tls_cert NULL: plain, and the kernel's bytes count in `held`. Returns what
 * wsh_transport_create returned. */
int standin_open(struct standin *hub, int sender, const char *tls_cert,
                 const char *tls_key, size_t read_bytes, unsigned max_links);
/* Close the transport, run the loop empty, check balance. */
void standin_close(struct standin *hub);

/* Run the loop until the condition holds; fails the test after 10 s. */
#define standin_until(hub, condition)                                          \
    do {                                                                       \
        standin_patience(hub);                                                 \
        while (!(condition))                                                   \
            standin_step(hub);                                                 \
    } while (0)
void standin_patience(struct standin *hub);
void standin_step(struct standin *hub);
/* The same without waiting, for loops in which the test has work to do too. */
void standin_poll(struct standin *hub);
/* Turns of the loop that do not wait. */
void standin_turns(struct standin *hub, int n);

/* A connected pair: one end adopted, the other (non-blocking) returned. */
int standin_connect(struct standin *hub);
/* The same over loopback TCP. */
int standin_connect_tcp(struct standin *hub);
/* The newest connection. */
struct conn *standin_last(struct standin *hub);

/* Ops, with the re-entry check around them. */
int32_t standin_send(struct standin *hub, struct conn *conn, const void *data,
                     size_t len);
void standin_drop(struct standin *hub, struct conn *conn);
void standin_shut(struct standin *hub, struct conn *conn);
void standin_read_enable(struct standin *hub, struct conn *conn, bool on);
void standin_want_write(struct standin *hub, struct conn *conn);

/* Read all that is there into a buffer; -1: end of file or reset. */
long take_all(int fd, void *to, size_t size);
int open_descriptors(void);

#endif

/*
 * crowd.h: many real WebSocket clients of one server on loopback, in one thread
 * with one epoll: connect them, let them hear, close them.
 *
 * Every wait has a generous deadline and fails the test at it; nothing sleeps.
 * Owner: the test. Thread: one.
 */
#ifndef WSH_TEST_CROWD_H
#define WSH_TEST_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "support/ws_peer.h"

struct crowd;

struct crowd_client {
    struct crowd *crowd;
    unsigned index;
    int fd; /* -1: closed */
    bool open;
    bool paused;        /* reads only what crowd_read() asks for */
    int receive_buffer; /* bytes, set before connecting; 0: the system's */
    uint64_t bytes;     /* read */
    struct ws_peer ws;
};

/* data: a whole message. */
typedef void (*crowd_message_cb)(struct crowd_client *client, uint8_t opcode,
                                 const uint8_t *data, size_t len, void *arg);

struct crowd *crowd_create(unsigned port, unsigned count);
/* Not connected yet, upgraded, or closed by the server. */
unsigned crowd_open_count(const struct crowd *crowd);
struct crowd_client *crowd_client(struct crowd *crowd, unsigned index);
void crowd_on_message(struct crowd *crowd, crowd_message_cb cb, void *arg);
/* Runs while nothing happens on the sockets, too: a host loop in this thread.
 */
void crowd_on_idle(struct crowd *crowd, void (*idle)(void *arg), void *arg);

/* What each client says together with its request, before any answer: appended
 * to `request`. */
void crowd_on_start(struct crowd *crowd,
                    void (*say)(struct crowd_client *client,
                                struct wsh_buf *request));

/* Connect all: client i asks for `path` ("%u" becomes i % modulo). */
void crowd_connect(struct crowd *crowd, const char *path, unsigned modulo,
                   const char *subprotocol);
/* Handle what is ready, at most `wait_ms`. */
void crowd_turn(struct crowd *crowd, int wait_ms);
/* Turns until done(arg). */
void crowd_until(struct crowd *crowd, bool (*done)(void *arg), void *arg);
/* Turns until every client is closed by the server. */
void crowd_until_closed(struct crowd *crowd);
/* Stop reading: what the server sends stays in the kernels. And go on. */
void crowd_pause(struct crowd_client *client);
void crowd_resume(struct crowd_client *client);
/* Read what there is, at most so many bytes. */
void crowd_read(struct crowd_client *client, size_t most);
/* Send one masked frame, whole (blocking if it must). */
void crowd_send(struct crowd_client *client, uint8_t opcode, const void *data,
                size_t len);
/* Close everything. */
void crowd_destroy(struct crowd *crowd);

/* Open descriptors of this process. */
unsigned count_descriptors(void);

#endif

/*
 * linger.h: refused sockets that wait for their peer to read the answer.
 *
 * Closing a socket with unread input sends RST, which may overtake the answer.
 * So a refused socket gets its answer and FIN, is read until the peer closes,
 * and is closed after a second at the latest. At most WSH_LINGER_MAX at a time:
 * the oldest one makes room.
 *
 * Owner: the acceptor. Thread: its loop's. One timer, no watches: the pool is
 * read every 50 ms while it is not empty.
 */
#ifndef WSH_TRANSPORT_LINGER_H
#define WSH_TRANSPORT_LINGER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { WSH_LINGER_MAX = 64, WSH_LINGER_MS = 1000 };

struct wsh_linger {
    uv_timer_t timer;
    int fd[WSH_LINGER_MAX]; /* -1: free */
    uint64_t until_ms[WSH_LINGER_MAX];
    unsigned next;  /* where the next one goes: the oldest's place */
    unsigned count; /* used places */
};

void wsh_linger_init(struct wsh_linger *linger, uv_loop_t *uv);
/* Takes fd over. */
void wsh_linger_refuse(struct wsh_linger *linger, int fd, const void *answer,
                       size_t len);
/* Close all of them now. */
void wsh_linger_flush(struct wsh_linger *linger);

/* Read what is there and answer; the caller closes. */
void wsh_linger_answer(int fd, const void *answer, size_t len);

#endif

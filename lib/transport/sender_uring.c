/*
 * sender_uring.c: a batch of sends in one system call.
 *
 * MSG_DONTWAIT makes the kernel finish every send during submission (a full
 * socket answers -EAGAIN instead of waiting), so a batch is over when its
 * completions are reaped and no buffer is in use after that.
 *
 * Failure of io_uring_enter itself is not expected after set-up. Should it
 * happen, what the kernel never took is sent with send(), what it took without
 * an answer counts as broken, and the ring is not used again.
 */
#include "transport/sender.h"

#include "ws_hub/error.h"

#ifdef WSH_HAVE_URING

#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/check.h"
#include "ws_hub/options.h"

struct uring {
    struct wsh_sender base;
    struct io_uring ring;
    const struct wsh_log *log;
    bool broken;
};

/*
 * Thread CPU per 128-byte send over loopback, send() / io_uring, medians: one
 * 5.2 / 6.3 us, two 5.0 / 4.3, eight 4.2 / 2.3, a thousand 4.6 / 2.0.
 */
enum { BREAK_EVEN = 2 };

enum {
    RETRIES = 8, /* of a submission that makes no progress */
    NO_ANSWER = INT32_MIN
};

static void prepare(struct uring *self, struct wsh_send *v, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        /* The ring has WSH_SENDS_MAX entries and is empty between batches. */
        struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

        WSH_ASSERT(sqe);
        io_uring_prep_send(sqe, v[i].link->fd, v[i].data, v[i].len,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        sqe->user_data = i;
        v[i].result = NO_ANSWER;
    }
}

static size_t reap(struct uring *self, struct wsh_send *v, size_t n)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;

    io_uring_for_each_cqe(&self->ring, head, cqe)
    {
        WSH_ASSERT(cqe->user_data < n);
        v[cqe->user_data].result = wsh_sender_result(cqe->res);
        seen++;
    }
    io_uring_cq_advance(&self->ring, seen);
    (void)n;
    return seen;
}

/* The kernel takes entries in order: the last `untaken` ones are still ours. */
static void give_up(struct uring *self, struct wsh_send *v, size_t n, int error)
{
    size_t untaken = io_uring_sq_ready(&self->ring), i;

    wsh_log(self->log, WS_HUB_LOG_ERROR,
            "io_uring failed, sends are single from now on: %s",
            strerror(error));
    self->broken = true;
    for (i = 0; i < n; i++) {
        if (v[i].result != NO_ANSWER)
            continue;
        if (i >= n - untaken)
            wsh_sender_one(&v[i]);
        else
            v[i].result = -EIO;
    }
}

static void run(struct uring *self, struct wsh_send *v, size_t n)
{
    size_t answered = 0, step;
    int idle = 0, error;

    prepare(self, v, n);
    while (answered < n) {
        error = io_uring_submit_and_wait(&self->ring, (unsigned)(n - answered));
        step = reap(self, v, n);
        answered += step;
        /* -EINTR: a signal of the host. -EAGAIN: no kernel memory just now. A
         * short submission is no error: the rest goes with the next one. */
        idle = step > 0 || error > 0 || error == -EINTR ? 0 : idle + 1;
        if (idle > RETRIES || (error < 0 && error != -EINTR &&
                               error != -EAGAIN && error != -EBUSY)) {
            give_up(self, v, n, error < 0 ? -error : EIO);
            return;
        }
    }
}

static void uring_send(struct wsh_sender *base, struct wsh_send *v, size_t n)
{
    struct uring *self = WSH_CONTAINER(base, struct uring, base);
    size_t i;

    WSH_ASSERT(n <= WSH_SENDS_MAX);
    if (n >= BREAK_EVEN && !self->broken) {
        run(self, v, n);
        return;
    }
    for (i = 0; i < n; i++)
        wsh_sender_one(&v[i]);
}

static void uring_destroy(struct wsh_sender *base)
{
    struct uring *self = WSH_CONTAINER(base, struct uring, base);

    io_uring_queue_exit(&self->ring);
    free(self);
}

/* From best to oldest: 6.1 has both flags, 5.6 has none. */
static int open_ring(struct io_uring *ring)
{
    static const unsigned flags[] = {
#if defined(IORING_SETUP_SINGLE_ISSUER) && defined(IORING_SETUP_DEFER_TASKRUN)
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
#endif
#ifdef IORING_SETUP_COOP_TASKRUN
        IORING_SETUP_COOP_TASKRUN,
#endif
        0
    };
    int error = -ENOSYS;
    size_t i;

    for (i = 0; i < WSH_COUNT(flags); i++) {
        error = io_uring_queue_init(WSH_SENDS_MAX, ring, flags[i]);
        if (error != -EINVAL)
            break;
    }
    return error;
}

static bool can_send(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool yes = probe && io_uring_opcode_supported(probe, IORING_OP_SEND);

    io_uring_free_probe(probe);
    return yes;
}

int wsh_sender_uring(struct wsh_sender **out, const struct wsh_log *log,
                     const char **why)
{
    struct uring *self = calloc(1, sizeof *self);
    int error;

    *out = NULL;
    *why = NULL;
    if (!self)
        return WS_HUB_ENOMEM;
    error = open_ring(&self->ring);
    if (error) {
        *why = error == -EPERM    ? "not permitted"
               : error == -ENOSYS ? "not in this kernel"
               : error == -ENOMEM ? "no memory, or RLIMIT_MEMLOCK"
                                  : "set-up failed";
        free(self);
        return WS_HUB_ENOTSUP;
    }
    if (!can_send(&self->ring)) {
        *why = "this kernel's has no send";
        io_uring_queue_exit(&self->ring);
        free(self);
        return WS_HUB_ENOTSUP;
    }
    self->base.send = uring_send;
    self->base.destroy = uring_destroy;
    self->log = log;
    *out = &self->base;
    return 0;
}

#else

int wsh_sender_uring(struct wsh_sender **out, const struct wsh_log *log,
                     const char **why)
{
    (void)log;
    *out = NULL;
    *why = "not built in";
    return WS_HUB_ENOTSUP;
}

#endif

/*
 * resolve.c: the job has two owners, the loop's side and the thread; the last
 * one frees it. The thread closes its end of a socket pair when it is done,
 * which wakes the loop. (Not a pipe that is written: a reader that has gone
 * would raise SIGPIPE in the host.)
 */
#include "resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ws_hub/error.h>

struct job {
    atomic_int owners;
    atomic_bool done; /* the members below are final */
    int status;       /* of getaddrinfo() */
    struct wsr_addresses addresses;
    int fd; /* the thread's end */
    unsigned port;
    char host[];
};

struct wsr_resolve {
    struct job *job;
    int fd; /* the loop's end */
    ws_hub_watch *watch;
    const ws_hub_loop_ops *loop_ops;
    wsr_resolved_cb cb;
    void *user;
};

static int look_up(const char *host, unsigned port, int flags,
                   struct wsr_addresses *out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL, *at;
    char service[16];
    int status;

    out->count = 0;
    (void)snprintf(service, sizeof service, "%u", port);
    status = getaddrinfo(host, service, &hints, &found);
    if (status)
        return status;
    for (at = found; at && out->count < WSR_ADDRESSES_MAX; at = at->ai_next) {
        struct wsr_address *to = &out->list[out->count];

        if (at->ai_addrlen > sizeof to->bytes)
            continue;
        memcpy(&to->bytes, at->ai_addr, at->ai_addrlen);
        to->len = at->ai_addrlen;
        out->count++;
    }
    freeaddrinfo(found);
    return 0;
}

bool wsr_resolve_numeric(const char *host, unsigned port,
                         struct wsr_addresses *out)
{
    /* AI_NUMERICHOST: asks no file and no network, so it cannot block. */
    return look_up(host, port, AI_NUMERICHOST, out) == 0 && out->count > 0;
}

static void drop(struct job *job)
{
    if (atomic_fetch_sub(&job->owners, 1) == 1)
        free(job);
}

static void *run(void *arg)
{
    struct job *job = arg;
    int fd = job->fd;

    job->status = look_up(job->host, job->port, 0, &job->addresses);
    atomic_store(&job->done, true);
    drop(job);
    (void)close(fd);
    return NULL;
}

static void on_done(ws_hub_watch *watch, int events, void *user)
{
    struct wsr_resolve *resolve = user;
    struct job *job = resolve->job;
    const char *why = NULL;

    (void)events;
    if (!atomic_load(&job->done))
        return;
    resolve->loop_ops->watch_set(watch, 0);
    if (job->status)
        why = gai_strerror(job->status);
    else if (job->addresses.count == 0)
        why = "no usable address";
    resolve->cb(resolve->user, &job->addresses, why);
}

/* Host's handlers must not run on a thread that it does not know. */
static int start_thread(struct job *job)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int status;

    if (pthread_attr_init(&attributes))
        return -1;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread, &attributes, run, job);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return status ? -1 : 0;
}

static struct job *make_job(const char *host, unsigned port, int fd)
{
    size_t len = strlen(host) + 1;
    struct job *job = calloc(1, sizeof *job + len);

    if (!job)
        return NULL;
    atomic_init(&job->owners, 1);
    atomic_init(&job->done, false);
    job->port = port;
    job->fd = fd;
    memcpy(job->host, host, len);
    return job;
}

int wsr_resolve_start(struct wsr_resolve **out, ws_hub_loop *loop,
                      const ws_hub_loop_ops *loop_ops, const char *host,
                      unsigned port, wsr_resolved_cb cb, void *user)
{
    struct wsr_resolve *resolve = calloc(1, sizeof *resolve);
    int ends[2] = {-1, -1};

    *out = NULL;
    if (!resolve)
        return WS_HUB_ENOMEM;
    resolve->fd = -1;
    resolve->loop_ops = loop_ops;
    resolve->cb = cb;
    resolve->user = user;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   ends))
        goto fail;
    resolve->fd = ends[0];
    resolve->job = make_job(host, port, ends[1]);
    if (!resolve->job ||
        loop_ops->watch_open(loop, ends[0], WS_HUB_READABLE, on_done, resolve,
                             &resolve->watch))
        goto fail;
    atomic_store(&resolve->job->owners, 2);
    if (start_thread(resolve->job)) {
        atomic_store(&resolve->job->owners, 1);
        goto fail;
    }
    *out = resolve;
    return 0;
fail:
    if (ends[1] >= 0)
        (void)close(ends[1]);
    wsr_resolve_cancel(resolve);
    return WS_HUB_ENOMEM;
}

void wsr_resolve_cancel(struct wsr_resolve *resolve)
{
    if (!resolve)
        return;
    if (resolve->watch)
        resolve->loop_ops->watch_close(resolve->watch);
    if (resolve->fd >= 0)
        (void)close(resolve->fd);
    if (resolve->job)
        drop(resolve->job);
    free(resolve);
}

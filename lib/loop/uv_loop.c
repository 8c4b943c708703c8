/*
 * uv_loop.c: the life of a loop: thread, wake, turns.
 *
 * A turn is one iteration of libuv. Its end is the prepare phase, which comes
 * right before poll: whatever the shard asks for there (zero time-out, another
 * deadline) counts for the poll that follows.
 *
 * Wake-ups: `pending` turns a burst of wakes into one write to the eventfd. It
 * is cleared before `woken` reads the mailbox, so a push that woken has missed
 * finds it clear and writes again. A closed uv_async_t must not be touched, and
 * producers know nothing of stop: those inside a wake are counted, and stop
 * waits for them. No lock, because ws_hub_stop() may wake from a signal
 * handler.
 */
#include "loop/uv_loop.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/check.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

/* Turns that a failed setup gets to close what it had begun. */
enum { DRAIN_TURNS = 10000, OWN_HANDLES = 4 };

uint64_t wsh_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void *wsh_loop_uv(struct wsh_loop *loop)
{
    return loop->uv;
}

bool wsh_loop_here(const struct wsh_loop *loop)
{
    return atomic_load(&loop->bound) &&
           pthread_equal(loop->thread, pthread_self());
}

static void bind_thread(struct wsh_loop *loop)
{
    loop->thread = pthread_self();
    atomic_store(&loop->bound, true);
}

void wsh_loop_wake(void *arg)
{
    struct wsh_loop *loop = arg;

    if (atomic_exchange(&loop->pending, true))
        return;
    atomic_fetch_add(&loop->waking, 1);
    if (atomic_load(&loop->live))
        (void)uv_async_send(&loop->async);
    atomic_fetch_sub(&loop->waking, 1);
}

static void on_async(uv_async_t *handle)
{
    struct wsh_loop *loop = handle->data;

    atomic_store(&loop->pending, false);
    loop->config.events->woken(loop->config.shard, wsh_now_us());
}

static void on_hold(uv_idle_t *handle)
{
    (void)handle; /* being active is its whole work */
}

static void on_timer(uv_timer_t *handle)
{
    struct wsh_loop *loop = handle->data;

    /* The prepare phase of this iteration does the rest. */
    loop->armed_ms = UINT64_MAX;
}

static void set_hold(struct wsh_loop *loop, bool on)
{
    if (on)
        (void)uv_idle_start(&loop->hold, on_hold);
    else
        (void)uv_idle_stop(&loop->hold);
}

static void set_deadline(struct wsh_loop *loop, uint64_t at_ms)
{
    uint64_t now_ms = uv_now(loop->uv);

    if (at_ms == loop->armed_ms)
        return;
    loop->armed_ms = at_ms;
    if (at_ms == UINT64_MAX)
        (void)uv_timer_stop(&loop->timer);
    else
        (void)uv_timer_start(&loop->timer, on_timer,
                             at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct wsh_loop *loop = handle->data;
    struct wsh_turn turn =
        loop->config.events->turn_end(loop->config.shard, wsh_now_us());

    if (loop->config.after_turn &&
        loop->config.after_turn(loop->config.after_turn_arg))
        turn.hold = true;
    if (!loop->started)
        return; /* stopped from within */
    set_hold(loop, turn.hold);
    set_deadline(loop, turn.deadline_ms);
}

static int open_handles(struct wsh_loop *loop)
{
    int error = uv_async_init(loop->uv, &loop->async, on_async);

    if (error) {
        wsh_log(loop->config.log, WS_HUB_LOG_ERROR, "libuv async: %s",
                uv_strerror(error));
        return WS_HUB_ETRANSPORT;
    }
    (void)uv_prepare_init(loop->uv, &loop->prepare);
    (void)uv_idle_init(loop->uv, &loop->hold);
    (void)uv_timer_init(loop->uv, &loop->timer);
    loop->async.data = loop->prepare.data = loop;
    loop->hold.data = loop->timer.data = loop;
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    loop->armed_ms = UINT64_MAX;
    loop->started = true;

    atomic_store(&loop->live, true);
    if (atomic_load(&loop->pending)) /* woken before it could be */
        (void)uv_async_send(&loop->async);
    return 0;
}

static void free_loop(struct wsh_loop *loop)
{
    (void)pthread_mutex_destroy(&loop->gate);
    (void)pthread_cond_destroy(&loop->turned);
    free(loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct wsh_loop *loop = handle->data;

    if (--loop->closing > 0)
        return;
    if (loop->doomed)
        free_loop(loop);
    else if (loop->stopped)
        loop->stopped(loop->stopped_arg); /* may destroy the loop */
}

static void close_handles(struct wsh_loop *loop)
{
    if (!loop->started)
        return;
    atomic_store(&loop->live, false);
    while (atomic_load(&loop->waking))
        (void)sched_yield();
    loop->started = false;
    loop->closing = OWN_HANDLES;
    uv_close((uv_handle_t *)&loop->async, on_handle_closed);
    uv_close((uv_handle_t *)&loop->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&loop->hold, on_handle_closed);
    uv_close((uv_handle_t *)&loop->timer, on_handle_closed);
}

static void close_stray(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* After a failed setup: let what closes finish, then close what nobody does. */
static void drain(struct wsh_loop *loop)
{
    int turns = 0;

    while (uv_run(loop->uv, UV_RUN_NOWAIT) && turns < DRAIN_TURNS)
        turns++;
    uv_walk(loop->uv, close_stray, NULL);
    (void)uv_run(loop->uv, UV_RUN_DEFAULT);
}

static int run_setup(struct wsh_loop *loop)
{
    int result;

    /* The loop's time may be as old as its creation. */
    uv_update_time(loop->uv);
    result = open_handles(loop);
    if (result == 0 && loop->setup)
        result = loop->setup(loop->setup_arg);
    if (result)
        close_handles(loop);
    return result;
}

static void *thread_main(void *arg)
{
    struct wsh_loop *loop = arg;
    int result, error;

    bind_thread(loop);
    if (loop->name[0])
        (void)pthread_setname_np(pthread_self(), loop->name);
    result = run_setup(loop);
    if (result)
        drain(loop);

    (void)pthread_mutex_lock(&loop->gate);
    loop->result = result;
    loop->ready = true;
    (void)pthread_cond_signal(&loop->turned);
    (void)pthread_mutex_unlock(&loop->gate);

    if (result == 0)
        (void)uv_run(loop->uv, UV_RUN_DEFAULT);
    error = uv_loop_close(&loop->own);
    if (error)
        wsh_log(loop->config.log, WS_HUB_LOG_ERROR, "libuv loop: %s",
                uv_strerror(error));
    atomic_store(&loop->bound, false);
    return NULL;
}

/* Signals are for the host's threads: ours inherits a full mask. */
static int spawn(struct wsh_loop *loop)
{
    sigset_t all, old;
    pthread_t thread;
    int error;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&thread, NULL, thread_main, loop);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) {
        wsh_log(loop->config.log, WS_HUB_LOG_ERROR, "thread: %s",
                strerror(error));
        return WS_HUB_ETRANSPORT;
    }
    (void)pthread_mutex_lock(&loop->gate);
    while (!loop->ready)
        (void)pthread_cond_wait(&loop->turned, &loop->gate);
    (void)pthread_mutex_unlock(&loop->gate);
    loop->joinable = true; /* and `thread` is set: ready came after it */
    if (loop->result)
        wsh_loop_join(loop);
    return loop->result;
}

int wsh_loop_start(struct wsh_loop *loop, int (*setup)(void *arg), void *arg)
{
    loop->setup = setup;
    loop->setup_arg = arg;
    if (loop->uv == &loop->own)
        return spawn(loop);
    bind_thread(loop);
    return run_setup(loop);
}

void wsh_loop_stop(struct wsh_loop *loop, void (*stopped)(void *arg), void *arg)
{
    WSH_ASSERT(wsh_loop_here(loop));
    WSH_ASSERT(loop->started);
    loop->stopped = stopped;
    loop->stopped_arg = arg;
    close_handles(loop);
}

void wsh_loop_join(struct wsh_loop *loop)
{
    if (!loop->joinable)
        return;
    loop->joinable = false;
    (void)pthread_join(loop->thread, NULL);
}

void wsh_loop_destroy(struct wsh_loop *loop)
{
    if (!loop)
        return;
    wsh_loop_join(loop);
    if (loop->uv == &loop->own && !loop->ready)
        (void)uv_loop_close(&loop->own); /* the thread never was */
    /* On a host's loop a failed start leaves handles that are still closing. */
    if (loop->closing > 0)
        loop->doomed = true;
    else
        free_loop(loop);
}

int wsh_loop_create(struct wsh_loop **out, const struct wsh_loop_config *config)
{
    struct wsh_loop *loop = calloc(1, sizeof *loop);
    int error;

    *out = NULL;
    if (!loop)
        return WS_HUB_ENOMEM;
    loop->config = *config;
    if (config->thread_name)
        (void)snprintf(loop->name, sizeof loop->name, "%s",
                       config->thread_name);
    wsh_list_init(&loop->watches);
    (void)pthread_mutex_init(&loop->gate, NULL);
    (void)pthread_cond_init(&loop->turned, NULL);
    loop->uv = config->host_uv_loop;
    if (!loop->uv) {
        loop->uv = &loop->own;
        error = uv_loop_init(&loop->own);
        if (error) {
            wsh_log(config->log, WS_HUB_LOG_ERROR, "libuv loop: %s",
                    uv_strerror(error));
            free_loop(loop);
            return error == UV_ENOMEM ? WS_HUB_ENOMEM : WS_HUB_ETRANSPORT;
        }
    }
    *out = loop;
    return 0;
}

/* uv_loop_test.c: threads, wake-ups and turns of the loop. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <cmocka.h>
#include "loop/loop.h"
#include "ws_hub/error.h"

/* A shard that counts. Only `stop` and `woken` are touched by other threads. */
struct shard {
    struct wsh_loop *loop;
    struct wsh_log log;
    atomic_int woken;
    atomic_int turns;
    atomic_bool stop; /* at the next wake */
    int after_turns;
    bool disordered; /* after_turn was not right behind turn_end */
    int stopped;
    bool here;      /* in setup, woken and stopped */
    int hold_turns; /* ask for so many turns more */
    uint64_t deadline_ms;
    uint64_t deadline_seen_us; /* first turn at or after it */
    int setup_result;
    uv_timer_t stray;
    sigset_t mask;
};

static void on_stopped(void *arg)
{
    struct shard *shard = arg;

    shard->stopped++;
    shard->here &= wsh_loop_here(shard->loop);
}

static void on_woken(void *arg, uint64_t now_us)
{
    struct shard *shard = arg;

    (void)now_us;
    atomic_fetch_add(&shard->woken, 1);
    shard->here &= wsh_loop_here(shard->loop);
    if (atomic_load(&shard->stop)) {
        atomic_store(&shard->stop, false);
        wsh_loop_stop(shard->loop, on_stopped, shard);
    }
}

static struct wsh_turn on_turn_end(void *arg, uint64_t now_us)
{
    struct shard *shard = arg;
    struct wsh_turn turn = {.deadline_ms = UINT64_MAX};

    atomic_fetch_add(&shard->turns, 1);
    if (shard->hold_turns > 0) {
        shard->hold_turns--;
        turn.hold = true;
    }
    if (shard->deadline_ms && now_us / 1000 < shard->deadline_ms) {
        turn.deadline_ms = shard->deadline_ms;
    } else if (shard->deadline_ms) {
        shard->deadline_ms = 0;
        shard->deadline_seen_us = now_us;
        wsh_loop_stop(shard->loop, on_stopped, shard);
    }
    return turn;
}

static bool on_after_turn(void *arg)
{
    struct shard *shard = arg;

    shard->after_turns++;
    shard->disordered |= shard->after_turns != atomic_load(&shard->turns);
    return false;
}

static const struct wsh_loop_events events = {on_woken, on_turn_end};

static int on_setup(void *arg)
{
    struct shard *shard = arg;

    shard->here = wsh_loop_here(shard->loop);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &shard->mask);
    return shard->setup_result;
}

static void on_stray(uv_timer_t *timer)
{
    (void)timer;
}

static int on_setup_with_stray(void *arg)
{
    struct shard *shard = arg;

    (void)uv_timer_init(wsh_loop_uv(shard->loop), &shard->stray);
    (void)uv_timer_start(&shard->stray, on_stray, 1000000, 0);
    return WS_HUB_ENOMEM;
}

static void create(struct shard *shard, uv_loop_t *host)
{
    struct wsh_loop_config config = {
        .host_uv_loop = host,
        .events = &events,
        .shard = shard,
        .after_turn = on_after_turn,
        .after_turn_arg = shard,
        .thread_name = "ws_hub-test",
        .log = &shard->log,
    };

    assert_int_equal(wsh_loop_create(&shard->loop, &config), 0);
}

static int setup(void **state)
{
    struct shard *shard = calloc(1, sizeof *shard);

    assert_non_null(shard);
    create(shard, NULL);
    *state = shard;
    return 0;
}

static int teardown(void **state)
{
    struct shard *shard = *state;

    wsh_loop_destroy(shard->loop);
    free(shard);
    return 0;
}

static void stop_and_join(struct shard *shard)
{
    atomic_store(&shard->stop, true);
    wsh_loop_wake(shard->loop);
    wsh_loop_join(shard->loop);
    assert_int_equal(shard->stopped, 1);
    assert_true(shard->here);
    assert_false(shard->disordered);
}

static void test_loop_own_thread_runs_setup_and_stops(void **state)
{
    struct shard *shard = *state;

    assert_false(wsh_loop_here(shard->loop));
    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    assert_false(wsh_loop_here(shard->loop));
    assert_true(shard->here);
    stop_and_join(shard);
    wsh_loop_join(shard->loop);
    assert_false(wsh_loop_here(shard->loop));
}

static void test_loop_own_thread_blocks_signals(void **state)
{
    struct shard *shard = *state;

    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    stop_and_join(shard);
    assert_int_equal(sigismember(&shard->mask, SIGTERM), 1);
    assert_int_equal(sigismember(&shard->mask, SIGPIPE), 1);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &shard->mask);
    assert_int_equal(sigismember(&shard->mask, SIGTERM), 0);
}

static void test_loop_setup_fails_thread_ends(void **state)
{
    struct shard *shard = *state;

    shard->setup_result = WS_HUB_EBROKER;
    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard),
                     WS_HUB_EBROKER);
    assert_false(wsh_loop_here(shard->loop));
    assert_int_equal(shard->stopped, 0);
}

static void test_loop_setup_fails_stray_handles_are_closed(void **state)
{
    struct shard *shard = *state;

    assert_int_equal(wsh_loop_start(shard->loop, on_setup_with_stray, shard),
                     WS_HUB_ENOMEM);
    assert_true(uv_is_closing((uv_handle_t *)&shard->stray));
}

static void test_loop_never_started_is_destroyed(void **state)
{
    struct shard *shard = *state;

    wsh_loop_wake(shard->loop);
    assert_int_equal(atomic_load(&shard->woken), 0);
}

static void test_loop_wake_before_start_is_not_lost(void **state)
{
    struct shard *shard = *state;

    atomic_store(&shard->stop, true);
    wsh_loop_wake(shard->loop);
    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    wsh_loop_join(shard->loop);
    assert_int_equal(atomic_load(&shard->woken), 1);
}

/* Every wake is followed by a woken: an answer for each, without time-outs. */
static void test_loop_each_wake_is_answered(void **state)
{
    struct shard *shard = *state;
    int i, seen;

    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    for (i = 0; i < 2000; i++) {
        seen = atomic_load(&shard->woken);
        wsh_loop_wake(shard->loop);
        while (atomic_load(&shard->woken) == seen)
            (void)sched_yield();
    }
    stop_and_join(shard);
}

static void *wake_often(void *arg)
{
    struct shard *shard = arg;
    int i;

    for (i = 0; i < 20000; i++)
        wsh_loop_wake(shard->loop);
    return NULL;
}

static void test_loop_wakes_race_with_stop(void **state)
{
    struct shard *shard = *state;
    pthread_t thread[3];
    int i;

    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    for (i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, wake_often, shard),
                         0);
    stop_and_join(shard);
    for (i = 0; i < 3; i++)
        (void)pthread_join(thread[i], NULL);
    wsh_loop_wake(shard->loop);
}

/* On a host's loop the test is the loop's thread: everything is exact. */
struct hosted {
    uv_loop_t uv;
    struct shard shard;
};

static int setup_hosted(void **state)
{
    struct hosted *hosted = calloc(1, sizeof *hosted);

    assert_non_null(hosted);
    assert_int_equal(uv_loop_init(&hosted->uv), 0);
    create(&hosted->shard, &hosted->uv);
    *state = hosted;
    return 0;
}

static int teardown_hosted(void **state)
{
    struct hosted *hosted = *state;

    wsh_loop_destroy(hosted->shard.loop);
    (void)uv_run(&hosted->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&hosted->uv), 0);
    free(hosted);
    return 0;
}

static void stop_hosted(struct hosted *hosted)
{
    wsh_loop_stop(hosted->shard.loop, on_stopped, &hosted->shard);
    assert_int_equal(hosted->shard.stopped, 0); /* never inside the call */
    assert_int_equal(uv_run(&hosted->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(hosted->shard.stopped, 1);
}

static void test_loop_host_runs_on_callers_thread(void **state)
{
    struct hosted *hosted = *state;
    struct shard *shard = &hosted->shard;

    assert_int_equal(wsh_loop_start(shard->loop, on_setup, shard), 0);
    assert_true(wsh_loop_here(shard->loop));
    assert_ptr_equal(wsh_loop_uv(shard->loop), &hosted->uv);
    stop_hosted(hosted);
}

static void test_loop_burst_of_wakes_is_one_woken(void **state)
{
    struct hosted *hosted = *state;
    struct shard *shard = &hosted->shard;
    int i;

    assert_int_equal(wsh_loop_start(shard->loop, NULL, NULL), 0);
    for (i = 0; i < 1000; i++)
        wsh_loop_wake(shard->loop);
    for (i = 0; i < 3; i++)
        (void)uv_run(&hosted->uv, UV_RUN_NOWAIT);
    assert_int_equal(atomic_load(&shard->woken), 1);
    wsh_loop_wake(shard->loop);
    (void)uv_run(&hosted->uv, UV_RUN_NOWAIT);
    assert_int_equal(atomic_load(&shard->woken), 2);
    stop_hosted(hosted);
}

static void test_loop_hold_keeps_turning_without_events(void **state)
{
    struct hosted *hosted = *state;
    struct shard *shard = &hosted->shard;
    int i;

    assert_int_equal(wsh_loop_start(shard->loop, NULL, NULL), 0);
    shard->hold_turns = 5;
    wsh_loop_wake(shard->loop);
    for (i = 0; i < 5; i++)
        (void)uv_run(&hosted->uv, UV_RUN_ONCE); /* blocks if hold fails */
    assert_int_equal(atomic_load(&shard->turns), 5);
    assert_int_equal(uv_backend_timeout(&hosted->uv), 0);
    (void)uv_run(&hosted->uv, UV_RUN_NOWAIT);
    assert_int_equal(uv_backend_timeout(&hosted->uv), -1); /* waits again */
    stop_hosted(hosted);
}

static void test_loop_deadline_brings_a_turn(void **state)
{
    struct hosted *hosted = *state;
    struct shard *shard = &hosted->shard;
    uint64_t at_ms = wsh_now_us() / 1000 + 40;

    assert_int_equal(wsh_loop_start(shard->loop, NULL, NULL), 0);
    shard->deadline_ms = at_ms;
    assert_int_equal(uv_run(&hosted->uv, UV_RUN_DEFAULT), 0); /* stops then */
    assert_int_equal(shard->stopped, 1);
    assert_in_range(shard->deadline_seen_us / 1000, at_ms, at_ms + 5000);
    assert_in_range(atomic_load(&shard->turns), 2, 8); /* no spinning */
}

static void test_loop_passed_deadline_does_not_wait(void **state)
{
    struct hosted *hosted = *state;
    struct shard *shard = &hosted->shard;

    assert_int_equal(wsh_loop_start(shard->loop, NULL, NULL), 0);
    shard->deadline_ms = 1;
    assert_int_equal(uv_run(&hosted->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(atomic_load(&shard->turns), 1);
}

static void test_loop_host_setup_fails_and_destroy_at_once(void **state)
{
    struct hosted *hosted = *state;

    hosted->shard.setup_result = WS_HUB_ETRANSPORT;
    assert_int_equal(
        wsh_loop_start(hosted->shard.loop, on_setup, &hosted->shard),
        WS_HUB_ETRANSPORT);
    /* teardown destroys it while its handles are still closing */
}

static void destroy_it(void *arg)
{
    struct shard *shard = arg;

    wsh_loop_destroy(shard->loop);
    shard->loop = NULL;
}

static void test_loop_host_destroy_inside_stopped(void **state)
{
    struct hosted *hosted = *state;

    assert_int_equal(wsh_loop_start(hosted->shard.loop, NULL, NULL), 0);
    wsh_loop_stop(hosted->shard.loop, destroy_it, &hosted->shard);
    assert_int_equal(uv_run(&hosted->uv, UV_RUN_DEFAULT), 0);
    assert_null(hosted->shard.loop);
}

static void test_loop_clock_is_libuvs(void **state)
{
    uint64_t before = uv_hrtime() / 1000, now = wsh_now_us();

    (void)state;
    assert_in_range(now, before, uv_hrtime() / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_loop_own_thread_runs_setup_and_stops),
        CASE(test_loop_own_thread_blocks_signals),
        CASE(test_loop_setup_fails_thread_ends),
        CASE(test_loop_setup_fails_stray_handles_are_closed),
        CASE(test_loop_never_started_is_destroyed),
        CASE(test_loop_wake_before_start_is_not_lost),
        CASE(test_loop_each_wake_is_answered),
        CASE(test_loop_wakes_race_with_stop),
#undef CASE
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup_hosted, teardown_hosted)
        CASE(test_loop_host_runs_on_callers_thread),
        CASE(test_loop_burst_of_wakes_is_one_woken),
        CASE(test_loop_hold_keeps_turning_without_events),
        CASE(test_loop_deadline_brings_a_turn),
        CASE(test_loop_passed_deadline_does_not_wait),
        CASE(test_loop_host_setup_fails_and_destroy_at_once),
        CASE(test_loop_host_destroy_inside_stopped),
#undef CASE
        cmocka_unit_test(test_loop_clock_is_libuvs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

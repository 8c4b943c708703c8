/* loop_uv_test.c: the loop contract on our own loop, attached to a libuv loop
 * that the runner turns itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <uv.h>
#include <cmocka.h>
#include "loop/loop.h"
#include "loop_contract.h"

static void on_woken(void *shard, uint64_t now_us)
{
    (void)shard;
    (void)now_us;
}

static struct wsh_turn on_turn_end(void *shard, uint64_t now_us)
{
    struct wsh_turn turn = {.deadline_ms = UINT64_MAX};

    (void)shard;
    (void)now_us;
    return turn;
}

/* The tick bounds a turn: libuv fires due timers before it waits. */
struct host {
    uv_loop_t uv; /* first */
    uv_timer_t tick;
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void open_loop(ws_hub_loop **out, const ws_hub_loop_ops **ops)
{
    static const struct wsh_loop_events events = {on_woken, on_turn_end};
    struct host *host = malloc(sizeof *host);
    struct wsh_loop_config config = {.host_uv_loop = &host->uv,
                                     .events = &events};
    struct wsh_loop *loop;

    assert_non_null(host);
    assert_int_equal(uv_loop_init(&host->uv), 0);
    (void)uv_timer_init(&host->uv, &host->tick);
    (void)uv_timer_start(&host->tick, on_tick, 5, 5);
    assert_int_equal(wsh_loop_create(&loop, &config), 0);
    assert_int_equal(wsh_loop_start(loop, NULL, NULL), 0);
    *out = (ws_hub_loop *)loop;
    *ops = wsh_loop_contract();
}

static void turn(ws_hub_loop *loop)
{
    (void)uv_run(wsh_loop_uv((struct wsh_loop *)loop), UV_RUN_ONCE);
}

static void poll_once(ws_hub_loop *loop)
{
    (void)uv_run(wsh_loop_uv((struct wsh_loop *)loop), UV_RUN_NOWAIT);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void close_loop(ws_hub_loop *handle)
{
    struct wsh_loop *loop = (struct wsh_loop *)handle;
    struct host *host = wsh_loop_uv(loop);
    bool stopped = false;

    wsh_loop_stop(loop, on_stopped, &stopped);
    uv_close((uv_handle_t *)&host->tick, NULL);
    assert_int_equal(uv_run(&host->uv, UV_RUN_DEFAULT), 0);
    assert_true(stopped);
    wsh_loop_destroy(loop);
    assert_int_equal(uv_loop_close(&host->uv), 0);
    free(host);
}

int main(void)
{
    static const struct loop_maker uv = {open_loop, turn, poll_once,
                                         close_loop};

    return loop_contract_run("loop_uv", &uv);
}

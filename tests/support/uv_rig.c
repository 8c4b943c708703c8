#include "support/uv_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <uv.h>
#include <cmocka.h>

#include "loop/loop.h"

enum { DEADLINE_MS = 60000 };

/* The tick bounds a turn: libuv fires due timers before it waits. */
struct rig {
    uv_loop_t uv; /* first */
    uv_timer_t tick;
};

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

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

ws_hub_loop *uv_rig_open(const ws_hub_loop_ops **ops)
{
    static const struct wsh_loop_events events = {on_woken, on_turn_end};
    struct rig *rig = malloc(sizeof *rig);
    struct wsh_loop_config config = {.events = &events};
    struct wsh_loop *loop = NULL;

    assert_non_null(rig);
    config.host_uv_loop = &rig->uv;
    assert_int_equal(uv_loop_init(&rig->uv), 0);
    (void)uv_timer_init(&rig->uv, &rig->tick);
    (void)uv_timer_start(&rig->tick, on_tick, 5, 5);
    assert_int_equal(wsh_loop_create(&loop, &config), 0);
    assert_int_equal(wsh_loop_start(loop, NULL, NULL), 0);
    *ops = wsh_loop_contract();
    return (ws_hub_loop *)loop;
}

void uv_rig_turn(ws_hub_loop *loop)
{
    (void)uv_run(wsh_loop_uv((struct wsh_loop *)loop), UV_RUN_ONCE);
}

bool uv_rig_turn_until(ws_hub_loop *loop, bool (*done)(void *arg), void *arg)
{
    uint64_t end = uv_hrtime() / 1000000 + DEADLINE_MS;

    while (!done(arg)) {
        if (uv_hrtime() / 1000000 > end)
            return false;
        uv_rig_turn(loop);
    }
    return true;
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

void uv_rig_close(ws_hub_loop *handle)
{
    struct wsh_loop *loop = (struct wsh_loop *)handle;
    struct rig *rig = wsh_loop_uv(loop);
    bool stopped = false;

    wsh_loop_stop(loop, on_stopped, &stopped);
    uv_close((uv_handle_t *)&rig->tick, NULL);
    assert_int_equal(uv_run(&rig->uv, UV_RUN_DEFAULT), 0);
    assert_true(stopped);
    wsh_loop_destroy(loop);
    assert_int_equal(uv_loop_close(&rig->uv), 0);
    free(rig);
}

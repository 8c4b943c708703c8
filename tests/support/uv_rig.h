/*
 * uv_rig.h: our own loop, attached to a libuv loop that the test turns itself:
 * real descriptors and timers under an adapter, on the test's thread.
 */
#ifndef WSH_TEST_UV_RIG_H
#define WSH_TEST_UV_RIG_H

#include <stdbool.h>
#include "ws_hub/loop.h"

/* Fail the test if they cannot. */
ws_hub_loop *uv_rig_open(const ws_hub_loop_ops **ops);
/* One turn; waits for an event, 5 ms at most. */
void uv_rig_turn(ws_hub_loop *loop);
/* Turn until done(arg); false: that took more than 60 s. */
bool uv_rig_turn_until(ws_hub_loop *loop, bool (*done)(void *arg), void *arg);
/* Everything on it is closed, or the test fails. */
void uv_rig_close(ws_hub_loop *loop);

#endif

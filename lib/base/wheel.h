/*
 * wheel.h: hierarchical timer wheel, the one place where the library keeps
 * per-object deadlines.
 *
 * Set, reset and cancel are O(1); advance is O(expired + slots passed). Ticks
 * of 16 ms, 4 levels of 64 slots: exact (never early, at most one tick late) up
 * to 74 hours; later deadlines are put off and set again by the wheel itself.
 * Time is given in milliseconds from any origin and never runs backwards.
 * Owner: the embedding object owns the timer; fini does not touch timers.
 */
#ifndef WSH_BASE_WHEEL_H
#define WSH_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"

enum { WSH_WHEEL_TICK_MS = 16, WSH_WHEEL_SLOTS = 64, WSH_WHEEL_LEVELS = 4 };

struct wsh_timer {
    struct wsh_list node; /* detached when not armed */
    uint64_t at_ms;
};

struct wsh_wheel {
    struct wsh_list slot[WSH_WHEEL_LEVELS][WSH_WHEEL_SLOTS];
    uint64_t occupied[WSH_WHEEL_LEVELS]; /* bit per slot: maybe not empty */
    uint64_t now_tick;
    uint64_t count; /* armed timers */
};

void wsh_wheel_init(struct wsh_wheel *wheel, uint64_t now_ms);
void wsh_timer_init(struct wsh_timer *timer);
/* Arm or re-arm; a deadline in the past fires at the next advance. */
void wsh_wheel_set(struct wsh_wheel *wheel, struct wsh_timer *timer,
                   uint64_t at_ms);
void wsh_wheel_cancel(struct wsh_wheel *wheel, struct wsh_timer *timer);
bool wsh_timer_armed(const struct wsh_timer *timer);
/* Fire what is due: each timer is disarmed before fire() runs; fire may set or
 * cancel any timer and free its own object. A timer set inside fire, even for
 * the past, waits for the next advance. */
void wsh_wheel_advance(struct wsh_wheel *wheel, uint64_t now_ms,
                       void (*fire)(struct wsh_timer *timer, void *arg),
                       void *arg);
/* When advance should run next: never later than the first deadline plus a
 * tick; UINT64_MAX if nothing is armed. */
uint64_t wsh_wheel_next(const struct wsh_wheel *wheel);
void wsh_wheel_check(const struct wsh_wheel *wheel);

#endif

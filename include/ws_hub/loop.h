/** @file loop.h  The loop contract: what a broker adapter may ask of a loop. */
#ifndef WS_HUB_LOOP_H
#define WS_HUB_LOOP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A loop of the hub; all calls on its own thread. */
typedef struct ws_hub_loop ws_hub_loop;
typedef struct ws_hub_watch ws_hub_watch;
typedef struct ws_hub_timer ws_hub_timer;

enum { WS_HUB_READABLE = 1, WS_HUB_WRITABLE = 2 };

/** `events` are those that are ready; both after an error on the descriptor. */
typedef void (*ws_hub_watch_cb)(ws_hub_watch *watch, int events, void *user);
typedef void (*ws_hub_timer_cb)(ws_hub_timer *timer, void *user);

/**
 * What a loop does for an adapter. No function blocks. close functions may be
 * called inside any callback, the object's own included; no callback of it
 * comes after they return. A descriptor may be closed right after watch_close.
 *
 * Since: 0.1
 */
typedef struct ws_hub_loop_ops {
    size_t struct_size;

    /** Monotonic time, milliseconds; steady within one callback. */
    uint64_t (*now_ms)(ws_hub_loop *loop);

    /** Watch a non-blocking descriptor. @return 0, WS_HUB_ENOMEM, WS_HUB_EINVAL
     *  (not a descriptor that can be polled, or watched already). */
    int (*watch_open)(ws_hub_loop *loop, int fd, int events, ws_hub_watch_cb cb,
                      void *user, ws_hub_watch **out);
    /** Change what is watched; 0 pauses. Idempotent. */
    void (*watch_set)(ws_hub_watch *watch, int events);
    void (*watch_close)(ws_hub_watch *watch);

    /** One-shot timer, not armed. @return 0, WS_HUB_ENOMEM. */
    int (*timer_open)(ws_hub_loop *loop, ws_hub_timer_cb cb, void *user,
                      ws_hub_timer **out);
    /** Fire once, `delay_ms` from now; replaces an earlier setting. */
    void (*timer_set)(ws_hub_timer *timer, uint64_t delay_ms);
    void (*timer_cancel)(ws_hub_timer *timer);
    void (*timer_close)(ws_hub_timer *timer);
} ws_hub_loop_ops;

#ifdef __cplusplus
}
#endif
#endif

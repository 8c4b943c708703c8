/*
 * reentrancy_host.h: the host of reentrancy_test.c: callbacks of which one does
 * one thing, once.
 *
 * Thread: the members of a session belong to the test's, but for those that are
 * atomic.
 */
#ifndef WSH_TEST_REENTRANCY_HOST_H
#define WSH_TEST_REENTRANCY_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "fault/guests.h"
#include "ws_hub.h"

#define CALLBACKS(X)                                                           \
    X(may_connect)                                                             \
    X(on_open)                                                                 \
    X(on_message)                                                              \
    X(on_subscribed)                                                           \
    X(on_close)                                                                \
    X(may_subscribe)                                                           \
    X(may_publish)                                                             \
    X(on_http)                                                                 \
    X(on_gap)                                                                  \
    X(policy_of)                                                               \
    X(listener)

enum callback {
#define ENUM(name) IN_##name,
    CALLBACKS(ENUM)
#undef ENUM
};

#define ACTIONS(X)                                                             \
    X(publish)                                                                 \
    X(send)                                                                    \
    X(subscribe)                                                               \
    X(unsubscribe)                                                             \
    X(close_self)                                                              \
    X(close_self_at_once)                                                      \
    X(close_other)                                                             \
    X(close_other_at_once)                                                     \
    X(stop)                                                                    \
    X(destroy)

enum action {
#define ENUM(name) DO_##name,
    ACTIONS(ENUM)
#undef ENUM
        ACTION_COUNT
};

enum mode { ONE_THREAD, TWO_THREADS, HOST_LOOP, MODES };

/* Clients, by their order in session.guests. */
enum { OTHER, RAW, JSON, PAGE, FRESH, GUESTS };

struct session {
    enum callback callback;
    enum action action;
    enum mode mode;
    uv_loop_t loop; /* HOST_LOOP */
    ws_hub *hub;
    unsigned port;
    struct guest guests[GUESTS];
    ws_hub_listener *listener;
    _Atomic uint64_t raw, other, fresh; /* connections */
    atomic_bool armed, acting, fired, other_subscribed, fresh_subscribed;
    atomic_uint opened, closed, stopped;
    bool other_has_heard; /* what the action publishes */
};

extern const ws_hub_callbacks reentrancy_callbacks;
void reentrancy_heard(ws_hub *hub, const char *channel, size_t len,
                      ws_hub_type type, const void *data, size_t data_len,
                      void *user);

/* The session that runs, for messages of failures. */
extern struct session *current_session;
_Noreturn void fail_session(const char *what, int line);
#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition))                                                      \
            fail_session(#condition, __LINE__);                                \
    } while (0)

#endif

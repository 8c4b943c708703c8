/*
 * reentrancy_test.c: every callback calls everything, against a hub with real
 * sockets: on one thread of its own, on two, and on a host's loop.
 *
 * Each session has a bystander, a raw client, a JSON client, a page and a
 * listener, which make every callback come; the one under test does one thing,
 * once. Afterwards the hub serves a new client as it should, or has stopped or
 * is destroyed as it was told. (ASan sees what is touched too late.)
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "fault/reentrancy_host.h"
#include "ws_hub_private.h"

enum { DEADLINE_S = 30 };

static unsigned threads_before;

/* A session. */

static bool is_over(struct session *s)
{
    return atomic_load(&s->fired) &&
           (s->action == DO_stop || s->action == DO_destroy);
}

/* On a host's loop the shard can be looked into between turns. */
static void turn(struct session *s)
{
    if (s->mode == HOST_LOOP) {
        (void)uv_run(&s->loop, UV_RUN_NOWAIT);
        if (!is_over(s))
            wsh_shard_check(s->hub->lanes[WSH_HOME].shard);
    }
    guests_turn(s->guests, GUESTS, s->mode == HOST_LOOP ? 0 : 5);
}

static void wait_for(struct session *s, bool (*done)(struct session *s),
                     const char *what, int line)
{
    time_t end = time(NULL) + DEADLINE_S;

    while (!done(s)) {
        turn(s);
        if (time(NULL) > end)
            fail_session(what, line);
    }
}

#define UNTIL(s, done) wait_for((s), (done), "never " #done, __LINE__)

static bool is_settled(struct session *s)
{
    for (unsigned i = 0; i < GUESTS; i++)
        if (!guest_settled(&s->guests[i]))
            return false;
    return true;
}

static bool has_other(struct session *s)
{
    return atomic_load(&s->other_subscribed);
}

static bool other_has_heard(struct session *s)
{
    return s->other_has_heard;
}

static bool other_is_closed(struct session *s)
{
    return s->guests[OTHER].fd < 0;
}

static bool has_fired(struct session *s)
{
    return atomic_load(&s->fired);
}

static bool has_fresh(struct session *s)
{
    return atomic_load(&s->fresh_subscribed);
}

static bool has_fresh_message(struct session *s)
{
    return s->guests[FRESH].ws.messages > 0;
}

static bool all_closed(struct session *s)
{
    for (unsigned i = 0; i < GUESTS; i++)
        if (s->guests[i].fd >= 0)
            return false;
    return true;
}

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;

    REQUIRE(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count - 2; /* . and .. */
}

/* Destroyed in a callback: a thread of the library frees it in the end. */
static bool is_gone(struct session *s)
{
    return atomic_load(&s->stopped) == 1 &&
           (s->mode == HOST_LOOP || count_threads() == threads_before);
}

static void on_other_message(void *arg, uint8_t opcode, const uint8_t *data,
                             size_t len)
{
    struct session *s = arg;

    (void)opcode;
    if (len == 1 && data[0] == 'x')
        s->other_has_heard = true;
}

static void begin(struct session *s)
{
    const char *url = "tcp://127.0.0.1:0";
    ws_hub_options options;

    for (unsigned i = 0; i < GUESTS; i++)
        s->guests[i].fd = -1;
    if (s->mode == HOST_LOOP)
        REQUIRE(uv_loop_init(&s->loop) == 0);
    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.loops = s->mode == TWO_THREADS ? 2 : 1;
    options.uv_loop = s->mode == HOST_LOOP ? &s->loop : NULL;
    options.sender = WS_HUB_SENDER_WRITE;
    options.send_limit = 1024;
    options.close_timeout_ms = 2000;
    options.callbacks = &reentrancy_callbacks;
    options.user = s;
    REQUIRE(ws_hub_create(&s->hub, &options) == 0);
    REQUIRE(ws_hub_start(s->hub) == 0);
    s->port = ws_hub_port(s->hub, 0);
    REQUIRE(ws_hub_listen(s->hub, "heard", 5, reentrancy_heard, s,
                          &s->listener) == 0);
    guest_dial(&s->guests[OTHER], s->port, "/other", NULL);
    s->guests[OTHER].ws.on_message = on_other_message;
    s->guests[OTHER].ws.arg = s;
    UNTIL(s, has_other);
    atomic_store(&s->armed, true);
}

static void command(struct session *s, const char *text)
{
    guest_send(&s->guests[JSON], 1, text, strlen(text));
}

/* All that makes callbacks come, in an order in which each has its reason. */
static void provoke(struct session *s)
{
    guest_dial(&s->guests[RAW], s->port, "/raw", NULL);
    UNTIL(s, is_settled);
    guest_dial(&s->guests[JSON], s->port, "/json", "ws_hub.v1");
    UNTIL(s, is_settled);
    guest_send(&s->guests[RAW], 1, "hello", 5);
    guest_get(&s->guests[PAGE], s->port, "/page");
    UNTIL(s, is_settled);
    command(s, "{\"op\":\"subscribe\",\"channel\":\"json\"}");
    command(s, "{\"op\":\"publish\",\"channel\":\"heard\",\"data\":1}");
    guest_send(&s->guests[RAW], 1, "hello", 5);
    turn(s);
    guest_send(&s->guests[RAW], 8, NULL, 0);
    UNTIL(s, has_fired);
}

/* Nothing else goes on: what was done has to work by itself. */
static void check_effect(struct session *s)
{
    const struct guest *other = &s->guests[OTHER];

    if (s->action == DO_publish)
        UNTIL(s, other_has_heard);
    if (s->action == DO_close_other || s->action == DO_close_other_at_once)
        UNTIL(s, other_is_closed);
    if (s->action == DO_close_other)
        REQUIRE(other->ws.close_code == 4000);
    if (s->action == DO_close_other_at_once)
        REQUIRE(!other->ws.closed);
    if (s->action == DO_stop && other->ws.closed)
        REQUIRE(other->ws.close_code == 1001);
}

static void serve_fresh(struct session *s)
{
    guest_dial(&s->guests[FRESH], s->port, "/fresh", NULL);
    UNTIL(s, is_settled);
    UNTIL(s, has_fresh);
    guest_send(&s->guests[FRESH], 1, "go", 2);
    UNTIL(s, has_fresh_message);
    REQUIRE(ws_hub_stop(s->hub) == 0);
}

static void end(struct session *s)
{
    UNTIL(s, all_closed);
    if (s->action == DO_destroy) {
        UNTIL(s, is_gone);
    } else if (s->mode == HOST_LOOP) {
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        ws_hub_destroy(s->hub);
    } else {
        REQUIRE(ws_hub_run(s->hub) == 0);
        ws_hub_destroy(s->hub);
    }
    REQUIRE(atomic_load(&s->stopped) == 1);
    if (s->mode == HOST_LOOP) {
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        REQUIRE(uv_loop_close(&s->loop) == 0);
    }
    guests_close(s->guests, GUESTS);
}

static void run(enum callback callback, enum action action, enum mode mode)
{
    struct session *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->callback = callback;
    s->action = action;
    s->mode = mode;
    current_session = s;
    begin(s);
    provoke(s);
    check_effect(s);
    if (!is_over(s))
        serve_fresh(s);
    end(s);
    current_session = NULL;
    free(s);
}

static void run_all(enum callback callback)
{
    for (int action = 0; action < ACTION_COUNT; action++)
        for (int mode = 0; mode < MODES; mode++)
            run(callback, (enum action)action, (enum mode)mode);
}

#define CASE(name)                                                             \
    static void test_reentrancy_##name##_may_call_anything(void **state)       \
    {                                                                          \
        (void)state;                                                           \
        run_all(IN_##name);                                                    \
    }
CALLBACKS(CASE)
#undef CASE

static void *do_nothing(void *arg)
{
    return arg;
}

int main(void)
{
    pthread_t thread;
    const struct CMUnitTest cases[] = {
#define CASE(name) cmocka_unit_test(test_reentrancy_##name##_may_call_anything),
        CALLBACKS(CASE)
#undef CASE
    };

    /* A sanitizer may start a thread of its own with the first one. */
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    threads_before = count_threads();
    return cmocka_run_group_tests(cases, NULL, NULL);
}

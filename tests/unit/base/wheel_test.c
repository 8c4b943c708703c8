#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/rng.h"
#include "base/wheel.h"

enum { TIMERS = 200, TICK = WSH_WHEEL_TICK_MS };

struct item {
    struct wsh_timer timer;
    uint64_t fired_at; /* time of the advance */
    int fired;
};

struct fixture {
    struct wsh_wheel wheel;
    struct item items[TIMERS];
    uint64_t now;
    int fired;
};

static void build(struct fixture *f, uint64_t now)
{
    int i;

    memset(f, 0, sizeof *f);
    f->now = now;
    wsh_wheel_init(&f->wheel, now);
    for (i = 0; i < TIMERS; i++)
        wsh_timer_init(&f->items[i].timer);
}

static void note(struct wsh_timer *timer, void *arg)
{
    struct fixture *f = arg;
    struct item *item = WSH_CONTAINER(timer, struct item, timer);

    assert_false(wsh_timer_armed(timer));
    assert_true(timer->at_ms <= f->now); /* never early */
    item->fired_at = f->now;
    item->fired++;
    f->fired++;
}

static void advance(struct fixture *f, uint64_t now)
{
    f->now = now;
    wsh_wheel_advance(&f->wheel, now, note, f);
    assert_true(f->wheel.now_tick == now / TICK);
    wsh_wheel_check(&f->wheel);
}

static void set(struct fixture *f, int i, uint64_t at)
{
    wsh_wheel_set(&f->wheel, &f->items[i].timer, at);
    wsh_wheel_check(&f->wheel);
}

static void test_wheel_timer_fires_once_and_in_time(void **state)
{
    static const uint64_t distance[] = {
        1,
        15,
        16,
        17,
        1000,
        63 * TICK,
        1024,
        64 * 1024,
        4096 * 16,
        30000,
        3600000,
        86400000,
        1025,
        65535,
        4194304ull,
        4194303,
        73ull * 3600000,
        65 * TICK,
    };
    struct fixture f;
    size_t i;

    for (i = 0; i < WSH_COUNT(distance); i++) {
        uint64_t start = 1000003;
        uint64_t at = start + distance[i];

        build(&f, start);
        set(&f, 0, at);
        /* One millisecond early at every point of the cascade. */
        while (wsh_wheel_next(&f.wheel) < at)
            advance(&f, WSH_MAX(f.now, wsh_wheel_next(&f.wheel)));
        advance(&f, at - 1 > f.now ? at - 1 : f.now);
        assert_true(f.fired == 0 || f.now >= at);
        advance(&f, at + TICK - 1);
        assert_int_equal(f.items[0].fired, 1);
        advance(&f, at + 100 * TICK);
        assert_int_equal(f.items[0].fired, 1);
    }
}

static void test_wheel_past_deadline_fires_at_next_advance(void **state)
{
    struct fixture f;

    build(&f, 160000);
    set(&f, 0, 5);
    assert_true(wsh_wheel_next(&f.wheel) <= 160000);
    advance(&f, 160000); /* no tick has passed */
    assert_int_equal(f.fired, 1);
}

static void test_wheel_next_is_never_late(void **state)
{
    struct fixture f;

    build(&f, 0);
    assert_true(wsh_wheel_next(&f.wheel) == UINT64_MAX);
    set(&f, 0, 100000);
    set(&f, 1, 700);
    assert_true(wsh_wheel_next(&f.wheel) <= 700 + TICK);
    assert_true(wsh_wheel_next(&f.wheel) >= 500);
    wsh_wheel_cancel(&f.wheel, &f.items[1].timer);
    assert_true(wsh_wheel_next(&f.wheel) <= 100000 + TICK);
    assert_true(wsh_wheel_next(&f.wheel) > 700 + TICK);
    wsh_wheel_cancel(&f.wheel, &f.items[0].timer);
    assert_true(wsh_wheel_next(&f.wheel) == UINT64_MAX);
}

static void test_wheel_cancelled_timer_never_fires(void **state)
{
    struct fixture f;

    build(&f, 0);
    set(&f, 0, 50);
    set(&f, 1, 50);
    assert_true(wsh_timer_armed(&f.items[0].timer));
    wsh_wheel_cancel(&f.wheel, &f.items[0].timer);
    wsh_wheel_cancel(&f.wheel, &f.items[0].timer);
    assert_false(wsh_timer_armed(&f.items[0].timer));
    advance(&f, 1000);
    assert_int_equal(f.items[0].fired, 0);
    assert_int_equal(f.items[1].fired, 1);
}

static void test_wheel_set_again_moves_the_deadline(void **state)
{
    struct fixture f;

    build(&f, 0);
    set(&f, 0, 100);
    set(&f, 0, 5000);
    assert_int_equal(f.wheel.count, 1);
    advance(&f, 4999);
    assert_int_equal(f.fired, 0);
    advance(&f, 5008);
    assert_int_equal(f.fired, 1);
}

static void test_wheel_beyond_horizon_is_put_off(void **state)
{
    const uint64_t week = 7ull * 24 * 3600 * 1000;
    struct fixture f;

    build(&f, 123);
    set(&f, 0, week);
    set(&f, 1, UINT64_MAX);
    while (wsh_wheel_next(&f.wheel) < week)
        advance(&f, WSH_MAX(f.now, wsh_wheel_next(&f.wheel)));
    assert_int_equal(f.fired, 0);
    advance(&f, week + TICK);
    assert_int_equal(f.items[0].fired, 1);
    assert_int_equal(f.items[1].fired, 0);
}

static void test_wheel_long_jump_fires_everything(void **state)
{
    struct fixture f;
    struct wsh_rng rng = {7};
    int i;

    build(&f, 0);
    for (i = 0; i < TIMERS; i++)
        set(&f, i, wsh_rng_below(&rng, 200ull * 3600 * 1000));
    advance(&f, 300ull * 3600 * 1000);
    for (i = 0; i < TIMERS; i++)
        assert_int_equal(f.items[i].fired, 1);
}

/* Each step: some timers are set or cancelled, time moves a little or much.
 * Afterwards nothing due is armed, and nothing not due has fired. */
static void test_wheel_random_changes_match_model(void **state)
{
    struct fixture f;
    struct wsh_rng rng = {99};
    int step, i;

    build(&f, 777);
    for (step = 0; step < 4000; step++) {
        unsigned shift = (unsigned)wsh_rng_below(&rng, 25);
        uint64_t at = f.now + wsh_rng_below(&rng, (uint64_t)4 << shift);

        i = (int)wsh_rng_below(&rng, TIMERS);
        f.items[i].fired = 0;
        if (wsh_rng_below(&rng, 8) == 0)
            wsh_wheel_cancel(&f.wheel, &f.items[i].timer);
        else
            set(&f, i, at);
        shift = (unsigned)wsh_rng_below(&rng, 16);
        advance(&f, f.now + wsh_rng_below(&rng, (uint64_t)1 << shift));
        for (i = 0; i < TIMERS; i++) {
            const struct item *item = &f.items[i];

            assert_true(item->fired <= 1);
            assert_false(item->fired && wsh_timer_armed(&item->timer));
            assert_false(wsh_timer_armed(&item->timer) &&
                         item->timer.at_ms + TICK <= f.now);
        }
    }
}

static void set_for_the_past(struct wsh_timer *timer, void *arg)
{
    struct fixture *f = arg;

    f->fired++;
    wsh_wheel_set(&f->wheel, timer, 0);
    wsh_wheel_set(&f->wheel, &f->items[1].timer, f->now);
}

static void test_wheel_set_inside_fire_waits_for_next_advance(void **state)
{
    struct fixture f;

    build(&f, 0);
    set(&f, 0, 100);
    wsh_wheel_advance(&f.wheel, f.now = 4096, set_for_the_past, &f);
    assert_int_equal(f.fired, 1);
    assert_int_equal(f.wheel.count, 2);
    advance(&f, 4096);
    assert_int_equal(f.fired, 3);
}

static void cancel_the_others(struct wsh_timer *timer, void *arg)
{
    struct fixture *f = arg;
    int i;

    (void)timer;
    f->fired++;
    for (i = 0; i < TIMERS; i++)
        wsh_wheel_cancel(&f->wheel, &f->items[i].timer);
}

static void test_wheel_cancel_inside_fire_stops_due_timers(void **state)
{
    struct fixture f;
    int i;

    build(&f, 0);
    for (i = 0; i < TIMERS; i++)
        set(&f, i, 100u + (unsigned)i);
    wsh_wheel_advance(&f.wheel, 10000, cancel_the_others, &f);
    assert_int_equal(f.fired, 1);
    assert_int_equal(f.wheel.count, 0);
    wsh_wheel_check(&f.wheel);
}

static void free_item(struct wsh_timer *timer, void *arg)
{
    int *fired = arg;

    ++*fired;
    free(WSH_CONTAINER(timer, struct item, timer));
}

static void test_wheel_fire_may_free_its_object(void **state)
{
    struct wsh_wheel wheel;
    int fired = 0;
    int i;

    wsh_wheel_init(&wheel, 0);
    for (i = 0; i < 10; i++) {
        struct item *item = malloc(sizeof *item);

        assert_non_null(item);
        wsh_timer_init(&item->timer);
        wsh_wheel_set(&wheel, &item->timer, 48);
    }
    wsh_wheel_advance(&wheel, 64, free_item, &fired);
    assert_int_equal(fired, 10);
    wsh_wheel_check(&wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_timer_fires_once_and_in_time),
        cmocka_unit_test(test_wheel_past_deadline_fires_at_next_advance),
        cmocka_unit_test(test_wheel_next_is_never_late),
        cmocka_unit_test(test_wheel_cancelled_timer_never_fires),
        cmocka_unit_test(test_wheel_set_again_moves_the_deadline),
        cmocka_unit_test(test_wheel_beyond_horizon_is_put_off),
        cmocka_unit_test(test_wheel_long_jump_fires_everything),
        cmocka_unit_test(test_wheel_random_changes_match_model),
        cmocka_unit_test(test_wheel_set_inside_fire_waits_for_next_advance),
        cmocka_unit_test(test_wheel_cancel_inside_fire_stops_due_timers),
        cmocka_unit_test(test_wheel_fire_may_free_its_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every fault of the fault adapter, by script, around a broker that echoes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/fake_loop.h"
#include "ws_hub/error.h"
#include "ws_hub/fault.h"
#include "ws_hub/hub.h"

enum { MAX_HELD = 20 };

/* The inner adapter: at once, and right. */
struct inner {
    const ws_hub_broker_host *host;
    unsigned opens, subscribes, unsubscribes, publishes, destroys;
    bool has[26]; /* channels "a".."z" */
};

struct fixture {
    ws_hub_broker_host host; /* first */
    struct fake_loop loop;
    struct inner inner;
    const ws_hub_broker_ops *ops;
    void *self;
    unsigned ready, lost, stopped, subscribed, dropped, messages;
    int status;    /* of the last subscribed */
    char log[256]; /* what came, in order: "a1 b1 " */
    bool destroy_in_message;
};

static int inner_open(void *self, const ws_hub_broker_host *host)
{
    struct inner *inner = self;

    inner->opens++;
    inner->host = host;
    host->ready(host);
    return 0;
}

static int inner_subscribe(void *self, const char *name, size_t len)
{
    struct inner *inner = self;

    inner->subscribes++;
    if (name[0] != '$')
        inner->has[name[0] - 'a'] = true;
    inner->host->subscribed(inner->host, name, len, 0);
    return 0;
}

static int inner_unsubscribe(void *self, const char *name, size_t len)
{
    struct inner *inner = self;

    (void)len;
    inner->unsubscribes++;
    if (name[0] != '$')
        inner->has[name[0] - 'a'] = false;
    return 0;
}

static int inner_publish(void *self, const char *name, size_t len,
                         const ws_hub_broker_message *message)
{
    struct inner *inner = self;

    inner->publishes++;
    return inner->host->message(inner->host, name, len, message);
}

static void inner_close(void *self)
{
    struct inner *inner = self;

    inner->host->stopped(inner->host);
}

static void inner_destroy(void *self)
{
    ((struct inner *)self)->destroys++;
}

static const ws_hub_broker_ops inner_ops = {
    .struct_size = sizeof inner_ops,
    .name = "inner",
    .flags = WS_HUB_BROKER_LOCAL,
    .open = inner_open,
    .subscribe = inner_subscribe,
    .unsubscribe = inner_unsubscribe,
    .publish = inner_publish,
    .close = inner_close,
    .destroy = inner_destroy,
};

/* The hub. */

static struct fixture *fixture_of(const ws_hub_broker_host *host)
{
    return (struct fixture *)(uintptr_t)host;
}

static int on_message(const ws_hub_broker_host *host, const char *name,
                      size_t len, const ws_hub_broker_message *message)
{
    struct fixture *f = fixture_of(host);
    size_t used = strlen(f->log);

    f->messages++;
    snprintf(f->log + used, sizeof f->log - used, "%.*s%.*s ", (int)len, name,
             (int)message->len, (const char *)message->data);
    if (f->destroy_in_message) {
        f->ops->close(f->self);
        f->ops->destroy(f->self);
    }
    return 0;
}

static void on_subscribed(const ws_hub_broker_host *host, const char *name,
                          size_t len, int status)
{
    struct fixture *f = fixture_of(host);

    (void)name;
    (void)len;
    f->subscribed++;
    f->status = status;
}

static void on_ready(const ws_hub_broker_host *host)
{
    fixture_of(host)->ready++;
}

static void on_lost(const ws_hub_broker_host *host, const char *why)
{
    assert_non_null(why);
    fixture_of(host)->lost++;
}

static void on_stopped(const ws_hub_broker_host *host)
{
    fixture_of(host)->stopped++;
}

static void on_dropped(const ws_hub_broker_host *host, const char *name,
                       size_t len, const char *why)
{
    (void)name;
    (void)len;
    assert_non_null(why);
    fixture_of(host)->dropped++;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    ws_hub_fault_options options = {.struct_size = sizeof options,
                                    .delay_ms = 50,
                                    .open_ms = 500,
                                    .max_held = MAX_HELD};

    assert_non_null(f);
    fake_loop_init(&f->loop);
    f->host = (ws_hub_broker_host){.struct_size = sizeof f->host,
                                   .loop = fake_loop_handle(&f->loop),
                                   .loop_ops = fake_loop_ops(),
                                   .message = on_message,
                                   .subscribed = on_subscribed,
                                   .ready = on_ready,
                                   .lost = on_lost,
                                   .stopped = on_stopped,
                                   .dropped = on_dropped,
                                   .instance = 7};
    assert_int_equal(
        ws_hub_fault_broker(&options, &inner_ops, &f->inner, &f->ops, &f->self),
        0);
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    assert_int_equal(f->ready, 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (!f->destroy_in_message) {
        f->ops->close(f->self);
        f->ops->destroy(f->self);
    }
    assert_int_equal(f->stopped, 1);
    assert_int_equal(f->inner.destroys, 1);
    assert_true(wsh_list_empty(&f->loop.timers));
    free(f);
    return 0;
}

static void pass(struct fixture *f, unsigned ms)
{
    for (; ms; ms--)
        fake_loop_advance(&f->loop, f->loop.now_ms + 1);
}

static int subscribe(struct fixture *f, const char *name)
{
    return f->ops->subscribe(f->self, name, 1);
}

static int publish(struct fixture *f, const char *name, const char *text)
{
    ws_hub_broker_message message = {
        .struct_size = sizeof message, .data = text, .len = strlen(text)};

    return f->ops->publish(f->self, name, 1, &message);
}

static void next(struct fixture *f, ws_hub_fault what, unsigned times)
{
    assert_int_equal(ws_hub_fault_next(f->self, what, times), 0);
}

/* Cases. */

static void test_fault_delay_keeps_order_inside_a_channel_only(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    subscribe(f, "b");
    next(f, WS_HUB_FAULT_DELAY_MESSAGE, 1);
    publish(f, "a", "1");
    publish(f, "a", "2");
    publish(f, "b", "1");
    assert_string_equal(f->log, "b1 ");
    pass(f, 60);
    assert_string_equal(f->log, "b1 a1 a2 ");
}

static void test_fault_lose_and_duplicate_hit_the_next_message(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    next(f, WS_HUB_FAULT_LOSE_MESSAGE, 1);
    publish(f, "a", "1");
    next(f, WS_HUB_FAULT_DUPLICATE_MESSAGE, 1);
    publish(f, "a", "2");
    publish(f, "a", "3");
    assert_string_equal(f->log, "a2 a2 a3 ");
    assert_int_equal(ws_hub_fault_count(f->self, WS_HUB_FAULT_LOSE_MESSAGE), 1);
}

static void test_fault_delayed_confirmation_comes_before_messages(void **state)
{
    struct fixture *f = *state;

    next(f, WS_HUB_FAULT_DELAY_SUBSCRIBED, 1);
    subscribe(f, "a");
    publish(f, "a", "1");
    assert_int_equal(f->subscribed + f->messages, 0);
    pass(f, 60);
    assert_int_equal(f->subscribed, 1);
    assert_string_equal(f->log, "a1 ");
}

static void test_fault_lost_confirmation_lets_messages_through(void **state)
{
    struct fixture *f = *state;

    next(f, WS_HUB_FAULT_LOSE_SUBSCRIBED, 1);
    subscribe(f, "a");
    publish(f, "a", "1");
    pass(f, 1000);
    assert_int_equal(f->subscribed, 0);
    assert_int_equal(f->messages, 1);
}

static void test_fault_refusal_is_told(void **state)
{
    struct fixture *f = *state;

    next(f, WS_HUB_FAULT_REFUSE_SUBSCRIBE, 1);
    assert_int_equal(subscribe(f, "a"), 0);
    pass(f, 20);
    assert_int_equal(f->subscribed, 1);
    assert_int_equal(f->status, WS_HUB_EFORBIDDEN);
    assert_int_equal(f->inner.subscribes, 0);
}

static void test_fault_calls_fail_and_ready_follows_again(void **state)
{
    struct fixture *f = *state;

    next(f, WS_HUB_FAULT_SUBSCRIBE_AGAIN, 1);
    assert_int_equal(subscribe(f, "a"), WS_HUB_EAGAIN);
    pass(f, 70);
    assert_int_equal(f->ready, 2);
    next(f, WS_HUB_FAULT_SUBSCRIBE_NO_MEMORY, 1);
    assert_int_equal(subscribe(f, "a"), WS_HUB_ENOMEM);
    next(f, WS_HUB_FAULT_PUBLISH_AGAIN, 1);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EAGAIN);
    pass(f, 70);
    assert_int_equal(f->ready, 3);
    next(f, WS_HUB_FAULT_PUBLISH_BROKER, 1);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EBROKER);
    next(f, WS_HUB_FAULT_PUBLISH_NO_MEMORY, 1);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_ENOMEM);
    assert_int_equal(f->inner.publishes, 0);
}

static void test_fault_dropped_link_opens_again_from_zero(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    assert_int_equal(ws_hub_fault_drop_link(f->self), 0);
    assert_int_equal(f->lost, 1);
    assert_false(f->inner.has[0]);
    assert_int_equal(ws_hub_fault_drop_link(f->self), WS_HUB_ESTATE);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EBROKER);
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    assert_int_equal(f->ready, 2);
    assert_int_equal(f->inner.opens, 1);
    publish(f, "a", "2");
    assert_int_equal(f->messages, 0);
    subscribe(f, "a");
    publish(f, "a", "3");
    assert_string_equal(f->log, "a3 ");
}

static void test_fault_link_lost_by_the_inner_one_is_lost(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    f->inner.host->lost(f->inner.host, "test");
    assert_int_equal(f->lost, 1);
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    assert_int_equal(f->inner.opens, 2);
    assert_int_equal(f->ready, 2);
}

static void test_fault_open_fails_or_ends_in_lost(void **state)
{
    struct fixture *f = *state;

    ws_hub_fault_drop_link(f->self);
    next(f, WS_HUB_FAULT_OPEN_FAILS, 1);
    assert_int_equal(f->ops->open(f->self, &f->host), WS_HUB_EBROKER);
    next(f, WS_HUB_FAULT_OPEN_LOST, 1);
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    pass(f, 20);
    assert_int_equal(f->lost, 2);
    assert_int_equal(f->ready, 1);
}

static void test_fault_dropped_channel_leaves_others(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    subscribe(f, "b");
    next(f, WS_HUB_FAULT_DELAY_MESSAGE, 1);
    publish(f, "a", "1");
    assert_int_equal(ws_hub_fault_drop_channel(f->self, "a", 1), 0);
    assert_int_equal(ws_hub_fault_drop_channel(f->self, "a", 1), WS_HUB_ENOENT);
    assert_int_equal(f->dropped, 1);
    publish(f, "b", "1");
    pass(f, 60);
    assert_string_equal(f->log, "b1 ");
    assert_int_equal(f->lost, 0);
}

static void test_fault_freeze_holds_both_ways_in_order(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    ws_hub_fault_freeze(f->self, 1);
    assert_int_equal(publish(f, "a", "1"), 0);
    assert_int_equal(subscribe(f, "b"), 0);
    assert_int_equal(publish(f, "b", "2"), 0);
    pass(f, 5000);
    assert_int_equal(f->messages, 0);
    assert_int_equal(f->inner.publishes, 0);
    assert_int_equal(f->subscribed, 1);
    ws_hub_fault_freeze(f->self, 0);
    pass(f, 20);
    assert_int_equal(f->subscribed, 2);
    assert_string_equal(f->log, "a1 b2 ");
}

static void test_fault_freeze_that_is_suspected_loses_all(void **state)
{
    struct fixture *f = *state;
    char name[WS_HUB_CHANNEL_MAX];
    size_t len = f->ops->probe_channel(f->self, 0, name);

    assert_true(len > 8 && memcmp(name, "$ws_hub.", 8) == 0);
    assert_int_equal(f->ops->probe_channel(f->self, 1, name), 0);
    subscribe(f, "a");
    ws_hub_fault_freeze(f->self, 1);
    publish(f, "a", "1");
    f->ops->suspect(f->self, name, len);
    assert_int_equal(f->lost, 1);
    /* It does not answer an open either. */
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    pass(f, 600);
    assert_int_equal(f->lost, 2);
    assert_int_equal(f->ops->open(f->self, &f->host), 0);
    ws_hub_fault_freeze(f->self, 0);
    assert_int_equal(f->ready, 2);
    assert_int_equal(f->inner.publishes, 0);
}

static void test_fault_calls_beyond_the_bound_are_refused(void **state)
{
    struct fixture *f = *state;

    ws_hub_fault_freeze(f->self, 1);
    for (unsigned i = 0; i < MAX_HELD; i++)
        assert_int_equal(publish(f, "a", "1"), 0);
    assert_int_equal(publish(f, "a", "1"), WS_HUB_EAGAIN);
    assert_int_equal(subscribe(f, "a"), WS_HUB_EAGAIN);
}

static void test_fault_messages_beyond_the_bound_lose_the_link(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    next(f, WS_HUB_FAULT_DELAY_MESSAGE, 1);
    for (unsigned i = 0; i < MAX_HELD; i++)
        publish(f, "a", "1");
    assert_int_equal(f->lost, 0);
    publish(f, "a", "1");
    pass(f, 20);
    assert_int_equal(f->lost, 1);
}

static void test_fault_calm_ends_rates_scripts_and_freeze(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    assert_int_equal(
        ws_hub_fault_set_rate(f->self, WS_HUB_FAULT_LOSE_MESSAGE, 1000), 0);
    publish(f, "a", "1");
    next(f, WS_HUB_FAULT_DUPLICATE_MESSAGE, 9);
    ws_hub_fault_freeze(f->self, 1);
    ws_hub_fault_calm(f->self);
    publish(f, "a", "2");
    pass(f, 20);
    assert_string_equal(f->log, "a2 ");
}

static void test_fault_chance_drops_and_freezes_by_itself(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    ws_hub_fault_set_rate(f->self, WS_HUB_FAULT_DROP_CHANNEL, 1000);
    pass(f, 150);
    assert_int_equal(f->dropped, 1);
    ws_hub_fault_set_rate(f->self, WS_HUB_FAULT_FREEZE, 1000);
    pass(f, 150);
    assert_true(ws_hub_fault_count(f->self, WS_HUB_FAULT_FREEZE) > 0);
    ws_hub_fault_set_rate(f->self, WS_HUB_FAULT_DROP_LINK, 1000);
    pass(f, 150);
    assert_int_equal(f->lost, 1);
}

static void test_fault_destroyed_inside_a_delayed_message(void **state)
{
    struct fixture *f = *state;

    subscribe(f, "a");
    next(f, WS_HUB_FAULT_DELAY_MESSAGE, 1);
    publish(f, "a", "1");
    publish(f, "a", "2");
    f->destroy_in_message = true;
    pass(f, 60);
    assert_string_equal(f->log, "a1 ");
}

static void test_fault_seed_repeats_the_same_faults(void **state)
{
    struct fixture *f = *state;
    char logs[2][256];

    for (unsigned run = 0; run < 2; run++) {
        ws_hub_fault_options options = {
            .struct_size = sizeof options,
            .seed = 5,
            .per_thousand = {[WS_HUB_FAULT_LOSE_MESSAGE] = 500}};

        f->ops->close(f->self);
        f->ops->destroy(f->self);
        assert_int_equal(ws_hub_fault_broker(&options, &inner_ops, &f->inner,
                                             &f->ops, &f->self),
                         0);
        assert_int_equal(f->ops->open(f->self, &f->host), 0);
        f->log[0] = 0;
        subscribe(f, "a");
        for (unsigned i = 0; i < 40; i++)
            publish(f, "a", (char[]){(char)('0' + i), 0});
        memcpy(logs[run], f->log, sizeof f->log);
    }
    assert_string_equal(logs[0], logs[1]);
    assert_in_range(strlen(logs[0]), 3 * 5, 3 * 35);
    f->stopped -= 2;
    f->inner.destroys -= 2;
}

static void test_fault_bad_arguments_are_refused(void **state)
{
    struct fixture *f = *state;
    ws_hub_fault_options options = {.struct_size = sizeof options,
                                    .per_thousand = {1001}};
    const ws_hub_broker_ops *ops = f->ops;
    void *self = f;

    assert_int_equal(
        ws_hub_fault_broker(&options, &inner_ops, &f->inner, &ops, &self),
        WS_HUB_EINVAL);
    assert_null(ops);
    assert_null(self);
    assert_int_equal(ws_hub_fault_broker(NULL, NULL, NULL, &ops, &self),
                     WS_HUB_EINVAL);
    assert_int_equal(ws_hub_fault_set_rate(f->self, WS_HUB_FAULT_FREEZE, 1001),
                     WS_HUB_EINVAL);
    assert_int_equal(ws_hub_fault_next(f->self, WS_HUB_FAULT_COUNT, 1),
                     WS_HUB_EINVAL);
    assert_string_equal(ws_hub_fault_name(WS_HUB_FAULT_FREEZE), "freeze");
    assert_string_equal(ws_hub_fault_name(WS_HUB_FAULT_COUNT), "unknown");
    assert_false(f->ops->flags & WS_HUB_BROKER_LOCAL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_fault_delay_keeps_order_inside_a_channel_only),
        CASE(test_fault_lose_and_duplicate_hit_the_next_message),
        CASE(test_fault_delayed_confirmation_comes_before_messages),
        CASE(test_fault_lost_confirmation_lets_messages_through),
        CASE(test_fault_refusal_is_told),
        CASE(test_fault_calls_fail_and_ready_follows_again),
        CASE(test_fault_dropped_link_opens_again_from_zero),
        CASE(test_fault_link_lost_by_the_inner_one_is_lost),
        CASE(test_fault_open_fails_or_ends_in_lost),
        CASE(test_fault_dropped_channel_leaves_others),
        CASE(test_fault_freeze_holds_both_ways_in_order),
        CASE(test_fault_freeze_that_is_suspected_loses_all),
        CASE(test_fault_calls_beyond_the_bound_are_refused),
        CASE(test_fault_messages_beyond_the_bound_lose_the_link),
        CASE(test_fault_calm_ends_rates_scripts_and_freeze),
        CASE(test_fault_chance_drops_and_freezes_by_itself),
        CASE(test_fault_destroyed_inside_a_delayed_message),
        CASE(test_fault_seed_repeats_the_same_faults),
        CASE(test_fault_bad_arguments_are_refused),
    };
#undef CASE

    return cmocka_run_group_tests_name("fault", cases, NULL, NULL);
}

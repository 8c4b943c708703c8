#include "contract/broker_contract.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "ws_hub/error.h"

enum { DEADLINE_S = 30, MANY = 1000, LARGE = 1 << 20, INSTANCE = 4711 };

static const struct broker_subject *subject;

/* The hub's side: records what the adapter says. */
struct bench {
    ws_hub_broker_host host; /* first */
    void *state;
    const ws_hub_broker_ops *ops;
    void *self;
    unsigned ready, lost, stopped, confirmed, messages;
    int status;                 /* of the last confirmation */
    bool calls_late;            /* something came after stopped */
    ws_hub_broker_message last; /* but for its pointers */
    char key[255];
    unsigned dropped, audited;
    uint64_t listeners; /* of the last audit */
    uint8_t *data;
    size_t len;
    uint32_t next; /* expected number, for order */
    bool in_order;
    void (*inside)(
        struct bench *bench); /* runs in the message callback, once */
};

static struct bench *bench_of(const ws_hub_broker_host *host)
{
    return (struct bench *)(uintptr_t)host;
}

static int on_message(const ws_hub_broker_host *host, const char *channel,
                      size_t channel_len, const ws_hub_broker_message *message)
{
    struct bench *bench = bench_of(host);
    void (*inside)(struct bench *) = bench->inside;
    uint32_t number;

    assert_non_null(channel);
    assert_true(channel_len > 0);
    bench->calls_late |= bench->stopped > 0;
    bench->messages++;
    bench->last = *message;
    assert_true(message->key_len <= sizeof bench->key);
    if (message->key_len)
        memcpy(bench->key, message->key, message->key_len);
    free(bench->data);
    bench->data = malloc(message->len + 1);
    assert_non_null(bench->data);
    if (message->len)
        memcpy(bench->data, message->data, message->len);
    bench->len = message->len;
    if (message->len == sizeof number) {
        memcpy(&number, message->data, sizeof number);
        bench->in_order &= number == bench->next;
        bench->next++;
    }
    bench->inside = NULL;
    if (inside)
        inside(bench);
    return 0;
}

static void on_subscribed(const ws_hub_broker_host *host, const char *channel,
                          size_t channel_len, int status)
{
    struct bench *bench = bench_of(host);

    (void)channel;
    (void)channel_len;
    bench->calls_late |= bench->stopped > 0;
    bench->confirmed++;
    bench->status = status;
}

static void on_ready(const ws_hub_broker_host *host)
{
    bench_of(host)->calls_late |= bench_of(host)->stopped > 0;
    bench_of(host)->ready++;
}

static void on_lost(const ws_hub_broker_host *host, const char *why)
{
    (void)why;
    bench_of(host)->lost++;
}

static void on_dropped(const ws_hub_broker_host *host, const char *channel,
                       size_t channel_len, const char *why)
{
    assert_non_null(channel);
    assert_true(channel_len > 0);
    (void)why;
    bench_of(host)->calls_late |= bench_of(host)->stopped > 0;
    bench_of(host)->dropped++;
}

static void on_audited(const ws_hub_broker_host *host, const char *channel,
                       size_t channel_len, uint64_t listeners)
{
    assert_non_null(channel);
    assert_true(channel_len > 0);
    bench_of(host)->calls_late |= bench_of(host)->stopped > 0;
    bench_of(host)->audited++;
    bench_of(host)->listeners = listeners;
}

static void on_stopped(const ws_hub_broker_host *host)
{
    bench_of(host)->stopped++;
}

static void on_log(const ws_hub_broker_host *host, ws_hub_log_level level,
                   const char *text)
{
    (void)host;
    (void)level;
    assert_non_null(text);
}

/* Wait for a count, by running the loop. */
static void wait_for(struct bench *bench, const unsigned *count, unsigned least)
{
    time_t end = time(NULL) + DEADLINE_S;

    while (*count < least && time(NULL) < end)
        subject->run_loop(bench->state);
    assert_true(*count >= least);
}

static struct bench *make_bench(void)
{
    struct bench *bench = calloc(1, sizeof *bench);

    assert_non_null(bench);
    bench->host.struct_size = sizeof bench->host;
    bench->host.server_id = "contract";
    bench->host.message = on_message;
    bench->host.subscribed = on_subscribed;
    bench->host.ready = on_ready;
    bench->host.lost = on_lost;
    bench->host.stopped = on_stopped;
    bench->host.log = on_log;
    bench->host.instance = INSTANCE;
    bench->host.dropped = on_dropped;
    bench->host.audited = on_audited;
    bench->in_order = true;
    assert_int_equal(subject->make(&bench->state, &bench->ops, &bench->self,
                                   &bench->host.loop, &bench->host.loop_ops),
                     0);
    return bench;
}

static void close_bench(struct bench *bench)
{
    bench->ops->close(bench->self);
    wait_for(bench, &bench->stopped, 1);
    subject->run_loop(bench->state);
    assert_int_equal(bench->stopped, 1);
    assert_false(bench->calls_late);
    if (bench->ops->destroy)
        bench->ops->destroy(bench->self);
    subject->unmake(bench->state);
    free(bench->data);
    free(bench);
}

static int set_up(void **state)
{
    struct bench *bench = make_bench();

    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
    wait_for(bench, &bench->ready, 1);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(bench->lost, 0);
    close_bench(bench);
    return 0;
}

static void subscribe(struct bench *bench, const char *channel, size_t len)
{
    unsigned before = bench->confirmed, ready = bench->ready;
    int error = bench->ops->subscribe(bench->self, channel, len);

    while (error == WS_HUB_EAGAIN) { /* its server is not up yet */
        wait_for(bench, &bench->ready, ready + 1);
        ready = bench->ready;
        error = bench->ops->subscribe(bench->self, channel, len);
    }
    assert_int_equal(error, 0);
    wait_for(bench, &bench->confirmed, before + 1);
    assert_int_equal(bench->status, 0);
}

static void publish(struct bench *bench, const char *channel, size_t len,
                    ws_hub_type type, const void *data, size_t data_len)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .type = type,
                                     .data = data,
                                     .len = data_len};

    assert_int_equal(bench->ops->publish(bench->self, channel, len, &message),
                     0);
}

static void test_broker_open_ends_in_ready(void **state)
{
    struct bench *bench = *state;

    assert_true(bench->ready >= 1); /* of several servers each says it */
    assert_non_null(bench->ops->name);
}

static void test_broker_subscribe_is_confirmed(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    subject->run_loop(bench->state);
    assert_int_equal(bench->confirmed, 1);
}

static void test_broker_subscribe_again_is_harmless(void **state)
{
    struct bench *bench = *state;
    uint32_t number = 0;

    subscribe(bench, "room", 4);
    subscribe(bench, "room", 4);
    publish(bench, "room", 4, WS_HUB_BINARY, &number, sizeof number);
    wait_for(bench, &bench->messages, 1);
    subject->run_loop(bench->state);
    assert_int_equal(bench->messages, 1);
}

static void test_broker_message_arrives_unchanged(void **state)
{
    static const uint8_t bytes[] = {0, 255, '\r', '\n', 0, 128};
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    publish(bench, "room", 4, WS_HUB_BINARY, bytes, sizeof bytes);
    wait_for(bench, &bench->messages, 1);
    assert_int_equal(bench->last.type, WS_HUB_BINARY);
    assert_int_equal(bench->len, sizeof bytes);
    assert_memory_equal(bench->data, bytes, sizeof bytes);
}

static void test_broker_types_are_kept(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    publish(bench, "room", 4, WS_HUB_TEXT, "text", 4);
    wait_for(bench, &bench->messages, 1);
    assert_int_equal(bench->last.type, WS_HUB_TEXT);
    publish(bench, "room", 4, WS_HUB_JSON, "[1]", 3);
    wait_for(bench, &bench->messages, 2);
    assert_int_equal(bench->last.type, WS_HUB_JSON);
}

static void test_broker_every_member_of_a_message_is_kept(void **state)
{
    struct bench *bench = *state;
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .type = WS_HUB_TEXT,
                                     .data = "x",
                                     .len = 1,
                                     .exclude = {0x0102030405060708},
                                     .cls = WS_HUB_CLASS_CRITICAL,
                                     .key = "price",
                                     .key_len = 5,
                                     .origin = INSTANCE,
                                     .published_us = 1700000000123456,
                                     .flags = WS_HUB_MESSAGE_DELIVERED};

    subscribe(bench, "room", 4);
    assert_int_equal(bench->ops->publish(bench->self, "room", 4, &message), 0);
    wait_for(bench, &bench->messages, 1);
    assert_true(bench->last.exclude.id == message.exclude.id);
    assert_int_equal(bench->last.cls, WS_HUB_CLASS_CRITICAL);
    assert_int_equal(bench->last.key_len, 5);
    assert_memory_equal(bench->key, "price", 5);
    assert_true(bench->last.origin == INSTANCE);
    assert_true(bench->last.published_us == message.published_us);
    assert_int_equal(bench->last.flags, WS_HUB_MESSAGE_DELIVERED);
}

static size_t probe_name(struct bench *bench, unsigned link, char *name)
{
    size_t len = bench->ops->probe_channel(bench->self, link, name);

    assert_true(len <= 255);
    if (len) {
        assert_true(len > 8);
        assert_memory_equal(name, "$ws_hub.", 8);
    }
    return len;
}

static void test_broker_probe_of_each_link_comes_back(void **state)
{
    struct bench *bench = *state;
    char name[255];
    size_t len;
    unsigned link = 0;

    for (; (len = probe_name(bench, link, name)) > 0; link++) {
        subscribe(bench, name, len);
        publish(bench, name, len, WS_HUB_BINARY, "p", 1);
        wait_for(bench, &bench->messages, link + 1);
    }
    assert_true(link > 0);
}

static void test_broker_probe_names_differ_by_link(void **state)
{
    struct bench *bench = *state;
    char name[255], other[255];
    size_t len;

    for (unsigned link = 0; (len = probe_name(bench, link, name)) > 0; link++) {
        for (unsigned i = 0; i < link; i++)
            assert_false(probe_name(bench, i, other) == len &&
                         memcmp(name, other, len) == 0);
    }
}

static void test_broker_audit_finds_the_own_subscription(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    assert_int_equal(bench->ops->audit(bench->self, "room", 4), 0);
    wait_for(bench, &bench->audited, 1);
    assert_true(bench->listeners >= 1);
}

/* Either the whole link, or each of the channels that it carries. */
static void test_broker_suspect_ends_in_a_loss(void **state)
{
    struct bench *bench = *state;
    char name[255];
    size_t len;
    unsigned ends = 0;
    time_t end = time(NULL) + DEADLINE_S;

    len = probe_name(bench, 0, name);
    subscribe(bench, name, len);
    bench->ops->suspect(bench->self, name, len);
    while (!ends && time(NULL) < end) {
        subject->run_loop(bench->state);
        ends = bench->dropped + bench->lost;
    }
    assert_true(ends >= 1);
    bench->lost = 0; /* was asked for */
}

static void test_broker_empty_message_arrives(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    publish(bench, "room", 4, WS_HUB_TEXT, NULL, 0);
    wait_for(bench, &bench->messages, 1);
    assert_int_equal(bench->len, 0);
}

static void test_broker_large_message_arrives(void **state)
{
    struct bench *bench = *state;
    uint8_t *data = malloc(LARGE);

    assert_non_null(data);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    subscribe(bench, "room", 4);
    publish(bench, "room", 4, WS_HUB_BINARY, data, LARGE - 1);
    wait_for(bench, &bench->messages, 1);
    assert_int_equal(bench->len, LARGE - 1);
    assert_memory_equal(bench->data, data, LARGE - 1);
    free(data);
}

static void test_broker_order_of_a_channel_is_kept(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    for (uint32_t i = 0; i < MANY; i++)
        publish(bench, "room", 4, WS_HUB_BINARY, &i, sizeof i);
    wait_for(bench, &bench->messages, MANY);
    assert_int_equal(bench->messages, MANY);
    assert_true(bench->in_order);
}

static void test_broker_odd_channel_names_are_names(void **state)
{
    static const char *const names[] = {
        "*",          "news.*",    "a?b",        "[ab]",        "{tag}", "{}",
        "with space", "SUBSCRIBE", "\"quoted\"", "caf\xc3\xa9", "$hub"};
    struct bench *bench = *state;
    char longest[255];
    unsigned n = 0;

    for (; n < sizeof names / sizeof *names; n++) {
        subscribe(bench, names[n], strlen(names[n]));
        publish(bench, names[n], strlen(names[n]), WS_HUB_TEXT, "x", 1);
        wait_for(bench, &bench->messages, n + 1);
    }
    memset(longest, 'n', sizeof longest);
    subscribe(bench, longest, sizeof longest);
    publish(bench, longest, sizeof longest, WS_HUB_TEXT, "x", 1);
    wait_for(bench, &bench->messages, n + 1);
    subject->run_loop(bench->state);
    assert_int_equal(bench->messages, n + 1); /* no pattern matched another */
}

static void test_broker_unsubscribe_then_subscribe_flows_again(void **state)
{
    struct bench *bench = *state;

    for (unsigned i = 1; i <= 20; i++) {
        subscribe(bench, "room", 4);
        publish(bench, "room", 4, WS_HUB_TEXT, "x", 1);
        wait_for(bench, &bench->messages, i);
        assert_int_equal(bench->ops->unsubscribe(bench->self, "room", 4), 0);
    }
    assert_int_equal(bench->ops->unsubscribe(bench->self, "never", 5), 0);
}

static void publish_inside(struct bench *bench)
{
    publish(bench, "room", 4, WS_HUB_TEXT, "inner", 5);
}

static void test_broker_publish_inside_message_is_allowed(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    bench->inside = publish_inside;
    publish(bench, "room", 4, WS_HUB_TEXT, "outer", 5);
    wait_for(bench, &bench->messages, 2);
}

static void unsubscribe_inside(struct bench *bench)
{
    assert_int_equal(bench->ops->unsubscribe(bench->self, "room", 4), 0);
}

static void test_broker_unsubscribe_inside_message_is_allowed(void **state)
{
    struct bench *bench = *state;

    subscribe(bench, "room", 4);
    bench->inside = unsubscribe_inside;
    publish(bench, "room", 4, WS_HUB_TEXT, "x", 1);
    wait_for(bench, &bench->messages, 1);
}

static void test_broker_close_right_after_open_stops_once(void **state)
{
    struct bench *bench = make_bench();

    (void)state;
    assert_int_equal(bench->ops->open(bench->self, &bench->host), 0);
    close_bench(bench);
}

/* What an adapter can do is looked up on one that is never opened. */
static ws_hub_broker_ops ops_of_subject(void)
{
    struct bench *bench = make_bench();
    ws_hub_broker_ops ops = {0};

    memcpy(&ops, bench->ops,
           bench->ops->struct_size < sizeof ops ? bench->ops->struct_size
                                                : sizeof ops);
    if (bench->ops->destroy)
        bench->ops->destroy(bench->self);
    subject->unmake(bench->state);
    free(bench);
    return ops;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest all[] = {
    CASE(test_broker_open_ends_in_ready),
    CASE(test_broker_subscribe_is_confirmed),
    CASE(test_broker_subscribe_again_is_harmless),
    CASE(test_broker_message_arrives_unchanged),
    CASE(test_broker_types_are_kept),
    CASE(test_broker_every_member_of_a_message_is_kept),
    CASE(test_broker_empty_message_arrives),
    CASE(test_broker_large_message_arrives),
    CASE(test_broker_order_of_a_channel_is_kept),
    CASE(test_broker_odd_channel_names_are_names),
    CASE(test_broker_unsubscribe_then_subscribe_flows_again),
    CASE(test_broker_publish_inside_message_is_allowed),
    CASE(test_broker_unsubscribe_inside_message_is_allowed),
    cmocka_unit_test(test_broker_close_right_after_open_stops_once),
};

static const struct CMUnitTest of_probing[] = {
    CASE(test_broker_probe_of_each_link_comes_back),
    CASE(test_broker_probe_names_differ_by_link),
    CASE(test_broker_suspect_ends_in_a_loss),
};

static const struct CMUnitTest of_auditing[] = {
    CASE(test_broker_audit_finds_the_own_subscription),
};

enum {
    ALL = sizeof all / sizeof *all,
    OF_PROBING = sizeof of_probing / sizeof *of_probing,
    OF_AUDITING = sizeof of_auditing / sizeof *of_auditing
};

/* One group, so one TAP plan, of the cases that the adapter's functions allow.
 */
int broker_contract_run(const struct broker_subject *of)
{
    struct CMUnitTest cases[ALL + OF_PROBING + OF_AUDITING];
    size_t count = ALL;
    ws_hub_broker_ops ops;

    subject = of;
    ops = ops_of_subject();
    memcpy(cases, all, sizeof all);
    if (ops.probe_channel && ops.suspect) {
        memcpy(cases + count, of_probing, sizeof of_probing);
        count += OF_PROBING;
    }
    if (ops.audit) {
        memcpy(cases + count, of_auditing, sizeof of_auditing);
        count += OF_AUDITING;
    }
    return _cmocka_run_group_tests(of->name, cases, count, NULL, NULL);
}

/*
 * order_test.c: several loops, several publishing threads: every subscriber
 * gets every message, and those of one publisher on one channel in their order.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/crowd.h"
#include "support/identity.h"
#include "ws_hub.h"

enum {
    CLIENTS = 60,
    CHANNELS = 5,
    HOST_PUBLISHERS = 4,
    PUBLISHERS = HOST_PUBLISHERS + CHANNELS, /* and the first clients */
    EACH = 500
};

/* Every client's last number of every publisher; clients are on one channel. */
struct check {
    uint32_t last[CLIENTS][PUBLISHERS];
    unsigned received;
    unsigned expected;
};

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    size_t len;
    const char *path = ws_hub_request_path(request, &len);

    (void)user;
    assert_int_equal(ws_hub_subscribe(hub, conn, path, len), 0);
}

static atomic_uint subscribed;

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t channel_len, int status, void *user)
{
    (void)hub;
    (void)conn;
    (void)channel;
    (void)channel_len;
    (void)user;
    assert_int_equal(status, 0);
    atomic_fetch_add(&subscribed, 1);
}

/* A client's frame goes to its channel, named in the frame itself. */
static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    ws_hub_publish_options options = {.struct_size = sizeof options,
                                      .type = type};
    unsigned publisher;
    char channel[16];

    (void)conn;
    (void)user;
    assert_int_equal(sscanf(data, "%u.", &publisher), 1);
    (void)snprintf(channel, sizeof channel, "/%u", publisher - HOST_PUBLISHERS);
    assert_int_equal(
        ws_hub_publish(hub, channel, strlen(channel), data, len, &options), 0);
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_message = on_message,
    .on_subscribed = on_subscribed,
};

static void on_received(struct crowd_client *client, uint8_t opcode,
                        const uint8_t *data, size_t len, void *arg)
{
    struct check *check = arg;
    unsigned publisher, number;
    char text[32] = "";

    (void)opcode;
    memcpy(text, data, len < 31 ? len : 31);
    assert_int_equal(sscanf(text, "%u.%u", &publisher, &number), 2);
    assert_int_equal(number, check->last[client->index][publisher] + 1);
    check->last[client->index][publisher] = number;
    check->received++;
}

struct publisher {
    ws_hub *hub;
    unsigned number;
    pthread_t thread;
};

/* One thread publishes to all channels in turn. */
static void *publish_all(void *arg)
{
    struct publisher *publisher = arg;
    char channel[16], text[32];

    for (unsigned i = 0; i < EACH * CHANNELS; i++) {
        (void)snprintf(channel, sizeof channel, "/%u", i % CHANNELS);
        (void)snprintf(text, sizeof text, "%u.%u", publisher->number,
                       i / CHANNELS + 1);
        if (ws_hub_publish(publisher->hub, channel, strlen(channel), text,
                           strlen(text) + 1, NULL))
            abort();
    }
    return NULL;
}

static bool all_received(void *arg)
{
    struct check *check = arg;

    return check->received >= check->expected;
}

static ws_hub *make_hub(unsigned loops)
{
    const char *url = "tcp://127.0.0.1:0";
    ws_hub_options options;
    ws_hub *hub;

    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.loops = loops;
    options.send_limit = 64 << 20; /* nobody is too slow for this test */
    options.callbacks = &callbacks;
    assert_int_equal(ws_hub_create(&hub, &options), 0);
    assert_int_equal(ws_hub_start(hub), 0);
    return hub;
}

static void check_order(unsigned loops)
{
    ws_hub *hub = make_hub(loops);
    struct crowd *crowd = crowd_create(ws_hub_port(hub, 0), CLIENTS);
    struct check *check = calloc(1, sizeof *check);
    struct publisher publishers[HOST_PUBLISHERS];
    char text[32];

    assert_non_null(check);
    check->expected = CLIENTS * EACH * (HOST_PUBLISHERS + 1);
    crowd_on_message(crowd, on_received, check);
    crowd_connect(crowd, "/%u", CHANNELS, NULL);
    for (unsigned i = 0; i < HOST_PUBLISHERS; i++) {
        publishers[i].hub = hub;
        publishers[i].number = i;
        assert_int_equal(pthread_create(&publishers[i].thread, NULL,
                                        publish_all, &publishers[i]),
                         0);
    }
    /* Client i is on channel i: each channel has a client that publishes. */
    for (unsigned i = 0; i < EACH * CHANNELS; i++) {
        (void)snprintf(text, sizeof text, "%u.%u",
                       HOST_PUBLISHERS + i % CHANNELS, i / CHANNELS + 1);
        crowd_send(crowd_client(crowd, i % CHANNELS), 1, text,
                   strlen(text) + 1);
        crowd_turn(crowd, 0);
    }
    crowd_until(crowd, all_received, check);
    assert_int_equal(check->received, check->expected);
    for (unsigned i = 0; i < HOST_PUBLISHERS; i++)
        pthread_join(publishers[i].thread, NULL);
    ws_hub_stop(hub);
    crowd_until_closed(crowd);
    assert_int_equal(ws_hub_run(hub), 0);
    check_identity(hub, 1);
    ws_hub_destroy(hub);
    crowd_destroy(crowd);
    free(check);
}

static void test_order_is_kept_on_one_loop(void **state)
{
    (void)state;
    check_order(1);
}

static void test_order_is_kept_on_two_loops(void **state)
{
    (void)state;
    check_order(2);
}

static void test_order_is_kept_on_five_loops(void **state)
{
    (void)state;
    check_order(5);
}

/* Its own channel's name, as on_message wants it. */
static void say_at_start(struct crowd_client *client, struct wsh_buf *request)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%u.1", HOST_PUBLISHERS + client->index);
    ws_peer_frame(request, true, 1, 0x01020304, text, strlen(text) + 1);
}

static void count_own(struct crowd_client *client, uint8_t opcode,
                      const uint8_t *data, size_t len, void *arg)
{
    unsigned publisher;

    (void)opcode;
    assert_true(len > 0 && data[len - 1] == 0);
    assert_int_equal(sscanf((const char *)data, "%u.1", &publisher), 1);
    assert_int_equal(publisher, HOST_PUBLISHERS + client->index);
    ((struct check *)arg)->received++;
}

/* Each is alone on its channel, which is new on its loop: what it says before
 * the home loop can have heard of it must come back. */
static void test_order_first_words_are_heard_on_five_loops(void **state)
{
    ws_hub *hub = make_hub(5);
    struct crowd *crowd = crowd_create(ws_hub_port(hub, 0), CLIENTS);
    struct check *check = calloc(1, sizeof *check);

    (void)state;
    assert_non_null(check);
    check->expected = CLIENTS;
    atomic_store(&subscribed, 0);
    crowd_on_start(crowd, say_at_start);
    crowd_on_message(crowd, count_own, check);
    crowd_connect(crowd, "/%u", CLIENTS, NULL);
    crowd_until(crowd, all_received, check);
    assert_int_equal(atomic_load(&subscribed), CLIENTS);
    ws_hub_stop(hub);
    crowd_until_closed(crowd);
    assert_int_equal(ws_hub_run(hub), 0);
    check_identity(hub, 1);
    ws_hub_destroy(hub);
    crowd_destroy(crowd);
    free(check);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_order_is_kept_on_one_loop),
        cmocka_unit_test(test_order_is_kept_on_two_loops),
        cmocka_unit_test(test_order_is_kept_on_five_loops),
        cmocka_unit_test(test_order_first_words_are_heard_on_five_loops),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

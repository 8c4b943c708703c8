#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "broker/redis/slots.h"
#include "support/redis_nodes.h"
#include "ws_hub/error.h"

static unsigned slot_of(const char *name)
{
    return wsr_slot_of(name, strlen(name));
}

/* The check value of CRC16/XMODEM, and examples of the specification. */
static void test_slots_crc_is_that_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(slot_of("123456789"), 0x31c3);
    assert_int_equal(slot_of("foo"), 12182);
    assert_int_equal(slot_of("bar"), 5061);
}

static void test_slots_tag_counts_alone(void **state)
{
    (void)state;
    assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
    assert_int_equal(slot_of("a{user1000}b"), slot_of("user1000"));
    assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
}

static void test_slots_no_tag_without_both_braces_and_content(void **state)
{
    (void)state;
    assert_int_not_equal(slot_of("foo{}{bar}"), slot_of("bar"));
    assert_int_not_equal(slot_of("foo{}{bar}"), slot_of(""));
    assert_int_not_equal(slot_of("foo{bar"), slot_of("bar"));
    assert_int_not_equal(slot_of("foo}bar{"), slot_of("bar"));
}

/* Whatever the name, a real server agrees. */
static void test_slots_agree_with_a_server(void **state)
{
    static const char bytes[] = "{}{}ab\x80\xff \"";
    struct redis_nodes *nodes = *state;
    uint32_t random = 1;

    for (unsigned i = 0; i < 2000; i++) {
        char name[255];
        size_t len = i % sizeof name + 1;

        for (size_t at = 0; at < len; at++) {
            random = random * 1664525 + 1013904223;
            name[at] = bytes[(random >> 16) % (sizeof bytes - 1)];
        }
        assert_int_equal(redis_node_command(&nodes->node[0],
                                            "CLUSTER KEYSLOT %b", name, len),
                         wsr_slot_of(name, len));
    }
}

/* Replies, built by hand. */

static struct wsr_reply text(const char *of)
{
    return (struct wsr_reply){
        .type = WSR_STRING, .text = of, .len = strlen(of)};
}

static struct wsr_reply integer(long long of)
{
    return (struct wsr_reply){.type = WSR_INTEGER, .integer = of};
}

static struct wsr_reply array(struct wsr_reply *items, size_t count)
{
    return (struct wsr_reply){
        .type = WSR_ARRAY, .items = items, .count = count};
}

#define ARRAY(...)                                                             \
    array((struct wsr_reply[]){__VA_ARGS__},                                   \
          sizeof((struct wsr_reply[]){__VA_ARGS__}) /                          \
              sizeof(struct wsr_reply))

static const struct wsr_reply nil = {.type = WSR_NIL};

static int read_slots(struct wsr_slots *slots, struct wsr_reply reply)
{
    wsr_slots_init(slots);
    return wsr_slots_read(slots, &reply, "seed");
}

static void test_slots_reply_gives_each_range_to_its_master(void **state)
{
    struct wsr_slots slots;

    (void)state;
    assert_int_equal(
        read_slots(
            &slots,
            ARRAY(ARRAY(integer(0), integer(9),
                        ARRAY(text("10.0.0.1"), integer(7000), text("id")),
                        ARRAY(text("10.0.0.9"), integer(7009), text("id"))),
                  ARRAY(integer(10), integer(16383),
                        ARRAY(text("::1"), integer(7001), text("id"),
                              ARRAY(text("hostname"), text("b")))),
                  ARRAY(integer(5), integer(5),
                        ARRAY(text("10.0.0.1"), integer(7000))))),
        0);
    assert_int_equal(slots.node_count, 2);
    assert_int_equal(slots.covered, WSR_SLOTS);
    assert_int_equal(slots.owner[9], 0);
    assert_int_equal(slots.owner[10], 1);
    assert_string_equal(slots.nodes[0].host, "10.0.0.1");
    assert_string_equal(slots.nodes[1].host, "::1");
    assert_int_equal(slots.nodes[1].port, 7001);
    wsr_slots_fini(&slots);
}

static void test_slots_reply_without_host_means_the_asked_one(void **state)
{
    struct wsr_slots slots;

    (void)state;
    assert_int_equal(
        read_slots(
            &slots,
            ARRAY(ARRAY(integer(0), integer(1), ARRAY(text(""), integer(7000))),
                  ARRAY(integer(2), integer(3), ARRAY(nil, integer(7001))))),
        0);
    assert_int_equal(slots.node_count, 2);
    assert_string_equal(slots.nodes[0].host, "seed");
    assert_string_equal(slots.nodes[1].host, "seed");
    wsr_slots_fini(&slots);
}

static void test_slots_reply_of_nonsense_is_left_out(void **state)
{
    struct wsr_slots slots;
    struct wsr_reply node = ARRAY(text("h"), integer(1));

    (void)state;
    assert_int_equal(
        read_slots(
            &slots,
            ARRAY(
                integer(1), ARRAY(integer(0), integer(1)),
                ARRAY(text("0"), integer(1), node),
                ARRAY(integer(0), integer(1), integer(2)),
                ARRAY(integer(0), integer(1), ARRAY(text("h"))),
                ARRAY(integer(0), integer(1), ARRAY(text("?"), integer(1))),
                ARRAY(integer(0), integer(1), ARRAY(text("h"), integer(0))),
                ARRAY(integer(0), integer(1), ARRAY(text("h"), integer(65536))),
                ARRAY(integer(0), integer(1), ARRAY(text("a b"), integer(1))),
                ARRAY(integer(-1), integer(1), node),
                ARRAY(integer(2), integer(1), node),
                ARRAY(integer(0), integer(16384), node))),
        0);
    assert_int_equal(slots.covered, 0);
    wsr_slots_fini(&slots);
    assert_int_equal(read_slots(&slots, text("x")), WS_HUB_EINVAL);
    wsr_slots_fini(&slots);
}

static void test_slots_too_many_nodes_are_refused(void **state)
{
    static struct wsr_slots slots;
    struct wsr_endpoint node;

    (void)state;
    wsr_slots_init(&slots);
    for (unsigned i = 1; i <= WSR_NODES_MAX; i++) {
        assert_true(wsr_endpoint_set(&node, "h", 1, i));
        assert_int_equal(wsr_slots_node(&slots, &node), i - 1);
        assert_int_equal(wsr_slots_node(&slots, &node), i - 1);
    }
    assert_true(wsr_endpoint_set(&node, "other", 5, 1));
    assert_int_equal(wsr_slots_node(&slots, &node), WSR_NO_NODE);
    wsr_slots_fini(&slots);
}

static void test_slots_view_is_read_from_cluster_info(void **state)
{
    struct wsr_reply info = text("cluster_state:ok\r\n"
                                 "cluster_slots_assigned:16384\r\n"
                                 "cluster_current_epoch:61\r\n"
                                 "cluster_my_epoch:2\r\n");
    struct wsr_reply failing = text("cluster_current_epoch:5\r\n"
                                    "cluster_state:fail\r\n");
    struct wsr_reply other = text("xcluster_state:ok\r\n");
    struct wsr_view view;

    (void)state;
    assert_true(wsr_view_read(&view, &info));
    assert_true(view.ok);
    assert_int_equal(view.epoch, 61);
    assert_true(wsr_view_read(&view, &failing));
    assert_false(view.ok);
    assert_false(wsr_view_read(&view, &other));
    assert_false(wsr_view_read(&view, &nil));
}

static int start(void **state)
{
    static struct redis_nodes nodes;

    redis_nodes_start(&nodes, 1, true);
    *state = &nodes;
    return 0;
}

static int stop(void **state)
{
    redis_nodes_stop(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_slots_crc_is_that_of_the_specification),
        cmocka_unit_test(test_slots_tag_counts_alone),
        cmocka_unit_test(test_slots_no_tag_without_both_braces_and_content),
        cmocka_unit_test_setup_teardown(test_slots_agree_with_a_server, start,
                                        stop),
        cmocka_unit_test(test_slots_reply_gives_each_range_to_its_master),
        cmocka_unit_test(test_slots_reply_without_host_means_the_asked_one),
        cmocka_unit_test(test_slots_reply_of_nonsense_is_left_out),
        cmocka_unit_test(test_slots_too_many_nodes_are_refused),
        cmocka_unit_test(test_slots_view_is_read_from_cluster_info),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

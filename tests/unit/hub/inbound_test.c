/* inbound_test.c: what one connection may have of a turn, and what becomes of
 * the rest; rates. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/one_shard.h"
#include "support/ws_peer.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

enum { FLOOD = 1000, MOST_PER_TURN = 40, LOUD = 20 };

struct rig {
    struct one_shard one;
    struct pipe_end end, other;
    unsigned messages, wrong, closed;
    ws_hub_cause cause;
    unsigned code;
    unsigned close_at; /* on_message number that closes; 0: none */
    bool undecided;    /* may_connect decides later */
};

static int may_connect(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user)
{
    (void)hub, (void)conn, (void)request;
    return ((struct rig *)user)->undecided ? WS_HUB_EAGAIN : 0;
}

/* Messages are numbers, from 0 on. */
static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    struct rig *rig = user;
    unsigned number;

    (void)type;
    assert_int_equal(len, sizeof number);
    memcpy(&number, data, sizeof number);
    rig->wrong += number != rig->messages;
    rig->messages++;
    if (rig->messages == rig->close_at)
        (void)ws_hub_close(hub, conn, 1000, NULL, 0);
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct rig *rig = user;

    (void)hub, (void)conn;
    rig->closed++;
    rig->cause = info->cause;
    rig->code = info->code;
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .may_connect = may_connect,
    .on_message = on_message,
    .on_close = on_close,
};

static int set_up_with(void **state, unsigned max_messages)
{
    struct rig *rig = calloc(1, sizeof *rig);
    ws_hub_options options;

    assert_non_null(rig);
    ws_hub_options_init(&options);
    options.callbacks = &callbacks;
    options.user = rig;
    options.max_inbound_messages = max_messages;
    options.rate_grace_ms = 3000;
    one_shard_init(&rig->one, &options);
    one_shard_connect(&rig->one, &rig->end);
    *state = rig;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, 0);
}

static int set_up_limited(void **state)
{
    return set_up_with(state, 10);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    one_shard_fini(&rig->one);
    pipe_end_fini(&rig->end);
    pipe_end_fini(&rig->other);
    free(rig);
    return 0;
}

static void write_frame(struct pipe_end *end, uint8_t opcode, const void *data,
                        size_t len)
{
    struct wsh_buf frame = {0};

    ws_peer_frame(&frame, true, opcode, 0x01020304, data, len);
    pipe_write(end, frame.data, frame.len);
    wsh_buf_fini(&frame);
}

static void write_numbers(struct pipe_end *end, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        write_frame(end, 2, &i, sizeof i);
}

static void test_inbound_flood_is_taken_in_small_parts_and_in_order(void **s)
{
    struct rig *rig = *s;
    unsigned turns = 0;

    write_numbers(&rig->end, FLOOD);
    (void)pipe_deliver(&rig->end, SIZE_MAX);
    do {
        unsigned before = rig->messages;

        assert_false(rig->end.reading);
        one_shard_turn(&rig->one);
        assert_in_range(rig->messages - before, 1, MOST_PER_TURN);
        assert_in_range(++turns, 1, FLOOD);
    } while (rig->one.hold);
    assert_int_equal(rig->messages, FLOOD);
    assert_int_equal(rig->wrong, 0);
    assert_true(rig->end.reading);
}

static void test_inbound_many_floods_take_no_more_of_a_turn(void **s)
{
    struct rig *rig = *s;
    static struct pipe_end loud[LOUD];
    unsigned before;

    for (unsigned i = 0; i < LOUD; i++) {
        one_shard_connect(&rig->one, &loud[i]);
        write_numbers(&loud[i], FLOOD);
        (void)pipe_deliver(&loud[i], SIZE_MAX);
    }
    before = rig->messages;
    one_shard_turn(&rig->one);
    assert_in_range(rig->messages - before, 1, 4 * MOST_PER_TURN);
    while (rig->one.hold)
        one_shard_turn(&rig->one);
    assert_int_equal(rig->messages, LOUD * FLOOD);
    for (unsigned i = 0; i < LOUD; i++) {
        assert_true(loud[i].reading);
        loud[i].far_ended = true;
        (void)pipe_deliver(&loud[i], SIZE_MAX);
        pipe_end_fini(&loud[i]);
    }
}

static void test_inbound_frames_that_are_no_messages_count_as_well(void **s)
{
    struct rig *rig = *s;

    for (unsigned i = 0; i < FLOOD; i++)
        write_frame(&rig->end, 10, NULL, 0);
    (void)pipe_deliver(&rig->end, SIZE_MAX);
    assert_false(rig->end.reading);
    one_shard_turn(&rig->one);
    assert_true(rig->one.hold);
}

static void test_inbound_closed_amid_the_rest_takes_no_more(void **s)
{
    struct rig *rig = *s;

    rig->close_at = MOST_PER_TURN + 10;
    write_numbers(&rig->end, FLOOD);
    write_frame(&rig->end, 8, "\3\350", 2);
    (void)pipe_deliver(&rig->end, SIZE_MAX);
    do
        one_shard_turn(&rig->one);
    while (rig->one.hold);
    /* The peer's close frame is behind the rest, and was found there. */
    assert_int_equal(rig->messages, rig->close_at);
    assert_true(rig->end.shut);
    assert_true(rig->end.reading);
}

static void test_inbound_peer_gone_amid_the_rest_leaves_nothing(void **s)
{
    struct rig *rig = *s;
    ws_hub_conn conn = wsh_conn_handle(one_shard_conn(&rig->end));

    write_numbers(&rig->end, FLOOD);
    (void)pipe_deliver(&rig->end, SIZE_MAX);
    assert_int_equal(ws_hub_close((ws_hub *)(void *)&rig->one, conn, 0, 0, 0),
                     0);
    one_shard_turn(&rig->one);
    one_shard_turn(&rig->one);
    assert_int_equal(rig->closed, 1);
    assert_false(rig->one.hold);
}

static void test_inbound_message_over_the_rate_is_refused_and_counted(void **s)
{
    struct rig *rig = *s;

    write_numbers(&rig->end, 15);
    one_shard_deliver(&rig->one, &rig->end);
    assert_int_equal(rig->messages, 10);
    assert_int_equal(
        one_shard_counted(&rig->one, WSH_C_REFUSED + WS_HUB_REFUSE_RATE), 5);
    assert_int_equal(rig->closed, 0);
}

static void test_inbound_ping_over_the_rate_is_not_answered(void **s)
{
    struct rig *rig = *s;

    for (unsigned i = 0; i < 15; i++)
        write_frame(&rig->end, 9, NULL, 0);
    one_shard_deliver(&rig->one, &rig->end);
    assert_int_equal(rig->end.to_far.len, 10 * 2);
    assert_int_equal(
        one_shard_counted(&rig->one, WSH_C_REFUSED + WS_HUB_REFUSE_RATE), 5);
}

static void test_inbound_who_stays_over_the_rate_is_closed_1008(void **s)
{
    struct rig *rig = *s;
    unsigned rounds = 0;

    while (one_shard_conn(&rig->end)->state == WSH_CONN_OPEN) {
        for (unsigned i = 0; i < 15; i++)
            write_frame(&rig->end, 10, NULL, 0);
        one_shard_deliver(&rig->one, &rig->end);
        rig->one.now_us += 500000;
        assert_in_range(++rounds, 1, 50);
    }
    assert_int_equal(rounds, 7); /* 3 s and the first */
    assert_memory_equal(rig->end.to_far.data, "\x88\x02\x03\xf0", 4);
    rig->end.far_ended = true;
    (void)pipe_deliver(&rig->end, SIZE_MAX);
    assert_int_equal(rig->cause, WS_HUB_CAUSE_RATE);
    assert_int_equal(rig->code, 1008);
}

static void test_inbound_who_pauses_after_a_refusal_stays(void **s)
{
    struct rig *rig = *s;

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 15; i++)
            write_frame(&rig->end, 10, NULL, 0);
        one_shard_deliver(&rig->one, &rig->end);
        rig->one.now_us += 1000000;
    }
    assert_int_equal(one_shard_conn(&rig->end)->state, WSH_CONN_OPEN);
}

static void test_inbound_undecided_at_stop_is_read_to_its_end(void **s)
{
    struct rig *rig = *s;
    struct wsh_buf request = {0};

    rig->undecided = true;
    assert_true(pipe_connect(&rig->one.pipe, &rig->other, 4096));
    ws_peer_request(&request, "/", NULL);
    pipe_write(&rig->other, request.data, request.len);
    wsh_buf_fini(&request);
    one_shard_deliver(&rig->one, &rig->other);
    assert_false(rig->other.reading);
    wsh_shard_stop(rig->one.shard, false, NULL, NULL);
    one_shard_turn(&rig->one);
    assert_memory_equal(rig->other.to_far.data, "HTTP/1.1 503", 12);
    assert_true(rig->other.reading);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define LIMITED(name)                                                          \
    cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_inbound_flood_is_taken_in_small_parts_and_in_order),
        CASE(test_inbound_many_floods_take_no_more_of_a_turn),
        CASE(test_inbound_frames_that_are_no_messages_count_as_well),
        CASE(test_inbound_closed_amid_the_rest_takes_no_more),
        CASE(test_inbound_peer_gone_amid_the_rest_leaves_nothing),
        LIMITED(test_inbound_message_over_the_rate_is_refused_and_counted),
        LIMITED(test_inbound_ping_over_the_rate_is_not_answered),
        LIMITED(test_inbound_who_stays_over_the_rate_is_closed_1008),
        LIMITED(test_inbound_who_pauses_after_a_refusal_stays),
        CASE(test_inbound_undecided_at_stop_is_read_to_its_end),
    };
#undef LIMITED
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub/channel.h"
#include "hub/outq.h"
#include "ws_hub/error.h"

enum { PLENTY = 1 << 20 };

static int set_up(void **state)
{
    struct wsh_outq *queue = malloc(sizeof *queue);

    assert_non_null(queue);
    wsh_outq_init(queue);
    *state = queue;
    return 0;
}

static int tear_down(void **state)
{
    wsh_outq_clear(*state);
    free(*state);
    return 0;
}

/* A closed block of `count` messages of `len` bytes each. */
static struct wsh_block *make_block(uint32_t count, size_t len, size_t fragment)
{
    static const struct wsh_mark plain = {.cls = WS_HUB_CLASS_NORMAL};
    struct wsh_block *block = NULL;
    uint8_t *data = calloc(1, len ? len : 1);
    struct wsh_piece piece = {data, len};

    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(
            wsh_encode(&block, WSH_OP_BINARY, &piece, 1, fragment, &plain), 0);
    free(data);
    return block;
}

static struct wsh_out_result offer(struct wsh_outq *queue, uint32_t count,
                                   size_t len, size_t limit)
{
    struct wsh_block *block = make_block(count, len, PLENTY);
    struct wsh_out_result taken;

    assert_int_equal(wsh_outq_offer(queue, block, 0, count, limit, &taken), 0);
    wsh_block_unref(block);
    wsh_outq_check(queue);
    return taken;
}

static void control(struct wsh_outq *queue, const char *text, bool urgent)
{
    struct wsh_block *block = wsh_block_control(text, (uint32_t)strlen(text));

    assert_int_equal(wsh_outq_control(queue, block, urgent), 0);
    wsh_outq_check(queue);
}

static void first_is(struct wsh_outq *queue, const char *text)
{
    const struct wsh_out *out = wsh_outq_peek(queue, 0);

    assert_int_equal(out->first, WSH_OUT_CONTROL);
    assert_int_equal(out->end, strlen(text));
    assert_memory_equal(out->block->data, text, strlen(text));
}

static void test_outq_whole_batch_fits_is_taken(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_out_result taken = offer(queue, 3, 100, PLENTY);

    assert_int_equal(taken.messages, 3);
    assert_int_equal(taken.bytes, 3 * 102);
    assert_int_equal(queue->len, 1);
}

static void test_outq_batch_over_limit_takes_a_prefix(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_out_result taken = offer(queue, 10, 100, 4 * 102 + 24);

    assert_int_equal(taken.messages, 4);
    taken = offer(queue, 1, 0, 4 * 102 + 24);
    assert_int_equal(taken.messages, 0);
}

static void test_outq_empty_queue_takes_one_of_any_size(void **state)
{
    struct wsh_outq *queue = *state;

    assert_int_equal(offer(queue, 2, 5000, 100).messages, 1);
    assert_int_equal(offer(queue, 1, 1, 100).messages, 0);
}

static void test_outq_entries_are_charged(void **state)
{
    struct wsh_outq *queue = *state;
    uint64_t taken = 0;

    for (int i = 0; i < 1000; i++)
        taken += offer(queue, 1, 0, 2600).messages;
    assert_int_equal(taken, 100); /* 2 bytes and 24 of charge each */
}

static void test_outq_consume_counts_messages_as_they_end(void **state)
{
    struct wsh_outq *queue = *state;

    offer(queue, 3, 98, PLENTY); /* 100 bytes each on the wire */
    assert_int_equal(wsh_outq_consume(queue, 99).messages, 0);
    assert_int_equal(wsh_outq_consume(queue, 1).messages, 1);
    assert_int_equal(wsh_outq_consume(queue, 150).messages, 1);
    wsh_outq_check(queue);
    assert_int_equal(wsh_outq_consume(queue, 50).messages, 1);
    assert_true(wsh_outq_empty(queue));
}

static void test_outq_urgent_passes_messages_in_order(void **state)
{
    struct wsh_outq *queue = *state;

    offer(queue, 1, 10, PLENTY);
    control(queue, "one", true);
    control(queue, "two!", true);
    first_is(queue, "one");
    wsh_outq_consume(queue, 3);
    first_is(queue, "two!");
}

static void test_outq_urgent_waits_for_the_torn_frame(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_block *block = make_block(1, 1000, 300); /* 304 304 304 102 */
    struct wsh_out_result taken;

    assert_int_equal(wsh_outq_offer(queue, block, 0, 1, PLENTY, &taken), 0);
    wsh_block_unref(block);
    wsh_outq_consume(queue, 310); /* six bytes into the second fragment */
    control(queue, "pong", true);
    control(queue, "pong2", true);
    assert_int_equal(wsh_outq_peek(queue, 0)->end, 608);
    assert_int_equal(wsh_outq_consume(queue, 298).messages, 0);
    first_is(queue, "pong");
    wsh_outq_consume(queue, 4);
    first_is(queue, "pong2");
    wsh_outq_consume(queue, 5);
    assert_int_equal(wsh_outq_consume(queue, queue->bytes).messages, 1);
}

static void test_outq_urgent_at_a_boundary_goes_first(void **state)
{
    struct wsh_outq *queue = *state;

    offer(queue, 2, 98, PLENTY);
    wsh_outq_consume(queue, 100);
    control(queue, "pong", true);
    first_is(queue, "pong");
}

static void test_outq_urgent_behind_the_last_frame_of_a_message(void **state)
{
    struct wsh_outq *queue = *state;

    offer(queue, 2, 98, PLENTY);
    wsh_outq_consume(queue, 50);
    control(queue, "pong", true);
    assert_int_equal(wsh_outq_consume(queue, 50).messages, 1);
    first_is(queue, "pong");
    wsh_outq_consume(queue, 4);
    assert_int_equal(wsh_outq_consume(queue, 100).messages, 1);
}

static void test_outq_torn_urgent_is_not_passed(void **state)
{
    struct wsh_outq *queue = *state;

    control(queue, "first", true);
    wsh_outq_consume(queue, 2);
    control(queue, "second", true);
    assert_int_equal(wsh_outq_peek(queue, 0)->at, 2);
    wsh_outq_consume(queue, 3);
    first_is(queue, "second");
}

static void test_outq_replace_takes_the_last_urgent(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_block *newer = wsh_block_control("newer", 5);

    assert_false(wsh_outq_replace_urgent(queue, newer));
    control(queue, "one", true);
    control(queue, "two", true);
    assert_true(wsh_outq_replace_urgent(queue, newer));
    wsh_outq_check(queue);
    wsh_outq_consume(queue, 3);
    first_is(queue, "newer");
}

static void test_outq_replace_spares_a_torn_one(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_block *newer = wsh_block_control("newer", 5);

    control(queue, "one", true);
    wsh_outq_consume(queue, 1);
    assert_false(wsh_outq_replace_urgent(queue, newer));
    wsh_block_unref(newer);
}

static void test_outq_clear_messages_keeps_the_torn_frame(void **state)
{
    struct wsh_outq *queue = *state;
    struct wsh_out_result dropped;

    offer(queue, 2, 98, PLENTY);
    offer(queue, 5, 10, PLENTY);
    wsh_outq_consume(queue, 30);
    control(queue, "pong", true);
    dropped = wsh_outq_clear_messages(queue);
    wsh_outq_check(queue);
    assert_int_equal(dropped.messages, 6);
    assert_int_equal(queue->bytes, 70 + 4);
    assert_int_equal(wsh_outq_consume(queue, 70).messages, 1);
    first_is(queue, "pong");
}

static void test_outq_random_operations_keep_the_accounts(void **state)
{
    struct wsh_outq *queue = *state;
    uint64_t in = 0, out = 0;

    srand(7);
    for (int i = 0; i < 20000; i++) {
        int what = rand() % 10;

        if (what < 4)
            in += offer(queue, 1 + (uint32_t)rand() % 5, (size_t)rand() % 3000,
                        65536)
                      .messages;
        else if (what < 5)
            control(queue, "urgent", rand() % 2);
        else if (queue->bytes)
            out += wsh_outq_consume(queue, (size_t)rand() % queue->bytes + 1)
                       .messages;
        if (rand() % 500 == 0)
            out += wsh_outq_clear_messages(queue).messages;
        wsh_outq_check(queue);
        assert_int_equal(in, out + queue->messages);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_outq_whole_batch_fits_is_taken),
        CASE(test_outq_batch_over_limit_takes_a_prefix),
        CASE(test_outq_empty_queue_takes_one_of_any_size),
        CASE(test_outq_entries_are_charged),
        CASE(test_outq_consume_counts_messages_as_they_end),
        CASE(test_outq_urgent_passes_messages_in_order),
        CASE(test_outq_urgent_waits_for_the_torn_frame),
        CASE(test_outq_urgent_at_a_boundary_goes_first),
        CASE(test_outq_urgent_behind_the_last_frame_of_a_message),
        CASE(test_outq_torn_urgent_is_not_passed),
        CASE(test_outq_replace_takes_the_last_urgent),
        CASE(test_outq_replace_spares_a_torn_one),
        CASE(test_outq_clear_messages_keeps_the_torn_frame),
        CASE(test_outq_random_operations_keep_the_accounts),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/*
 * outq_policy_test.c: taking single messages out of a queue: the oldest of a
 * channel (drop oldest), the newest of a key (conflate).
 *
 * A message is one letter, repeated; the letters of a queue, in order, are what
 * it still has to say.
 */
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
#include "ws_hub/conn.h"

enum { LEN = 8, WIRE = LEN + 2, ROOMY = 1 << 20 };

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

static void append(struct wsh_block **block, char letter, const char *keys,
                   size_t fragment)
{
    uint8_t text[LEN];
    struct wsh_piece piece = {text, LEN};
    struct wsh_mark mark = {.cls = WS_HUB_CLASS_NORMAL};

    memset(text, letter, LEN);
    if (letter >= 'A' && letter <= 'Z')
        mark.cls = WS_HUB_CLASS_CRITICAL;
    mark.key = keys ? (uint64_t)*keys : 0;
    assert_int_equal(
        wsh_encode(block, WSH_OP_BINARY, &piece, 1, fragment, &mark), 0);
}

/* One entry: a message for each letter, capitals are critical; keys: a letter
 * for each, or NULL. */
static void push_fragmented(struct wsh_outq *queue, uint64_t channel,
                            const char *letters, const char *keys,
                            size_t fragment)
{
    struct wsh_block *block = NULL;
    uint32_t count = (uint32_t)strlen(letters);

    for (uint32_t i = 0; i < count; i++)
        append(&block, letters[i], keys ? keys + i : NULL, fragment);
    block->channel = channel;
    assert_int_equal(wsh_outq_push(queue, block, 0, count), 0);
    wsh_block_unref(block);
    wsh_outq_check(queue);
}

static void push(struct wsh_outq *queue, uint64_t channel, const char *letters,
                 const char *keys)
{
    push_fragmented(queue, channel, letters, keys, ROOMY);
}

/* Its messages, in order, each by the last byte of its payload, which a torn
 * one still has. */
static void says(struct wsh_outq *queue, const char *letters)
{
    char text[64];
    size_t n = 0;

    wsh_outq_check(queue);
    for (uint32_t i = 0; i < queue->len; i++) {
        const struct wsh_out *out = wsh_outq_peek(queue, i);

        for (uint32_t m = 0; m < out->count; m++)
            text[n++] =
                (char)out->block
                    ->data[wsh_block_mark(out->block, out->first + m)->end - 1];
    }
    text[n] = 0;
    assert_string_equal(text, letters);
    assert_int_equal(queue->messages, n);
}

static void control(struct wsh_outq *queue, bool urgent)
{
    assert_int_equal(
        wsh_outq_control(queue, wsh_block_control("ctl", 3), urgent), 0);
}

static void test_outq_evict_takes_the_oldest_of_the_channel(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "ab", NULL);
    push(queue, 2, "cd", NULL);
    assert_int_equal(wsh_outq_evict(queue, 2), WIRE);
    says(queue, "abd");
    assert_int_equal(wsh_outq_evict(queue, 2), WIRE);
    says(queue, "ab");
    assert_int_equal(wsh_outq_evict(queue, 2), 0);
    assert_int_equal(queue->len, 1);
}

static void test_outq_evict_last_message_leaves_an_empty_queue(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "a", NULL);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    assert_true(wsh_outq_empty(queue));
    says(queue, "");
}

static void test_outq_evict_spares_critical_messages(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "Abc", NULL);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    says(queue, "Ac");
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    says(queue, "A");
    assert_int_equal(wsh_outq_evict(queue, 1), 0);
}

static void test_outq_evict_spares_the_message_that_is_going_out(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "abc", NULL);
    wsh_outq_consume(queue, 3);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    says(queue, "ac");
    assert_int_equal(wsh_outq_consume(queue, WIRE - 3).messages, 1);
    says(queue, "c");
}

static void test_outq_evict_takes_the_next_one_at_a_boundary(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "abc", NULL);
    assert_int_equal(wsh_outq_consume(queue, WIRE).messages, 1);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    says(queue, "c");
}

/* A pong has split the entry behind the first fragment of the first message. */
static void test_outq_evict_spares_a_message_that_was_split(void **state)
{
    struct wsh_outq *queue = *state;

    push_fragmented(queue, 1, "ab", NULL, 4);
    wsh_outq_consume(queue, 2);
    control(queue, true);
    assert_int_equal(queue->len, 3);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE + 2);
    says(queue, "a");
    assert_int_equal(wsh_outq_evict(queue, 1), 0);
    assert_int_equal(wsh_outq_consume(queue, queue->bytes).messages, 1);
}

static void test_outq_evict_leaves_control_frames(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "a", NULL);
    control(queue, true);
    control(queue, false);
    assert_int_equal(wsh_outq_evict(queue, 1), WIRE);
    assert_int_equal(queue->len, 2);
    assert_int_equal(queue->urgent, 1);
    says(queue, "");
    wsh_outq_consume(queue, 6);
    assert_true(wsh_outq_empty(queue));
}

static void test_outq_conflate_takes_the_newest_of_the_key(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "abc", "xyx");
    push(queue, 1, "def", "yxy");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), WIRE);
    says(queue, "abcdf");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), WIRE);
    says(queue, "abdf");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), WIRE);
    says(queue, "bdf");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), 0);
}

static void test_outq_conflate_minds_the_channel(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "a", "x");
    push(queue, 2, "b", "x");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), WIRE);
    says(queue, "b");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), 0);
}

static void test_outq_conflate_spares_critical_messages(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "aB", "xx");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), WIRE);
    says(queue, "B");
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), 0);
}

static void
test_outq_conflate_spares_the_message_that_is_going_out(void **state)
{
    struct wsh_outq *queue = *state;

    push(queue, 1, "ab", "xy");
    wsh_outq_consume(queue, 1);
    assert_int_equal(wsh_outq_conflate(queue, 1, 'x'), 0);
    says(queue, "ab");
}

/* The middle of one entry among many, near either end of the ring. */
static void
test_outq_conflate_splits_an_entry_anywhere_in_the_ring(void **state)
{
    struct wsh_outq *queue = *state;

    for (int turn = 0; turn < 40; turn++) {
        push(queue, 1, "abc", "uvw");
        push(queue, 1, "def", "xyz");
        push(queue, 1, "g", NULL);
        assert_int_equal(wsh_outq_conflate(queue, 1, turn % 2 ? 'y' : 'v'),
                         WIRE);
        says(queue, turn % 2 ? "abcdfg" : "acdefg");
        assert_int_equal(wsh_outq_conflate(queue, 1, turn % 2 ? 'v' : 'y'),
                         WIRE);
        says(queue, "acdfg");
        assert_int_equal(wsh_outq_consume(queue, queue->bytes).messages, 5);
    }
}

static void test_outq_random_removals_keep_the_accounts(void **state)
{
    static const char *const letters[] = {"a", "bc", "Def", "ghIj"};
    static const char *const keys[] = {"x", "yx", "xzy", "zzxy"};
    struct wsh_outq *queue = *state;
    uint64_t in = 0, out = 0;
    size_t removed, before;

    srand(11);
    for (int i = 0; i < 20000; i++) {
        unsigned which = (unsigned)rand() % 4;

        before = queue->bytes;
        removed = 0;
        switch (rand() % 6) {
        case 0:
        case 1:
            push_fragmented(queue, 1 + (uint64_t)rand() % 2, letters[which],
                            keys[which], rand() % 2 ? 3 : ROOMY);
            in += which + 1;
            break;
        case 2:
            control(queue, rand() % 2);
            break;
        case 3:
            removed = wsh_outq_evict(queue, 1 + (uint64_t)rand() % 2);
            break;
        case 4:
            removed = wsh_outq_conflate(queue, 1 + (uint64_t)rand() % 2,
                                        (uint64_t) "xyz"[rand() % 3]);
            break;
        default:
            if (queue->bytes)
                out += wsh_outq_consume(queue,
                                        (size_t)rand() % queue->bytes % 60 + 1)
                           .messages;
        }
        if (removed)
            assert_int_equal(queue->bytes, before - removed);
        out += removed > 0;
        wsh_outq_check(queue);
        assert_int_equal(in, out + queue->messages);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_outq_evict_takes_the_oldest_of_the_channel),
        CASE(test_outq_evict_last_message_leaves_an_empty_queue),
        CASE(test_outq_evict_spares_critical_messages),
        CASE(test_outq_evict_spares_the_message_that_is_going_out),
        CASE(test_outq_evict_takes_the_next_one_at_a_boundary),
        CASE(test_outq_evict_spares_a_message_that_was_split),
        CASE(test_outq_evict_leaves_control_frames),
        CASE(test_outq_conflate_takes_the_newest_of_the_key),
        CASE(test_outq_conflate_minds_the_channel),
        CASE(test_outq_conflate_spares_critical_messages),
        CASE(test_outq_conflate_spares_the_message_that_is_going_out),
        CASE(test_outq_conflate_splits_an_entry_anywhere_in_the_ring),
        CASE(test_outq_random_removals_keep_the_accounts),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/check.h"
#include "base/mpsc.h"

enum { PRODUCERS = 4, PER_PRODUCER = 20000 };

struct item {
    struct wsh_mpsc_node node;
    int producer;
    int number; /* plain: the queue must publish it */
};

struct producer {
    struct wsh_mpsc *queue;
    struct item *items;
    int id;
};

static void test_mpsc_single_thread_keeps_order(void **state)
{
    struct wsh_mpsc queue;
    struct item items[3];
    int i;

    wsh_mpsc_init(&queue);
    assert_true(wsh_mpsc_empty(&queue));
    assert_null(wsh_mpsc_pop(&queue));
    for (i = 0; i < 3; i++)
        wsh_mpsc_push(&queue, &items[i].node);
    assert_false(wsh_mpsc_empty(&queue));
    for (i = 0; i < 3; i++)
        assert_ptr_equal(wsh_mpsc_pop(&queue), &items[i].node);
    assert_null(wsh_mpsc_pop(&queue));
    assert_true(wsh_mpsc_empty(&queue));
}

static void test_mpsc_popped_node_is_free_again(void **state)
{
    struct wsh_mpsc queue;
    struct item item;
    int i;

    wsh_mpsc_init(&queue);
    for (i = 0; i < 10; i++) {
        wsh_mpsc_push(&queue, &item.node);
        assert_false(wsh_mpsc_empty(&queue));
        assert_ptr_equal(wsh_mpsc_pop(&queue), &item.node);
        atomic_init(&item.node.next, NULL);
        assert_true(wsh_mpsc_empty(&queue));
    }
}

/* The state between the two halves of a push, made by hand. */
static void test_mpsc_half_done_push_is_not_empty_nor_blocking(void **state)
{
    struct wsh_mpsc queue;
    struct wsh_mpsc_node node;

    wsh_mpsc_init(&queue);
    atomic_init(&node.next, NULL);
    atomic_store(&queue.head, &node);
    assert_null(wsh_mpsc_pop(&queue));
    assert_false(wsh_mpsc_empty(&queue));
    atomic_store(&queue.stub.next, &node);
    assert_ptr_equal(wsh_mpsc_pop(&queue), &node);
    assert_null(wsh_mpsc_pop(&queue));
}

/* The same behind the last node: it must stay until its successor is linked. */
static void test_mpsc_last_node_waits_for_a_half_done_push(void **state)
{
    struct wsh_mpsc queue;
    struct wsh_mpsc_node first, second;
    int i;

    wsh_mpsc_init(&queue);
    wsh_mpsc_push(&queue, &first);
    atomic_init(&second.next, NULL);
    atomic_store(&queue.head, &second);
    for (i = 0; i < 3; i++)
        assert_null(wsh_mpsc_pop(&queue));
    assert_false(wsh_mpsc_empty(&queue));
    atomic_store(&first.next, &second);
    assert_ptr_equal(wsh_mpsc_pop(&queue), &first);
    assert_ptr_equal(wsh_mpsc_pop(&queue), &second);
    assert_null(wsh_mpsc_pop(&queue));
    assert_true(wsh_mpsc_empty(&queue));
}

/* The consumer's own stub may come behind a half done push. */
static void test_mpsc_stub_behind_the_last_node_is_not_empty(void **state)
{
    struct wsh_mpsc queue;
    struct wsh_mpsc_node first, second;

    wsh_mpsc_init(&queue);
    atomic_init(&first.next, NULL);
    atomic_init(&second.next, &queue.stub);
    queue.tail = &first;
    atomic_store(&queue.head, &queue.stub);
    assert_null(wsh_mpsc_pop(&queue));
    assert_false(wsh_mpsc_empty(&queue));
    atomic_store(&first.next, &second);
    assert_ptr_equal(wsh_mpsc_pop(&queue), &first);
    assert_ptr_equal(wsh_mpsc_pop(&queue), &second);
    assert_true(wsh_mpsc_empty(&queue));
}

static void *produce(void *arg)
{
    struct producer *producer = arg;
    int i;

    for (i = 0; i < PER_PRODUCER; i++) {
        struct item *item = &producer->items[i];

        item->producer = producer->id;
        item->number = i;
        wsh_mpsc_push(producer->queue, &item->node);
    }
    return NULL;
}

static void consume_all(struct wsh_mpsc *queue)
{
    int next[PRODUCERS] = {0};
    int left = PRODUCERS * PER_PRODUCER;

    while (left > 0) {
        struct wsh_mpsc_node *node = wsh_mpsc_pop(queue);
        struct item *item;

        if (!node) {
            sched_yield();
            continue;
        }
        item = WSH_CONTAINER(node, struct item, node);
        assert_int_equal(item->number, next[item->producer]);
        next[item->producer]++;
        left--;
    }
}

static void test_mpsc_four_producers_keep_their_orders(void **state)
{
    struct wsh_mpsc queue;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    int i;

    wsh_mpsc_init(&queue);
    for (i = 0; i < PRODUCERS; i++) {
        producers[i].queue = &queue;
        producers[i].id = i;
        producers[i].items = calloc(PER_PRODUCER, sizeof(struct item));
        assert_non_null(producers[i].items);
        assert_int_equal(
            pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    consume_all(&queue);
    for (i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(wsh_mpsc_empty(&queue));
    for (i = 0; i < PRODUCERS; i++)
        free(producers[i].items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mpsc_single_thread_keeps_order),
        cmocka_unit_test(test_mpsc_popped_node_is_free_again),
        cmocka_unit_test(test_mpsc_half_done_push_is_not_empty_nor_blocking),
        cmocka_unit_test(test_mpsc_last_node_waits_for_a_half_done_push),
        cmocka_unit_test(test_mpsc_stub_behind_the_last_node_is_not_empty),
        cmocka_unit_test(test_mpsc_four_producers_keep_their_orders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

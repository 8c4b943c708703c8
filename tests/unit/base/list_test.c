#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/list.h"

struct item {
    int number;
    struct wsh_list node;
};

static void fill(struct wsh_list *head, struct item *items, int count)
{
    int i;

    wsh_list_init(head);
    for (i = 0; i < count; i++) {
        items[i].number = i;
        wsh_list_init(&items[i].node);
        wsh_list_push(head, &items[i].node);
    }
}

static void test_list_push_keeps_order(void **state)
{
    struct wsh_list head;
    struct item items[3];
    int i;

    fill(&head, items, 3);
    for (i = 0; i < 3; i++) {
        struct item *item = WSH_LIST_FIRST(&head, struct item, node);

        assert_int_equal(item->number, i);
        wsh_list_remove(&item->node);
    }
    assert_true(wsh_list_empty(&head));
}

static void test_list_remove_twice_is_harmless(void **state)
{
    struct wsh_list head;
    struct item items[2];

    fill(&head, items, 2);
    wsh_list_remove(&items[0].node);
    wsh_list_remove(&items[0].node);
    assert_ptr_equal(head.next, &items[1].node);
    assert_ptr_equal(head.prev, &items[1].node);
}

static void test_list_take_moves_everything(void **state)
{
    struct wsh_list head, other;
    struct item items[2];

    fill(&head, items, 2);
    wsh_list_take(&other, &head);
    assert_true(wsh_list_empty(&head));
    assert_ptr_equal(other.next, &items[0].node);
    assert_ptr_equal(other.prev, &items[1].node);
    wsh_list_take(&items[0].node, &head); /* nothing left to take */
    assert_true(wsh_list_empty(&items[0].node));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_push_keeps_order),
        cmocka_unit_test(test_list_remove_twice_is_harmless),
        cmocka_unit_test(test_list_take_moves_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

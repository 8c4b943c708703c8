/* What the broker does not know of is subscribed again. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "broker/script.h"
#include "ws_hub/error.h"

static void auditing(struct wsh_driver_config *config)
{
    config->audit_ms = 30000;
}

static void auditing_an_old_one(struct wsh_driver_config *config)
{
    static ws_hub_broker_ops ops;

    ops = *config->ops;
    ops.struct_size = offsetof(ws_hub_broker_ops, audit);
    config->ops = &ops;
    config->audit_ms = 30000;
}

static void test_audit_asks_for_what_is_subscribed(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    live(f, "b");
    want(f, "c", 0); /* not yet */
    after(f, 29999);
    assert_int_equal(f->audits, 0);
    after(f, 1);
    assert_string_equal(f->audited.text, "a;b;");
}

static void test_audit_that_agrees_changes_nothing(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    after(f, 30000);
    audited(f, "a", 1);
    after(f, 30000);
    assert_int_equal(f->audits, 2);
    assert_int_equal(f->subscribes, 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_AUDIT_MISMATCH), 0);
}

static void test_audit_mismatch_is_repaired_and_told(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    after(f, 30000);
    audited(f, "a", 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_AUDIT_MISMATCH), 1);
    assert_int_equal(f->subscribes, 2);
    assert_string_equal(f->left.text, "a;");
    assert_int_equal(f->gaps, 0);
    confirm(f, "a", 0);
    assert_int_equal(f->gaps, 1);
    assert_int_equal(f->gap_shards, 1);
}

static void test_audit_answer_after_a_leave_is_ignored(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    after(f, 30000);
    unwant(f, "a", 0);
    audited(f, "a", 0);
    want(f, "a", 0);
    audited(f, "a", 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_AUDIT_MISMATCH), 0);
    assert_int_equal(f->subscribes, 1);
}

static void test_audit_limits_those_in_flight(void **state)
{
    struct fixture *f = script_reopen(state, auditing);
    char name[16];

    f->quiet = true;
    f->answers = true;
    for (unsigned i = 0; i < WSH_AUDITS_IN_FLIGHT + 10; i++) {
        sprintf(name, "c%u", i);
        want(f, name, 0);
    }
    after(f, 30000);
    assert_int_equal(f->audits, WSH_AUDITS_IN_FLIGHT);
    audited(f, "c0", 1);
    assert_int_equal(f->audits, WSH_AUDITS_IN_FLIGHT + 1);
    for (unsigned i = 1; i < WSH_AUDITS_IN_FLIGHT + 10; i++) {
        sprintf(name, "c%u", i);
        audited(f, name, 1);
    }
    assert_int_equal(f->audits, WSH_AUDITS_IN_FLIGHT + 10);
    after(f, 30000);
    assert_int_equal(f->audits, 2 * WSH_AUDITS_IN_FLIGHT + 10);
}

static void test_audit_refused_for_now_waits_for_the_next(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    live(f, "b");
    f->audit_result = WS_HUB_EAGAIN;
    after(f, 30000);
    assert_int_equal(f->audits, 1);
    f->audit_result = 0;
    after(f, 30000);
    assert_int_equal(f->audits, 3);
}

static void test_audit_under_way_at_a_loss_starts_anew(void **state)
{
    struct fixture *f = script_reopen(state, auditing);

    live(f, "a");
    after(f, 30000);
    f->host->lost(f->host, "test");
    after(f, 100);
    confirm(f, "a", 0);
    audited(f, "a", 0); /* late */
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_AUDIT_MISMATCH), 0);
    after(f, 30000);
    assert_int_equal(f->audits, 2);
}

static void test_audit_needs_a_broker_that_can(void **state)
{
    struct fixture *f = script_reopen(state, auditing_an_old_one);

    live(f, "a");
    after(f, 100000);
    f = script_reopen(state, NULL); /* never */
    live(f, "a");
    after(f, 100000);
    assert_int_equal(f->audits, 0);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, script_set_up, script_tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_audit_asks_for_what_is_subscribed),
        CASE(test_audit_that_agrees_changes_nothing),
        CASE(test_audit_mismatch_is_repaired_and_told),
        CASE(test_audit_answer_after_a_leave_is_ignored),
        CASE(test_audit_limits_those_in_flight),
        CASE(test_audit_refused_for_now_waits_for_the_next),
        CASE(test_audit_under_way_at_a_loss_starts_anew),
        CASE(test_audit_needs_a_broker_that_can),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* A link can be dead while everything looks alive. */
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

static void probing(struct wsh_driver_config *config)
{
    config->probe_ms = 5000;
}

static void probing_a_local_one(struct wsh_driver_config *config)
{
    static ws_hub_broker_ops ops;

    ops = *config->ops;
    ops.flags |= WS_HUB_BROKER_LOCAL;
    config->ops = &ops;
    config->probe_ms = 5000;
}

static void probing_an_old_one(struct wsh_driver_config *config)
{
    static ws_hub_broker_ops ops;

    ops = *config->ops;
    ops.struct_size = offsetof(ws_hub_broker_ops, probe_channel);
    config->ops = &ops;
    config->probe_ms = 5000;
}

static struct fixture *probed(void **state, unsigned links)
{
    struct fixture *f = *state;

    f->links = links;
    f->answers = true;
    f->echoes = true;
    return script_reopen(state, probing);
}

static void test_probe_channels_are_subscribed_before_all_others(void **state)
{
    struct fixture *f = probed(state, 2);

    want(f, "room", 0);
    f->host->lost(f->host, "test");
    f->asked.len = 0;
    after(f, 100);
    assert_string_equal(f->asked.text, "$ws_hub.77.0.0;$ws_hub.77.0.1;room;");
}

static void test_probe_that_comes_back_is_no_suspect(void **state)
{
    struct fixture *f = probed(state, 2);

    for (unsigned i = 0; i < 20; i++)
        after(f, 5000);
    assert_int_equal(f->probes_published, 40);
    assert_int_equal(f->suspects, 0);
}

static void test_probe_never_reaches_subscribers(void **state)
{
    struct fixture *f = probed(state, 1);

    after(f, 5000);
    assert_int_equal(f->probes_published, 1);
    arrive(f, "$ws_hub.99.0.0", 99, 0, 0);
    assert_int_equal(f->messages, 0);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_ORPHAN), 0);
}

static void test_probe_silent_twice_is_suspect(void **state)
{
    struct fixture *f = probed(state, 2);

    f->echoes = false;
    after(f, 5000);
    after(f, 5000);
    assert_int_equal(f->suspects, 0);
    f->suspect_is_lost = true;
    after(f, 5000);
    assert_int_equal(f->suspects, 1);
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_PROBE_SILENT), 1);
    after(f, 100); /* opened again */
    assert_int_equal(f->opens, 2);
}

static void test_probe_silent_once_is_forgiven(void **state)
{
    struct fixture *f = probed(state, 1);

    for (unsigned i = 0; i < 10; i++) {
        f->echoes = i % 2;
        after(f, 5000);
    }
    assert_int_equal(f->suspects, 0);
}

static void test_probe_names_its_own_link(void **state)
{
    struct fixture *f = probed(state, 2);
    const uint8_t place = 0;
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .type = WS_HUB_BINARY,
                                     .data = &place,
                                     .len = 1,
                                     .origin = SCRIPT_INSTANCE};

    f->echoes = false;
    for (unsigned i = 0; i < 3; i++) {
        after(f, 5000);
        (void)f->host->message(f->host, "$ws_hub.77.0.0", 14, &message);
    }
    assert_string_equal(f->suspected.text, "$ws_hub.77.0.1;");
}

static void test_probe_of_another_hub_proves_nothing(void **state)
{
    struct fixture *f = probed(state, 1);
    const uint8_t place = 0;
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .data = &place,
                                     .len = 1,
                                     .origin = SCRIPT_INSTANCE + 1};

    f->echoes = false;
    for (unsigned i = 0; i < 3; i++) {
        after(f, 5000);
        (void)f->host->message(f->host, "$ws_hub.77.0.0", 14, &message);
    }
    assert_int_equal(f->suspects, 1);
}

static void test_probe_never_confirmed_is_suspect(void **state)
{
    struct fixture *f = *state;

    f->links = 1;
    f = script_reopen(state, probing);
    after(f, 5000);
    assert_int_equal(f->suspects, 0);
    after(f, 5000);
    assert_int_equal(f->suspects, 1);
}

static void test_probe_subscribe_never_confirmed_is_suspect(void **state)
{
    struct fixture *f = probed(state, 1);

    after(f, 5000);
    f->answers = false;
    want(f, "room", 0);
    after(f, 5000);
    assert_int_equal(f->suspects, 0);
    after(f, 5000);
    assert_string_equal(f->suspected.text, "room;");
    assert_int_equal(counted(f, WS_HUB_BROKER_EVENT_PROBE_SILENT), 1);
}

static void test_probe_of_a_server_that_is_away_waits(void **state)
{
    struct fixture *f = *state;

    f->away = "$ws_hub.77.0.1";
    f = probed(state, 2);
    for (unsigned i = 0; i < 10; i++)
        after(f, 5000);
    assert_int_equal(f->suspects, 0);
    assert_int_equal(f->probes_published, 10);
    f->away = NULL;
    f->host->ready(f->host);
    after(f, 5000);
    assert_int_equal(f->probes_published, 12);
}

static void test_probe_output_that_stays_full_is_suspect(void **state)
{
    struct fixture *f = probed(state, 1);

    f->publish_result = WS_HUB_EAGAIN;
    for (unsigned i = 0; i < 3; i++)
        after(f, 5000);
    assert_int_equal(f->suspects, 1);
}

static void test_probe_follows_a_changed_topology(void **state)
{
    struct fixture *f = probed(state, 2);

    f->topology = 1;
    f->links = 1;
    after(f, 5000);
    assert_string_equal(f->left.text, "$ws_hub.77.0.0;$ws_hub.77.0.1;");
    after(f, 5000);
    assert_int_equal(f->probes_published, 1);
    assert_int_equal(f->suspects, 0);
}

static void test_probe_dropped_is_subscribed_again(void **state)
{
    struct fixture *f = probed(state, 1);

    drop(f, "$ws_hub.77.0.0");
    after(f, 5000);
    assert_int_equal(f->probes_subscribed, 2);
    after(f, 5000);
    assert_int_equal(f->probes_published, 1);
    assert_int_equal(f->suspects, 0);
}

static void test_probe_needs_a_broker_that_can(void **state)
{
    struct fixture *f = *state;

    f->links = 1;
    f = script_reopen(state, probing_a_local_one);
    after(f, 20000);
    f = script_reopen(state, probing_an_old_one);
    after(f, 20000);
    f = script_reopen(state, NULL); /* never */
    after(f, 20000);
    assert_int_equal(f->probes_subscribed, 0);
}

static void test_probe_rests_while_the_link_is_down(void **state)
{
    struct fixture *f = probed(state, 1);

    f->ready_at_open = false;
    f->host->lost(f->host, "test");
    after(f, 60000);
    assert_int_equal(f->probes_published, 0);
    assert_int_equal(f->suspects, 0);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, script_set_up, script_tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_probe_channels_are_subscribed_before_all_others),
        CASE(test_probe_that_comes_back_is_no_suspect),
        CASE(test_probe_never_reaches_subscribers),
        CASE(test_probe_silent_twice_is_suspect),
        CASE(test_probe_silent_once_is_forgiven),
        CASE(test_probe_names_its_own_link),
        CASE(test_probe_of_another_hub_proves_nothing),
        CASE(test_probe_never_confirmed_is_suspect),
        CASE(test_probe_subscribe_never_confirmed_is_suspect),
        CASE(test_probe_of_a_server_that_is_away_waits),
        CASE(test_probe_output_that_stays_full_is_suspect),
        CASE(test_probe_follows_a_changed_topology),
        CASE(test_probe_dropped_is_subscribed_again),
        CASE(test_probe_needs_a_broker_that_can),
        CASE(test_probe_rests_while_the_link_is_down),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* server_test.c: commands, pushes, limits and the end of a server that is up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "server_rig.h"
#include "support/uv_rig.h"
#include "ws_hub/error.h"

#define PUSH(rig, literal)                                                     \
    fake_redis_push((rig)->fake, literal, sizeof(literal) - 1)

static const char hello[] =
    "*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$5\r\nhello\r\n";

static void test_server_subscribe_is_confirmed_per_channel(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    assert_int_equal(rig->status, 0);
    rig_subscribe(rig, "hall");
    rig_subscribe(rig, "room");
    assert_int_equal(rig->subscribed, 3);
    assert_non_null(
        strstr(fake_redis_seen(rig->fake), "SUBSCRIBE room\nSUBSCRIBE hall\n"));
    rig_close(rig);
}

static void test_server_messages_are_handed_over(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, hello);
    rig_wait(rig, &rig->messages, 1);
    assert_string_equal(rig->channel, "room");
    assert_string_equal(rig->text, "hello");
    rig_close(rig);
}

static void test_server_forbidden_channel_leaves_others_alone(void **state)
{
    static const struct fake_rule rules[] = {
        {"SUBSCRIBE secret",
         "-NOPERM this user has no permissions to access it\r\n"},
        {"SUBSCRIBE odd", "-ERR something\r\n"},
        {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    rig_subscribe(rig, "secret");
    assert_int_equal(rig->status, WS_HUB_EFORBIDDEN);
    assert_non_null(strstr(rig->log, "NOPERM"));
    rig_subscribe(rig, "odd");
    assert_int_equal(rig->status, WS_HUB_EBROKER);
    rig_subscribe(rig, "hall");
    assert_int_equal(rig->status, 0);
    PUSH(rig, hello);
    rig_wait(rig, &rig->messages, 1);
    assert_int_equal(rig->downs, 0);
    rig_close(rig);
}

static void test_server_unsubscribe_is_silent(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    assert_int_equal(wsr_server_unsubscribe(rig->server, "room", 4), 0);
    rig_wait_seen(rig, "UNSUBSCRIBE room\n");
    rig_subscribe(rig, "hall");
    assert_int_equal(rig->unsubscribed, 0);
    rig_close(rig);
}

static void test_server_publish_has_head_and_payload(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    assert_int_equal(rig_publish(rig, "room", "data"), 0);
    rig_wait_seen(rig, "PUBLISH room h:data\n");
    rig_close(rig);
}

static void test_server_refused_publish_is_told(void **state)
{
    static const struct fake_rule rules[] = {
        {"PUBLISH", "-NOPERM no permission to publish\r\n"}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig_go_up(rig);
    assert_int_equal(rig_publish(rig, "room", "data"), 0);
    rig_wait(rig, &rig->publish_failures, 1);
    assert_string_equal(rig->text, "NOPERM no permission to publish");
    assert_true(wsr_server_is_up(rig->server));
    rig_close(rig);
}

static void test_server_sharded_commands_are_the_sharded_ones(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig->settings.sharded = true;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, "*3\r\n$8\r\nsmessage\r\n$4\r\nroom\r\n$2\r\nhi\r\n");
    rig_wait(rig, &rig->messages, 1);
    assert_string_equal(rig->text, "hi");
    assert_int_equal(rig_publish(rig, "room", "x"), 0);
    rig_wait_seen(rig, "SPUBLISH room h:x\n");
    assert_int_equal(wsr_server_count(rig->server, "room", 4), 0);
    rig_wait(rig, &rig->counts, 1);
    assert_int_equal(rig->listeners, 7);
    assert_int_equal(wsr_server_unsubscribe(rig->server, "room", 4), 0);
    rig_wait_seen(rig, "SUNSUBSCRIBE room\n");
    rig_close(rig);
}

static void test_server_ending_a_subscription_is_told(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig->settings.sharded = true;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, "*3\r\n$12\r\nsunsubscribe\r\n$4\r\nroom\r\n:0\r\n");
    rig_wait(rig, &rig->unsubscribed, 1);
    assert_string_equal(rig->channel, "room");
    rig_subscribe(rig, "room"); /* still in step */
    rig_close(rig);
}

/* The announcement and the error come in either order; none of them is the
 * answer to what is asked next. */
static void test_server_moved_while_unsubscribing_stays_in_step(void **state)
{
#define GONE(name) "*3\r\n$12\r\nsunsubscribe\r\n$4\r\n" name "\r\n:0\r\n"
    static const struct fake_rule rules[] = {
        {"SUNSUBSCRIBE room", GONE("room") "-MOVED 1 10.0.0.1:1\r\n"},
        {"SUNSUBSCRIBE hall", "-MOVED 1 10.0.0.1:1\r\n" GONE("hall")},
        {"SUNSUBSCRIBE yard", GONE("yard")},
        {0}};
#undef GONE
    struct rig *rig = rig_open(rules);
    static const char *const names[] = {"room", "hall", "yard"};

    (void)state;
    rig->settings.sharded = true;
    rig_go_up(rig);
    for (unsigned i = 0; i < 3; i++) {
        rig_subscribe(rig, names[i]);
        assert_int_equal(wsr_server_unsubscribe(rig->server, names[i], 4), 0);
        rig_subscribe(rig, "next");
        assert_string_equal(rig->channel, "next");
        assert_int_equal(rig->status, 0);
    }
    assert_int_equal(rig->downs + rig->redirects + rig->unsubscribed, 0);
    rig_close(rig);
}

static void test_server_redirections_are_read(void **state)
{
    static const struct fake_rule rules[] = {
        {"SSUBSCRIBE", "-MOVED 3999 10.0.0.1:6381\r\n"},
        {"SPUBLISH", "-ASK 16383 fe80::1:7000\r\n"},
        {"PUBSUB", "-MOVED 0 :7001\r\n"},
        {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig->settings.sharded = true;
    rig_go_up(rig);
    assert_int_equal(wsr_server_subscribe(rig->server, "room", 4), 0);
    rig_wait(rig, &rig->redirects, 1);
    assert_int_equal(rig->on, WSR_ON_SUBSCRIBE);
    assert_false(rig->ask);
    assert_int_equal(rig->slot, 3999);
    assert_int_equal(rig->port, 6381);
    assert_string_equal(rig->text, "10.0.0.1");
    assert_string_equal(rig->channel, "room");
    assert_int_equal(rig_publish(rig, "room", "x"), 0);
    rig_wait(rig, &rig->redirects, 2);
    assert_int_equal(rig->on, WSR_ON_PUBLISH);
    assert_true(rig->ask);
    assert_int_equal(rig->slot, 16383);
    assert_string_equal(rig->text, "fe80::1");
    assert_int_equal(wsr_server_count(rig->server, "room", 4), 0);
    rig_wait(rig, &rig->redirects, 3);
    assert_int_equal(rig->on, WSR_ON_COUNT);
    assert_string_equal(rig->text, "");
    assert_int_equal(rig->subscribed + rig->counts, 0);
    rig_close(rig);
}

static void test_server_malformed_redirection_is_a_refusal(void **state)
{
    static const struct fake_rule rules[] = {
        {"SSUBSCRIBE a", "-MOVED\r\n"},
        {"SSUBSCRIBE b", "-MOVED 99999 h:1\r\n"},
        {"SSUBSCRIBE c", "-MOVED 1 h:99999\r\n"},
        {"SSUBSCRIBE d", "-MOVED x h:1\r\n"},
        {"SSUBSCRIBE e", "-MOVED 1 h\r\n"},
        {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig->settings.sharded = true;
    rig_go_up(rig);
    for (const char *name = "abcde"; *name; name++) {
        char channel[2] = {*name, '\0'};

        rig_subscribe(rig, channel);
        assert_int_equal(rig->status, WS_HUB_EBROKER);
    }
    assert_int_equal(rig->redirects, 0);
    rig_close(rig);
}

static void test_server_count_is_answered(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    assert_int_equal(wsr_server_count(rig->server, "room", 4), 0);
    rig_wait(rig, &rig->counts, 1);
    assert_int_equal(rig->listeners, 7);
    assert_string_equal(rig->channel, "room");
    rig_close(rig);
}

static void test_server_answer_for_another_channel_is_the_end(void **state)
{
    static const struct fake_rule rules[] = {
        {"SUBSCRIBE room", "*3\r\n$9\r\nsubscribe\r\n$4\r\nhall\r\n:1\r\n"},
        {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig_go_up(rig);
    assert_int_equal(wsr_server_subscribe(rig->server, "room", 4), 0);
    rig_wait_down(rig, "out of step");
    assert_int_equal(rig->subscribed, 0);
    rig_close(rig);
}

static void test_server_answer_nobody_asked_for_is_the_end(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, "+SURPRISE\r\n");
    rig_wait_down(rig, "unasked for");
    rig_close(rig);
}

static void test_server_silence_is_the_end(void **state)
{
    static const struct fake_rule rules[] = {{"SUBSCRIBE", FAKE_SILENCE}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig->settings.command_timeout_ms = 100;
    rig_go_up(rig);
    assert_int_equal(wsr_server_subscribe(rig->server, "room", 4), 0);
    rig_wait_down(rig, "subscriber: no answer for 100 ms");
    assert_int_equal(rig->subscribed, 0);
    rig_close(rig);
}

/* The deadline was set by a command that has its answer; it moves on. */
static void test_server_silence_after_answers_is_the_end(void **state)
{
    static const struct fake_rule rules[] = {{"SUBSCRIBE mute", FAKE_SILENCE},
                                             {0}};
    struct rig *rig = rig_open(rules);
    uint64_t half;

    (void)state;
    rig->settings.command_timeout_ms = 100;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    half = rig->ops->now_ms(rig->loop) + 50;
    while (rig->ops->now_ms(rig->loop) < half)
        uv_rig_turn(rig->loop);
    assert_int_equal(wsr_server_subscribe(rig->server, "mute", 4), 0);
    rig_wait_down(rig, "no answer for 100 ms");
    rig_close(rig);
}

static void test_server_without_commands_may_be_silent(void **state)
{
    struct rig *rig = rig_open(NULL);
    uint64_t end;

    (void)state;
    rig->settings.command_timeout_ms = 10;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    end = rig->ops->now_ms(rig->loop) + 50;
    while (rig->ops->now_ms(rig->loop) < end)
        uv_rig_turn(rig->loop);
    assert_int_equal(rig->downs, 0);
    rig_close(rig);
}

static void test_server_closed_in_the_middle_is_the_end(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, "*3\r\n$7\r\nmessage\r\n$4\r\nro");
    fake_redis_drop(rig->fake);
    rig_wait_down(rig, "closed the connection");
    assert_int_equal(rig->messages, 0);
    rig_close(rig);
}

static void test_server_large_message_alone_is_dropped(void **state)
{
    struct rig *rig = rig_open(NULL);
    char *bytes = malloc(32000);
    int at = snprintf(bytes, 32000,
                      "*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$30000\r\n");

    (void)state;
    memset(bytes + at, 'x', 30000);
    memcpy(bytes + at + 30000, "\r\n", 2);
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    fake_redis_push(rig->fake, bytes, (size_t)at + 30002);
    PUSH(rig, hello);
    rig_wait(rig, &rig->messages, 1);
    assert_string_equal(rig->text, "hello");
    assert_int_equal(rig->logged, 1);
    assert_non_null(strstr(rig->log, "too large"));
    free(bytes);
    rig_close(rig);
}

static void test_server_announced_giant_is_the_end(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig_subscribe(rig, "room");
    PUSH(rig, "*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$536870912\r\n");
    rig_wait_down(rig, "longer than the limit");
    rig_close(rig);
}

static void test_server_publish_over_the_limit_is_refused(void **state)
{
    struct rig *rig = rig_open(NULL);
    char *data = malloc(20001);

    (void)state;
    memset(data, 'x', 20001);
    rig_go_up(rig);
    assert_int_equal(
        wsr_server_publish(rig->server, "room", 4, "h", 1, data, 20001),
        WS_HUB_ELIMIT);
    assert_int_equal(
        wsr_server_publish(rig->server, "room", 4, "h", 1, data, 20000), 0);
    rig_wait_seen(rig, "PUBLISH");
    assert_int_equal(rig->downs, 0);
    free(data);
    rig_close(rig);
}

static void test_server_full_output_says_when_there_is_room(void **state)
{
    struct rig *rig = rig_open(NULL);
    char *data = calloc(1, 20000);
    int status = 0;
    unsigned sent = 0;

    (void)state;
    rig_go_up(rig);
    fake_redis_deaf(rig->fake, true);
    /* Socket buffers take some megabytes first. */
    for (; status == 0 && sent < 100000; sent++) {
        status =
            wsr_server_publish(rig->server, "room", 4, NULL, 0, data, 20000);
        if (sent % 4 == 0)
            uv_rig_turn(rig->loop);
    }
    assert_int_equal(status, WS_HUB_EAGAIN);
    assert_int_equal(rig->rooms, 0);
    assert_true(wsr_server_is_up(rig->server));
    fake_redis_deaf(rig->fake, false);
    rig_wait(rig, &rig->rooms, 1);
    assert_int_equal(
        wsr_server_publish(rig->server, "room", 4, NULL, 0, data, 20000), 0);
    assert_int_equal(rig->rooms, 1);
    free(data);
    rig_close(rig);
}

static void test_server_that_is_away_takes_nothing(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_make(rig);
    assert_int_equal(rig_publish(rig, "room", "x"), WS_HUB_EBROKER);
    assert_int_equal(wsr_server_subscribe(rig->server, "room", 4),
                     WS_HUB_EAGAIN);
    assert_int_equal(wsr_server_count(rig->server, "room", 4), WS_HUB_EAGAIN);
    assert_int_equal(wsr_server_unsubscribe(rig->server, "room", 4), 0);
    wsr_server_fail(rig->server, "nothing");
    wsr_server_close(rig->server);
    uv_rig_turn(rig->loop);
    assert_int_equal(rig->downs, 0);
    rig_close(rig);
}

static void test_server_failed_on_purpose_is_down_with_that_text(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    wsr_server_fail(rig->server, "the probe");
    assert_false(wsr_server_is_up(rig->server));
    assert_int_equal(rig->downs, 0);
    rig_wait_down(rig, "the probe");
    assert_string_equal(rig->why, "the probe");
    rig_close(rig);
}

static void send_command(struct rig *rig)
{
    static const struct wsr_arg args[] = {{"CLUSTER", 7}, {"SHARDS", 6}};

    assert_int_equal(
        wsr_server_command(rig->server, args, 2, rig_on_reply, rig), 0);
    assert_int_equal(wsr_server_command_on_subscriber(rig->server, args, 2,
                                                      rig_on_reply, rig),
                     0);
}

static void test_server_commands_end_with_their_reply(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    send_command(rig);
    rig_wait(rig, &rig->replies, 2);
    rig_close(rig);
}

static void test_server_commands_end_with_null_when_it_goes(void **state)
{
    static const struct fake_rule rules[] = {{"CLUSTER", FAKE_SILENCE}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig_go_up(rig);
    send_command(rig);
    rig_wait_seen(rig, "CLUSTER SHARDS\nCLUSTER SHARDS\n");
    fake_redis_drop(rig->fake);
    rig_wait_down(rig, "");
    assert_int_equal(rig->null_replies, 2);
    assert_int_equal(wsr_server_open(rig->server, &rig->host), 0);
    rig_wait(rig, &rig->ups, 2);
    send_command(rig);
    wsr_server_close(rig->server);
    assert_int_equal(rig->null_replies, 4);
    assert_int_equal(rig->replies, 0);
    assert_int_equal(rig->downs, 1);
    rig_close(rig);
}

static void destroy(struct rig *rig)
{
    wsr_server_destroy(rig->server);
    rig->server = NULL;
}

static void close_only(struct rig *rig)
{
    wsr_server_close(rig->server);
}

static void reopen(struct rig *rig)
{
    wsr_server_close(rig->server);
    assert_int_equal(wsr_server_open(rig->server, &rig->host), 0);
}

/* Two messages in one read: the second must not come. */
static void ended_inside(void (*inside)(struct rig *))
{
    struct rig *rig = rig_open(NULL);
    char two[2 * sizeof hello];

    rig_go_up(rig);
    rig_subscribe(rig, "room");
    rig->inside = inside;
    (void)snprintf(two, sizeof two, "%s%s", hello, hello);
    fake_redis_push(rig->fake, two, strlen(two));
    rig_wait(rig, &rig->messages, 1);
    for (int i = 0; i < 5; i++)
        uv_rig_turn(rig->loop);
    assert_int_equal(rig->messages, 1);
    assert_int_equal(rig->downs, 0);
    if (inside == reopen) {
        rig_wait(rig, &rig->ups, 2);
        rig_subscribe(rig, "room");
    }
    rig_close(rig);
}

static void test_server_destroyed_inside_message_is_silent(void **state)
{
    (void)state;
    ended_inside(destroy);
}

static void test_server_closed_inside_message_is_silent(void **state)
{
    (void)state;
    ended_inside(close_only);
}

static void test_server_reopened_inside_message_starts_anew(void **state)
{
    (void)state;
    ended_inside(reopen);
}

static void destroy_at_null(void *user, const struct wsr_reply *reply)
{
    struct rig *rig = user;

    rig_on_reply(rig, reply);
    destroy(rig);
}

static void test_server_destroyed_inside_a_last_reply_is_clean(void **state)
{
    static const struct fake_rule rules[] = {{"CLUSTER", FAKE_SILENCE}, {0}};
    struct rig *rig = rig_open(rules);
    const struct wsr_arg arg = WSR_ARG("CLUSTER");

    (void)state;
    rig_go_up(rig);
    assert_int_equal(
        wsr_server_command(rig->server, &arg, 1, destroy_at_null, rig), 0);
    assert_int_equal(wsr_server_command_on_subscriber(rig->server, &arg, 1,
                                                      destroy_at_null, rig),
                     0);
    rig_wait_seen(rig, "CLUSTER\nCLUSTER\n");
    fake_redis_drop(rig->fake);
    rig_wait(rig, &rig->null_replies, 2);
    for (int i = 0; i < 5; i++)
        uv_rig_turn(rig->loop);
    assert_int_equal(rig->downs, 0);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_server_subscribe_is_confirmed_per_channel),
        cmocka_unit_test(test_server_messages_are_handed_over),
        cmocka_unit_test(test_server_forbidden_channel_leaves_others_alone),
        cmocka_unit_test(test_server_unsubscribe_is_silent),
        cmocka_unit_test(test_server_publish_has_head_and_payload),
        cmocka_unit_test(test_server_refused_publish_is_told),
        cmocka_unit_test(test_server_sharded_commands_are_the_sharded_ones),
        cmocka_unit_test(test_server_ending_a_subscription_is_told),
        cmocka_unit_test(test_server_moved_while_unsubscribing_stays_in_step),
        cmocka_unit_test(test_server_redirections_are_read),
        cmocka_unit_test(test_server_malformed_redirection_is_a_refusal),
        cmocka_unit_test(test_server_count_is_answered),
        cmocka_unit_test(test_server_answer_for_another_channel_is_the_end),
        cmocka_unit_test(test_server_answer_nobody_asked_for_is_the_end),
        cmocka_unit_test(test_server_silence_is_the_end),
        cmocka_unit_test(test_server_silence_after_answers_is_the_end),
        cmocka_unit_test(test_server_without_commands_may_be_silent),
        cmocka_unit_test(test_server_closed_in_the_middle_is_the_end),
        cmocka_unit_test(test_server_large_message_alone_is_dropped),
        cmocka_unit_test(test_server_announced_giant_is_the_end),
        cmocka_unit_test(test_server_publish_over_the_limit_is_refused),
        cmocka_unit_test(test_server_full_output_says_when_there_is_room),
        cmocka_unit_test(test_server_that_is_away_takes_nothing),
        cmocka_unit_test(test_server_failed_on_purpose_is_down_with_that_text),
        cmocka_unit_test(test_server_commands_end_with_their_reply),
        cmocka_unit_test(test_server_commands_end_with_null_when_it_goes),
        cmocka_unit_test(test_server_destroyed_inside_message_is_silent),
        cmocka_unit_test(test_server_closed_inside_message_is_silent),
        cmocka_unit_test(test_server_reopened_inside_message_starts_anew),
        cmocka_unit_test(test_server_destroyed_inside_a_last_reply_is_clean),
    };

    return cmocka_run_group_tests_name("redis_server", cases, NULL, NULL);
}

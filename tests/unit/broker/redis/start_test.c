/* start_test.c: how a server comes up, and every way in which it does not. */
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "server_rig.h"
#include "support/uv_rig.h"

enum { RESOLVER_MS = 25000 };

static void test_start_opens_two_connections_and_is_up_once(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    assert_int_equal(rig->ups, 1);
    assert_int_equal(rig->downs, 0);
    assert_int_equal(fake_redis_accepted(rig->fake), 2);
    assert_non_null(strstr(fake_redis_seen(rig->fake), "CLIENT SETNAME rig\n"));
    assert_null(strstr(fake_redis_seen(rig->fake), "AUTH"));
    assert_null(strstr(fake_redis_seen(rig->fake), "SELECT"));
    rig_close(rig);
}

static void test_start_logs_in_and_selects_first(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    strcpy(rig->url.user, "al");
    strcpy(rig->url.password, "s3 cret");
    rig->url.db = 12;
    rig_go_up(rig);
    assert_int_equal(
        strncmp(fake_redis_seen(rig->fake),
                "AUTH al s3 cret\nSELECT 12\nCLIENT SETNAME rig\nPING\n", 30),
        0);
    rig_close(rig);
}

static void test_start_password_alone_has_no_user(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    strcpy(rig->url.password, "s3");
    rig_go_up(rig);
    assert_non_null(strstr(fake_redis_seen(rig->fake), "AUTH s3\n"));
    rig_close(rig);
}

static void fails_with(const struct fake_rule *rules, const char *password,
                       const char *why)
{
    struct rig *rig = rig_open(rules);

    strcpy(rig->url.password, password);
    rig_start(rig);
    rig_wait_down(rig, why);
    assert_int_equal(rig->ups, 0);
    rig_close(rig);
}

static void test_start_wrong_password_is_said(void **state)
{
    static const struct fake_rule rules[] = {
        {"AUTH", "-WRONGPASS invalid username-password pair\r\n"}, {0}};

    (void)state;
    fails_with(rules, "x", "wrong user or password");
}

static void test_start_other_refusals_carry_the_servers_text(void **state)
{
    static const struct fake_rule auth[] = {
        {"AUTH", "-ERR AUTH <password> called without any\r\n"}, {0}};
    static const struct fake_rule ping[] = {
        {"PING", "-MASTERDOWN Link with MASTER is down\r\n"}, {0}};

    (void)state;
    fails_with(auth, "x", "AUTH: ERR AUTH <password> called without any");
    fails_with(ping, "", "PING: MASTERDOWN Link with MASTER is down");
}

static void test_start_missing_password_is_said(void **state)
{
    static const struct fake_rule rules[] = {
        {"CLIENT", "-NOAUTH Authentication required.\r\n"},
        {"PING", "-NOAUTH Authentication required.\r\n"},
        {0}};

    (void)state;
    fails_with(rules, "", "wants a password");
}

static void test_start_loading_is_said(void **state)
{
    static const struct fake_rule rules[] = {
        {"PING", "-LOADING Redis is loading the dataset in memory\r\n"}, {0}};

    (void)state;
    fails_with(rules, "", "still loading");
}

static void test_start_database_out_of_range_is_said(void **state)
{
    static const struct fake_rule rules[] = {
        {"SELECT", "-ERR DB index is out of range\r\n"}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig->url.db = 99;
    rig_start(rig);
    rig_wait_down(rig, "SELECT: ERR DB index is out of range");
    rig_close(rig);
}

static void test_start_refused_name_and_ping_do_not_matter(void **state)
{
    static const struct fake_rule rules[] = {
        {"CLIENT", "-NOPERM no\r\n"}, {"PING", "-NOPERM no\r\n"}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig_go_up(rig);
    rig_close(rig);
}

static void test_start_maximum_of_clients_is_said(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    fake_redis_turn_away(rig->fake, "-ERR max number of clients reached\r\n");
    rig_start(rig);
    rig_wait_down(rig, "");
    /* The kernel throws the farewell away if the greeting crossed it. */
    if (!strstr(rig->why, "Connection reset"))
        assert_non_null(strstr(rig->why, "maximum of clients"));
    rig_close(rig);
}

static void test_start_another_protocol_is_said(void **state)
{
    static const struct fake_rule rules[] = {
        {"CLIENT", "HTTP/1.1 400 Bad Request\r\n"}, {0}};

    (void)state;
    fails_with(rules, "", "bad answer");
}

static void test_start_closed_in_the_greeting_is_down(void **state)
{
    static const struct fake_rule rules[] = {{"PING", FAKE_CLOSE}, {0}};

    (void)state;
    fails_with(rules, "", "");
}

static void test_start_refused_connection_is_said(void **state)
{
    struct rig *rig = rig_open(NULL);
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, does not listen */

    (void)state;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    rig->url.port = ntohs(name.sin_port);
    rig_start(rig);
    assert_int_equal(rig->downs, 0); /* never inside open */
    rig_wait_down(rig, "connect: Connection refused");
    rig_close(rig);
    (void)close(fd);
}

static void test_start_missing_socket_is_said(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig->url.host[0] = '\0';
    strcpy(rig->url.path, "/nonexistent/redis.sock");
    rig_start(rig);
    rig_wait_down(rig, "connect: No such file");
    rig_close(rig);
}

/* A full backlog swallows connects without an answer. */
static void test_start_silent_network_runs_into_the_deadline(void **state)
{
    enum { FILLERS = 4 };
    struct rig *rig = rig_open(NULL);
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0), filler[FILLERS];

    (void)state;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    for (int i = 0; i < FILLERS; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&name, sizeof name);
    }
    rig->url.port = ntohs(name.sin_port);
    rig->settings.connect_timeout_ms = 100;
    rig_start(rig);
    rig_wait_down(rig, "no connection within 100 ms");
    rig_close(rig);
    for (int i = 0; i < FILLERS; i++)
        (void)close(filler[i]);
    (void)close(fd);
}

static void test_start_silent_server_runs_into_the_deadline(void **state)
{
    static const struct fake_rule rules[] = {{"PING", FAKE_SILENCE}, {0}};
    struct rig *rig = rig_open(rules);

    (void)state;
    rig->settings.connect_timeout_ms = 100;
    rig_start(rig);
    rig_wait_down(rig, "no answer to the greeting within 100 ms");
    rig_close(rig);
}

static void test_start_name_is_resolved_off_the_loop(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    strcpy(rig->url.host, "localhost");
    rig_go_up(rig);
    rig_close(rig);
}

static void test_start_unknown_name_is_down(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    strcpy(rig->url.host, "no-such-host.invalid");
    rig->settings.connect_timeout_ms = 2000; /* a resolver may be slow */
    rig_start(rig);
    rig_wait_down(rig, "");
    assert_true(strstr(rig->why, "no-such-host.invalid") ||
                strstr(rig->why, "not resolved"));
    rig_close(rig);
}

static void test_start_destroyed_while_resolving_says_nothing(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    strcpy(rig->url.host, "no-such-host.invalid");
    rig_start(rig);
    wsr_server_destroy(rig->server);
    rig->server = NULL;
    uv_rig_turn(rig->loop);
    assert_int_equal(rig->ups + rig->downs, 0);
    rig_close(rig);
}

static void test_start_again_after_down_succeeds(void **state)
{
    static const struct fake_rule loading[] = {{"PING", "-LOADING\r\n"}, {0}};
    struct rig *rig = rig_open(loading);

    (void)state;
    rig_start(rig);
    rig_wait_down(rig, "loading");
    fake_redis_rules(rig->fake, NULL);
    assert_int_equal(wsr_server_open(rig->server, &rig->host), 0);
    rig_wait(rig, &rig->ups, 1);
    rig_close(rig);
}

static void open_again(struct rig *rig)
{
    assert_int_equal(wsr_server_open(rig->server, &rig->host), 0);
}

static void test_start_again_inside_down_succeeds(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig_go_up(rig);
    rig->inside = open_again;
    fake_redis_drop(rig->fake);
    rig_wait(rig, &rig->ups, 2);
    assert_int_equal(rig->downs, 1);
    rig_close(rig);
}

static void destroy(struct rig *rig)
{
    wsr_server_destroy(rig->server);
    rig->server = NULL;
}

static void test_start_destroyed_inside_up_is_clean(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig->inside = destroy;
    rig_start(rig);
    rig_wait(rig, &rig->ups, 1);
    assert_null(rig->server);
    rig_close(rig);
}

static void test_start_destroyed_inside_down_is_clean(void **state)
{
    struct rig *rig = rig_open(NULL);

    (void)state;
    rig->url.host[0] = '\0';
    strcpy(rig->url.path, "/nonexistent/redis.sock");
    rig->inside = destroy;
    rig_start(rig);
    rig_wait(rig, &rig->downs, 1);
    assert_null(rig->server);
    rig_close(rig);
}

static unsigned threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;

    assert_non_null(tasks);
    while (readdir(tasks))
        count++;
    (void)closedir(tasks);
    return count - 2; /* . and .. */
}

/* A resolver's thread may outlive its caller. If the process ended while it
 * does, what the C library still holds for it would look like a leak. */
static int wait_for_resolvers(void **state)
{
    unsigned ms = 0;

    (void)state;
    while (threads() > 1 && ms++ < RESOLVER_MS)
        (void)poll(NULL, 0, 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_start_opens_two_connections_and_is_up_once),
        cmocka_unit_test(test_start_logs_in_and_selects_first),
        cmocka_unit_test(test_start_password_alone_has_no_user),
        cmocka_unit_test(test_start_wrong_password_is_said),
        cmocka_unit_test(test_start_other_refusals_carry_the_servers_text),
        cmocka_unit_test(test_start_missing_password_is_said),
        cmocka_unit_test(test_start_loading_is_said),
        cmocka_unit_test(test_start_database_out_of_range_is_said),
        cmocka_unit_test(test_start_refused_name_and_ping_do_not_matter),
        cmocka_unit_test(test_start_maximum_of_clients_is_said),
        cmocka_unit_test(test_start_another_protocol_is_said),
        cmocka_unit_test(test_start_closed_in_the_greeting_is_down),
        cmocka_unit_test(test_start_refused_connection_is_said),
        cmocka_unit_test(test_start_missing_socket_is_said),
        cmocka_unit_test(test_start_silent_network_runs_into_the_deadline),
        cmocka_unit_test(test_start_silent_server_runs_into_the_deadline),
        cmocka_unit_test(test_start_name_is_resolved_off_the_loop),
        cmocka_unit_test(test_start_unknown_name_is_down),
        cmocka_unit_test(test_start_destroyed_while_resolving_says_nothing),
        cmocka_unit_test(test_start_again_after_down_succeeds),
        cmocka_unit_test(test_start_again_inside_down_succeeds),
        cmocka_unit_test(test_start_destroyed_inside_up_is_clean),
        cmocka_unit_test(test_start_destroyed_inside_down_is_clean),
    };

    return cmocka_run_group_tests_name("redis_start", cases, NULL,
                                       wait_for_resolvers);
}

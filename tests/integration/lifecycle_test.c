/*
 * lifecycle_test.c: create, start, a crowd, stop under load, destroy: again and
 * again in one process, on threads of the hub and on a host's loop.
 *
 * LIFECYCLE_ROUNDS and LIFECYCLE_CLIENTS set the size; the default is small
 * enough for every run.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>
#include <cmocka.h>

#include "support/crowd.h"
#include "support/identity.h"
#include "ws_hub.h"

enum { ROUNDS = 100, CLIENTS = 200, CHANNELS = 50 };

static unsigned from_environment(const char *name, unsigned fallback)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    size_t len;
    const char *path = ws_hub_request_path(request, &len);

    (void)user;
    assert_int_equal(ws_hub_subscribe(hub, conn, path, len), 0);
}

static atomic_uint closes, stops;

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    (void)hub;
    (void)conn;
    (void)info;
    (void)user;
    atomic_fetch_add(&closes, 1);
}

static void on_stopped(ws_hub *hub, void *user)
{
    (void)user;
    check_identity(hub, 1);
    atomic_fetch_add(&stops, 1);
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_close = on_close,
    .on_stopped = on_stopped,
};

static ws_hub *make_hub(unsigned loops, uv_loop_t *host_loop)
{
    const char *url = "tcp://127.0.0.1:0";
    ws_hub_options options;
    ws_hub *hub;

    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.loops = loops;
    options.uv_loop = host_loop;
    options.callbacks = &callbacks;
    assert_int_equal(ws_hub_create(&hub, &options), 0);
    assert_int_equal(ws_hub_start(hub), 0);
    return hub;
}

static void publish_everywhere(ws_hub *hub)
{
    char channel[16];

    for (unsigned i = 0; i < CHANNELS; i++) {
        int len = snprintf(channel, sizeof channel, "/%u", i);

        (void)ws_hub_publish(hub, channel, (size_t)len, "load", 4, NULL);
    }
}

struct load {
    ws_hub *hub;
    _Atomic bool over;
    pthread_t thread;
};

static void *make_load(void *arg)
{
    struct load *load = arg;

    while (!atomic_load(&load->over))
        publish_everywhere(load->hub);
    return NULL;
}

static void round_on_threads(unsigned clients)
{
    struct load load = {.hub = make_hub(2, NULL)};
    struct crowd *crowd = crowd_create(ws_hub_port(load.hub, 0), clients);

    atomic_store(&closes, 0);
    crowd_connect(crowd, "/%u", CHANNELS, NULL);
    assert_int_equal(pthread_create(&load.thread, NULL, make_load, &load), 0);
    assert_int_equal(ws_hub_stop(load.hub), 0);
    crowd_until_closed(crowd);
    assert_int_equal(ws_hub_run(load.hub), 0);
    atomic_store(&load.over, true);
    pthread_join(load.thread, NULL);
    check_identity(load.hub, 1);
    ws_hub_destroy(load.hub);
    assert_int_equal(atomic_load(&closes), clients);
    crowd_destroy(crowd);
}

static void test_lifecycle_own_threads_leave_nothing(void **state)
{
    unsigned rounds = from_environment("LIFECYCLE_ROUNDS", ROUNDS);
    unsigned clients = from_environment("LIFECYCLE_CLIENTS", CLIENTS);
    unsigned before = 0;

    (void)state;
    atomic_store(&stops, 0);
    for (unsigned i = 0; i < rounds; i++) {
        round_on_threads(clients);
        if (i == 0) /* libraries have opened what they keep */
            before = count_descriptors();
    }
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(atomic_load(&stops), rounds);
}

static void run_once(void *arg)
{
    uv_run(arg, UV_RUN_NOWAIT);
}

static void round_on_host_loop(unsigned clients)
{
    uv_loop_t loop;
    ws_hub *hub;
    struct crowd *crowd;

    assert_int_equal(uv_loop_init(&loop), 0);
    hub = make_hub(1, &loop);
    crowd = crowd_create(ws_hub_port(hub, 0), clients);
    crowd_on_idle(crowd, run_once, &loop);
    atomic_store(&closes, 0);
    crowd_connect(crowd, "/%u", CHANNELS, NULL);
    publish_everywhere(hub);
    assert_int_equal(ws_hub_stop(hub), 0);
    crowd_until_closed(crowd);
    crowd_on_idle(crowd, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    check_identity(hub, 1);
    ws_hub_destroy(hub);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(atomic_load(&closes), clients);
    crowd_destroy(crowd);
}

static void test_lifecycle_host_loop_can_be_closed_afterwards(void **state)
{
    unsigned rounds = from_environment("LIFECYCLE_ROUNDS", ROUNDS);
    unsigned clients = from_environment("LIFECYCLE_CLIENTS", CLIENTS);
    unsigned before = 0;

    (void)state;
    atomic_store(&stops, 0);
    for (unsigned i = 0; i < rounds; i++) {
        round_on_host_loop(clients);
        if (i == 0)
            before = count_descriptors();
    }
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(atomic_load(&stops), rounds);
}

static void test_lifecycle_destroy_drops_a_running_hub(void **state)
{
    ws_hub *hub = make_hub(2, NULL);
    struct crowd *crowd = crowd_create(ws_hub_port(hub, 0), 50);

    (void)state;
    atomic_store(&closes, 0);
    crowd_connect(crowd, "/%u", CHANNELS, NULL);
    ws_hub_destroy(hub);
    assert_int_equal(atomic_load(&closes), 50);
    crowd_until_closed(crowd);
    crowd_destroy(crowd);
}

static void
test_lifecycle_destroy_on_host_loop_drops_a_running_hub(void **state)
{
    uv_loop_t loop;
    ws_hub *hub;
    struct crowd *crowd;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    hub = make_hub(1, &loop);
    crowd = crowd_create(ws_hub_port(hub, 0), 50);
    crowd_on_idle(crowd, run_once, &loop);
    atomic_store(&closes, 0);
    crowd_connect(crowd, "/%u", CHANNELS, NULL);
    ws_hub_destroy(hub);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(atomic_load(&closes), 50);
    crowd_on_idle(crowd, NULL, NULL);
    crowd_until_closed(crowd);
    crowd_destroy(crowd);
}

static void test_lifecycle_failed_start_leaves_nothing(void **state)
{
    const char *url = "unix:/nonexistent/directory/socket";
    unsigned before = count_descriptors();
    ws_hub_options options;
    uv_loop_t loop;
    ws_hub *hub;

    (void)state;
    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.loops = 3;
    assert_int_equal(ws_hub_create(&hub, &options), 0);
    assert_int_equal(ws_hub_start(hub), WS_HUB_ETRANSPORT);
    assert_int_equal(ws_hub_start(hub), WS_HUB_ESTATE);
    assert_int_equal(ws_hub_stop(hub), WS_HUB_ESTATE);
    ws_hub_destroy(hub);

    assert_int_equal(uv_loop_init(&loop), 0);
    options.loops = 1;
    options.uv_loop = &loop;
    assert_int_equal(ws_hub_create(&hub, &options), 0);
    assert_int_equal(ws_hub_start(hub), WS_HUB_ETRANSPORT);
    ws_hub_destroy(hub);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_lifecycle_own_threads_leave_nothing),
        cmocka_unit_test(test_lifecycle_host_loop_can_be_closed_afterwards),
        cmocka_unit_test(test_lifecycle_destroy_drops_a_running_hub),
        cmocka_unit_test(
            test_lifecycle_destroy_on_host_loop_drops_a_running_hub),
        cmocka_unit_test(test_lifecycle_failed_start_leaves_nothing),
    };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return cmocka_run_group_tests(cases, NULL, NULL);
}

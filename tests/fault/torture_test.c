/*
 * torture_test.c: every allocation of a scenario fails once, alone and with all
 * that follow.
 *
 * For each point: nothing crashes, structures and accounts agree, every call
 * says WS_HUB_ENOMEM or its loss is counted, everything is given back, and when
 * there is memory again new clients get all that they should.
 *
 *   torture_test                       all of it, as TAP
 *   torture_test SCENARIO POINT [on]   one point, to replay a failure
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <libwebsockets.h>
#include <cmocka.h>

#include "fault/scenarios.h"
#include "fault/torture_sockets.h"
#include "ws_hub/error.h"

struct scenario {
    const char *name;
    struct rig_shape shape;
    void (*run)(struct rig *rig);
    void (*alone)(void); /* instead: it needs no rig, and checks for itself */
    bool ends;           /* nothing can be done with the hub afterwards */
    bool lws_leaks;      /* libwebsockets gives memory up, see there */
};

/* What create and start make, without sockets. */
static void make_parts(void)
{
    const struct rig_shape shape = {.lanes = 2};
    struct rig *rig = calloc(1, sizeof *rig);
    int error;

    RIG_CHECK(rig);
    error = rig_init(rig, &shape);
    RIG_CHECK(!error || (alloc_failed() && error == WS_HUB_ENOMEM));
    alloc_stop();
    rig_fini(rig);
    free(rig);
}

static void run_in_rig(const struct scenario *scenario, unsigned long point,
                       bool onwards)
{
    struct rig *rig = calloc(1, sizeof *rig);

    RIG_CHECK(rig && rig_init(rig, &scenario->shape) == 0);
    alloc_fail_at(point, onwards);
    scenario->run(rig);
    alloc_stop();
    rig->current = NULL;
    rig_settle(rig);
    rig_check(rig);
    if (!scenario->ends)
        rig_fresh_session(rig);
    rig_fini(rig);
    free(rig);
}

/* How many allocations failed; 0: the scenario has no such point. */
static unsigned long run_point(const struct scenario *scenario,
                               unsigned long point, bool onwards)
{
    long live = alloc_live(), live_lws = alloc_live_lws();

    rig_name_point(scenario->name, point, onwards);
    if (scenario->alone) {
        alloc_fail_at(point, onwards);
        scenario->alone();
        alloc_stop();
    } else {
        run_in_rig(scenario, point, onwards);
    }
    RIG_CHECK(alloc_live() == live);
    RIG_CHECK(alloc_live_lws() == live_lws || scenario->lws_leaks);
    return alloc_failed();
}

static unsigned long torture(const struct scenario *scenario, bool onwards)
{
    unsigned long point = 0, failed;

    do {
        failed = run_point(scenario, ++point, onwards);
    } while (failed);
    return point - 1;
}

static const struct scenario scenarios[] = {
    {.name = "raw", .shape = {.lanes = 1}, .run = scenario_raw},
    {.name = "handshakes", .shape = {.lanes = 1}, .run = scenario_handshakes},
    {.name = "json", .shape = {.lanes = 2}, .run = scenario_json},
    {.name = "json_answers",
     .shape = {.lanes = 1},
     .run = scenario_json_answers},
    {.name = "large", .shape = {.lanes = 1}, .run = scenario_large},
    {.name = "slow", .shape = {.lanes = 1}, .run = scenario_slow},
    {.name = "policies", .shape = {.lanes = 1}, .run = scenario_policies},
    {.name = "mailbox", .shape = {.lanes = 2}, .run = scenario_mailbox},
    {.name = "broker",
     .shape = {.lanes = 2, .scripted = true},
     .run = scenario_broker},
    {.name = "stop",
     .shape = {.lanes = 2, .scripted = true},
     .run = scenario_stop,
     .ends = true},
    {.name = "create", .alone = torture_create},
    {.name = "parts", .alone = make_parts},
    {.name = "host_loop", .alone = torture_host_loop},
    {.name = "threads", .alone = torture_threads},
    {.name = "lws", .alone = torture_lws, .lws_leaks = true},
};

#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* What libwebsockets gives up is counted by the allocator, and is no news. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:alloc_lws\n";
}

/* Of an ASan build: tells of leaks at once, where it is known who made them. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

static void test_torture(void **state)
{
    const struct scenario *scenario = *state;
    unsigned long once, onwards;

    run_point(scenario, 0, false);
    once = torture(scenario, false);
    onwards = torture(scenario, true);
    assert_true(once > 0);
    if (__lsan_do_recoverable_leak_check)
        assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
    printf("# %s: %lu points failed alone, %lu with all that follow: all "
           "survived\n",
           scenario->name, once, onwards);
    fflush(stdout);
}

static int replay(const char *name, const char *point, bool onwards)
{
    for (size_t i = 0; i < SCENARIOS; i++)
        if (strcmp(scenarios[i].name, name) == 0) {
            run_point(&scenarios[i], strtoul(point, NULL, 10), onwards);
            printf("%lu allocations, %lu failed\n", alloc_seen(),
                   alloc_failed());
            return 0;
        }
    return 1;
}

int main(int argc, char **argv)
{
    static char names[SCENARIOS][64];
    struct CMUnitTest cases[SCENARIOS];

    json_set_alloc_funcs(alloc_json, alloc_json_free);
    lws_set_allocator(alloc_lws);
    (void)alloc_outside(true);
    if (argc > 2)
        return replay(argv[1], argv[2], argc > 3);
    for (size_t i = 0; i < SCENARIOS; i++) {
        (void)snprintf(names[i], sizeof names[i], "test_torture_%s_survives",
                       scenarios[i].name);
        cases[i] = (struct CMUnitTest){
            .name = names[i],
            .test_func = test_torture,
            .initial_state = (void *)(uintptr_t)&scenarios[i],
        };
    }
    return cmocka_run_group_tests(cases, NULL, NULL);
}

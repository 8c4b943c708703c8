/*
 * sim_test.c: the simulation as a test: 20 seeds of 50 000 steps, every
 * structure and account checked after each step.
 *
 *   sim_test                 all of it, as TAP
 *   sim_test SEED [STEPS]    one seed, to replay a failure
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim/world.h"

enum { SEEDS = 20, STEPS = 50000 };

/* What happened: a simulation in which nothing does would pass as well. */
static void report(struct world *world)
{
    ws_hub_stats_data stats = {0};
    unsigned long long dropped = 0, closed = 0, rejected = 0;

    wsh_hub_stats(&world->hub, &stats);
    for (unsigned i = 0; i < 32; i++) {
        dropped += stats.dropped[i];
        closed += stats.closed[i];
        rejected += stats.rejected[i];
    }
    printf("# seed %llu: %u loops, opened %llu, closed %llu, rejected %llu, "
           "published %llu, offered %llu, delivered %llu, dropped %llu, "
           "sends %llu, heard %llu\n",
           (unsigned long long)world->seed, world->lane_count,
           (unsigned long long)stats.opened, closed, rejected,
           (unsigned long long)stats.published,
           (unsigned long long)stats.offered,
           (unsigned long long)stats.delivered, dropped,
           (unsigned long long)stats.sends, (unsigned long long)world->heard);
    CHECK(world, stats.delivered > 0 && dropped > 0 && closed > 0);
}

static void run(uint64_t seed, uint64_t steps)
{
    struct world *world = malloc(sizeof *world);

    if (!world)
        abort();
    world_init(world, seed);
    while (world->step < steps) {
        world_step(world);
        world_check(world);
    }
    if (steps >= STEPS)
        report(world);
    world_fini(world);
    free(world);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10),
            argc > 2 ? strtoull(argv[2], NULL, 10) : STEPS);
        return 0;
    }
    printf("1..%d\n", SEEDS);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed, STEPS);
        printf("ok %llu - seed %llu, %d steps\n", (unsigned long long)seed,
               (unsigned long long)seed, STEPS);
        fflush(stdout);
    }
    return 0;
}

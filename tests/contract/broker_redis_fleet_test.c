/* broker_redis_fleet_test.c: three independent Redis servers, or a cluster of
 * three masters and three replicas, against the broker contract. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "contract/broker_contract.h"
#include "support/redis_nodes.h"
#include "support/uv_rig.h"
#include "ws_hub/redis.h"

enum { SERVERS = 3 };

static struct redis_nodes nodes;

/* Of the cluster two are seeds: a master and a replica. */
static size_t choose_urls(const char *urls[SERVERS])
{
    if (nodes.cluster) {
        urls[0] = nodes.node[2 * SERVERS - 1].server.url;
        urls[1] = nodes.node[0].server.url;
        return 2;
    }
    for (unsigned i = 0; i < SERVERS; i++)
        urls[i] = nodes.node[i].server.url;
    return SERVERS;
}

static int make(void **state, const ws_hub_broker_ops **ops, void **self,
                ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    ws_hub_redis_options options;
    const char *urls[SERVERS];
    char error[200];

    ws_hub_redis_options_init(&options);
    options.urls = urls;
    options.url_count = choose_urls(urls);
    options.cluster = nodes.cluster;
    *loop = uv_rig_open(loop_ops);
    *state = *loop;
    return ws_hub_redis_broker(&options, ops, self, error, sizeof error);
}

static void run_loop(void *state)
{
    uv_rig_turn(state);
}

static void unmake(void *state)
{
    uv_rig_close(state);
}

int main(int argc, char **argv)
{
    const struct broker_subject several = {"redis_several", make, run_loop,
                                           unmake},
                                cluster = {"redis_cluster", make, run_loop,
                                           unmake};
    int failed;

    (void)argv;
    redis_nodes_start(&nodes, argc > 1 ? 2 * SERVERS : SERVERS, argc > 1);
    failed = broker_contract_run(argc > 1 ? &cluster : &several);
    redis_nodes_stop(&nodes);
    return failed;
}

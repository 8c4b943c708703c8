/* broker_redis_test.c: a single real Redis server against the broker contract,
 * over TCP and over a unix socket. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "contract/broker_contract.h"
#include "support/redis_server.h"
#include "support/uv_rig.h"
#include "ws_hub/redis.h"

static struct redis_server server;

static int make_with(const char *url, void **state,
                     const ws_hub_broker_ops **ops, void **self,
                     ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    ws_hub_redis_options options;
    char error[200];

    ws_hub_redis_options_init(&options);
    options.urls = &url;
    options.url_count = 1;
    *loop = uv_rig_open(loop_ops);
    *state = *loop;
    return ws_hub_redis_broker(&options, ops, self, error, sizeof error);
}

static int make_tcp(void **state, const ws_hub_broker_ops **ops, void **self,
                    ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    return make_with(server.url, state, ops, self, loop, loop_ops);
}

static int make_unix(void **state, const ws_hub_broker_ops **ops, void **self,
                     ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    return make_with(server.unix_url, state, ops, self, loop, loop_ops);
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
    static const struct broker_subject tcp = {"redis", make_tcp, run_loop,
                                              unmake},
                                       local = {"redis_unix", make_unix,
                                                run_loop, unmake};
    int failed;

    (void)argv;
    if (!redis_server_start(&server, NULL)) {
        fprintf(stderr, "redis-server does not start\n");
        return 1;
    }
    failed = broker_contract_run(argc > 1 ? &local : &tcp);
    redis_server_stop(&server);
    return failed;
}

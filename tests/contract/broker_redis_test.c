/* broker_redis_test.c: a single real Redis server against the broker contract,
 * over TCP, over a unix socket and over TLS. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "contract/broker_contract.h"
#include "support/redis_server.h"
#include "support/uv_rig.h"
#include "ws_hub/redis.h"

static struct redis_server server;
static char cert[64]; /* PEM file with a key; empty: no TLS */

static int make_with(const char *url, void **state,
                     const ws_hub_broker_ops **ops, void **self,
                     ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    ws_hub_redis_options options;
    char error[200];

    ws_hub_redis_options_init(&options);
    options.urls = &url;
    options.url_count = 1;
    if (cert[0])
        options.tls_ca = options.tls_cert = options.tls_key = cert;
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

/* A certificate that is its own authority. */
static bool make_cert(void)
{
    char command[640];
    int fd;

    (void)snprintf(cert, sizeof cert, "/tmp/ws_hub_cert_XXXXXX");
    fd = mkstemp(cert);
    if (fd < 0)
        return false;
    (void)close(fd);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt "
                   "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test "
                   "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s "
                   "2>/dev/null && cat %s.key >> %s; rm -f %s.key",
                   cert, cert, cert, cert, cert);
    return system(command) == 0;
}

/* usage: broker_redis_test [unix|tls] */
int main(int argc, char **argv)
{
    static const struct broker_subject subjects[] = {
        {"redis", make_tcp, run_loop, unmake},
        {"redis_unix", make_unix, run_loop, unmake},
        {"redis_tls", make_tcp, run_loop, unmake}};
    int way = argc < 2 ? 0 : strcmp(argv[1], "unix") == 0 ? 1 : 2, failed;
    bool started = way == 2
                       ? make_cert() && redis_server_start_tls(&server, cert)
                       : redis_server_start(&server, NULL);

    if (!started)
        fprintf(stderr, "redis-server does not start\n");
    failed = !started || broker_contract_run(&subjects[way]);
    redis_server_stop(&server);
    if (cert[0])
        (void)unlink(cert);
    return failed;
}

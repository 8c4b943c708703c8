/* broker.c: the hub's broker, as --redis and --redis-cluster say. */
#include "common.h"

#include <stdio.h>

#ifdef EXAMPLE_HAVE_REDIS
#include <ws_hub/redis.h>

int example_use_broker(struct example *ex)
{
    const struct ws_hub_broker_ops *ops;
    ws_hub_redis_options options;
    char error[200];
    int status;

    if (ex->redis_count == 0)
        return 0;
    if (ex->hub.broker) {
        fprintf(stderr, "redis: this example has a broker of its own\n");
        return 2;
    }
    ws_hub_redis_options_init(&options);
    options.urls = ex->redis_urls;
    options.url_count = ex->redis_count;
    options.cluster = ex->redis_cluster;
    options.tls_ca = ex->redis_ca;
    options.tls_cert = ex->redis_cert;
    options.tls_key = ex->redis_key;
    options.tls_name = ex->redis_name;
    status = ws_hub_redis_broker(&options, &ops, &ex->hub.broker_self, error,
                                 sizeof(error));
    if (status) {
        fprintf(stderr, "redis: %s\n", error);
        return 2;
    }
    ex->hub.broker = ops;
    return 0;
}

#else

int example_use_broker(struct example *ex)
{
    if (ex->redis_count == 0)
        return 0;
    fprintf(stderr, "redis: this program was built without it\n");
    return 2;
}

#endif

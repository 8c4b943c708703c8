/*
 * A program that scales out over Redis, compiled against the installed
 * libraries. It needs no server: a hub starts and stops without one. Exit
 * status 0, or the number of the step that went wrong.
 */
#include <stdio.h>
#include <string.h>
#include <ws_hub.h>
#include <ws_hub/redis.h>

int main(int argc, char **argv)
{
    const char *redis = "redis+unix:///nonexistent/redis.sock";
    const char *url = argc > 1 ? argv[1] : "tcp://127.0.0.1:0";
    ws_hub_redis_options redis_options;
    ws_hub_options options;
    ws_hub *hub;

    ws_hub_redis_options_init(&redis_options);
    redis_options.urls = &redis;
    redis_options.url_count = 1;
    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    if (ws_hub_redis_broker(&redis_options, &options.broker,
                            &options.broker_self, NULL, 0))
        return 1;
    if (ws_hub_create(&hub, &options))
        return 2;
    if (ws_hub_start(hub))
        return 3;
    if (ws_hub_stop(hub))
        return 4;
    ws_hub_destroy(hub);
    printf("%s\n", ws_hub_version());
    return 0;
}

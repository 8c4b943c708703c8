/*
 * A program as a user writes one, compiled as C and as C++ against the
 * installed library: create, start, publish, stop, destroy. Exit status 0, or
 * the number of the step that went wrong.
 */
#include <stdio.h>
#include <string.h>
#include <ws_hub.h>

static void on_stopped(ws_hub *hub, void *user)
{
    (void)hub;
    ++*(int *)user;
}

int main(int argc, char **argv)
{
    const char *urls[2] = {"tcp://127.0.0.1:0", argc > 1 ? argv[1] : ""};
    ws_hub_callbacks callbacks;
    ws_hub_options options;
    ws_hub *hub;
    int stopped = 0;

    memset(&callbacks, 0, sizeof(callbacks));
    callbacks.struct_size = sizeof(callbacks);
    callbacks.on_stopped = on_stopped;
    ws_hub_options_init(&options);
    options.bind_urls = urls;
    options.bind_count = 2;
    options.callbacks = &callbacks;
    options.user = &stopped;

    if (strcmp(ws_hub_version(), WS_HUB_VERSION) != 0)
        return 1;
    if (ws_hub_create(&hub, &options))
        return 2;
    if (ws_hub_start(hub))
        return 3;
    if (ws_hub_port(hub, 0) == 0)
        return 4;
    if (ws_hub_publish(hub, "news", 4, "hello", 5, NULL))
        return 5;
    if (ws_hub_stop(hub))
        return 6;
    ws_hub_destroy(hub);
    if (stopped != 1)
        return 7;
    printf("%s\n", ws_hub_version());
    return 0;
}

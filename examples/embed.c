#include <stdio.h>
#include <ws_hub.h>

/* Everybody hears "news"; what one client says, all of them get. */
static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    ws_hub_subscribe(hub, conn, "news", 4);
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    ws_hub_publish_options as = {.struct_size = sizeof(as), .type = type};

    ws_hub_publish(hub, "news", 4, data, len, &as);
}

int main(void)
{
    const char *url = "tcp://127.0.0.1:9000";
    ws_hub_callbacks callbacks = {.struct_size = sizeof(callbacks),
                                  .on_open = on_open,
                                  .on_message = on_message};
    ws_hub_options options;
    ws_hub *hub;
    int status;

    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.callbacks = &callbacks;
    status = ws_hub_create(&hub, &options);
    if (status == 0)
        status = ws_hub_run(hub); /* until somebody calls ws_hub_stop() */
    if (status != 0)
        fprintf(stderr, "%s\n", ws_hub_error_text(status));
    ws_hub_destroy(hub);
    return status != 0;
}

/* publish.c: the public way into the broker, from any thread. */
#include "hub/hub.h"
#include "hub/settings.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

int ws_hub_publish(ws_hub *handle, const char *channel, size_t channel_len,
                   const void *data, size_t len,
                   const ws_hub_publish_options *options)
{
    ws_hub_publish_options o = {0};
    ws_hub_broker_message message = {.struct_size = sizeof message};
    struct wsh_hub *hub;
    int error = 0;

    if (!handle)
        return WS_HUB_EINVAL;
    hub = wsh_hub_of(handle);
    if (options)
        error = wsh_struct_copy(&o, sizeof o, options, options->struct_size);
    message.type = o.type;
    message.data = data;
    message.len = len;
    message.exclude = o.exclude;
    message.cls = o.cls;
    message.key = o.key;
    message.key_len = o.key_len;
    if (!error)
        error = wsh_hub_check_message(hub, channel, channel_len, &message);
    if (error)
        return error;
    if (!atomic_load(&hub->running))
        return WS_HUB_ESTATE;
    return wsh_hub_publish(hub, channel, channel_len, &message);
}

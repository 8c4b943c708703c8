/*
 * memory.c: the broker of a hub that is alone: every publish comes back at
 * once.
 *
 * The registry above already knows which loops listen, so there is nothing to
 * subscribe. Thread: publish on any; the rest on the home loop.
 */
#include <stdlib.h>

#include "ws_hub/broker.h"
#include "ws_hub/error.h"

struct memory {
    const ws_hub_broker_host *host;
};

static int memory_open(void *self, const ws_hub_broker_host *host)
{
    struct memory *memory = self;

    memory->host = host;
    host->ready(host);
    return 0;
}

static int memory_subscribe(void *self, const char *channel, size_t channel_len)
{
    struct memory *memory = self;

    memory->host->subscribed(memory->host, channel, channel_len, 0);
    return 0;
}

static int memory_unsubscribe(void *self, const char *channel,
                              size_t channel_len)
{
    (void)self;
    (void)channel;
    (void)channel_len;
    return 0;
}

static int memory_publish(void *self, const char *channel, size_t channel_len,
                          const ws_hub_broker_message *message)
{
    struct memory *memory = self;

    return memory->host->message(memory->host, channel, channel_len, message);
}

static void memory_close(void *self)
{
    struct memory *memory = self;

    memory->host->stopped(memory->host);
}

static const ws_hub_broker_ops ops = {
    .struct_size = sizeof ops,
    .name = "memory",
    .flags = WS_HUB_BROKER_PUBLISH_ANY_THREAD | WS_HUB_BROKER_LOCAL,
    .open = memory_open,
    .subscribe = memory_subscribe,
    .unsubscribe = memory_unsubscribe,
    .publish = memory_publish,
    .close = memory_close,
    .destroy = free,
};

int ws_hub_memory_broker(const ws_hub_broker_ops **out_ops, void **self)
{
    if (!out_ops || !self)
        return WS_HUB_EINVAL;
    *out_ops = NULL;
    *self = calloc(1, sizeof(struct memory));
    if (!*self)
        return WS_HUB_ENOMEM;
    *out_ops = &ops;
    return 0;
}

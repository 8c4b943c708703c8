#include "hub/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ws_hub/error.h"

static void release(struct wsh_parcel *parcel, unsigned legs)
{
    if (atomic_fetch_sub_explicit(&parcel->refs, legs, memory_order_acq_rel) ==
        legs)
        free(parcel);
}

static void arrive(struct wsh_shard *shard, struct wsh_task *task,
                   bool canceled)
{
    struct wsh_leg *leg = WSH_CONTAINER(task, struct wsh_leg, task);
    struct wsh_parcel *parcel = leg->parcel;

    if (!canceled)
        parcel->fn(shard, parcel);
    release(parcel, 1);
}

static struct wsh_parcel *pack(unsigned legs, const char *channel, size_t len,
                               const ws_hub_broker_message *message)
{
    size_t head = sizeof(struct wsh_parcel) + legs * sizeof(struct wsh_leg);
    size_t size = head + len + message->key_len + message->len;
    struct wsh_parcel *parcel = malloc(size);
    char *bytes;

    if (!parcel)
        return NULL;
    bytes = (char *)parcel + head;
    memcpy(bytes, channel, len);
    if (message->key_len)
        memcpy(bytes + len, message->key, message->key_len);
    if (message->len)
        memcpy(bytes + len + message->key_len, message->data, message->len);
    atomic_init(&parcel->refs, legs);
    parcel->channel = bytes;
    parcel->channel_len = len;
    parcel->message = *message;
    parcel->message.key = bytes + len;
    parcel->message.data = bytes + len + message->key_len;
    for (unsigned i = 0; i < legs; i++) {
        parcel->leg[i].parcel = parcel;
        parcel->leg[i].task.run = arrive;
        parcel->leg[i].task.bytes = size;
    }
    return parcel;
}

int wsh_parcel_send(struct wsh_hub *hub, uint64_t shards, wsh_parcel_fn fn,
                    const char *channel, size_t len,
                    const ws_hub_broker_message *message)
{
    unsigned legs = (unsigned)__builtin_popcountll(shards), used = 0;
    struct wsh_parcel *parcel = pack(legs, channel, len, message);
    int result = 0;

    if (!parcel)
        return WS_HUB_ENOMEM;
    parcel->fn = fn;
    for (unsigned i = 0; shards; i++, shards >>= 1) {
        int error;

        if (!(shards & 1))
            continue;
        error = wsh_shard_post(hub->shards[i], &parcel->leg[used].task);
        if (!error) {
            used++;
            continue;
        }
        /* The leg was not taken: it serves the next shard. */
        result = error;
    }
    if (used < legs)
        release(parcel, legs - used);
    return result;
}

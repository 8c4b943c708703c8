/*
 * parcel.h: a copied message on its way to other threads: one allocation with a
 * task ("leg") for each shard it goes to, freed with the last leg.
 */
#ifndef WSH_HUB_PARCEL_H
#define WSH_HUB_PARCEL_H

#include <stdatomic.h>
#include "hub/shard.h"

struct wsh_parcel;

typedef void (*wsh_parcel_fn)(struct wsh_shard *shard,
                              const struct wsh_parcel *parcel);

struct wsh_leg {
    struct wsh_task task;
    struct wsh_parcel *parcel;
};

struct wsh_parcel {
    _Atomic unsigned refs; /* legs */
    wsh_parcel_fn fn;
    const char *channel;
    size_t channel_len;
    ws_hub_broker_message message;
    struct wsh_leg leg[];
};

/* Copy the message and post it to each shard in the set, where fn runs. 0;
 * WS_HUB_ELIMIT, WS_HUB_ESTATE, WS_HUB_ENOMEM: some shards may lack it. Any
 * thread. */
int wsh_parcel_send(struct wsh_hub *hub, uint64_t shards, wsh_parcel_fn fn,
                    const char *channel, size_t len,
                    const ws_hub_broker_message *message);

#endif

#include "pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64 }; /* a power of two, as every size */

bool wsr_pendings_reserve(struct wsr_pendings *pendings)
{
    size_t size = pendings->size ? pendings->size * 2 : FIRST_SIZE;
    struct wsr_pending *ring;

    if (pendings->count < pendings->size)
        return true;
    ring = malloc(size * sizeof *ring);
    if (!ring)
        return false;
    for (size_t i = 0; i < pendings->count; i++)
        ring[i] = pendings->ring[(pendings->first + i) & (pendings->size - 1)];
    free(pendings->ring);
    pendings->ring = ring;
    pendings->size = size;
    pendings->first = 0;
    return true;
}

void wsr_pendings_push(struct wsr_pendings *pendings,
                       struct wsr_pending pending)
{
    size_t at = pendings->first + pendings->count;

    assert(pendings->count < pendings->size);
    pendings->ring[at & (pendings->size - 1)] = pending;
    pendings->count++;
}

struct wsr_pending *wsr_pendings_first(struct wsr_pendings *pendings)
{
    return pendings->count ? &pendings->ring[pendings->first] : NULL;
}

struct wsr_pending wsr_pendings_pop(struct wsr_pendings *pendings)
{
    struct wsr_pending pending = pendings->ring[pendings->first];

    assert(pendings->count > 0);
    pendings->first = (pendings->first + 1) & (pendings->size - 1);
    pendings->count--;
    return pending;
}

void wsr_pendings_free(struct wsr_pendings *pendings)
{
    free(pendings->ring);
    memset(pendings, 0, sizeof *pendings);
}

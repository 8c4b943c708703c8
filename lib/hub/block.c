#include "hub/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ws_hub/error.h"

struct wsh_block *wsh_block_create(uint32_t cap)
{
    struct wsh_block *block = malloc(sizeof *block + cap);

    if (!block)
        return NULL;
    memset(block, 0, sizeof *block);
    block->refs = 1;
    block->cap = cap;
    return block;
}

void wsh_block_ref(struct wsh_block *block)
{
    WSH_ASSERT(block->refs > 0);
    block->refs++;
}

void wsh_block_unref(struct wsh_block *block)
{
    if (!block)
        return;
    WSH_ASSERT(block->refs > 0);
    if (--block->refs)
        return;
    free(block->marks);
    free(block);
}

static int reserve_mark(struct wsh_block *block)
{
    uint32_t cap;
    struct wsh_mark *marks;

    if (block->count == 0 || block->count - 1 < block->mark_cap)
        return 0;
    cap = block->mark_cap ? block->mark_cap * 2 : 15;
    marks = realloc(block->marks, cap * sizeof *marks);
    if (!marks)
        return WS_HUB_ENOMEM;
    block->marks = marks;
    block->mark_cap = cap;
    return 0;
}

int wsh_block_reserve(struct wsh_block **block, uint32_t more)
{
    struct wsh_block *old = *block, *grown;
    uint64_t need = (uint64_t)old->len + more, cap = old->cap;

    WSH_ASSERT(old->refs == 1);
    if (reserve_mark(old))
        return WS_HUB_ENOMEM;
    if (need <= cap)
        return 0;
    cap = WSH_MAX(need, WSH_MIN(cap * 2, UINT32_MAX));
    if (cap > UINT32_MAX)
        return WS_HUB_ENOMEM;
    grown = realloc(old, sizeof *grown + (size_t)cap);
    if (!grown)
        return WS_HUB_ENOMEM;
    grown->cap = (uint32_t)cap;
    *block = grown;
    return 0;
}

void wsh_block_commit(struct wsh_block *block, uint32_t more,
                      const struct wsh_mark *mark)
{
    struct wsh_mark *to =
        block->count == 0 ? &block->first : &block->marks[block->count - 1];

    WSH_ASSERT(block->refs == 1);
    WSH_ASSERT(more <= block->cap - block->len);
    block->len += more;
    *to = *mark;
    to->end = block->len;
    block->count++;
    if (mark->exclude)
        block->excludes++;
}

struct wsh_block *wsh_block_control(const void *data, uint32_t len)
{
    struct wsh_block *block = wsh_block_create(len);

    if (!block)
        return NULL;
    memcpy(block->data, data, len);
    block->len = len;
    return block;
}

#include "hub/outq.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "protocol/frame.h"
#include "ws_hub/conn.h"
#include "ws_hub/error.h"

static struct wsh_out *ring_of(struct wsh_outq *queue)
{
    return queue->ring ? queue->ring : queue->inline_ring;
}

static uint32_t cap_of(const struct wsh_outq *queue)
{
    return queue->ring ? queue->cap : WSH_OUT_INLINE;
}

static struct wsh_out *entry(struct wsh_outq *queue, uint32_t i)
{
    WSH_ASSERT(i < cap_of(queue));
    return &ring_of(queue)[(queue->head + i) & (cap_of(queue) - 1)];
}

const struct wsh_out *wsh_outq_peek(const struct wsh_outq *queue, uint32_t i)
{
    const struct wsh_out *ring = queue->ring ? queue->ring : queue->inline_ring;

    WSH_ASSERT(i < queue->len);
    return &ring[(queue->head + i) & (cap_of(queue) - 1)];
}

void wsh_outq_init(struct wsh_outq *queue)
{
    memset(queue, 0, sizeof *queue);
}

static bool is_control(const struct wsh_out *out)
{
    return out->first == WSH_OUT_CONTROL;
}

/* Is the first entry something that an urgent one must stay behind? */
static bool torn_message(const struct wsh_outq *queue)
{
    return queue->torn &&
           !(is_control(wsh_outq_peek(queue, 0)) && queue->urgent > 0);
}

/* A drained queue gives a large ring back. */
static void settle(struct wsh_outq *queue)
{
    if (queue->len)
        return;
    WSH_ASSERT(queue->bytes == 0 && queue->messages == 0);
    WSH_ASSERT(queue->urgent == 0);
    queue->head = 0;
    queue->torn = false;
    if (queue->cap <= WSH_OUT_KEPT)
        return;
    free(queue->ring);
    queue->ring = NULL;
    queue->cap = 0;
}

static int grow(struct wsh_outq *queue, uint32_t more)
{
    uint32_t cap = cap_of(queue), i;
    struct wsh_out *ring;

    if (queue->len + more <= cap)
        return 0;
    while (cap < queue->len + more)
        cap *= 2;
    ring = malloc(cap * sizeof *ring);
    if (!ring)
        return WS_HUB_ENOMEM;
    for (i = 0; i < queue->len; i++)
        ring[i] = *entry(queue, i);
    free(queue->ring);
    queue->ring = ring;
    queue->cap = cap;
    queue->head = 0;
    return 0;
}

/* Open a gap at position i; room was made. */
static struct wsh_out *insert(struct wsh_outq *queue, uint32_t i)
{
    uint32_t k;

    queue->len++;
    for (k = queue->len - 1; k > i; k--)
        *entry(queue, k) = *entry(queue, k - 1);
    return entry(queue, i);
}

static void release(struct wsh_outq *queue, const struct wsh_out *out,
                    struct wsh_out_result *result)
{
    result->messages += out->count;
    result->bytes += out->end - out->at;
    queue->messages -= out->count;
    queue->bytes -= out->end - out->at;
    wsh_block_unref(out->block);
}

static void pop(struct wsh_outq *queue)
{
    queue->head = (queue->head + 1) & (cap_of(queue) - 1);
    queue->len--;
    queue->torn = false;
}

struct wsh_out_result wsh_outq_clear(struct wsh_outq *queue)
{
    struct wsh_out_result result = {0, 0};

    for (; queue->len; pop(queue))
        release(queue, entry(queue, 0), &result);
    queue->urgent = 0;
    free(queue->ring);
    wsh_outq_init(queue);
    return result;
}

/*
 * How many messages from `first` on fit: all bytes and entries that wait, this
 * one included, within the limit. Searched from the back of what is offered,
 * because nearly always everything fits.
 */
uint32_t wsh_outq_room(const struct wsh_outq *queue,
                       const struct wsh_block *block, uint32_t first,
                       uint32_t count, size_t limit)
{
    uint64_t used = queue->bytes + ((uint64_t)queue->len + 1) * WSH_OUT_CHARGE;
    uint32_t start = wsh_block_start(block, first), low = 0, high = count;

    if (used + wsh_block_mark(block, first + count - 1)->end - start <= limit)
        return count;
    while (low < high) { /* the largest number that fits */
        uint32_t middle = low + (high - low + 1) / 2;
        uint32_t end = wsh_block_mark(block, first + middle - 1)->end;

        if (used + end - start <= limit)
            low = middle;
        else
            high = middle - 1;
    }
    return low == 0 && queue->messages == 0 ? 1 : low;
}

int wsh_outq_push(struct wsh_outq *queue, struct wsh_block *block,
                  uint32_t first, uint32_t count)
{
    struct wsh_out *out;

    WSH_ASSERT(count > 0 && first + count <= block->count);
    if (grow(queue, 1))
        return WS_HUB_ENOMEM;
    wsh_block_ref(block);
    out = insert(queue, queue->len);
    out->block = block;
    out->at = wsh_block_start(block, first);
    out->end = wsh_block_mark(block, first + count - 1)->end;
    out->first = first;
    out->count = count;
    queue->messages += count;
    queue->bytes += out->end - out->at;
    return 0;
}

int wsh_outq_offer(struct wsh_outq *queue, struct wsh_block *block,
                   uint32_t first, uint32_t count, size_t limit,
                   struct wsh_out_result *taken)
{
    uint32_t fit = wsh_outq_room(queue, block, first, count, limit);
    size_t before = queue->bytes;

    taken->messages = taken->bytes = 0;
    if (fit == 0)
        return 0;
    if (wsh_outq_push(queue, block, first, fit))
        return WS_HUB_ENOMEM;
    taken->messages = fit;
    taken->bytes = queue->bytes - before;
    return 0;
}

/* Offset in the block at which the frame that contains `at` ends, found by
 * walking the frames of its message; `at` itself if it is a boundary. */
static uint32_t frame_boundary(const struct wsh_out *out)
{
    uint32_t p = wsh_block_start(out->block, out->first);

    while (p < out->at)
        p += (uint32_t)wsh_frame_size(out->block->data + p);
    WSH_ASSERT(p <= out->end);
    return p;
}

/*
 * Split the first entry, if a frame of it is partly sent, behind that frame.
 * The messages stay with the second part, unless the torn frame is the last one
 * of its message.
 */
static int split_torn(struct wsh_outq *queue)
{
    struct wsh_out *head, *rest;
    uint32_t cut, ended;

    if (!queue->torn || entry(queue, 0)->count == 0)
        return 0;
    cut = frame_boundary(entry(queue, 0));
    if (cut == entry(queue, 0)->end)
        return 0;
    if (cut == entry(queue, 0)->at) {
        queue->torn = false;
        return 0;
    }
    if (grow(queue, 1))
        return WS_HUB_ENOMEM;
    rest = insert(queue, 1);
    head = entry(queue, 0);
    *rest = *head;
    ended = wsh_block_mark(head->block, head->first)->end == cut ? 1 : 0;
    wsh_block_ref(rest->block);
    head->end = rest->at = cut;
    head->count = ended;
    rest->first += ended;
    rest->count -= ended;
    return 0;
}

int wsh_outq_control(struct wsh_outq *queue, struct wsh_block *block,
                     bool urgent)
{
    struct wsh_out *out;
    uint32_t at;

    if ((urgent && split_torn(queue)) || grow(queue, 1)) {
        wsh_block_unref(block);
        return WS_HUB_ENOMEM;
    }
    at = queue->len;
    if (urgent) {
        at = queue->urgent + (torn_message(queue) ? 1 : 0);
        queue->urgent++;
    }
    out = insert(queue, at);
    out->block = block;
    out->at = 0;
    out->end = block->len;
    out->first = WSH_OUT_CONTROL;
    out->count = 0;
    queue->bytes += block->len;
    return 0;
}

bool wsh_outq_replace_urgent(struct wsh_outq *queue, struct wsh_block *block)
{
    uint32_t at;
    struct wsh_out *out;

    if (queue->urgent == 0)
        return false;
    at = queue->urgent - 1 + (torn_message(queue) ? 1 : 0);
    if (at == 0 && queue->torn)
        return false;
    out = entry(queue, at);
    queue->bytes += block->len;
    queue->bytes -= out->end;
    wsh_block_unref(out->block);
    out->block = block;
    out->end = block->len;
    return true;
}

struct wsh_out_result wsh_outq_clear_messages(struct wsh_outq *queue)
{
    struct wsh_out_result result = {0, 0};
    uint32_t i, kept = 0;

    /* Without memory for the split the whole first entry goes out. */
    (void)split_torn(queue);
    for (i = 0; i < queue->len; i++) {
        struct wsh_out *out = entry(queue, i);

        if (is_control(out) || (i == 0 && queue->torn))
            *entry(queue, kept++) = *out;
        else
            release(queue, out, &result);
    }
    queue->len = kept;
    settle(queue);
    return result;
}

/* Close the gap at position i, moving the shorter side. */
static void remove_entry(struct wsh_outq *queue, uint32_t i)
{
    uint32_t k;

    wsh_block_unref(entry(queue, i)->block);
    if (i == 0)
        queue->torn = false;
    if (i < queue->len / 2) {
        for (k = i; k > 0; k--)
            *entry(queue, k) = *entry(queue, k - 1);
        queue->head = (queue->head + 1) & (cap_of(queue) - 1);
    } else {
        for (k = i; k + 1 < queue->len; k++)
            *entry(queue, k) = *entry(queue, k + 1);
    }
    queue->len--;
}

/* Message m of entry i is in its middle: what is behind it gets an entry. */
static int split_behind(struct wsh_outq *queue, uint32_t i, uint32_t m)
{
    struct wsh_out *out, *rest;

    if (grow(queue, 1))
        return WS_HUB_ENOMEM;
    rest = insert(queue, i + 1);
    out = entry(queue, i);
    *rest = *out;
    wsh_block_ref(rest->block);
    rest->at = out->end = wsh_block_mark(out->block, m)->end;
    rest->first = m + 1;
    rest->count = out->first + out->count - rest->first;
    out->count -= rest->count;
    return 0;
}

/* Take message m out of entry i. Bytes, 0: no memory. */
static size_t remove_message(struct wsh_outq *queue, uint32_t i, uint32_t m)
{
    struct wsh_out *out = entry(queue, i);
    uint32_t start = wsh_block_start(out->block, m);
    uint32_t end = wsh_block_mark(out->block, m)->end;

    if (m != out->first && m != out->first + out->count - 1 &&
        split_behind(queue, i, m))
        return 0;
    out = entry(queue, i); /* the split may have moved it */
    if (m == out->first) {
        out->at = end;
        out->first++;
    } else {
        out->end = start;
    }
    out->count--;
    queue->messages--;
    queue->bytes -= end - start;
    if (out->count == 0 && out->at == out->end)
        remove_entry(queue, i);
    settle(queue);
    return end - start;
}

/* A message that has begun to go out must go on: also in the second part of an
 * entry that was split inside of a message. */
static bool removable(const struct wsh_out *out, uint32_t m)
{
    return wsh_block_start(out->block, m) >= out->at &&
           wsh_block_mark(out->block, m)->cls != WS_HUB_CLASS_CRITICAL;
}

size_t wsh_outq_evict(struct wsh_outq *queue, uint64_t channel)
{
    for (uint32_t i = 0; i < queue->len; i++) {
        const struct wsh_out *out = entry(queue, i);

        if (is_control(out) || out->block->channel != channel)
            continue;
        for (uint32_t m = out->first; m < out->first + out->count; m++)
            if (removable(out, m))
                return remove_message(queue, i, m);
    }
    return 0;
}

size_t wsh_outq_conflate(struct wsh_outq *queue, uint64_t channel, uint64_t key)
{
    for (uint32_t i = queue->len; i-- > 0;) {
        const struct wsh_out *out = entry(queue, i);

        if (is_control(out) || out->block->channel != channel)
            continue;
        for (uint32_t m = out->first + out->count; m-- > out->first;)
            if (wsh_block_mark(out->block, m)->key == key && removable(out, m))
                return remove_message(queue, i, m);
    }
    return 0;
}

/* Count the messages of the first entry that ended before its `at`. */
static uint64_t completed(struct wsh_out *head)
{
    uint64_t messages = 0;

    while (head->count &&
           wsh_block_mark(head->block, head->first)->end <= head->at) {
        head->first++;
        head->count--;
        messages++;
    }
    return messages;
}

struct wsh_out_result wsh_outq_consume(struct wsh_outq *queue, size_t n)
{
    struct wsh_out_result result = {0, n};

    WSH_ASSERT(n <= queue->bytes);
    queue->bytes -= n;
    while (n) {
        struct wsh_out *head = entry(queue, 0);
        uint32_t size = head->end - head->at;

        if (n < size) {
            head->at += (uint32_t)n;
            queue->torn = true;
            result.messages += completed(head);
            break;
        }
        n -= size;
        result.messages += head->count;
        if (is_control(head) && queue->urgent)
            queue->urgent--;
        wsh_block_unref(head->block);
        pop(queue);
    }
    queue->messages -= result.messages;
    settle(queue);
    return result;
}

void wsh_outq_check(const struct wsh_outq *queue)
{
    uint64_t messages = 0;
    size_t bytes = 0;
    uint32_t i;

    WSH_ASSERT(queue->len <= cap_of(queue));
    WSH_ASSERT(queue->urgent <= queue->len);
    for (i = 0; i < queue->len; i++) {
        const struct wsh_out *out = wsh_outq_peek(queue, i);

        WSH_ASSERT(out->block->refs > 0);
        WSH_ASSERT(out->at < out->end && out->end <= out->block->len);
        WSH_ASSERT(is_control(out) ||
                   out->first + out->count <= out->block->count);
        WSH_ASSERT(out->at == 0 || !is_control(out) || (i == 0 && queue->torn));
        messages += out->count;
        bytes += out->end - out->at;
    }
    WSH_ASSERT(messages == queue->messages && bytes == queue->bytes);
}

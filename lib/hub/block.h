/*
 * block.h: encoded frames that several queues share by reference.
 *
 * A block is open (one reference, growing: a channel's batch) and then closed
 * (immutable, counted). It knows where each of its messages ends and which
 * connection must not get it, so that queues can take, drop and count single
 * messages. A control block (handshake, pong, close, HTTP) has no messages.
 *
 * Owner: the reference count. Thread: one shard; counts are not atomic.
 * Bounds: 1 GiB + frame heads per message; a batch is closed at flush_bytes.
 */
#ifndef WSH_HUB_BLOCK_H
#define WSH_HUB_BLOCK_H

#include <stdint.h>

/* One message: where it ends, and what decides who gets it. */
struct wsh_mark {
    uint64_t exclude; /* the connection (id) that is left out, or 0 */
    uint64_t key;     /* hash of its key, 0: none */
    uint32_t end;
    uint8_t cls; /* ws_hub_class */
};

struct wsh_block {
    uint32_t refs;
    uint32_t len;
    uint32_t cap;
    uint32_t count;         /* messages */
    uint32_t mark_cap;      /* room in marks */
    uint32_t excludes;      /* marks with an exclude */
    uint64_t channel;       /* serial number of its channel, 0: none */
    struct wsh_mark first;  /* mark 0: most blocks hold one message */
    struct wsh_mark *marks; /* marks 1.. */
    uint8_t data[];
};

/* An empty open block with room for cap bytes; NULL: out of memory. */
struct wsh_block *wsh_block_create(uint32_t cap);
void wsh_block_ref(struct wsh_block *block);
/* NULL is allowed. */
void wsh_block_unref(struct wsh_block *block);

/* Room for `more` bytes and one more message in an open block, which may move.
 * 0 or WS_HUB_ENOMEM (also above 4 GiB); then nothing changed. */
int wsh_block_reserve(struct wsh_block **block, uint32_t more);
/* Make the bytes that were written behind len, after a reserve, a message like
 * `mark`, but for its end. */
void wsh_block_commit(struct wsh_block *block, uint32_t more,
                      const struct wsh_mark *mark);

/* A block of control bytes: no message. NULL: out of memory. */
struct wsh_block *wsh_block_control(const void *data, uint32_t len);

static inline const struct wsh_mark *
wsh_block_mark(const struct wsh_block *block, uint32_t index)
{
    return index == 0 ? &block->first : &block->marks[index - 1];
}

/* Where message `index` starts. */
static inline uint32_t wsh_block_start(const struct wsh_block *block,
                                       uint32_t index)
{
    return index == 0 ? 0 : wsh_block_mark(block, index - 1)->end;
}

#endif

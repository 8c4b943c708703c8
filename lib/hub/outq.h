/*
 * outq.h: what waits to be sent to one connection, the only such queue.
 *
 * A ring of references into blocks. Messages go to the tail, if they fit;
 * control bytes go behind the frame that is partly on the wire already (frames
 * must not be torn, RFC 6455 section 5.4) and behind earlier control bytes, so
 * a pong passes everything that waits, even the rest of a fragmented message.
 *
 * Bound: `limit` on bytes + WSH_OUT_CHARGE per entry; one message is always
 * taken into a queue without messages. Control entries are not bounded here.
 * Owner: embedded in the connection; entries own one block reference each.
 * A drained queue keeps at most a ring of WSH_OUT_KEPT entries, and none if two
 * entries were always enough.
 */
#ifndef WSH_HUB_OUTQ_H
#define WSH_HUB_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hub/block.h"

struct wsh_out {
    struct wsh_block *block;
    uint32_t at, end; /* bytes of the block still to send */
    uint32_t first;   /* index of the first message not sent whole;
                         WSH_OUT_CONTROL: no messages */
    uint32_t count;   /* messages that end in at..end; may be 0 in the leading
                         part of a split entry */
};

enum { WSH_OUT_INLINE = 2, WSH_OUT_KEPT = 16, WSH_OUT_CHARGE = 24 };
#define WSH_OUT_CONTROL UINT32_MAX

struct wsh_outq {
    struct wsh_out *ring; /* NULL: the inline one */
    struct wsh_out inline_ring[WSH_OUT_INLINE];
    uint32_t cap; /* entries in ring, a power of two; 0 while inline */
    uint32_t head;
    uint32_t len;
    uint32_t urgent; /* control entries ahead of the messages, behind a torn
                        frame if there is one */
    bool torn;       /* the first entry has been sent in part */
    size_t bytes;    /* of all entries */
    uint64_t messages;
};

/* What a change did, for the accounts. */
struct wsh_out_result {
    uint64_t messages;
    size_t bytes;
};

void wsh_outq_init(struct wsh_outq *queue);
/* Drop everything; returns what was dropped. The queue is empty afterwards. */
struct wsh_out_result wsh_outq_clear(struct wsh_outq *queue);
/* Drop everything but what must still go out to end the frame on the wire, and
 * the control entries. */
struct wsh_out_result wsh_outq_clear_messages(struct wsh_outq *queue);

/*
 * Queue messages first..first+count-1 of a closed block: as many, from the
 * front, as fit the limit. `taken` gets how many and their bytes. 0 or
 * WS_HUB_ENOMEM (nothing taken). Takes its own reference.
 */
int wsh_outq_offer(struct wsh_outq *queue, struct wsh_block *block,
                   uint32_t first, uint32_t count, size_t limit,
                   struct wsh_out_result *taken);

/* How many of the messages from `first` on fit the limit beside what waits. */
uint32_t wsh_outq_room(const struct wsh_outq *queue,
                       const struct wsh_block *block, uint32_t first,
                       uint32_t count, size_t limit);
/* Queue them whether they fit or not. 0 or WS_HUB_ENOMEM. */
int wsh_outq_push(struct wsh_outq *queue, struct wsh_block *block,
                  uint32_t first, uint32_t count);

/* Take away the oldest message of a channel, or the newest one of a key, that
 * is wholly unsent and not critical. Bytes taken away, 0: there is none (or no
 * memory to split an entry). */
size_t wsh_outq_evict(struct wsh_outq *queue, uint64_t channel);
size_t wsh_outq_conflate(struct wsh_outq *queue, uint64_t channel,
                         uint64_t key);

/* Queue control bytes ahead of messages (urgent), or at the tail. Takes over
 * the caller's reference, also on error. */
int wsh_outq_control(struct wsh_outq *queue, struct wsh_block *block,
                     bool urgent);
/* Replace the last urgent entry, which must be wholly unsent: the answer to a
 * newer ping. False: there is none. Takes the reference if true. */
bool wsh_outq_replace_urgent(struct wsh_outq *queue, struct wsh_block *block);

static inline bool wsh_outq_empty(const struct wsh_outq *queue)
{
    return queue->len == 0;
}

/* The i-th entry, 0 is next to be sent. */
const struct wsh_out *wsh_outq_peek(const struct wsh_outq *queue, uint32_t i);

/* n bytes from the front are with the kernel; returns the messages completed.
 */
struct wsh_out_result wsh_outq_consume(struct wsh_outq *queue, size_t n);

void wsh_outq_check(const struct wsh_outq *queue);

#endif

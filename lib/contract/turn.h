/*
 * turn.h: where a shard of the hub meets the loop that runs it.
 *
 * Time comes from the loop: the shard never reads a clock.
 * Thread: the loop's, but for wsh_loop_port.wake and here (any).
 */
#ifndef WSH_CONTRACT_TURN_H
#define WSH_CONTRACT_TURN_H

#include <stdbool.h>
#include <stdint.h>

/* What a shard wants after a turn. */
struct wsh_turn {
    bool hold; /* run the next turn at once (poll with zero timeout) */
    uint64_t deadline_ms; /* call again at this time at the latest;
                             UINT64_MAX: not needed */
};

/* Loop → shard. `shard` is the pointer given at attach. */
struct wsh_loop_events {
    /* After a wake (coalesced): take what is in the mailbox. */
    void (*woken)(void *shard, uint64_t now_us);

    /* Right before the loop blocks: expire timers, flush. */
    struct wsh_turn (*turn_end)(void *shard, uint64_t now_us);
};

/* Shard → loop. */
struct wsh_loop_port {
    void *loop;

    /* Any thread, any number of times: `woken` runs at least once after it. */
    void (*wake)(void *loop);

    /* Is the caller on the loop's thread? Any thread. */
    bool (*here)(void *loop);

    /* The time of this turn, microseconds; loop thread. */
    uint64_t (*now_us)(void *loop);
};

#endif

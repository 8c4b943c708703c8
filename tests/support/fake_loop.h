/* fake_loop.h: the public loop contract on a clock that the test sets. Timers
 * only; descriptors are not supported. */
#ifndef WSH_TEST_FAKE_LOOP_H
#define WSH_TEST_FAKE_LOOP_H

#include <stdint.h>
#include "base/list.h"
#include "ws_hub/loop.h"

struct fake_loop {
    uint64_t now_ms;
    struct wsh_list timers;
};

void fake_loop_init(struct fake_loop *loop);
/* Move the clock and fire what is due, in order of time. */
void fake_loop_advance(struct fake_loop *loop, uint64_t now_ms);
const ws_hub_loop_ops *fake_loop_ops(void);
static inline ws_hub_loop *fake_loop_handle(struct fake_loop *loop)
{
    return (ws_hub_loop *)(void *)loop;
}

#endif

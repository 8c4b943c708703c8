/* A fault adapter without faults, around the memory broker, against the broker
 * contract. */
#include <stdlib.h>

#include "contract/broker_contract.h"
#include "support/fake_loop.h"
#include "ws_hub/error.h"
#include "ws_hub/fault.h"

static int wrap_memory(const ws_hub_broker_ops **ops, void **self)
{
    const ws_hub_broker_ops *memory;
    void *memory_self;
    int error = ws_hub_memory_broker(&memory, &memory_self);

    if (error)
        return error;
    error = ws_hub_fault_broker(NULL, memory, memory_self, ops, self);
    if (error)
        memory->destroy(memory_self);
    return error;
}

static int make(void **state, const ws_hub_broker_ops **ops, void **self,
                ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops)
{
    struct fake_loop *fake = malloc(sizeof *fake);

    if (!fake)
        return WS_HUB_ENOMEM;
    fake_loop_init(fake);
    *state = fake;
    *loop = fake_loop_handle(fake);
    *loop_ops = fake_loop_ops();
    return wrap_memory(ops, self);
}

static void run_loop(void *state)
{
    struct fake_loop *fake = state;

    fake_loop_advance(fake, fake->now_ms + 1);
}

int main(void)
{
    static const struct broker_subject subject = {"fault", make, run_loop,
                                                  free};

    return broker_contract_run(&subject);
}

/*
 * loop_contract.h: what every ws_hub_loop_ops must do, as cmocka cases that are
 * functions of a constructor. A runner names its loop and calls
 * loop_contract_run().
 */
#ifndef WSH_TESTS_LOOP_CONTRACT_H
#define WSH_TESTS_LOOP_CONTRACT_H

#include "ws_hub/loop.h"

struct loop_maker {
    /* A fresh loop on the calling thread. */
    void (*open)(ws_hub_loop **loop, const ws_hub_loop_ops **ops);
    /* One turn; waits for an event if there is one to come. */
    void (*turn)(ws_hub_loop *loop);
    /* One turn that does not wait. */
    void (*poll)(ws_hub_loop *loop);
    /* Everything on it is closed: fails the test if something is left. */
    void (*close)(ws_hub_loop *loop);
};

/* Returns what cmocka_run_group_tests returns. */
int loop_contract_run(const char *name, const struct loop_maker *maker);

#endif

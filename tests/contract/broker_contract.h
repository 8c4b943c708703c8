/*
 * broker_contract.h: what every broker adapter must do (ws_hub/broker.h), as
 * cases over a subject. A new adapter writes a runner of about 20 lines: how to
 * make one, and how to let its loop run.
 */
#ifndef WSH_TEST_BROKER_CONTRACT_H
#define WSH_TEST_BROKER_CONTRACT_H

#include "ws_hub/broker.h"

struct broker_subject {
    const char *name;
    /* A fresh, unopened adapter, and the loop it shall live on. 0 or an error.
     */
    int (*make)(void **state, const ws_hub_broker_ops **ops, void **self,
                ws_hub_loop **loop, const ws_hub_loop_ops **loop_ops);
    /* Let the loop do what it has to do, for a moment, without blocking long;
     * called until a case has what it waits for, or its deadline passes. */
    void (*run_loop)(void *state);
    /* After the adapter has stopped and was destroyed. */
    void (*unmake)(void *state);
};

/* Runs all cases as one cmocka group; the number of failures. */
int broker_contract_run(const struct broker_subject *subject);

#endif

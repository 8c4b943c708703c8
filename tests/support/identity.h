/* identity.h: the accounts of a hub at rest (ws_hub/metrics.h), to be checked
 * at the end of every test that runs one. */
#ifndef WSH_TEST_IDENTITY_H
#define WSH_TEST_IDENTITY_H

#include "ws_hub/hub.h"
#include "ws_hub/metrics.h"

/* Aborts with the numbers if one of the identities does not hold. `stopped`: no
 * connection is left, so every gauge is 0. */
void check_identity(const ws_hub *hub, int stopped);

#endif

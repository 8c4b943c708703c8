/* scenarios.h: what the torture does while memory runs out. Each ends as it
 * should if there is memory (RIG_EXPECT); what must hold without is checked by
 * the rig. */
#ifndef WSH_TEST_SCENARIOS_H
#define WSH_TEST_SCENARIOS_H

#include "fault/rig.h"

void scenario_raw(struct rig *rig);
void scenario_handshakes(struct rig *rig);
void scenario_json(struct rig *rig);
void scenario_json_answers(struct rig *rig);
void scenario_large(struct rig *rig);
void scenario_slow(struct rig *rig);
void scenario_policies(struct rig *rig);
void scenario_mailbox(struct rig *rig);
void scenario_broker(struct rig *rig);
void scenario_stop(struct rig *rig);

#endif

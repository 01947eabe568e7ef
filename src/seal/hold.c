/* Whether this node is held, and what a hold takes over from an operator's closing. */
#include <string.h>

#include "seal/machine_step.h"

bool hold_is_on(const struct seal_machine *m)
{
    if (m->config.hold == RELEASE_FAIL)
        return true;
    for (unsigned i = 0; i < m->config.members_n; i++)
        if (memcmp(m->config.members[i].node_id, m->node_id, NODE_ID_BYTES) == 0)
            return m->config.members[i].suspended == RELEASE_FAIL;
    return false;
}

/* What was closed until the hold is in force stays closed by the hold alone: lifting it opens. */
void hold_take_over(struct seal_machine *m)
{
    if (!m->closed_for_hold || m->config.hold_number <= m->hold_number)
        return;
    m->closed_for_hold = false;
    m->closed = false;
}

/* An order that comes when its hold is in force already closes nothing more. */
bool hold_close(struct seal_machine *m, bool for_hold)
{
    if (for_hold && m->config.hold == RELEASE_FAIL)
        return false;
    if (for_hold && !m->closed)
        m->hold_number = m->config.hold_number;
    m->closed_for_hold = for_hold && (m->closed_for_hold || !m->closed);
    m->closed = true;
    return true;
}

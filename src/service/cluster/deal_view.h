/* The deal in force and what is under way about it, for people. */
#ifndef SERVICE_CLUSTER_DEAL_VIEW_H
#define SERVICE_CLUSTER_DEAL_VIEW_H

#include <jansson.h>

#include "service/exchange.h"
#include "service/cluster/hub.h"

/* {"epoch", "mk_version", ..., "work", "wanted": [...], "removal": {...} | null, "missing": [...]}.
 * The caller owns it. */
json_t *deal_view_json(const struct cluster *cluster);
/* {"nodes": [names], "missing": [{name, what}], ...} or null; the caller owns it. */
json_t *deal_view_removal(const struct cluster *cluster);
/* Why no deal with a new MK can be made now, also without `leaves` (may be NULL). False: nothing
 * stands against it. There is a deal. */
bool hub_fresh_objection(const struct cluster *cluster, const struct hub_member *leaves,
                         char *ret_reason);

#endif

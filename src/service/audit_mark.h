/* Marks in the audit log: a MAC over the chain's head under the audit key, which only unsealed
 * members hold. Who rewrites the chain from some line on cannot make the marks that followed it, so
 * a right mark vouches for every line before it. Put when the node opens, before it closes, after
 * AUDIT_MARK_LINES lines, and once a minute while there are lines without one.
 *
 *     mac = MAC(audit key, "audit-mark", origin ‖ node id ‖ sequence of the mark u64 ‖ head[32]) */
#ifndef SERVICE_AUDIT_MARK_H
#define SERVICE_AUDIT_MARK_H

#include "audit/audit_verify.h"
#include "service/service.h"

#define AUDIT_MARK_MS 60000u

/* Appends a mark, if this node holds the key and there are lines without one. */
void audit_mark_put(struct service *service);
/* The same for audit_on_unmarked; `arg` is the service. */
void audit_mark_due(void *arg);
/* QK_ERR_CORRUPT: no member made it. QK_ERR_SEALED: the key is not there. */
MUST_USE enum qk_err audit_mark_check(const struct service *service, const struct audit_mark *mark);

#endif

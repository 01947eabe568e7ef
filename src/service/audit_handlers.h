/* GET /_quorumkeep/audit of one node, and POST /_quorumkeep/audit/check. */
#ifndef SERVICE_AUDIT_HANDLERS_H
#define SERVICE_AUDIT_HANDLERS_H

#include "audit/audit_read.h"
#include "service/exchange.h"
#include "service/service.h"

#define AUDIT_REPLY_BYTES_MAX (4 * MIB)
/* Of the reply: the lines to this one were looked at. */
#define AUDIT_LAST_FIELD "X-Quorumkeep-Audit-Last"

/* since, limit, order=oldest, event, from, until, match=field:value. False: it was answered. */
bool audit_query_parse(struct exchange *exchange, struct audit_query *ret_query);
/* Reads on the pool; `done` fires once, from the loop. `lines` is borrowed for the call. */
void audit_query_run(struct service *service, const struct audit_query *query,
                     void (*done)(void *arg, enum qk_err err, struct bytes lines, uint64_t last),
                     void *arg);
/* The lines of this node as they stand in its files. */
void handle_audit(struct service *service, struct exchange *exchange);
/* {"marks": [{log, seq, head, mac}]} -> {"right": [true, ...]} */
void handle_audit_check(struct service *service, struct exchange *exchange);

#endif

/* GET /_quorumkeep/audit: the lines of all members, by time. */
#ifndef HTTP_AUDIT_MERGE_H
#define HTTP_AUDIT_MERGE_H

#include "service/exchange.h"
#include "service/service.h"

/* With node=self, and when a member asks: what this node has, as it stands in its files. Else
 * {"lines": [{node, entry}], "nodes": [{name, node_id, last, error}]}: the lines of the members, or
 * of the one that node= names, in the order of their times. after=ID:SEQ,... goes on, per member,
 * after the line SEQ: the oldest of what follows. */
void handle_audit_merged(struct service *service, struct exchange *exchange);

#endif

/* The use case about the audit log, for http's table of routes: right ACCESS_CLUSTER; needs no
 * open node; runs on the node asked, whose own log it is. */
#ifndef SERVICE_AUDIT_HANDLERS_H
#define SERVICE_AUDIT_HANDLERS_H

#include "service/exchange.h"
#include "service/service.h"

/* GET /_quorumkeep/audit?since=SEQ&limit=N: the newest N (default 100, at most 10,000 and 2 MiB)
 * lines after SEQ, oldest first, as they stand in the file: application/x-ndjson. */
void handle_audit(struct service *service, struct exchange *exchange);

#endif

/* `verify`: every record of this node, by the node itself, while it serves. All records are added
 * up and held against what was applied, the feeds of changes against the documents; each envelope
 * is opened; then every unsealed member is asked for the same sum. The scrub is the same, slower,
 * by itself. */
#ifndef SERVICE_INTEGRITY_VERIFY_H
#define SERVICE_INTEGRITY_VERIFY_H

#include "service/exchange.h"
#include "service/integrity/integrity.h"

struct verify;

/* GET: how far, and what was found. */
void handle_verify(struct service *service, struct exchange *exchange);
/* POST: begins, or joins the one that is under way: 202. */
void handle_verify_begin(struct service *service, struct exchange *exchange);

#endif

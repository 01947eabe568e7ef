/* A change of the record of control on behalf of a request: hold_cmd.c and suspend.c. */
#ifndef SERVICE_CLUSTER_CONTROL_WRITE_H
#define SERVICE_CLUSTER_CONTROL_WRITE_H

#include <jansson.h>

#include "service/exchange.h"
#include "service/system.h"

struct cluster;

/* May a change be judged here? False: answered already (no leader, or one that has not yet applied
 * what earlier ones wrote). */
bool control_ready(struct cluster *cluster, struct exchange *exchange);
/* Writes `next` in place of what was read, then answers 200 with `reply` (its reference is taken),
 * or why not. `event` and `name` are for the audit log here; `event` NULL: none. */
void control_write(struct cluster *cluster, struct exchange *exchange,
                   const struct system_control *next, json_t *reply, const char *event,
                   const char *name);

#endif

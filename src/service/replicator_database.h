/* The database of replications that go on by themselves: every cluster has it from its beginning,
 * and reads it in a way of its own. */
#ifndef SERVICE_REPLICATOR_DATABASE_H
#define SERVICE_REPLICATOR_DATABASE_H

#include "service/service.h"
#include "wire/command.h"

#define REPLICATOR_DATABASE "_replicator"

/* Appends the puts of the database's records, for the command that makes a cluster. */
MUST_USE enum qk_err replicator_mount_put(const struct service *service,
                                          struct wire_command *command);

#endif

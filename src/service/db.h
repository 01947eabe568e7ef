/* The making of a database, for those who make one besides PUT /{db}. */
#ifndef SERVICE_DB_H
#define SERVICE_DB_H

#include "service/catalog.h"
#include "wire/command.h"

/* One that does not exist yet: a new id, and what else is the usual. */
void db_describe(struct bytes name, struct catalog_database *ret_database);
/* Appends the puts of its two records to the batch begun. */
MUST_USE enum qk_err db_records_put(const struct service *service,
                                    const struct catalog_database *database,
                                    struct wire_command *command);

#endif

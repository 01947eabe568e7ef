/* Databases: what GET /{db} tells of one, and the making of one besides PUT /{db}. */
#ifndef SERVICE_DOCUMENTS_DB_H
#define SERVICE_DOCUMENTS_DB_H

#include <jansson.h>

#include "service/catalog.h"
#include "service/exchange.h"
#include "wire/command.h"

/* As who asks may know it; for who was let in, in the same turn. NULL without memory. */
json_t *db_info(struct service *service, struct exchange *exchange,
                const struct catalog_database *database);

/* One that does not exist yet: a new id, and what else is the usual. */
void db_describe(struct bytes name, struct catalog_database *ret_database);
/* Appends the puts of its two records to the batch begun. */
MUST_USE enum qk_err db_records_put(const struct service *service,
                                    const struct catalog_database *database,
                                    struct wire_command *command);

#endif

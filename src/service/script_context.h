/* What functions in JavaScript are told of who asks and for what. No credentials: of the header
 * fields only some are told, and no cookie. */
#ifndef SERVICE_SCRIPT_CONTEXT_H
#define SERVICE_SCRIPT_CONTEXT_H

#include <jansson.h>

#include "service/catalog.h"
#include "service/exchange.h"

/* {"db":...,"name":...,"roles":[...]}. NULL without memory. */
json_t *script_user_context(const struct service *service, const struct principal *who,
                            const struct catalog_database *database);
/* As GET /{db}/_security shows it. NULL without memory. */
json_t *script_security(const struct service *service, const struct catalog_database *database);
/* The second argument of a filter. NULL without memory. */
json_t *script_request(const struct service *service, const struct exchange *exchange,
                       const struct catalog_database *database);

#endif

/* Opening the catalog's records; sealing them is public, in service/catalog.h. */
#ifndef SERVICE_CATALOG_RECORD_H
#define SERVICE_CATALOG_RECORD_H

#include "service/catalog_table.h"

/* A new entry for the caller to free (catalog_entry_free), or NULL for a record that is none: a
 * name's, or one of a kind that this version does not know. QK_ERR_CORRUPT, QK_ERR_NOMEM. */
MUST_USE enum qk_err catalog_entry_open(const struct service *service, struct bytes key,
                                        uint64_t version, struct bytes value,
                                        struct catalog_entry **ret_entry);

#endif

/* Opening the catalog's records; sealing them is public, in service/catalog.h. */
#ifndef SERVICE_CATALOG_RECORD_H
#define SERVICE_CATALOG_RECORD_H

#include "service/catalog_table.h"

/* A new entry for the caller to free (catalog_entry_free), or NULL for a record that is none: a
 * name's, or one of a kind that this version does not know. QK_ERR_CORRUPT, QK_ERR_NOMEM. */
MUST_USE enum qk_err catalog_entry_open(const struct service *service, struct bytes key,
                                        uint64_t version, struct bytes value,
                                        struct catalog_entry **ret_entry);

/* For the files of single kinds. */
MUST_USE enum qk_err catalog_key(const struct service *service, const char *label,
                                 struct bytes name, uint8_t ret_key[static CATALOG_KEY_BYTES]);
/* Wipes and frees `plain`, which is a map with the member "kind". */
MUST_USE enum qk_err catalog_seal(const struct service *service,
                                  const uint8_t key[static CATALOG_KEY_BYTES],
                                  uint64_t record_version, struct buf *plain, struct buf *out);
#define CATALOG_MEMBERS_MAX 64
#define CATALOG_VALUE_BYTES_MAX (64 * KIB)

/* catalog_grants.c */
MUST_USE enum qk_err catalog_grants_decode(struct bytes plain, struct catalog_grants *ret_grants);
/* catalog_policy.c */
MUST_USE enum qk_err catalog_policy_decode(struct bytes plain, struct key_policy *ret_policy);

#endif

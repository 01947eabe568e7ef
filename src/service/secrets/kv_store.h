/* The records of secrets: their names, and reading and making them. */
#ifndef SERVICE_SECRETS_KV_STORE_H
#define SERVICE_SECRETS_KV_STORE_H

#include "service/read.h"
#include "service/kv.h"
#include "service/secrets/kv_meta.h"
#include "service/write.h"

/* Ids of records, for a path (a folder's ends in '/'). */
#define KV_ID_BYTES 72
struct kv_id {
    char text[KV_ID_BYTES];
};
MUST_USE enum qk_err kv_id_name(const struct service *service,
                                const uint8_t database[static DATABASE_ID_BYTES], struct bytes path,
                                struct kv_id *ret_id);
/* What the ids of all in a folder begin with. */
MUST_USE enum qk_err kv_id_names(const struct service *service,
                                 const uint8_t database[static DATABASE_ID_BYTES],
                                 struct bytes folder, struct kv_id *ret_id);
MUST_USE enum qk_err kv_id_version(const struct service *service,
                                   const uint8_t database[static DATABASE_ID_BYTES],
                                   struct bytes path, uint64_t version, struct kv_id *ret_id);
struct kv_id kv_id_config(void);
struct bytes kv_id_bytes(const struct kv_id *id);

/* The folder that a path (or a folder's) lies in: "a/b/" of "a/b/c" and of "a/b/c/", "" of "a". */
struct bytes kv_path_folder(struct bytes path);
/* The path that begins at segments[first], joined into `out`. QK_ERR_INVALID with a sentence for
 * people if it is none. */
MUST_USE enum qk_err kv_path_take(const struct request *request, unsigned first, struct buf *out,
                                  const char **ret_reason);

/* The database, or NULL after an answer. */
const struct catalog_database *kv_database(struct service *service, struct exchange *exchange);

/* A record and its body. `body` is borrowed from `plain`. */
struct kv_record {
    struct stored stored; /* version 0: there is none, and the body is empty */
    struct buf plain;     /* secret */
    struct bytes body;
};
/* QK_OK also if there is none. The caller ends with kv_record_fini in any case. */
MUST_USE enum qk_err kv_record_get(struct service *service, const struct catalog_database *database,
                                   const struct kv_id *id, struct kv_record *ret_record);
void kv_record_fini(struct kv_record *record);

/* A secret's metadata and the record it came from. QK_OK also if there is none (stored.version 0).
 * The caller ends with kv_found_fini in any case. */
struct kv_found {
    struct kv_record record;
    struct kv_meta meta;
};
MUST_USE enum qk_err kv_find(struct service *service, const struct catalog_database *database,
                             struct bytes path, struct kv_found *ret_found);
void kv_found_fini(struct kv_found *found);
/* The settings of all; `ret_record` too (ended by the caller in any case). */
MUST_USE enum qk_err kv_config_get(struct service *service, const struct catalog_database *database,
                                   struct kv_record *ret_record, struct kv_config *ret_config);

#endif

/* Databases, users and grants on data keys, in clear in memory while the node is unsealed.
 *
 * At rest each is a record in space CATALOG: its name a keyed hash, its value an envelope under the
 * catalog key. catalog_open reads them all once; store_watch keeps them current afterwards, on
 * every node alike. All memory here is wiped when freed. */
#ifndef SERVICE_CATALOG_H
#define SERVICE_CATALOG_H

#include "access/login_token.h"
#include "access/user.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "service/key_policy.h"
#include "service/service.h"
#include "wire/command.h"
#include "wire/records.h"

#define CATALOG_KEY_BYTES (DATABASE_ID_BYTES + CATALOG_NAME_BYTES)

/* How the bodies of a database stand in the store. */
enum catalog_bodies {
    BODIES_SEALED = 0,
    BODIES_CLEAR = 1,     /* declared clear: authentic, and readable on every disk */
    BODIES_WERE_CLEAR = 2 /* some may be clear until re-encryption is through; new ones are not */
};

struct catalog_database {
    uint8_t id[DATABASE_ID_BYTES];
    char name[DATABASE_NAME_BYTES_MAX + 1];
    /* Of the database's record, named after its id, which is never used twice: the condition of
     * every write into it. Under its name there is another record, which keeps names unique. */
    uint8_t key[CATALOG_KEY_BYTES];
    uint64_t record_version;
    uint32_t revs_limit;
    uint64_t created_ms;               /* Unix time */
    struct access_list rights;         /* RIGHT_*; owned by whoever owns the struct */
    uint8_t default_key[KEY_ID_BYTES]; /* of documents that name none; zeros: the cluster's */
    enum catalog_bodies bodies;
    bool ids_hidden; /* records are named by sealed ids: service/doc_name.h */
};

/* Who may use a data key. A key without such a record is for administrators alone. */
struct catalog_grants {
    uint8_t key_id[KEY_ID_BYTES];
    struct access_list list; /* GRANT_*; owned by whoever owns the struct */
};

/* Whoever keeps what it read by the rights that the catalog tells of. */
struct catalog_follower {
    void (*closing)(struct service *service); /* it closes: all of that goes, wiped */
    void (*dropped)(struct service *service); /* open, and databases may be no more */
};

typedef void (*catalog_open_cb)(void *arg, enum qk_err err);
/* Reads the catalog with service->keyring and service->store, both open; then sets
 * service->catalog, begins to watch, and calls `cb` from the loop. QK_ERR_CORRUPT names the record
 * in the log. If catalog_close comes first, `cb` gets QK_ERR_CLOSED. */
MUST_USE enum qk_err catalog_open(struct service *service, catalog_open_cb cb, void *arg);
/* Wipes and frees; sets service->catalog to NULL. Fine when nothing is open. To be called when the
 * node seals, before the keyring closes. */
void catalog_close(struct service *service);
/* The keyring is current again (keys_current.h): what changed meanwhile is read now. */
void catalog_keys_changed(struct service *service);

/* QK_OK if it holds what the store holds at the index applied: not QK_OK while it is read anew
 * after a snapshot (QK_ERR_BUSY) or when that failed; then a name that is not found may exist. */
MUST_USE enum qk_err catalog_check(const struct catalog *catalog);
/* No record of it has changed that could not be read yet (after a change of keys, or of the store):
 * rights that it tells of may be gone. */
bool catalog_is_current(const struct catalog *catalog);
/* Valid until control returns to the loop. NULL if there is none. */
const struct catalog_database *catalog_database_find(const struct catalog *catalog,
                                                     struct bytes name);
const struct user *catalog_user_find(const struct catalog *catalog, struct bytes name);
/* NULL: there is no such record, nobody has a grant. */
const struct catalog_grants *catalog_grants_find(const struct catalog *catalog,
                                                 const uint8_t key_id[static KEY_ID_BYTES]);
const struct login_token *catalog_token_find(const struct catalog *catalog,
                                             const uint8_t id[static PRINCIPAL_TOKEN_BYTES]);
/* Of that id, by a walk over all: for what is rare. */
const struct catalog_database *catalog_database_of(const struct catalog *catalog,
                                                   const uint8_t id[static DATABASE_ID_BYTES]);
/* NULL: nobody has changed it. */
const struct key_policy *catalog_policy_find(const struct catalog *catalog);
/* As catalog_grants_cond, of the policy of keys; and its record's version, 0 if there is none. */
void catalog_policy_cond(const struct catalog *catalog, struct wire_command *command);
uint64_t catalog_policy_version(const struct catalog *catalog);
/* Of the record that it was read from; 0: there is none. */
uint64_t catalog_user_version(const struct catalog *catalog, struct bytes name);
uint64_t catalog_grants_version(const struct catalog *catalog,
                                const uint8_t key_id[static KEY_ID_BYTES]);
/* Adds to the batch begun the condition that the record is still as the catalog has it now: of a
 * user who must be there, of a key's grants (maybe none). Errors stick in `command`. */
void catalog_user_cond(const struct catalog *catalog, struct bytes name,
                       struct wire_command *command);
void catalog_grants_cond(const struct catalog *catalog, const uint8_t key_id[static KEY_ID_BYTES],
                         struct wire_command *command);
/* Of a token that must be there. */
void catalog_token_cond(const struct catalog *catalog,
                        const uint8_t id[static PRINCIPAL_TOKEN_BYTES],
                        struct wire_command *command);
/* All users in code-point order of their names: calls `each` until it returns false. */
void catalog_users_each(const struct catalog *catalog,
                        bool (*each)(void *arg, const struct user *user), void *arg);
size_t catalog_databases_n(const struct catalog *catalog);
size_t catalog_users_n(const struct catalog *catalog);
/* The names in code-point order: calls `each` until it returns false. */
void catalog_databases_each(const struct catalog *catalog,
                            bool (*each)(void *arg, const struct catalog_database *database),
                            void *arg);

/* Record keys: of a database's own record (by its id), of its name, of a user's name, of the
 * grants on a data key, and of a login token. */
void catalog_grants_each(const struct catalog *catalog,
                         bool (*each)(void *arg, const struct catalog_grants *grants), void *arg);

/* Record keys: of a database's own record (by its id), of its name, of a user's name, and of the
 * grants on a data key. */
MUST_USE enum qk_err catalog_database_key(const struct service *service,
                                          const uint8_t id[static DATABASE_ID_BYTES],
                                          uint8_t ret_key[static CATALOG_KEY_BYTES]);
MUST_USE enum qk_err catalog_name_key(const struct service *service, struct bytes name,
                                      uint8_t ret_key[static CATALOG_KEY_BYTES]);
MUST_USE enum qk_err catalog_user_key(const struct service *service, struct bytes name,
                                      uint8_t ret_key[static CATALOG_KEY_BYTES]);
MUST_USE enum qk_err catalog_grants_key(const struct service *service,
                                        const uint8_t key_id[static KEY_ID_BYTES],
                                        uint8_t ret_key[static CATALOG_KEY_BYTES]);
MUST_USE enum qk_err catalog_token_key(const struct service *service,
                                       const uint8_t id[static PRINCIPAL_TOKEN_BYTES],
                                       uint8_t ret_key[static CATALOG_KEY_BYTES]);
MUST_USE enum qk_err catalog_policy_key(const struct service *service,
                                        uint8_t ret_key[static CATALOG_KEY_BYTES]);
/* Record values, appended to `out`, sealed for the record at `key` in `record_version`. They need
 * service->keyring and cluster_id only, so that init can make the first user before any catalog is
 * open. */
MUST_USE enum qk_err catalog_database_seal(const struct service *service,
                                           const struct catalog_database *database,
                                           uint64_t record_version, struct buf *out);
MUST_USE enum qk_err catalog_name_seal(const struct service *service,
                                       const struct catalog_database *database,
                                       uint64_t record_version, struct buf *out);
MUST_USE enum qk_err catalog_user_seal(const struct service *service, const struct user *user,
                                       uint64_t record_version, struct buf *out);
MUST_USE enum qk_err catalog_grants_seal(const struct service *service,
                                         const struct catalog_grants *grants,
                                         uint64_t record_version, struct buf *out);
MUST_USE enum qk_err catalog_token_seal(const struct service *service,
                                        const struct login_token *token, uint64_t record_version,
                                        struct buf *out);
MUST_USE enum qk_err catalog_policy_seal(const struct service *service,
                                         const struct key_policy *policy, uint64_t record_version,
                                         struct buf *out);
/* A record of the catalog opened and sealed again for the version after `version`, under the active
 * version of the catalog key. QK_ERR_CORRUPT, QK_ERR_NOT_FOUND (no such key). */
MUST_USE enum qk_err catalog_reseal(const struct service *service, struct bytes key,
                                    uint64_t version, struct bytes value, struct buf *out);

#endif

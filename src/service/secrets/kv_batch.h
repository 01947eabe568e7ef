/* The records that one change of secrets writes: gathered, then one batch of a command. */
#ifndef SERVICE_SECRETS_KV_BATCH_H
#define SERVICE_SECRETS_KV_BATCH_H

#include "service/secrets/kv_store.h"

/* A secret's record, its value, and the folders above. */
#define KV_BATCH_PUTS_MAX (KV_PATH_PARTS_MAX + 2)

struct kv_batch_cond {
    struct kv_id id;
    uint64_t version;
    bool remove; /* not only a condition */
};

struct kv_batch {
    struct service *service;
    const struct principal *who;
    const struct catalog_database *database;
    struct write_made puts[KV_BATCH_PUTS_MAX];
    size_t puts_n;
    struct kv_batch_cond *conds;
    size_t conds_n, conds_cap;
    uint8_t keys[2 * KV_BATCH_PUTS_MAX][KEY_ID_BYTES]; /* whose grants it was decided by */
    size_t keys_n;
};

void kv_batch_init(struct kv_batch *batch, struct service *service, const struct principal *who,
                   const struct catalog_database *database);
void kv_batch_fini(struct kv_batch *batch);
/* `body` in the place of what is stored (which changes). QK_ERR_DENIED without a grant to encrypt
 * under the key of either. */
MUST_USE enum qk_err kv_batch_put(struct kv_batch *batch, const struct kv_id *id,
                                  struct stored *stored, struct bytes body);
/* The record is still of that version (0: absent), and with `remove` goes; a value's record is
 * removed whatever its version (UINT64_MAX), under the conditions of its secret's. */
#define KV_BATCH_ANY UINT64_MAX
MUST_USE enum qk_err kv_batch_cond(struct kv_batch *batch, const struct kv_id *id, uint64_t version,
                                   bool remove);
/* The user may encrypt under that key: noted as a condition. */
MUST_USE enum qk_err kv_batch_may(struct kv_batch *batch,
                                  const uint8_t key_id[static KEY_ID_BYTES]);
/* One more name in the folders above `path`, or one less. */
MUST_USE enum qk_err kv_batch_folders(struct kv_batch *batch, struct bytes path, bool add);
/* Appends it to `command`; nothing if there is nothing in it. */
void kv_batch_append(struct kv_batch *batch, struct wire_command *command);

#endif

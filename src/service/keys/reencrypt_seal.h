/* One record under an old key version, and the same record under the active one. */
#ifndef SERVICE_KEYS_REENCRYPT_SEAL_H
#define SERVICE_KEYS_REENCRYPT_SEAL_H

#include "keys/envelope.h"
#include "service/service.h"
#include "store/store.h"
#include "wire/command.h"

/* How many sealed bodies stand under each old key version. */
struct reencrypt_count {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    uint64_t n;
};

struct reencrypt_counts {
    struct reencrypt_count *items; /* ascending key id, version */
    size_t n, cap;
};

void reencrypt_counts_fini(struct reencrypt_counts *counts);
/* QK_ERR_NOMEM. Below zero it stays zero: a foreground write may have been quicker. */
MUST_USE enum qk_err reencrypt_counts_add(struct reencrypt_counts *counts,
                                          const uint8_t key_id[static KEY_ID_BYTES],
                                          uint32_t version, int by);
uint64_t reencrypt_counts_of(const struct reencrypt_counts *counts,
                             const uint8_t key_id[static KEY_ID_BYTES], uint32_t version);

/* Documents and catalog records; what else there is has no key that is renewed. */
bool reencrypt_concerns(struct bytes key, uint8_t flags);
/* True in `ret_old` if a body of the record is sealed under a version that is not its key's active
 * one. `counts` (may be NULL) gets each. QK_ERR_CORRUPT: the record does not authenticate (said in
 * the log), QK_ERR_NOT_FOUND: a key is unknown. */
MUST_USE enum qk_err reencrypt_look(struct service *service, struct bytes key,
                                    const struct record *record, int by,
                                    struct reencrypt_counts *counts, bool *ret_old);
/* Adds a batch that puts the record, its old bodies opened and sealed again, in the place of the
 * present one: revision, flags and sequence stay. Errors as above; then nothing was added. */
MUST_USE enum qk_err reencrypt_seal(struct service *service, struct bytes key,
                                    const struct record *record, struct wire_command *command);

#endif

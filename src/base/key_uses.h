/* The list in front of the value of a record that holds sealed bodies: under which data keys they
 * stand, and which of them this very write has sealed. It is in the clear, so that the store counts
 * without any key; whoever made the value authenticates the list with the rest.
 *
 *     n u8 (at least 1)  n x { key_id[16] version u32 bodies u16 sealed u16 sealed_bytes u32 }
 *
 * The first is the key of the record itself (of a document's winner). `bodies`: how many of the
 * record's bodies stand under it; `sealed`: how many of those were sealed for this version of the
 * record, and how many bytes of plaintext they hold. Pure. */
#ifndef BASE_KEY_USES_H
#define BASE_KEY_USES_H

#include "base/bytes.h"

#define KEY_USE_ID_BYTES 16
#define KEY_USE_BYTES 28
#define KEY_USES_MAX 255

struct key_use {
    uint8_t key_id[KEY_USE_ID_BYTES];
    uint32_t version; /* from 1 */
    uint16_t bodies, sealed;
    uint32_t sealed_bytes;
};

/* Appends a list of `n` (1 to KEY_USES_MAX). */
void key_uses_put(const struct key_use *uses, unsigned n, struct buf *out);

/* A list that was found well-formed. A plain value: a copy is a bookmark. */
struct key_uses {
    struct reader in;
    unsigned left;
};

/* QK_ERR_INVALID if `value` does not begin with such a list. `ret_rest` (may be NULL) is what
 * follows it. */
MUST_USE enum qk_err key_uses_open(struct bytes value, struct key_uses *ret_uses,
                                   struct bytes *ret_rest);
/* The next; false at the end. */
bool key_uses_next(struct key_uses *uses, struct key_use *ret_use);

#endif

/* How far re-encryption has come: the record "reencrypt" of space SYS, so that it goes on under
 * another leader and after a restart. MessagePack `[1, round, state, paused, cursor, old, done,
 * damaged, began, ended, index, fresh]`, the last as key id and version u32 of each; fields that a
 * newer version appends are passed over. Pure, but for reencrypt_want, which reads the store. */
#ifndef SERVICE_REENCRYPT_RECORD_H
#define SERVICE_REENCRYPT_RECORD_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/command.h"
#include "wire/records.h"

struct store;

#define SYSTEM_REENCRYPT "reencrypt"
#define REENCRYPT_VALUE_BYTES_MAX (4 * KIB)

enum reencrypt_state {
    REENCRYPT_NONE = 0,     /* no key has ever had a second version: there is no record */
    REENCRYPT_WANTED = 1,   /* records may stand under old versions: the leader is at it */
    REENCRYPT_DECLINED = 2, /* they may, and nobody wants it done */
    REENCRYPT_DONE = 3      /* counted: none stands under an old version */
};

/* While a round is under way a key may be rotated because its period is over: what the round seals
 * under the version that was active, and under later ones, is not old again. Else a round that
 * seals more than a period holds would never end. */
struct reencrypt_fresh {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version; /* and later ones */
};
#define REENCRYPT_FRESH_MAX 64

struct reencrypt_record {
    uint64_t round; /* rises by one whenever keys got new versions or it is asked for again */
    enum reencrypt_state state;
    bool paused;
    uint8_t cursor[RECORD_KEY_BYTES_MAX]; /* records up to this key are done in this round */
    size_t cursor_len;                    /* 0: none is */
    uint64_t old_n;                       /* under old versions when the round began */
    uint64_t done_n;                      /* of them sealed again */
    uint64_t damaged_n;                   /* that do not open, and so stay as they are */
    uint64_t began_s, ended_s;            /* Unix time of the leader; 0: not yet */
    uint64_t index;                       /* DONE: applied when the last count was made */
    unsigned fresh_n;
    struct reencrypt_fresh fresh[REENCRYPT_FRESH_MAX];
};

void reencrypt_record_encode(const struct reencrypt_record *record, struct buf *out);
MUST_USE enum qk_err reencrypt_record_decode(struct bytes in, struct reencrypt_record *ret_record);
/* That version is not old in this round, though it is not active any more. */
bool reencrypt_is_fresh(const struct reencrypt_record *record,
                        const uint8_t key_id[static KEY_ID_BYTES], uint32_t version);
/* To be called for the batch that rotates a key since its period is over: a round that is under way
 * goes on, with `version`, which was active, as the first that is fresh. */
MUST_USE enum qk_err reencrypt_rotated(struct store *store,
                                       const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                                       struct wire_command *command);
const char *reencrypt_state_text(enum reencrypt_state state);

/* As the store has it; all zero, and version 0, if there is none. QK_ERR_CORRUPT. */
MUST_USE enum qk_err reencrypt_record_get(struct store *store, struct reencrypt_record *ret_record,
                                          uint64_t *ret_version);
/* To be called for the batch that gives keys new versions, or rewraps them with new ones (a deal of
 * a removal): adds the record of a new round, which begins as soon as the batch is applied, or, not
 * `wanted`, waits until somebody asks. A round that was under way begins anew. */
MUST_USE enum qk_err reencrypt_want(struct store *store, bool wanted, struct wire_command *command);

#endif

/* How much stands, and ever stood, under each version of each data key: one table in memory, one
 * row of the file for each entry that is not all zero.
 *
 *     database ‖ key id ‖ version    what stands in that database
 *     zeros    ‖ key id ‖ version    the sum over all databases, and what was ever sealed
 *     database ‖ key id ‖ 0          the sum over all versions: made of the first, not in the file
 */
#ifndef STORE_TALLIES_H
#define STORE_TALLIES_H

#include "store/store.h"

#define TALLY_ID_BYTES (DATABASE_ID_BYTES + KEY_USE_ID_BYTES + 4)

struct tally {
    uint8_t id[TALLY_ID_BYTES];
    bool used, dirty;
    struct store_key_stats stats;
};

struct tallies {
    struct tally *slots; /* open addressing, a power of two */
    size_t slots_n, used_n;
    uint8_t (*dirty)[TALLY_ID_BYTES]; /* what changed since the last batch took it */
    size_t dirty_n, dirty_cap;
};

/* A record as it was, or as it comes to be. */
struct tally_record {
    const uint8_t *database;
    uint8_t flags;        /* WIRE_KEYED is one of them */
    size_t bytes;         /* key and value */
    struct key_uses uses; /* of its value */
};

void tallies_init(struct tallies *tallies);
void tallies_fini(struct tallies *tallies);
void tally_id(const uint8_t *database, const uint8_t *key_id, uint32_t version,
              uint8_t ret_id[static TALLY_ID_BYTES]);
/* All zero for what is not there. */
void tallies_get(const struct tallies *tallies, const uint8_t id[static TALLY_ID_BYTES],
                 struct store_key_stats *ret_stats);
bool tally_is_zero(const struct store_key_stats *stats);
/* A row of the file. QK_ERR_NOMEM. */
MUST_USE enum qk_err tallies_load(struct tallies *tallies, const uint8_t id[static TALLY_ID_BYTES],
                                  const struct store_key_stats *stats);

/* Each: QK_ERR_NOMEM. `tallies_add` also counts what was sealed. */
MUST_USE enum qk_err tallies_add(struct tallies *tallies, const struct tally_record *record);
MUST_USE enum qk_err tallies_remove(struct tallies *tallies, const struct tally_record *record);
MUST_USE enum qk_err tallies_drop(struct tallies *tallies, const uint8_t *database);
/* They are in a batch now. */
void tallies_clean(struct tallies *tallies);

#endif

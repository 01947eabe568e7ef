/* The cluster's configuration as consensus sees it, and its two byte forms: the payload of a Raft
 * configuration entry (libraft's own encoding, little-endian, so that its core can decode it) and
 * the big-endian part of a snapshot token. Both are checked strictly before the core, which asserts
 * on them, sees a byte. */
#ifndef CONSENSUS_MEMBERS_H
#define CONSENSUS_MEMBERS_H

#include <raft.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "consensus/types.h"

struct members {
    size_t n;
    struct consensus_member list[CONSENSUS_MEMBERS_MAX];
};

const struct consensus_member *members_get(const struct members *members, uint64_t id);
size_t members_voters_n(const struct members *members);
/* QK_ERR_EXISTS (id or address in use), QK_ERR_TOO_BIG (full, or the address is too long),
 * QK_ERR_INVALID (id 0, empty address). */
MUST_USE enum qk_err members_add(struct members *members, uint64_t id, struct bytes address,
                                 bool voter);
/* False if `id` is not there. */
bool members_remove(struct members *members, uint64_t id);
bool members_set_voter(struct members *members, uint64_t id, bool voter);

/* The payload of a configuration entry, appended to `out`. */
void members_encode_entry(const struct members *members, struct buf *out);
/* QK_ERR_INVALID on anything libraft's decoder must not see. */
MUST_USE enum qk_err members_decode_entry(struct bytes payload, struct members *ret_members);

void members_encode(const struct members *members, struct buf *out);
/* Reads what members_encode wrote; an error sticks in `reader`. */
void members_decode(struct reader *reader, struct members *ret_members);

/* Copies from and to libraft's struct. The caller closes `ret_configuration` with
 * raft_configuration_close unless the core takes it. */
void members_of_raft(const struct raft_configuration *configuration, struct members *ret_members);
MUST_USE enum qk_err members_to_raft(const struct members *members,
                                     struct raft_configuration *ret_configuration);

#endif

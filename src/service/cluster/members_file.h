/* <data>/members: who the members are, as this node last applied it, for the one start at which the
 * store has no member records because it was lost. Public facts only: ids, public keys, addresses,
 * names. It never overrides records and is never sent.
 *
 *     "QKMB" version u8 cluster[16] n u8, then each: node_id[16] record (u32 length, bytes: the
 * value of the member record, see system.h), then BLAKE2b-256 of all before */
#ifndef SERVICE_CLUSTER_MEMBERS_FILE_H
#define SERVICE_CLUSTER_MEMBERS_FILE_H

#include "base/limits.h"
#include "service/system.h"

#define MEMBERS_FILE_BYTES_MAX (128 * KIB)

struct member_fact {
    uint8_t node_id[NODE_ID_BYTES];
    struct system_member info;
};

struct member_facts {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    unsigned n;
    struct member_fact list[NODES_MAX];
};

void members_file_encode(const struct member_facts *facts, struct buf *out);
/* QK_ERR_CORRUPT: cut, changed or malformed; QK_ERR_UNSUPPORTED: of a newer version. */
MUST_USE enum qk_err members_file_decode(struct bytes in, struct member_facts *ret_facts);
/* Replaces the file, in one step and durably; leaves it alone if it says just that already. */
MUST_USE enum qk_err members_file_save(const char *data_dir, const struct member_facts *facts);
/* QK_ERR_NOT_FOUND, QK_ERR_CORRUPT, QK_ERR_UNSUPPORTED, QK_ERR_IO. */
MUST_USE enum qk_err members_file_load(const char *data_dir, struct member_facts *ret_facts);

#endif

#include "consensus/snapshot.h"

#include <assert.h>

#define TOKEN_VERSION 1

_Static_assert(SNAPSHOT_TOKEN_BYTES_MAX >=
                   1 + 3 * 8 + 2 +
                       CONSENSUS_MEMBERS_MAX * (8 + 1 + 1 + CONSENSUS_ADDRESS_BYTES_MAX),
               "every token fits");

void snapshot_encode(const struct snapshot *snapshot, struct buf *out)
{
    assert(snapshot->index > 0);
    assert(snapshot->term > 0);

    buf_put_u8(out, TOKEN_VERSION);
    buf_put_u64(out, snapshot->index);
    buf_put_u64(out, snapshot->term);
    buf_put_u64(out, snapshot->members_index);
    members_encode(&snapshot->members, out);
}

enum qk_err snapshot_decode(struct bytes token, struct snapshot *ret_snapshot)
{
    struct reader reader = reader_of(token);
    struct snapshot snapshot;
    uint8_t version = reader_u8(&reader);

    snapshot.index = reader_u64(&reader);
    snapshot.term = reader_u64(&reader);
    snapshot.members_index = reader_u64(&reader);
    members_decode(&reader, &snapshot.members);
    if (reader_end(&reader) != QK_OK || version != TOKEN_VERSION)
        return QK_ERR_INVALID;
    if (snapshot.index == 0 || snapshot.term == 0 || snapshot.members_index == 0 ||
        snapshot.members_index > snapshot.index || snapshot.members.n == 0)
        return QK_ERR_INVALID;
    *ret_snapshot = snapshot;
    return QK_OK;
}

enum qk_err snapshot_to_raft(const struct snapshot *snapshot,
                             struct raft_snapshot_metadata *ret_metadata)
{
    ret_metadata->index = snapshot->index;
    ret_metadata->term = snapshot->term;
    ret_metadata->configuration_index = snapshot->members_index;
    return members_to_raft(&snapshot->members, &ret_metadata->configuration);
}

/* What a snapshot is to Raft: an index, its term and the configuration as of it. The data itself
 * goes out of band; its label, the token, is the encoding of this struct. */
#ifndef CONSENSUS_SNAPSHOT_H
#define CONSENSUS_SNAPSHOT_H

#include "consensus/members.h"

#define SNAPSHOT_TOKEN_BYTES_MAX 8192

struct snapshot {
    uint64_t index; /* 0: there is none */
    uint64_t term;
    uint64_t members_index; /* of the configuration entry that `members` is from */
    struct members members;
};

void snapshot_encode(const struct snapshot *snapshot, struct buf *out);
/* QK_ERR_INVALID unless `token` is exactly what snapshot_encode writes for a real snapshot. */
MUST_USE enum qk_err snapshot_decode(struct bytes token, struct snapshot *ret_snapshot);
/* libraft's form; the caller closes `ret_metadata->configuration` unless the core takes it. */
MUST_USE enum qk_err snapshot_to_raft(const struct snapshot *snapshot,
                                      struct raft_snapshot_metadata *ret_metadata);

/* What the leader knows of the out-of-band stream to one peer. */
enum snapshot_stream { STREAM_NONE, STREAM_SENDING, STREAM_STAGED };

struct snapshot_peer {
    uint64_t id;
    enum snapshot_stream state;
    struct buf token; /* what is streamed or staged */
    uint64_t snapshot_index;
    uint64_t asked_at; /* when the peer was last told to install */
    unsigned asked_n;
};

/* A staged snapshot whose install message goes unanswered this often is streamed anew: the peer may
 * have lost its staging file. */
#define SNAPSHOT_ASKS_MAX 3

#endif

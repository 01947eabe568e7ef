/* The bytes between two members: Raft's six messages and the four of our read index. Everything is
 * checked strictly here, configuration entries included, since libraft asserts on what it reads. */
#ifndef CONSENSUS_MESSAGES_H
#define CONSENSUS_MESSAGES_H

#include <raft.h>

#include "consensus/apply.h"
#include "consensus/log.h"
#include "consensus/snapshot.h"

enum message_kind {
    MESSAGE_APPEND = 1,
    MESSAGE_APPEND_RESULT,
    MESSAGE_VOTE,
    MESSAGE_VOTE_RESULT,
    MESSAGE_INSTALL,
    MESSAGE_TIMEOUT_NOW,
    MESSAGE_READ_PROBE,  /* leader to voters: are you still in this term? */
    MESSAGE_READ_ACK,    /* the answer, only if so */
    MESSAGE_READ_ASK,    /* follower to leader: a read point, please */
    MESSAGE_READ_ANSWER, /* the read point */
    MESSAGE_FRAGMENT,    /* a part of a message of one of the kinds above */
};

#define MESSAGE_ENTRIES_MAX 4096
#define MESSAGE_APPEND_HEAD_BYTES                                                                  \
    38 /* version, kind, four u64; its last four: count of entries                                 \
        */
#define MESSAGE_BYTES_MAX (ENTRY_BYTES_MAX + 64 * KIB)
/* An AppendEntries carries at most this much payload, or a single larger entry. */
#define MESSAGE_BATCH_BYTES (1 * MIB)

struct message {
    enum message_kind kind;
    struct raft_append_entries append; /* `entries` owned by this struct, payloads borrowed */
    struct raft_append_entries_result append_result;
    struct raft_request_vote vote;
    struct raft_request_vote_result vote_result;
    struct raft_timeout_now timeout_now;
    uint64_t term;   /* install, probe, ack */
    uint64_t number; /* round of probe and ack, id of ask and answer */
    uint64_t index;  /* answer */
    struct bytes token;
    struct snapshot snapshot; /* install, decoded from `token` */
};

/* Decodes one message; payloads and token stay in `in`. QK_ERR_INVALID, QK_ERR_NOMEM. The caller
 * calls message_fini after QK_OK. */
MUST_USE enum qk_err message_decode(struct bytes in, struct message *ret_message);
void message_fini(struct message *message);

/* Appends an AppendEntries of `n` entries after append->prev_log_index, taken from `log`. */
void message_encode_append(const struct raft_append_entries *append, const struct entry_log *log,
                           size_t n, struct buf *out);
void message_encode_append_result(const struct raft_append_entries_result *result, struct buf *out);
void message_encode_vote(const struct raft_request_vote *vote, struct buf *out);
void message_encode_vote_result(const struct raft_request_vote_result *result, struct buf *out);
void message_encode_timeout_now(const struct raft_timeout_now *timeout_now, struct buf *out);
void message_encode_install(uint64_t term, const struct snapshot *snapshot, struct buf *out);
/* A read message: `kind` one of the four; `value` is the term of a probe or ack, the index of an
 * answer, 0 of an ask. */
void message_encode_read(enum message_kind kind, uint64_t number, uint64_t value, struct buf *out);

/* How many of the `n` entries from `first` on fit in one message: at least one if n > 0. */
size_t message_batch_n(const struct entry_log *log, uint64_t first, size_t n);

/* Fragments: a message larger than the link takes leaves in parts, in order. */
struct fragments {
    uint64_t number; /* of the message that is being put together, 0: none */
    size_t total;
    struct buf whole;
};
#define FRAGMENT_HEAD_BYTES 18 /* version, kind, number u64, total u32, offset u32 */

void fragments_init(struct fragments *fragments);
void fragments_fini(struct fragments *fragments);
/* Appends the part of `whole` that starts at `offset`, at most `part_max` bytes of it. */
void fragment_encode(uint64_t number, struct bytes whole, size_t offset, size_t part_max,
                     struct buf *out);
bool message_is_fragment(struct bytes in);
/* By the head alone. Of a fragment neither: only AppendEntries are so long. */
bool message_is_vote_result(struct bytes in);
bool message_is_answer(struct bytes in);
/* Takes one part. True when `ret_whole` (borrowed until the next call) is complete; a part out of
 * order drops what was gathered. */
bool fragments_add(struct fragments *fragments, struct bytes in, struct bytes *ret_whole);

#endif

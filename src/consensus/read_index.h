/* Linearizable read points (docs/design.md, Consensus). Pure.
 *
 * On the leader: reads wait in `queued`; a round takes all of them, records (term, commit), *then*
 * probes the voters; with answers of a majority in the same term, while still leading it, the
 * recorded commit is the read point of them all. On a follower: all waiting reads share one
 * question to the leader. A read is done once its point is applied. A change of term, role or
 * leader discards what a round or question had gathered; local reads then start again, those of
 * other members are asked for again by them. */
#ifndef CONSENSUS_READ_INDEX_H
#define CONSENSUS_READ_INDEX_H

#include "consensus/types.h"

#define READS_MAX 65536

struct read {
    uint64_t cookie; /* of a local read */
    uint64_t peer;   /* 0: local; else the member that asked */
    uint64_t ask;    /* the number of its question */
    uint64_t index;  /* its read point, once known */
};

struct read_list {
    struct read *items;
    size_t n;
    size_t cap;
};

struct read_index {
    struct read_list queued;
    struct read_list active;    /* in the current round or question */
    struct read_list confirmed; /* point known, not yet applied */
    uint64_t round;
    uint64_t round_index;
    uint64_t ask; /* starts at random: a late answer to a former life must match nothing */
    uint64_t sent_at;
    uint64_t acks[CONSENSUS_MEMBERS_MAX];
    size_t acks_n;
};

void read_index_init(struct read_index *reads, uint64_t random);
void read_index_fini(struct read_index *reads);
/* QK_ERR_BUSY past READS_MAX, QK_ERR_NOMEM. A question already waiting is not queued twice. */
MUST_USE enum qk_err read_index_add(struct read_index *reads, struct read read);
/* Takes a local read out, wherever it waits. */
void read_index_cancel(struct read_index *reads, uint64_t cookie);
/* The term, role or leader changed. */
MUST_USE enum qk_err read_index_discard(struct read_index *reads);
/* Moves all that is queued into a new round or question. */
void read_index_begin(struct read_index *reads, uint64_t now);
/* Its point is known: it waits until that is applied. */
MUST_USE enum qk_err read_index_confirm(struct read_index *reads, struct read read);
/* Notes the answer of voter `id`. */
void read_index_ack(struct read_index *reads, uint64_t id);
bool read_index_acked(const struct read_index *reads, uint64_t id);

#endif

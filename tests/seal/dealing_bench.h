/* The leader's dealing machine on a bench: the replicated records and the members are kept here,
 * and a leader may end at any operation, before or after it took effect. */
#ifndef TESTS_SEAL_DEALING_BENCH_H
#define TESTS_SEAL_DEALING_BENCH_H

#include "seal/dealing.h"

struct bench {
    struct dealing d;
    struct dealing_effects out;
    struct dealing_facts records; /* what is replicated and connected */
    uint64_t now_ms;
    uint64_t deals_n;
    unsigned ops_n;     /* operations carried out */
    unsigned crash_at;  /* the leader ends at that operation; 0: never */
    bool crash_effects; /* after it took effect, not before */
    unsigned begins_n, finals_n, drops_n;
    bool silent[NODES_MAX]; /* by number less one: gives no generation and no ack */
    unsigned fresh_n, transfers_n;
    bool fail_proposals;
    bool fail_changes;         /* no promotion: a voter is away */
    bool keeps[NODES_MAX + 1]; /* by number: does not erase its older generations */
    bool erased[NODES_MAX + 1];
};

struct bench *bench_new(void); /* the caller frees it */
/* The number of a member is its place in the order of coming, from 1. */
struct dealing_member *bench_member(struct bench *b, unsigned number);
void bench_id(unsigned i, uint8_t ret_id[static NODE_ID_BYTES]); /* of the member of number i + 1 */
void bench_add(struct bench *b, enum dealing_role role);
void bench_step(struct bench *b, struct dealing_event *event);
void bench_event(struct bench *b, enum dealing_event_kind kind);
void bench_run(struct bench *b, uint64_t ms);
/* Everybody is a member, and the deal of all is final. */
bool bench_is_whole(const struct bench *b);

#endif

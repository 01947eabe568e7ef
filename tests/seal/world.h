/* Machines of several nodes, a network between them, a clock: all in memory, so that a test is a
 * transcript. Keys are stood in for by what they prove: a release carries who gave it to whom in
 * which deal, a share its owner's x; opening and combining check exactly that. */
#ifndef TESTS_SEAL_WORLD_H
#define TESTS_SEAL_WORLD_H

#include "seal/machine.h"

#define WORLD_NODES_MAX 5
#define WORLD_QUEUE_MAX 4096
#define WORLD_SHARES_MAX 8

struct world_node {
    bool up;
    bool mk;           /* it has combined */
    bool corrupt_slot; /* its own slots do not open */
    bool corrupt_share;
    struct seal_machine *m;
    struct seal_effects *effects;
    struct seal_deal candidate; /* last record received */
    uint32_t shares[WORLD_SHARES_MAX];
    bool shares_bad[WORLD_SHARES_MAX];
    unsigned shares_n;
    struct seal_deal deal;             /* what its log holds */
    struct watermark marks[NODES_MAX]; /* kept by its store */
    unsigned marks_n;
    unsigned releases_n, denials_n, clones_n, rates_n, bad_shares_n, bad_slots_n, wipes_n, acks_n;
    enum release_rule last_denial;
    uint8_t boot, process;              /* the second tells copies of one disk apart */
    uint64_t term, index, stored, made; /* where its disk stands at the start */
};

struct world_message {
    unsigned from, to;
    uint64_t at_ms;
    struct peer_message message;
    uint8_t key[PEER_SHARE_BYTES];
};

struct world {
    unsigned nodes_n;
    uint64_t now_ms;
    uint64_t random;
    unsigned drop_one_in; /* 0: none */
    bool cut[WORLD_NODES_MAX][WORLD_NODES_MAX];
    bool linked[WORLD_NODES_MAX][WORLD_NODES_MAX];
    bool strangers[WORLD_NODES_MAX][WORLD_NODES_MAX]; /* [i][j]: i does not know j */
    struct world_node nodes[WORLD_NODES_MAX];
    struct world_message *queue;
    unsigned queue_n;
    unsigned sent_n;
};

struct world *world_new(unsigned nodes_n);
void world_free(struct world *world);
void world_node_id(unsigned i, uint8_t ret_id[static NODE_ID_BYTES]);
/* A deal of all nodes with `epoch`, threshold t. */
struct seal_deal world_deal(const struct world *world, uint64_t epoch, unsigned t);
/* Starts a node that has `deal` on its disk, and links it with those that are up. */
void world_start(struct world *world, unsigned i, const struct seal_deal *deal);
/* Tells the machine where its disk stands now. */
void world_at(struct world *world, unsigned i);
void world_kill(struct world *world, unsigned i);
void world_step(struct world *world, unsigned i, const struct seal_event *event);
void world_kind(struct world *world, unsigned i, enum seal_event_kind kind);
void world_give_deal(struct world *world, unsigned i, const struct seal_deal *deal);
void world_config(struct world *world, unsigned i, enum release_answer hold);
/* Runs until `ms` later; true at once when every node that is up is in `state`. */
bool world_run(struct world *world, uint64_t ms);
bool world_run_until(struct world *world, unsigned i, enum seal_state state, uint64_t ms);

#endif

/* The deterministic simulator of consensus: the engines of several members over a simulated
 * network, disk and store, a source of faults and a set of invariants. One seed is one run, always
 * the same.
 *
 * world.c   members: what their engines want, done against simulated disks and stores
 * net.c     time: the queue of what happens next, and the network
 * away.c    voters that are away for long
 * chaos.c   what goes wrong, and what clients and administrators ask for
 * check.c   what must hold
 * main.c    seeds, switches, reports */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "consensus/engine.h"

#define SIM_NODES_MAX 20
#define SIM_ELECTION_MS 100
#define SIM_HEARTBEAT_MS 25
#define SIM_PAYLOAD_BYTES_MAX 64
#define SIM_INDEX_MAX 16384
#define SIM_TERMS_MAX 4096
#define SIM_READS_MAX 4096

enum disk_kind { DISK_APPEND, DISK_SNAPSHOT, DISK_TRIM, DISK_INSTALL };

/* An operation that the disk has not finished. */
struct disk_op {
    enum disk_kind kind;
    uint64_t index;
    size_t n;
    struct log_entry *entries; /* owned, with their data */
    struct snapshot *token;    /* owned */
    struct disk_op *next;
};

struct disk { /* what a crash leaves */
    uint64_t term;
    uint64_t vote;
    bool has_snapshot;
    struct snapshot snapshot;
    struct entry_log log;
    uint64_t store_applied;
};

struct node {
    uint64_t id; /* 0: never existed */
    bool alive;
    bool retired;    /* removed for good: stays down */
    bool was_member; /* it was asked to join: never again under this id */
    unsigned life;   /* counts starts */
    unsigned tick_number;
    struct engine *engine;
    struct disk disk;
    struct disk_op *ops, **ops_tail; /* queued */
    size_t flushing;                 /* of these are being written */
    uint64_t applied;                /* of the store, in memory */
    bool applied_known;
    uint64_t commit_seen;
    uint64_t term_led; /* the last one checked */
    bool has_staged;
    struct snapshot staged;
    uint64_t staged_applied;
    uint64_t log_checked;
    uint64_t away_since; /* down or cut off for long, 0: not (--away) */
    uint64_t back_at;
    unsigned missed_n; /* changes done meanwhile */
    bool crash_soon;   /* between two effects */
    bool store_lost;   /* at the next start the store is empty */
    bool rolled_back;  /* its disk was put back to an older copy: what others count on is gone */
};

enum happening {
    HAPPEN_TICK,
    HAPPEN_MESSAGE,
    HAPPEN_FLUSHED,
    HAPPEN_STREAMED,
    HAPPEN_RESTORED,
    HAPPEN_LOST, /* a connection: --break */
    HAPPEN_CHAOS,
    HAPPEN_ADMIN,
    HAPPEN_SYSTEM
};

struct event {
    uint64_t at;
    uint64_t number; /* decides ties */
    enum happening what;
    unsigned node; /* whose */
    unsigned from;
    unsigned life;
    unsigned tick_number;
    uint8_t *data; /* owned */
    size_t len;
};

struct sim_read {
    bool active;
    unsigned node;
    unsigned life;
    uint64_t floor; /* what it must see */
};

struct world;

/* What the simulator of the whole system (system.h) puts around the engines; absent in the one of
 * consensus alone. */
struct world_hooks {
    void (*deliver)(struct world *w, const struct event *event); /* HAPPEN_SYSTEM */
    bool (*may_send)(struct world *w, unsigned from, unsigned to, struct bytes message);
    bool (*may_receive)(struct world *w, unsigned from, unsigned to, struct bytes message);
    void (*apply)(struct world *w, struct node *node, const struct engine_apply *apply);
    void (*effect)(struct world *w, struct node *node, const struct effect *effect);
    void (*staged)(struct world *w, struct node *from, struct node *to);
    void (*swapped)(struct world *w, struct node *node);   /* on the disk */
    void (*installed)(struct world *w, struct node *node); /* and in memory */
    void (*crashed)(struct world *w, struct node *node);
};

struct world {
    const struct world_hooks *hooks;
    void *system;
    unsigned election_ms, heartbeat_ms;
    uint64_t seed;
    uint64_t random;
    uint64_t now;
    uint64_t number;
    uint64_t digest; /* of all that happened */
    bool trace;
    uint32_t guards_off;
    struct event *heap;
    size_t heap_n, heap_cap;
    struct node nodes[SIM_NODES_MAX];
    unsigned nodes_n;
    /* the seed's character */
    unsigned loss, duplicate, slow, delay_max, ordered, flush_max, crash, cut, admin, small_log,
        stream_fail, stall, eager, missing, lose, away, breaks, voters_aim;
    unsigned life_script, script_step;
    bool chaos_over;
    bool cuts[SIM_NODES_MAX][SIM_NODES_MAX];
    uint64_t link_at[SIM_NODES_MAX][SIM_NODES_MAX];
    /* what is known to be true */
    uint64_t truth[SIM_INDEX_MAX]; /* number of the command at an index, 1: none there */
    uint64_t committed_term[SIM_INDEX_MAX];
    uint64_t committed_in[SIM_INDEX_MAX]; /* the term whose leader committed it */
    uint64_t committed_max;
    uint64_t term_leader[SIM_TERMS_MAX];
    uint64_t acked_max, seen_max; /* highest index acknowledged, or read */
    uint64_t acked_n, reads_n, elections_n, changes_n, installs_n, crashes_n, losses_n;
    uint64_t aways_n, changes_away_n, changes_again_n; /* changes while a voter was away for long */
    struct pair {
        uint64_t index, term, hash, previous;
    } * pairs; /* log matching: hash table */
    size_t pairs_cap, pairs_n;
    struct submission {
        uint64_t index, term, number;
        unsigned node, life;
    } submissions[64];
    size_t submissions_n;
    struct sim_read reads[SIM_READS_MAX];
    size_t reads_used;
    uint64_t payload_number;
    uint64_t proof_number; /* the write that must succeed after healing */
    char failure[256];     /* empty while all is well */
};

/* check.c */
void sim_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_node(struct world *w, struct node *node);
void check_appended(struct world *w, struct node *node, uint64_t index, size_t n);
/* Of an entry's payload; never 0 or 1. */
uint64_t check_hash(struct bytes payload);
void check_apply(struct world *w, struct node *node, uint64_t index, uint64_t number);
void check_end(struct world *w);

/* net.c */
uint64_t sim_random(struct world *w);
unsigned sim_below(struct world *w, unsigned n); /* 0 .. n - 1 */
bool sim_chance(struct world *w, unsigned permille);
void sim_push(struct world *w, struct event event);
bool sim_pop(struct world *w, struct event *ret_event);
void net_send(struct world *w, unsigned from, unsigned to, struct bytes message);

/* world.c */
struct node *world_node(struct world *w, uint64_t id); /* NULL if there is none */
unsigned world_add_node(struct world *w);
void world_start(struct world *w, struct node *node);
void world_break(struct world *w, unsigned number);
void world_crash(struct world *w, struct node *node);
void world_settle(struct world *w, struct node *node, enum qk_err err);
/* Another node's store is on its way to one that has lost its own. */
void world_restore(struct world *w, struct node *node);
void world_deliver(struct world *w, const struct event *event);
void world_fini(struct world *w);

/* chaos.c */
void chaos_begin(struct world *w);
void chaos_step(struct world *w);
void chaos_end(struct world *w);
struct node *chaos_leader(struct world *w);
void chaos_administer(struct world *w);

/* away.c */
void away_step(struct world *w);
/* Cuts who is away off, after the cuts of others changed. */
void away_cut(struct world *w);
/* Who is down stays away, who is cut off comes back. */
void away_end(struct world *w);
/* No administrator acts before it can be known. */
bool away_just_went(const struct world *w);
/* A change of this leader is done. */
void away_count_change(struct world *w, const struct node *node);
/* What a leader appends must be able to be committed. */
void away_check_change(struct world *w, const struct node *node, uint64_t index, size_t n);

#endif

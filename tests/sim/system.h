/* The deterministic simulator of the whole node, keys included: everything of the product above
 * files, sockets and the event loop is the real code, many nodes in one process. That is: the seal
 * machine, the dealing machine, the deal record, node.sec, the keyring, the hub (src/service) that
 * carries out what the machines say, and the engine of the log in the driver of world.c. Linked in
 * the place of the parts below them:
 *
 *   system_store.c      records in memory, pending and on the disk (store/store.h)
 *   system_consensus.c  requests around the engine (consensus/consensus.h)
 *   system_link.c       connections between nodes (link/link.h)
 *   system_secret.c     secrets on the heap, seeded randomness (secret/secret.h, random)
 *   system_share.c      sharing over a small field in 99 of 100 seeds (share/share.h)
 *   system_local.c      timers, clocks, crash points of files, catalog, passwords
 *
 * system_world.c starts, crashes and discards nodes, system_chaos.c does what goes wrong and what
 * people ask for, system_check.c says what must hold, system_bugs.c puts deliberate bugs between
 * the machines and the hub, system.c runs seeds. */
#ifndef SIM_SYSTEM_H
#define SIM_SYSTEM_H

#include "sim.h"

#include "seal/node_sec.h"
#include "service/cluster/cluster.h"
#include "service/exchange.h"
#include "service/cluster/hub.h"
#include "store/store.h"
#include "system_bugs.h"
#include "system_table.h"

#define MACHINES_MAX 6
#define SYSTEM_PATH_BYTES 256
#define SYSTEM_ACKED_MAX 256
#define SYSTEM_WATCHES_MAX 8
#define SYSTEM_LOCALS_MAX 4
#define SYSTEM_JOINS_MAX 6 /* of one node: Raft ids are not used twice */
#define SYSTEM_JOININGS_MAX 60
#define SYSTEM_RECOVERY_SHARES 5
#define SYSTEM_RECOVERY_THRESHOLD 3

/* --- one node of the system ---------------------------------------------------------------- */

struct watch {
    struct blob *prefix;
    store_watch_cb cb;
    void *arg;
};

struct flush {
    store_cb cb;
    void *arg;
    struct flush *next;
};

struct proposal {
    void (*cb)(void *arg, enum qk_err err, uint64_t index, struct bytes result);
    void *arg;
    struct blob *command;
    bool sent, done;
    uint64_t index, term;
    unsigned position; /* in its entry */
    enum qk_err err;
    struct buf result;
    struct proposal *next;
};

struct reading {
    void (*cb)(void *arg, enum qk_err err, uint64_t index);
    void *arg;
    uint64_t cookie, deadline;
    bool asked, done;
    enum qk_err err;
    struct reading *next;
};

struct wish { /* a change of members, or a transfer */
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
    int kind; /* of a change */
    uint64_t id;
    char address[80];
    bool wanted, running, done;
    enum qk_err err;
};

struct side {         /* one node's end of the connection to another */
    unsigned session; /* 0: down */
    unsigned ups;
    bool known;
    bool broken;       /* something was lost in it */
    unsigned noticing; /* the session whose end is about to be noticed */
    uint8_t id[NODE_ID_BYTES], stranger[NODE_ID_BYTES];
    uint64_t connecting_ms;
    uint64_t last_at; /* messages of one session arrive in order */
    uint64_t up_ms;
    unsigned life; /* of the process at the other end */
};

struct machine {
    struct image *image; /* system_rollback.c: an older copy of the disk */
    bool rolled;         /* it was put back */
    struct noted {
        uint8_t node_id[NODE_ID_BYTES], boot_id[BOOT_ID_BYTES];
        uint64_t boot_counter, made, term, index;
    } noted[MACHINES_MAX], noted_disk[MACHINES_MAX]; /* of the others, and durable */
    /* system_local.c: the catalog that is being opened */
    void (*opening_cb)(void *arg, enum qk_err err);
    void *opening_arg;
    uintptr_t openings;
    bool catalog_waits; /* for a story to open it */
    struct system *sys;
    unsigned at;
    unsigned life;
    bool alive; /* the process runs */
    bool dying; /* it crashes at the end of the present event: nothing leaves it any more */
    bool inert; /* it is being taken down */
    bool fixed; /* joins of this one ended for good */
    uint64_t start_last, held_ms, control_seen, control_ms, own_checked; /* system_orders.c */
    uint64_t away_until_ms;                /* it stays down until then */
    uint64_t stopped_ms, stopped_until_ms; /* the process gets no time: SIGSTOP, swapping */
    struct service service;
    struct cluster *cluster;
    struct node *raft; /* NULL until a member */
    int64_t clock_ms;  /* of the wall, beside the true one */
    char dir[SYSTEM_PATH_BYTES];
    /* store */
    struct table mem, disk, staged;
    struct watch watches[SYSTEM_WATCHES_MAX];
    unsigned watches_n;
    struct flush *flushes;
    store_cb compacted_cb;
    void *compacted_arg;
    bool flushing, committing;
    struct local {
        char name[32];
        struct blob *mem, *disk;
    } locals[SYSTEM_LOCALS_MAX];
    /* consensus */
    struct proposal *proposals;
    struct reading *readings;
    uint64_t cookies, commands_n;
    struct wish change, transfer;
    bool pumping, state_told;
    /* link */
    struct link_peer {
        uint8_t node_id[NODE_ID_BYTES];
        uint8_t pk[32];
        char address[16];
    } peers[NODES_MAX];
    unsigned peers_n;
    bool linked;
    struct side sides[MACHINES_MAX];
    struct link_join *join; /* the joiner's end */
    struct timer *timers;
    unsigned timers_n; /* numbers given */
    /* people */
    bool sealed_by_person;
    char rejoin_token[512]; /* to come back as a new node with */
    unsigned rejoins_n;
    /* system_thief.c: who was there twice, when, and in which life of this one */
    uint8_t clone_id[NODE_ID_BYTES];
    uint64_t clone_ms;
    unsigned clone_life;
    bool last_sec; /* it is, or was until it fell, a node: */
    uint8_t last_id[NODE_ID_BYTES];
    bool founder, wants_join, joined;
    unsigned joins_n;
    /* what the file of keys held when it was last synced, while a bug withholds the sync */
    uint8_t sec_before[NODE_SEC_FILE_BYTES];
    bool sec_unsynced;
    char recovery_nonce[40];
    unsigned recovery_from;
    uint64_t waits; /* what its state was when the end was looked at, for messages */
};

struct acked {
    struct blob *key, *value;
    uint64_t version, seq;
};

enum system_event {
    SYS_TIMER,
    SYS_PUMP,
    SYS_COMMIT,
    SYS_LINK_CHECK,
    SYS_LINK_UP,
    SYS_LINK_DOWN,
    SYS_LINK_MESSAGE,
    SYS_JOIN,
    SYS_CALL
};

struct truth;

struct system {
    struct world *w;
    struct truth *truth; /* system_truth.h */
    struct machine machines[MACHINES_MAX];
    unsigned machines_n;
    struct machine *of_raft[SIM_NODES_MAX];
    bool real_share, slow_first;
    enum bug bug;
    bool bug_struck;
    uint64_t calls, joins;
    unsigned sessions;
    struct link_join *joining[64];
    /* the seed's character */
    unsigned crash, crash_point, cut, drop, stop, hold, suspend, rollback, remove, redeal, away,
        seal, shift, disorder, slow_disk, jump, intrude, delay_max, commit_max, catalog_max, late,
        thief, rejoin;
    bool cuts[MACHINES_MAX][MACHINES_MAX]; /* [from][to] */
    uint64_t chaos_end;
    bool over; /* faults have ended */
    char waits[80];
    bool lost; /* the founder fell before its first deal was final: nothing can be expected */
    struct acked acked[SYSTEM_ACKED_MAX];
    unsigned acked_n, acked_total;
    uint64_t final_epoch;                   /* the newest FINAL ever applied anywhere */
    uint8_t ever[NODES_MAX][NODE_ID_BYTES]; /* ids that were ever committed as members */
    unsigned ever_n;
    char tokens[16][512];
    unsigned tokens_n;
    bool with_recovery;
    char recovery[SYSTEM_RECOVERY_SHARES][256];
    unsigned recovery_n;
    uint64_t docs_n;
    unsigned rollbacks_n;
    bool maimed;       /* what was put back was older than the first deal, and void */
    struct loot *loot; /* system_thief.c */
    unsigned clones_n; /* a thief was taken for a member, or met one */
    uint64_t rejoins_n;
    bool removal_told_done; /* a reply to "how far is the deal" named no removal */
    uint64_t removals_n, rotations_n, pairs_n, reencrypts_n, periods_n;
    uint64_t period_records, period_age_s; /* of every data key; 0: the product's */
    uint64_t releases_n, shares_n, unsealed_n, deals_n, joins_done_n, crashes_n, points_n;
    /* the message being delivered, for checks of what it leads to */
    uint64_t delivered_sent;
    enum peer_kind delivered_kind;
    struct machine *delivered_from;
};

/* The one whose code runs now; the simulator has one thread. */
extern struct machine *system_current;
/* Where the nodes keep their files. */
extern char system_dir[SYSTEM_PATH_BYTES / 2];

static inline struct machine *machine_of(const void *handle)
{
    return (struct machine *)(uintptr_t)handle;
}
/* Nothing leaves it: neither messages nor writes. */
static inline bool machine_mute(const struct machine *m)
{
    return !m->alive || m->dying || m->inert;
}

/* An event of machine `m` in `ms`; `data` is copied. */
void system_push(struct machine *m, uint64_t ms, enum system_event what, unsigned number,
                 const void *data, size_t len);
typedef void (*system_call)(struct machine *m, void *arg);
/* Calls in `ms`, unless the process has ended by then. */
void system_later(struct machine *m, uint64_t ms, system_call call, void *arg);
/* A point at which the process may fall. True: it does, and nothing after it happens. */
bool system_crash_point(struct machine *m);
void system_say(const struct machine *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* system_world.c */
/* The process has stood still for so long. */
bool system_stopped(const struct machine *m, uint64_t ms);
/* It gets no time now: the event is put off. */
bool system_put_off(struct system *sys, struct event *event);
struct machine *system_add(struct system *sys);
void system_start(struct machine *m);
void system_crash(struct machine *m);
void system_wipe(struct machine *m); /* the disk of one that is down */
void system_fini(struct system *sys);
void system_raft_place(struct system *sys, uint64_t raft_id);
extern const struct world_hooks system_hooks;

/* system_store.c */
uint64_t table_hash(const struct table *table);
void store_sim_open(struct machine *m);
void store_sim_applied(struct machine *m);
void store_sim_commit(struct machine *m);
void store_sim_told(struct machine *m, struct bytes key);
void store_sim_close(struct machine *m, bool crash);
void store_sim_wipe(struct machine *m);

/* system_consensus.c */
void consensus_sim_pump(struct machine *m);
void consensus_sim_apply(struct machine *m, const struct engine_apply *apply);
void consensus_sim_effect(struct machine *m, const struct effect *effect);
void consensus_sim_close(struct machine *m);

/* system_link.c */
void link_sim_check(struct system *sys);
void link_sim_deliver(struct machine *m, const struct event *event);
void link_sim_down(struct machine *m, bool crash);
void link_sim_join(struct machine *m, const struct event *event);
bool link_sim_raft(const struct machine *from, const struct machine *to);

/* system_local.c */
void catalog_sim_open(struct machine *m);
void timer_sim_fire(struct machine *m, const struct event *event);

/* system_share.c */
/* system_chaos.c */
void system_chaos_begin(struct system *sys);
void system_chaos_end(struct system *sys);
/* An intruder's message to `m`. */
void system_intrude(struct machine *m);

/* system_documents.c */
void documents_start(struct machine *m);
void documents_stop(struct machine *m);
void documents_end(struct machine *m); /* its log is closed */
void documents_dealt(struct machine *m);
void documents_applied(struct machine *m);
bool documents_check(struct machine *m);                        /* false: it has failed */
const char *documents_unfinished(const struct machine *leader); /* NULL: all is done */

/* system_thief.c */
void thief_act(struct system *sys);
void thief_free(struct system *sys);
void thief_check_given(const struct machine *from, const uint8_t *node_id);

/* system_changes.c */
void changes_settings(struct system *sys);
unsigned changes_quorum(const struct machine *m);
void changes_check_given(const struct machine *from);
void changes_rejoin(struct machine *m);
bool changes_rejoin_rolled(struct system *sys); /* false: there is none */
void changes_rejoin_strays(struct system *sys);
bool changes_unfinished(const struct machine *leader);

/* system_people.c */
void people_ask(struct machine *m, void (*handle)(struct service *service, struct exchange *e),
                const char *body);
/* A token in the reply is `whom`'s. */
void people_ask_for(struct machine *m, struct machine *whom,
                    void (*handle)(struct service *service, struct exchange *e), const char *body);
void people_ask_about(struct machine *m,
                      void (*handle)(struct service *service, struct exchange *e), const char *name,
                      const char *body);
void people_init(struct machine *m);
/* Opens it with recovery shares, if it is sealed by nobody's wish. */
void people_recover(struct machine *m);
struct machine *people_leader(struct system *sys); /* NULL: none */
/* Asks for a token, or joins with one that there is. */
void people_join(struct system *sys, struct machine *m);
void people_try_joins(struct system *sys);
void people_put(struct system *sys); /* system_documents.c */

/* system_orders.c */
void orders_hold(struct system *sys);    /* or unhold */
void orders_suspend(struct system *sys); /* or resume */
void orders_suspend_or_resume(const struct machine *whom);
void orders_end(struct system *sys);
bool orders_on_hold(const struct machine *m);
void orders_start(struct machine *m); /* its store and log are there */
void orders_applied(struct machine *m);
void orders_check_given(struct machine *from, const uint8_t *node_id);
void orders_check_machine(struct machine *m);

/* system_rollback.c */
void rollback_copy(struct machine *m);
bool rollback_restore(struct machine *m); /* and it is down */
void rollback_forget(struct machine *m);
void rollback_heard(struct machine *m, const struct machine *from, const struct peer_hello *hello);
void rollback_check(const struct machine *m, const struct machine *from);
void rollback_durable(struct machine *m);
void rollback_started(struct machine *m);

/* system_removal.c */
void removal_order(struct system *sys);
void removal_refresh(struct system *sys, bool rotate);
void removal_wipe(struct system *sys);
bool removal_is_done(const struct system *sys, const uint8_t *node_id);
void removal_applied(struct machine *m);
void removal_check_own(struct machine *m);
void removal_check_mk(struct machine *m);
const char *removal_unfinished(const struct machine *leader); /* NULL: all is done */

/* system_story.c */
bool story_run(struct world *w, struct system *sys, const char *name); /* false: no such story */
void stories_list(void);

/* system.c */
void system_run_until(struct world *w, uint64_t end);

/* system_check.c */
void system_check_applied(struct machine *m);
void system_check_result(struct machine *m, uint64_t index, unsigned position, struct bytes result);
void system_check_sent(struct machine *from, const uint8_t *node_id, struct bytes message);
void system_check_machine(struct machine *m);
/* Everybody falls, and only as many as must suffice come back, one after the other. */
void system_check_pair(struct system *sys);
bool system_check_end(struct system *sys, bool final);

#endif

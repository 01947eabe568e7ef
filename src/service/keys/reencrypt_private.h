/* Inside of re-encryption, for reencrypt.c and keys_handlers.c. */
#ifndef SERVICE_KEYS_REENCRYPT_PRIVATE_H
#define SERVICE_KEYS_REENCRYPT_PRIVATE_H

#include "service/keys/reencrypt.h"
#include "service/reencrypt_record.h"
#include "service/keys/reencrypt_seal.h"
#include "service/timer_uv.h"

enum reencrypt_phase {
    PHASE_IDLE,   /* not the leader, nothing to do, or paused */
    PHASE_COUNT,  /* from the first record: what there is to do */
    PHASE_WALK,   /* from the cursor: does it */
    PHASE_VERIFY, /* from the first record again: is it done? */
};

#define REENCRYPT_UNIT_RECORDS 256
#define REENCRYPT_COMMANDS_MAX 4

/* The record of a body sealed again, for the counts. */
struct reencrypt_item {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version; /* 0: more than one, left to the next count */
};

/* A command under way. */
struct reencrypt_command {
    struct reencrypt *job;
    bool busy;
    struct reencrypt_item items[REENCRYPT_UNIT_RECORDS];
    size_t items_n;
    uint64_t began_us, worked_us;
};

struct reencrypt {
    struct service *service;
    struct timer *timer;
    bool stopped;
    bool busy; /* a callback will go on */
    enum reencrypt_phase phase;
    uint64_t term; /* in which this node leads and has applied all from before */
    struct reencrypt_record record;
    uint64_t version;                       /* of that record in the store */
    uint8_t next[RECORD_KEY_BYTES_MAX + 1]; /* the pass goes on from here */
    size_t next_len;
    /* The pass under way, and what the last whole one found. */
    uint64_t pass_old_n, pass_damaged_n, pass_index;
    uint64_t walk_damaged_n; /* of the last walk that came to its end */
    struct reencrypt_counts counting, counts;
    bool counted;
    struct reencrypt_command commands[REENCRYPT_COMMANDS_MAX];
    size_t commands_n; /* under way; no two have a record in common */
    /* The pace: commands of this node since its start, of the job and of all others; what the last
     * command took of the loop and until it was applied; how many writes of others waited. */
    uint64_t own_commands_n, shared_until_ms, worked_us, took_us;
    int64_t others_n;
    double waiting;
    uint64_t saved_ms, retry_ms;
    /* Compaction of this node's own file. */
    bool compacting;
    uint64_t compact_round, compact_erase, compact_next_ms;
    /* For the estimate. */
    uint64_t rate_from_ms, rate_done_n;
    double rate; /* records a second; 0: not known yet */
};

/* --- reencrypt.c --- */
void reencrypt_go_on(struct reencrypt *job, uint64_t ms);
void reencrypt_idle(struct reencrypt *job);
bool reencrypt_may_work(const struct reencrypt *job);
void reencrypt_pass_ended(struct reencrypt *job);

/* --- reencrypt_pace.c --- */
struct reencrypt_pace {
    unsigned unit_us; /* of the loop, at a time */
    size_t records;   /* a command */
    size_t commands;  /* under way at a time */
};
const struct reencrypt_pace *reencrypt_pace(struct reencrypt *job);
/* A command of the job's was applied: so long it kept the loop, and so long it took in all. */
void reencrypt_pace_took(struct reencrypt *job, uint64_t worked_us, uint64_t took_us);
/* From now on; 0: none. */
uint64_t reencrypt_pace_rest_ms(struct reencrypt *job);

/* --- reencrypt_unit.c --- */
/* Goes on with the pass; ends in a command, a tick to come, or reencrypt_pass_ended. */
void reencrypt_unit_run(struct reencrypt *job);

#endif

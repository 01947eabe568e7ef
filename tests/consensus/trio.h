/* Three consensus objects in one process over an in-memory message pipe, a real loop and real
 * directories. */
#ifndef TESTS_CONSENSUS_TRIO_H
#define TESTS_CONSENSUS_TRIO_H

#include <uv.h>

#include "consensus/consensus.h"

#define TRIO_MAX 4
#define TRIO_STORE_MAX 65536

struct trio;

struct trio_node {
    struct trio *trio;
    uint64_t id;
    char dir[512];
    struct consensus *c;
    bool up, closed, fatal;
    char fatal_what[128];
    /* the store */
    uint64_t applied, synced;
    uint64_t hash; /* of all commands applied */
    uint64_t commands_n;
    bool staged, installing;
    uint8_t staged_token[CONSENSUS_TOKEN_BYTES_MAX];
    size_t staged_token_len;
    uint64_t staged_applied, staged_hash, staged_n;
    unsigned installs_n, snapshots_n;
    uint64_t found; /* at open: the last unapplied entry that holds `wanted` */
};

struct trio_message {
    uint64_t from, to;
    size_t len;
    struct trio_message *next;
    uint8_t data[];
};

struct trio {
    uv_loop_t loop;
    uv_idle_t pipe;
    uv_timer_t guard;
    bool timed_out;
    char base[128];
    struct trio_node nodes[TRIO_MAX + 1]; /* by id */
    struct trio_message *first, **tail;
    bool cut[TRIO_MAX + 1];
    size_t log_keep_bytes;
    unsigned election_timeout_ms; /* 0: 150 */
    bool sync_all;                /* the store is durable at once */
    bool (*wanted)(struct bytes command);
};

void trio_init(struct trio *trio);
void trio_fini(struct trio *trio);
/* Opens a node; with `bootstrap` it makes a new cluster. */
void trio_open(struct trio *trio, uint64_t id, bool bootstrap);
/* Closes it, as a clean stop; the store loses what was not synced. */
void trio_close(struct trio *trio, uint64_t id);
/* Turns the loop until `done` says so; fails the test after ten seconds. */
void trio_until(struct trio *trio, bool (*done)(struct trio *trio, void *arg), void *arg);
uint64_t trio_leader(struct trio *trio); /* waits for one; its id */
/* Waits for the result of each. */
enum qk_err trio_write(struct trio *trio, uint64_t id, const char *text);
enum qk_err trio_read(struct trio *trio, uint64_t id);
enum qk_err trio_add(struct trio *trio, uint64_t leader, uint64_t id);
enum qk_err trio_promote(struct trio *trio, uint64_t leader, uint64_t id);
enum qk_err trio_remove(struct trio *trio, uint64_t leader, uint64_t id);
enum qk_err trio_transfer(struct trio *trio, uint64_t leader, uint64_t id);
/* 1, then 2 and 3 joined as voters. */
void trio_make_three(struct trio *trio);
/* Waits until all nodes that are up have applied the same. */
void trio_equal(struct trio *trio);

#endif

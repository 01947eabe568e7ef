/* A new cluster made on this machine, of a backup or of a disk: what `backup restore` and `recover`
 * share, in this order. Each says what is wrong. */
#ifndef CLI_MAKING_H
#define CLI_MAKING_H

#include "cli/cli.h"
#include "service/backup/new_cluster.h"
#include "service/backup/new_dir.h"
#include "service/backup/offline_store_uv.h"

struct making {
    struct cli *cli;
    struct new_dir dir;
    bool has_dir, has_arena;
    struct offline_store *store; /* dir.path/store.mdb */
    struct old_cluster old;
    struct secret *mk; /* of the old cluster */
    struct new_cluster made;
    struct buf message;
};

/* The process closed to core dumps, the directory begun (--data), its store open and empty. */
MUST_USE enum cli_exit making_begin(struct making *making, struct cli *cli);
/* The store holds the old cluster's records: recovery shares are asked for until `mk` is open. */
MUST_USE enum cli_exit making_open(struct making *making);
/* The rest: rewritten, the new shares shown, the directory given its name. `how`: "backup", "disk".
 */
MUST_USE enum cli_exit making_finish(struct making *making, const char *how);
/* Wipes and closes all; what was not finished is removed. */
void making_fini(struct making *making);

/* MK by the shares that people enter (--share-file or standard input, a prompt on a terminal). */
MUST_USE enum cli_exit making_shares(struct cli *cli, const struct recovery_set *set,
                                     const uint8_t cluster[static CLUSTER_ID_BYTES],
                                     struct secret **ret_mk);
/* The arena for keys, and no core dumps; ended by secret_arena_fini. */
MUST_USE enum cli_exit making_harden(void);

/* The lock of a data directory, so that no quorumkeepd runs in it; -1 if there is none to take. */
MUST_USE enum cli_exit making_lock(const char *dir, int *ret_fd);

#endif

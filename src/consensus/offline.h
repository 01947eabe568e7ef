/* A Raft directory without a running node: for tools that make a cluster from what is left of one.
 * Both block on the disk. */
#ifndef CONSENSUS_OFFLINE_H
#define CONSENSUS_OFFLINE_H

#include "base/bytes.h"

#define OFFLINE_REASON_BYTES 512

/* Makes the directory of a cluster whose only voter is `id`, and whose log begins behind a snapshot
 * at `index` and `term`, which the store must hold. Durable on return. QK_ERR_EXISTS: there is a
 * log already. */
MUST_USE enum qk_err consensus_found(const char *dir, uint64_t id, const char *address,
                                     uint64_t index, uint64_t term, char *ret_reason);

/* As `apply` of struct consensus_config. An empty command only moves the index. */
typedef enum qk_err (*consensus_replay_cb)(void *arg, uint64_t index, uint64_t term, bool last,
                                           struct bytes command);
/* Calls `cb` for everything in the log behind `after`, known to be committed or not. A directory
 * that a crash left is mended first, so this is for a copy. QK_ERR_NOT_FOUND: the log begins later
 * than behind `after`. `ret_last` is the log's last index. */
MUST_USE enum qk_err consensus_replay(const char *dir, uint64_t after, consensus_replay_cb cb,
                                      void *arg, uint64_t *ret_last, char *ret_reason);

/* What a log holds, for people. */
enum consensus_listed_type { CONSENSUS_COMMAND, CONSENSUS_BARRIER, CONSENSUS_CONFIGURATION };

struct consensus_listed {
    uint64_t index, term;
    enum consensus_listed_type type;
    struct bytes command; /* of a COMMAND: one of those that the entry holds */
};

struct consensus_list_head {
    uint64_t term, vote;                    /* as noted on the disk */
    uint64_t snapshot_index, snapshot_term; /* 0: none was taken or installed */
    uint64_t first, last; /* of the entries that are there; none if last < first */
};

/* `head` first, then `entry` for each command and other entry from `from` on. A copy, as above. */
MUST_USE enum qk_err consensus_list(const char *dir, uint64_t from,
                                    void (*head)(void *arg, const struct consensus_list_head *head),
                                    enum qk_err (*entry)(void *arg,
                                                         const struct consensus_listed *entry),
                                    void *arg, char *ret_reason);

#endif

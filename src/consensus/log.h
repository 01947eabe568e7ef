/* The Raft log in memory: entries by index, each with its term. Pure; the disk keeps its own copy.
 * Indexes start at 1; term 0 means "no such entry". */
#ifndef CONSENSUS_LOG_H
#define CONSENSUS_LOG_H

#include "base/bytes.h"

struct log_entry {
    uint64_t term;
    uint8_t type; /* enum raft_entry_type */
    size_t len;
    uint8_t *data; /* owned; NULL when len is 0 */
};

struct entry_log {
    uint64_t first; /* index of the oldest entry kept, or of the next one if there is none */
    size_t n;
    size_t head; /* position of `first` in the ring */
    size_t cap;  /* a power of two, or 0 */
    struct log_entry *ring;
    size_t bytes; /* of payloads and of the entries' own size */
};

void entry_log_init(struct entry_log *log, uint64_t first);
void entry_log_fini(struct entry_log *log);
/* Copies `data`. QK_ERR_NOMEM. */
MUST_USE enum qk_err entry_log_append(struct entry_log *log, uint64_t term, uint8_t type,
                                      struct bytes data);
/* Drops the entry at `index` and all later ones. */
void entry_log_truncate(struct entry_log *log, uint64_t index);
/* Drops all up to and including `index`. */
void entry_log_trim(struct entry_log *log, uint64_t index);
/* Empties the log; the next entry appended has index `first`. */
void entry_log_reset(struct entry_log *log, uint64_t first);

/* first - 1 when empty. */
uint64_t entry_log_last(const struct entry_log *log);
/* NULL if the log does not hold it; valid until the log changes. */
const struct log_entry *entry_log_get(const struct entry_log *log, uint64_t index);
uint64_t entry_log_term(const struct entry_log *log, uint64_t index);
/* The highest index that may be trimmed so that at least `keep_bytes` stay, 0 if none. */
uint64_t entry_log_excess(const struct entry_log *log, size_t keep_bytes);

#endif

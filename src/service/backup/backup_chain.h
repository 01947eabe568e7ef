/* Backup files read offline: one full backup and the increments that go on from it, in their order.
 * Blocking, in constant memory; for tools. What is wrong is said with file, chunk and offset. */
#ifndef SERVICE_BACKUP_BACKUP_CHAIN_H
#define SERVICE_BACKUP_BACKUP_CHAIN_H

#include "keyslot/recovery.h"
#include "store/rows.h"
#include "wire/backup.h"

#define BACKUP_CHAIN_MAX 32

struct backup_chain;

/* Opens the files, reads each to its end (structure and every checksum) and checks that each
 * increment goes on from the one before it. On an error a sentence is appended to `message`:
 * QK_ERR_IO, QK_ERR_CORRUPT, QK_ERR_UNSUPPORTED, QK_ERR_INVALID (they do not belong together). The
 * caller frees with backup_chain_close. `paths` are borrowed until then. */
MUST_USE enum qk_err backup_chain_open(const char *const *paths, size_t n,
                                       struct backup_chain **ret_chain, struct buf *message);
void backup_chain_close(struct backup_chain *chain); /* takes NULL */

/* Of the last one: the moment that all of them together are of. */
const struct backup_head *backup_chain_head(const struct backup_chain *chain);
uint64_t backup_chain_bytes(const struct backup_chain *chain); /* of all files */
/* The records of that moment; the caller frees with rows_free, before it closes the chain or asks
 * for them again. */
MUST_USE enum qk_err backup_chain_rows(struct backup_chain *chain, struct rows **ret_rows,
                                       struct buf *message);
/* For an error of rows_next: which file, and what. */
void backup_chain_explain(const struct backup_chain *chain, const struct rows *rows,
                          struct buf *message);

/* The whole walked once, without keys. */
struct backup_summary {
    uint64_t records_n, bytes; /* of all kinds */
    uint64_t databases_n, documents_n, tombstones_n, keys_n;
    char cluster_name[NODE_NAME_BYTES_MAX + 1];
    /* The record of the recovery shares that open it. */
    uint8_t recovery[RECOVERY_RECORD_BYTES_MAX];
    size_t recovery_len;
};
MUST_USE enum qk_err backup_chain_walk(struct backup_chain *chain,
                                       struct backup_summary *ret_summary, struct buf *message);

/* The MAC of the last one: QK_ERR_CORRUPT, with a sentence, if it was not made by a holder of `mk`.
 * The increments before it are bound to it by their ids, their MK may be an older one. */
MUST_USE enum qk_err backup_chain_check(const struct backup_chain *chain, const struct secret *mk,
                                        struct buf *message);

#endif

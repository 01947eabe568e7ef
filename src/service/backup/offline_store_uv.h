/* A store in the hands of a tool: opened in a loop of its own, each call blocking until it is done.
 */
#ifndef SERVICE_BACKUP_OFFLINE_STORE_UV_H
#define SERVICE_BACKUP_OFFLINE_STORE_UV_H

#include "store/rows.h"

struct offline_store;

/* Opens or makes the file. On an error a sentence is appended to `message`. */
MUST_USE enum qk_err offline_store_open(const char *path, struct offline_store **ret_store,
                                        struct buf *message);
struct store *offline_store(const struct offline_store *store);
/* All that was applied is in the file. */
MUST_USE enum qk_err offline_store_flush(struct offline_store *store);
/* The records become the content of the store, which must hold less; `rows` is read to its end.
 * QK_ERR_CORRUPT by `rows` itself: rows_fault. */
MUST_USE enum qk_err offline_store_take(struct offline_store *store, struct rows *rows);
/* The records of the store as rows, for the other's take. The caller frees before this store is
 * closed. */
MUST_USE enum qk_err offline_store_rows(struct offline_store *store, struct rows **ret_rows);
/* Flushes; not-OK: what was applied last may not be there. Takes NULL. */
MUST_USE enum qk_err offline_store_close(struct offline_store *store);

#endif

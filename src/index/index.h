/* One index, in memory or on the disk (disk.h): rows in the order of their sort keys, equal ones by
 * document id, those of one document in the order in which it gave them.
 *
 * A row remembers the data key that its document is under as a small number, its slot, so that a
 * reader's rights are asked once a key and not once a row. Rows are plaintext: what is freed is
 * wiped. Memory is counted (index_bytes); who owns several indexes bounds their sum.
 *
 * In memory it is pure but for randomness: it draws the key of its hash table and the heights of
 * its rows. On the disk its rows are put by index_disk_put, and only index_rank and
 * index_cursor_skip do nothing for it; document ids in bounds are then names of records. The loop's
 * thread only. */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

#define INDEX_KEY_ID_BYTES 16
#define INDEX_SLOTS_MAX 100000   /* as many data keys as there can be */
#define INDEX_ROW_BYTES_MAX MIB  /* of one row: its sort key, key and value */
#define INDEX_DOC_ROWS_MAX 10000 /* of one document */

struct index;

/* What one document gives: the caller's memory, copied by index_put. */
struct index_emit {
    struct bytes sort;  /* doc/collate.h */
    struct bytes key;   /* JSON */
    struct bytes value; /* JSON */
};

/* Borrowed: valid until the index changes. */
struct index_row {
    struct bytes sort;
    struct bytes id;
    struct bytes key;
    struct bytes value;
    uint32_t slot;
    const uint8_t *key_id; /* INDEX_KEY_ID_BYTES */
};

MUST_USE enum qk_err index_new(struct index **ret_index);
void index_free(struct index *index); /* takes NULL */

/* Puts these rows in the place of all that the document had. QK_ERR_NOMEM and QK_ERR_TOO_BIG (a row
 * over INDEX_ROW_BYTES_MAX, too many rows) leave it without any. */
MUST_USE enum qk_err index_put(struct index *index, struct bytes id,
                               const uint8_t key_id[static INDEX_KEY_ID_BYTES],
                               const struct index_emit *emits, size_t emits_n);
void index_remove(struct index *index, struct bytes id);

/* Memory in use, about. */
size_t index_bytes(const struct index *index);
uint64_t index_rows_n(const struct index *index);
/* Rises with each change: what a reader gathered over several turns may be of no one moment. */
uint64_t index_changes(const struct index *index);

/* Slots are numbered from 0 as data keys are met, and never change. */
uint32_t index_slots_n(const struct index *index);
const uint8_t *index_slot_key(const struct index *index, uint32_t slot);
uint64_t index_slot_rows(const struct index *index, uint32_t slot);

/* A place between two rows: before or behind all rows that have this sort key (and, with has_id,
 * this document id). */
struct index_bound {
    struct bytes sort;
    bool has_id;
    struct bytes id;
    bool behind;
};

/* The rows lie on the disk: their places are not numbered. */
bool index_is_on_disk(const struct index *index);

/* How many rows stand before that place; NULL: behind all. Of an index in memory (asserted). */
uint64_t index_rank(const struct index *index, const struct index_bound *bound);

/* A walk over the rows between two places; it goes on behind its last row when the index has
 * changed meanwhile. */
struct index_cursor {
    const struct index *index;
    bool descending;
    bool has_to;
    struct buf to;   /* copies, secret */
    struct buf at;   /* the last row's sort key and id, or the start */
    struct buf mark; /* index_cursor_mark */
    struct index_bound to_bound, at_bound, mark_bound;
    uint32_t at_nth; /* and which of that document's rows */
    uint32_t mark_nth;
    bool begun, mark_begun;
    const void *node; /* the next row, while `changes` is the index's */
    uint64_t changes;
    /* Of an index on the disk: the row shown last, and its place, both in `row`. */
    struct buf row; /* secret */
    struct bytes row_place;
    struct index_row shown;
    bool peeked; /* `shown` is the next one, while `changes` is the index's */
};

/* From `from` (NULL: the beginning of the walk) towards `to` (NULL: its end), which are copied; a
 * descending walk begins at the higher place. The index must outlive it. Ends with
 * index_cursor_fini, on errors too. */
MUST_USE enum qk_err index_cursor_open(struct index_cursor *cursor, const struct index *index,
                                       const struct index_bound *from, const struct index_bound *to,
                                       bool descending);
/* QK_ERR_NOT_FOUND at the end; QK_ERR_NOMEM. On the disk QK_ERR_CORRUPT, QK_ERR_SEALED, QK_ERR_BUSY
 * (it is looked through, or made anew), and the row is valid until the next call on the cursor. */
MUST_USE enum qk_err index_cursor_next(struct index_cursor *cursor, struct index_row *ret_row);
/* The same without going on. */
MUST_USE enum qk_err index_cursor_peek(struct index_cursor *cursor, struct index_row *ret_row);
/* Remembers the place before the next row, and goes back to it. */
MUST_USE enum qk_err index_cursor_mark(struct index_cursor *cursor);
MUST_USE enum qk_err index_cursor_rewind(struct index_cursor *cursor);
/* Passes over up to `n` rows at once; `ret_passed` are fewer at the end. Costs no walk; on the disk
 * it passes none. */
MUST_USE enum qk_err index_cursor_skip(struct index_cursor *cursor, uint64_t n,
                                       uint64_t *ret_passed);
void index_cursor_fini(struct index_cursor *cursor);

#endif

/* A file of ordered rows beside the store: where an index of kind plain or blind lies. It is this
 * node's own, never replicated, and can be made again at any time, so it is thrown away whenever in
 * doubt: in its own words, it opens as an empty one.
 *
 * Commits are not synced one by one. The kernel keeps what a killed process wrote, so a file whose
 * <path>-open names this boot of the machine is whole, and one without was closed and synced. With
 * the name of another boot (the power failed), or when the check that follows each opening was not
 * ended (index_file_sound: the file may be what ended the process), it is removed.
 *
 * It knows no keys: what must not be read by who has the disk is sealed by the caller
 * (index/disk.h). The loop's thread only. What is read is borrowed until the next call that writes.
 */
#ifndef STORE_INDEX_FILE_H
#define STORE_INDEX_FILE_H

#include <stdbool.h>

#include "base/bytes.h"

/* LMDB's own limit is 511: one byte is left, so that the place behind a key can be named. */
#define INDEX_FILE_KEY_BYTES_MAX 510

struct index_file;

/* Opens or makes it (0600). */
MUST_USE enum qk_err index_file_open(const char *path, struct index_file **ret_file);
/* Its contents were looked through and are sound: a kill from now on costs nothing. */
MUST_USE enum qk_err index_file_sound(struct index_file *file);
/* With `keep` what is committed is synced and stays; else it is removed. Takes NULL. */
void index_file_close(struct index_file *file, bool keep);
/* Removes one that is not open, if it is there. */
void index_file_remove(const char *path);

/* QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err index_file_get(struct index_file *file, struct bytes key,
                                    struct bytes *ret_value);
/* The first row at `place` or behind it; descending: the last before it. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err index_file_seek(struct index_file *file, struct bytes place, bool descending,
                                     struct bytes *ret_key, struct bytes *ret_value);

/* What is written is seen at once, and stays with index_file_commit. QK_ERR_FULL: the disk. */
MUST_USE enum qk_err index_file_put(struct index_file *file, struct bytes key, struct bytes value);
MUST_USE enum qk_err index_file_delete(struct index_file *file, struct bytes key);
MUST_USE enum qk_err index_file_commit(struct index_file *file);
/* Another descriptor of the file, for the caller to fdatasync on any thread and to close; -1. */
int index_file_descriptor(const struct index_file *file);
uint64_t index_file_bytes(const struct index_file *file);

#endif

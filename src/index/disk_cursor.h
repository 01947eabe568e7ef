/* What index_cursor_* do where the rows lie on the disk; cursor.c alone calls these. */
#ifndef INDEX_DISK_CURSOR_H
#define INDEX_DISK_CURSOR_H

#include "index/index.h"

MUST_USE enum qk_err disk_cursor_open(struct index_cursor *cursor, const struct index_bound *from,
                                      const struct index_bound *to);
MUST_USE enum qk_err disk_cursor_peek(struct index_cursor *cursor, struct index_row *ret_row);
MUST_USE enum qk_err disk_cursor_next(struct index_cursor *cursor, struct index_row *ret_row);
MUST_USE enum qk_err disk_cursor_mark(struct index_cursor *cursor);
MUST_USE enum qk_err disk_cursor_rewind(struct index_cursor *cursor);

#endif

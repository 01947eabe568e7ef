/* One line of the audit log: making it, and reading it back strictly. */
#ifndef AUDIT_AUDIT_LINE_H
#define AUDIT_AUDIT_LINE_H

#include "audit/audit.h"

#define AUDIT_TIME_BYTES 25 /* "2026-01-02T03:04:05.678Z" and the final zero */

struct audit_line {
    uint64_t seq;
    uint8_t prev[AUDIT_HASH_BYTES];
    uint8_t hash[AUDIT_HASH_BYTES];
};

/* Appends the line, newline included, to `out` and gives its hash. QK_ERR_TOO_BIG. */
MUST_USE enum qk_err audit_line_build(uint64_t seq, const char *when, const char *event,
                                      const struct audit_field *fields, unsigned fields_n,
                                      const uint8_t prev[static AUDIT_HASH_BYTES], struct buf *out,
                                      uint8_t ret_hash[static AUDIT_HASH_BYTES]);

/* Reads a line without its newline. QK_ERR_INVALID: not of this shape; QK_ERR_CORRUPT: its hash is
 * not that of its bytes. */
MUST_USE enum qk_err audit_line_parse(struct bytes line, struct audit_line *ret_line);

/* The sequence alone, without checking anything else; 0: not a line. */
uint64_t audit_line_seq(struct bytes line);
/* The value of a field as it stands in the line, escaped. False: it has none of that name. Of a
 * line that was not parsed any bytes may come back, but nothing outside of it. */
bool audit_line_field(struct bytes line, const char *name, struct bytes *ret_value);

#endif

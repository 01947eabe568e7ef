/* Rows of a database as two nodes tell each other of them, to find which differ:
 *
 *     row = name len u16 ‖ name ‖ version u64 ‖ stamp u64 ‖ digest[16]
 *
 * and what follows from one node's row and the other's. Pure. */
#ifndef SERVICE_INTEGRITY_INTEGRITY_ROWS_H
#define SERVICE_INTEGRITY_INTEGRITY_ROWS_H

#include "keys/multiset.h"

#define INTEGRITY_ROW_DIGEST_BYTES 16 /* of multiset_digest: nobody gains by a collision here */

struct integrity_row {
    struct bytes name;
    uint64_t version, stamp;
    uint8_t digest[INTEGRITY_ROW_DIGEST_BYTES];
};

void integrity_row_put(const struct integrity_row *row, struct buf *out);
/* QK_ERR_NOT_FOUND at the end, QK_ERR_INVALID for what is no row. */
MUST_USE enum qk_err integrity_row_read(struct reader *reader, struct integrity_row *ret_row);

/* What a node finds of one record when it holds it against a peer's. */
enum integrity_verdict {
    INTEGRITY_SAME,
    INTEGRITY_NEWER,  /* written here after the peer's rows were read: nothing to be said */
    INTEGRITY_ABSENT, /* gone here: deleted since, or taken away: to be asked again */
    INTEGRITY_DIFFERENT
};
/* `here` NULL: there is none; `there` of a file that has all writes up to `stamp`, all of which
 * have been applied here, too. */
enum integrity_verdict integrity_judge(const struct integrity_row *here,
                                       const struct integrity_row *there, uint64_t stamp);

/* What was done to the record of the one who is wrong; a version of 0: it has none. */
enum integrity_harm {
    INTEGRITY_ROLLED_BACK,
    INTEGRITY_DELETED,
    INTEGRITY_INSERTED,
    INTEGRITY_CHANGED
};
enum integrity_harm integrity_harm(const struct integrity_row *wrong,
                                   const struct integrity_row *right);
const char *integrity_harm_text(enum integrity_harm harm);

#endif

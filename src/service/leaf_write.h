/* One revision of a document as JSON: what GET, open_revs and _bulk_get share. */
#ifndef SERVICE_LEAF_WRITE_H
#define SERVICE_LEAF_WRITE_H

#include "service/read.h"

/* The document that the leaf is of; borrowed. */
struct leaf_at {
    const uint8_t *database; /* DATABASE_ID_BYTES */
    struct bytes name;       /* of its record */
    struct bytes id;
};

/* Opens the body and appends {"_id":...,"_rev":...,...} to `out`, which must be secret. Errors as
 * stored_open; then `out` is as it was, but for QK_ERR_NOMEM and QK_ERR_TOO_BIG. */
MUST_USE enum qk_err leaf_write(struct service *service, const struct leaf_at *at,
                                const struct doc_leaf *leaf, const struct document_options *options,
                                struct buf *out);

/* The options of a query: revs, revs_info, conflicts, deleted_conflicts, meta; `local_seq` apart,
 * since its text is the caller's. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err leaf_options(const struct request *request,
                                  struct document_options *ret_options, bool *ret_local_seq,
                                  struct doc_problem *ret_problem);

#endif

/* The replication protocol's bodies (docs.couchdb.org, replication/protocol): each function turns
 * the reply of one step, which another server made, into what the next one asks. Pure.
 *
 * Errors of all: QK_ERR_INVALID for a reply that is not of the protocol's shape, QK_ERR_TOO_BIG,
 * QK_ERR_NOMEM. What is appended to a buffer before an error means nothing. */
#ifndef DOC_REPLICATION_H
#define DOC_REPLICATION_H

#include "doc/json.h"

#define REPLICATION_SESSION_BYTES 32 /* hex */
#define REPLICATION_HISTORY_MAX 50   /* sessions that a checkpoint remembers, as CouchDB's */

struct replication_counts {
    uint64_t missing_checked, missing_found, docs_read, docs_written, doc_write_failures;
};

/* A page of _changes. The caller owns `last_seq`. */
struct replication_page {
    json_t *last_seq;
    size_t rows_n, revs_n;
    uint64_t pending;
};
/* Appends the body for _revs_diff. */
MUST_USE enum qk_err replication_read_changes(struct bytes reply, struct buf *out,
                                              struct replication_page *ret_page);
/* The reply of _revs_diff: [{"id","rev"}...]; the caller owns it. */
MUST_USE enum qk_err replication_read_diff(struct bytes reply, json_t **ret_missing);
/* Appends the body for _bulk_get of missing[at..at+n). */
MUST_USE enum qk_err replication_write_bulk_get(const json_t *missing, size_t at, size_t n,
                                                struct buf *out);
/* What a reply of _bulk_get holds besides the documents that are appended: [{"id","rev"}...] of
 * those that have attachments as stubs, the caller's. */
struct replication_docs {
    size_t docs_n;   /* appended */
    size_t failed_n; /* not given */
    json_t *brief;   /* contents of at most REPLICATION_BRIEF_BYTES in all */
    json_t *lengthy; /* more than that, or nobody said how much */
};
#define REPLICATION_BRIEF_BYTES (256 * KIB)
/* The reply of _bulk_get: appends the body for _bulk_docs. On errors nothing is the caller's. */
MUST_USE enum qk_err replication_read_bulk_get(struct bytes reply, struct buf *out,
                                               struct replication_docs *ret_docs);
/* Leaves zeros; zeros are fine. */
void replication_docs_fini(struct replication_docs *docs);
/* Appends the path of a document of [{"id","rev"}], with its slash, without a query. */
void replication_put_doc_path(const json_t *missing, struct buf *out);
/* The reply of _bulk_docs with new_edits=false: how many it refused. */
MUST_USE enum qk_err replication_read_bulk_docs(struct bytes reply, size_t *ret_failed_n);
/* Appends `since` as a value of a query: a string as it is, anything else as JSON, escaped. */
void replication_put_since(const json_t *since, struct buf *out);

/* --- checkpoints --- */

/* Up to where both logs agree that was replicated, borrowed from them; NULL: from the beginning.
 * Either may be NULL. */
const json_t *replication_common_seq(const json_t *source_log, const json_t *target_log);

struct replication_session {
    char id[REPLICATION_SESSION_BYTES + 1];
    char start_time[32], end_time[32]; /* of RFC 1123 */
    const json_t *start_seq, *recorded_seq;
    struct replication_counts counts;
};
/* This session as an element of a history; NULL without memory. */
json_t *replication_session_json(const struct replication_session *session);
/* Appends the log to be put in the place of `log` (NULL: there was none). */
MUST_USE enum qk_err replication_write_log(const json_t *log,
                                           const struct replication_session *session,
                                           struct buf *out);

#endif

/* validate_doc_update of a database's design documents: each write of a document is shown to them
 * before it is made, on the leader, while it holds its place in the document's line.
 *
 *     evaluate: validation_check -> not known yet: nothing is proposed
 *     -> validation_wait: design documents are read, the functions run -> evaluate again
 *
 * What a function is shown of the document that is replaced its writer must be allowed to read, who
 * is told what it says. One that cannot be read, or run, refuses. Design documents themselves and
 * _local ones are not validated, as in CouchDB. */
#ifndef SERVICE_VALIDATION_H
#define SERVICE_VALIDATION_H

#include "doc/problem.h"
#include "service/designs.h"
#include "service/read.h"

struct write;
struct script_job;

/* What is known of one write; zeros: nothing. */
struct validation_verdict {
    bool known, waits;          /* waits: to be known after validation_wait */
    uint64_t version, epoch;    /* of the record, and of the design documents, that it is about */
    struct doc_problem refusal; /* status 0: it may be made */
};

/* Of one request. Ends with validation_fini. */
struct validation {
    struct service *service;
    struct script_job *job; /* NULL: not made yet */
    uint64_t job_epoch;
    struct write **asked; /* those in the job, in order */
    size_t asked_n, asked_cap;
    uint8_t cold[DATABASE_ID_BYTES]; /* whose design documents must be read first */
    bool is_cold;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
};

void validation_fini(struct validation *validation);
/* At the beginning of each evaluation of the request. */
void validation_begin(struct validation *validation, struct service *service);
/* `write` is to be made over `parent` (NULL: none) of `stored`. *ret_ready: it may be (or
 * `write->state` says why not: WRITE_REFUSED, WRITE_NO_GRANT); else it must wait. */
MUST_USE enum qk_err validation_check(struct validation *validation, struct write *write,
                                      const struct catalog_database *database, struct bytes name,
                                      const struct stored *stored, const struct doc_leaf *parent,
                                      bool *ret_ready);
/* Calls `cb` once, from the loop, when it can be evaluated again. QK_ERR_NOT_FOUND: nothing waits.
 */
MUST_USE enum qk_err validation_wait(struct validation *validation,
                                     void (*cb)(void *arg, enum qk_err err), void *arg);

#endif

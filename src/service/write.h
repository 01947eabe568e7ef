/* Writing one document: the decision and the sealing, shared by PUT, POST, DELETE and bulk. */
#ifndef SERVICE_WRITE_H
#define SERVICE_WRITE_H

#include "doc/document.h"
#include "service/catalog.h"
#include "service/exchange.h"
#include "service/read.h"
#include "service/validation.h"
#include "service/write_atts.h"
#include "wire/command.h"
#include "wire/records.h"

enum write_state {
    WRITE_OPEN,     /* to be decided, or proposed and not yet known */
    WRITE_DONE,     /* applied: `revision` is the new one; replicated: or it was known */
    WRITE_CONFLICT, /* the given revision is not a leaf, or one was needed */
    WRITE_MISSING,  /* DELETE: there is no such document */
    WRITE_DELETED,  /* DELETE: it is deleted already */
    WRITE_NO_DATABASE,
    WRITE_NO_KEY,        /* `_key_id` names no data key */
    WRITE_DENIED,        /* no right to write here: `err`, denied or not logged in any more */
    WRITE_REFUSED,       /* by a validation function: `verdict.refusal` */
    WRITE_NO_GRANT,      /* no grant to encrypt under the new key, or the document's present one */
    WRITE_NO_STUB,       /* a stub, `missing`, of an attachment that the document has not */
    WRITE_NO_ATTACHMENT, /* DELETE of an attachment that is not there */
    WRITE_FAILED,        /* `err` */
};

/* clang-format off */
#define WRITE_NO_GRANT_REASON \
    "You have no grant to encrypt under the data key of this write, or of what it replaces, " \
    "or to decrypt what it keeps."
/* clang-format on */

struct write {
    struct exchange *exchange;  /* whose principal writes */
    struct bytes database_name; /* borrowed */
    struct bytes id;            /* borrowed */
    const struct document *document;
    struct bytes attachment; /* edits this one alone, the rest is as it was. Empty: all is new */
    struct bytes missing;    /* of WRITE_NO_STUB; borrowed from the document */
    enum write_state state;
    enum qk_err err;
    struct revision revision;
    char key_name[128]; /* of the data key used: for X-Quorumkeep-Key */
    uint32_t key_version;
    bool clear;      /* the database is declared clear: the body is not encrypted */
    bool key_anew;   /* under the key of the database, whatever key it was under */
    bool must_exist; /* DELETE: CouchDB says 404 before it looks at revisions */
    bool replicated; /* new_edits=false: its revision and path are the document's own */
    struct validation *validation; /* of the request; NULL: none is asked */
    struct validation_verdict verdict;
    bool revision_is_unknown; /* of WRITE_CONFLICT: the document never had the revision given */
    bool same_id_earlier;     /* bulk: an earlier one of the request writes the same document */
};

/* Evaluates against the store as it is now. Decides `write->state`, or leaves it open and appends
 * one batch to `command`. Not QK_OK only for what ends the whole request (sealed, out of memory).
 */
MUST_USE enum qk_err write_evaluate(struct service *service, struct write *write,
                                    struct wire_command *command);
/* How an evaluation ends that met `err`: in the write's state, where it is this write's own; else
 * `err` again. */
MUST_USE enum qk_err write_concluded(struct service *service, struct write *write, enum qk_err err);

/* One record made anew: what a batch of several needs, whose conditions come before its
 * operations. Ends with write_made_fini. */
struct write_made {
    struct record_key key;
    uint64_t version;
    uint8_t flags;
    uint8_t key_id[KEY_ID_BYTES]; /* of the data key it is sealed under */
    bool sealed;                  /* a body is; else only the tree of revisions has changed */
    struct buf value;
    struct write_atts atts;
};
#define WRITE_MADE_INIT                                                                            \
    ((struct write_made){.value = BUF_INIT(RECORD_VALUE_BYTES_MAX), .atts = WRITE_ATTS_INIT})

/* Seals `document` over what is `stored` under `id` (its winner is the parent), without CouchDB's
 * rule for revisions and under the key of the database. Changes `stored`. */
MUST_USE enum qk_err write_record(struct service *service, const struct catalog_database *database,
                                  struct bytes id, const struct document *document,
                                  struct stored *stored, struct write_made *ret_made);
/* What it depends on, into the open batch: the database is the same, the key's version active. */
void write_made_conds(struct service *service, const struct catalog_database *database,
                      const struct write_made *made, struct wire_command *command);
void write_made_put(struct service *service, const struct write_made *made,
                    struct wire_command *command);
void write_made_fini(struct write_made *made);
/* The line in which a write stands: the document's record, or without such a database its name, so
 * that the answer is found in turn as well. */
MUST_USE enum qk_err write_latch(struct service *service, struct bytes database_name,
                                 struct bytes id, struct record_key *ret_key);
/* The words of WRITE_NO_STUB: CouchDB's. */
void write_no_stub_reason(const struct write *write, char ret_reason[static DOC_REASON_BYTES_MAX]);
/* {"ok":true,"id":...,"rev":...} of a write that is done, appended to `out`. */
void write_put_result(const struct write *write, struct buf *out);
void write_put_done(struct bytes id, const char *revision, struct buf *out);
/* The reply to the one write of a request, whatever became of it. */
void write_reply(struct service *service, struct exchange *exchange, const struct write *write,
                 int status_ok, enum qk_err err);

/* How the one write of a request is meant. */
struct write_how {
    int status_ok;
    bool must_exist; /* DELETE */
    bool replicated; /* new_edits=false */
    bool batch;      /* batch=ok: 202 without a revision, as CouchDB; it is written all the same */
    struct bytes attachment; /* edits this one alone: the document has it, or none (DELETE) */
    /* Called, if not NULL, when the write has ended and the exchange is gone. */
    void (*ended)(void *arg);
    void *ended_arg;
};
/* PUT, POST, DELETE and COPY: one write from `exchange`, which is answered. Takes over `document`.
 */
void write_one(struct service *service, struct exchange *exchange, struct bytes id,
               struct document *document, const struct write_how *how);

#endif

/* One reply of _changes: what its files share. */
#ifndef SERVICE_FEEDS_CHANGES_PRIVATE_H
#define SERVICE_FEEDS_CHANGES_PRIVATE_H

#include "doc/document.h"
#include "service/feeds/changes_filter.h"
#include "service/documents/contents.h"
#include "service/feeds/feed_form.h"
#include "service/feeds/feeds.h"
#include "service/stream.h"
#include "service/visible.h"
#include "store/store.h"

/* What the request asks for. */
struct changes_wish {
    struct feed_form form;
    uint64_t since, limit, seq_interval; /* seq_interval 0: none */
    bool since_ours;                     /* `since` names this database: it was told by a member */
    bool since_now, descending, include_docs, conflicts, all_leaves;
    bool attachments; /* their contents, in the documents */
};

enum changes_phase {
    CHANGES_HEAD,
    CHANGES_ROWS,
    CHANGES_CONTENTS, /* of the attachments of a row's document; then ROWS again */
    CHANGES_REST,     /* all is told, and it waits for more */
    CHANGES_BEAT,     /* says that it is still there */
    CHANGES_PENDING,
    CHANGES_TAIL
};

struct changes {
    struct stream stream;
    struct feed feed; /* in no registry: a normal one */
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    struct visible visible;
    struct changes_wish wish;
    struct changes_filter filter;
    struct store_cursor *cursor; /* NULL: not reading */
    struct store_stats stats;    /* as of the read point, or when it woke last */
    uint64_t read_seq;           /* the newest sequence at the read point: the file has it */
    uint64_t end;                /* the newest sequence when these rows began */
    bool read_on;                /* these rows are not at their end yet */
    enum changes_phase phase;
    unsigned retry; /* FEED_*: what it was woken for when nobody's rights were known */
    uint64_t rows_n;
    uint64_t last_seq;
    uint64_t pending;
    uint64_t walked;               /* rows looked at for that */
    struct buf id;                 /* secret: of the row, where ids are hidden */
    struct contents *contents;     /* in CHANGES_CONTENTS: of the row's document */
    uint64_t row_seq;              /* and its sequence */
    struct changes_script *script; /* changes_script.c; NULL: no JavaScript */
};

/* --- changes_wish.c --- */

/* QK_ERR_INVALID with the problem, in CouchDB's words. Needs `changes->visible`. */
MUST_USE enum qk_err changes_wish_read(const struct request *request, struct changes *changes,
                                       struct doc_problem *ret_problem);

/* --- changes_row.c --- */

/* Appends the row of that record, if the reader may see it and the filter lets it through. */
MUST_USE enum qk_err changes_row_put(struct changes *changes, const struct store_row *row);
/* In CHANGES_CONTENTS: some more of the row that was begun. */
MUST_USE enum qk_err changes_row_step(struct changes *changes);
void changes_contents_free(struct changes *changes);
/* Whether the reader may see the row: every leaf of it, since a row may name them all. */
MUST_USE enum qk_err changes_row_shown(struct changes *changes, const struct doc_record *record,
                                       bool *ret_shown);
/* The row of a document, for which each leaf's `passes` says whether the filter lets it through;
 * none, and nothing is appended. */
MUST_USE enum qk_err changes_row_judged(struct changes *changes, const struct store_row *row,
                                        const bool *passes);
/* One leaf as the filter is to see it, appended. QK_ERR_DESTROYED: its key is gone. */
MUST_USE enum qk_err changes_row_leaf(struct changes *changes, const struct store_row *row,
                                      const struct doc_record *record, const struct doc_leaf *leaf,
                                      struct buf *out);
MUST_USE enum qk_err changes_tail_put(struct changes *changes);

/* --- changes_script.c: a filter in JavaScript --- */

/* Rows are gathered, judged together by a worker, and then put in their order. */
MUST_USE enum qk_err changes_script_new(struct changes *changes,
                                        struct changes_script **ret_script);
void changes_script_free(struct changes_script *script); /* takes NULL */
/* For a feed that rests: lets go of memory and worker. */
void changes_script_rest(struct changes_script *script);
/* Takes a row that the reader may see. */
MUST_USE enum qk_err changes_script_add(struct changes_script *script, const struct store_row *row,
                                        const struct doc_record *record);
/* Rows gathered, or judged and not yet put. */
size_t changes_script_rows_n(const struct changes_script *script);
/* Has those gathered judged, if they are enough or `all` is set: stream.wait is set then. */
MUST_USE enum qk_err changes_script_go(struct changes_script *script, bool all);
/* Judged rows are there: changes_script_put_next puts the next of them, if it passes. */
bool changes_script_is_judged(const struct changes_script *script);
MUST_USE enum qk_err changes_script_put_next(struct changes_script *script, uint64_t *ret_seq);

#endif

/* One reply of _changes: what its files share. */
#ifndef SERVICE_CHANGES_PRIVATE_H
#define SERVICE_CHANGES_PRIVATE_H

#include "doc/document.h"
#include "service/changes_filter.h"
#include "service/contents.h"
#include "service/feed_form.h"
#include "service/feeds.h"
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
    enum changes_phase phase;
    unsigned retry; /* FEED_*: what it was woken for when nobody's rights were known */
    uint64_t rows_n;
    uint64_t last_seq;
    uint64_t pending;
    uint64_t walked;           /* rows looked at for that */
    struct buf id;             /* secret: of the row, where ids are hidden */
    struct contents *contents; /* in CHANGES_CONTENTS: of the row's document */
    uint64_t row_seq;          /* and its sequence */
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
MUST_USE enum qk_err changes_tail_put(struct changes *changes);

#endif

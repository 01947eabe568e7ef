/* The revisions of one document that a request asks for by name: open_revs and _bulk_get. The
 * record is copied, so that a reply of several turns is of one moment. */
#ifndef SERVICE_DOCUMENTS_REVS_H
#define SERVICE_DOCUMENTS_REVS_H

#include "service/leaf_write.h"
#include "service/visible.h"

/* Revisions that one request may name. */
#define REVS_NAMED_MAX 10000

/* One of the answers: a leaf, or the text of a revision that is not there. */
struct revs_item {
    const struct doc_leaf *leaf; /* NULL: missing */
    struct bytes missing;        /* borrowed from the JSON */
};

struct revs {
    struct record_key key;
    struct buf value; /* of the record */
    struct doc_record record;
    uint64_t seq;
    struct revs_item *items;
    size_t items_n;
};
#define REVS_EMPTY ((struct revs){.value = BUF_INIT(RECORD_VALUE_BYTES_MAX)})

/* Reads the document `id` (none: no leaves). QK_ERR_DENIED: it is not shown to this reader, and
 * nothing else of it may be told. The caller ends with revs_fini, on errors too. */
MUST_USE enum qk_err revs_read(struct visible *visible, bool hidden, struct bytes id,
                               struct revs *revs);
/* Every leaf, the winner first. */
MUST_USE enum qk_err revs_all(struct revs *revs);
/* Those that `names`, an array of strings, names; with `latest` each leaf that descends from one.
 * What is no leaf is missing: bodies of earlier revisions are not kept. */
MUST_USE enum qk_err revs_named(struct revs *revs, const json_t *names, bool latest);
void revs_fini(struct revs *revs);

/* An array of revisions, as CouchDB's parse_revs takes it. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err revs_names_check(const json_t *names, struct doc_problem *ret_problem);

#endif

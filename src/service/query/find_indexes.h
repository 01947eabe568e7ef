/* The Mango indexes of a database as one reader knows them: the views of its design documents of
 * language `query` that have CouchDB's shape of an index (`fields` an object, `options` beside the
 * map). Those in a design document that the reader may not decrypt are not there for them. */
#ifndef SERVICE_QUERY_FIND_INDEXES_H
#define SERVICE_QUERY_FIND_INDEXES_H

#include "doc/json.h"
#include "doc/view.h"
#include "service/visible.h"

#define FIND_INDEXES_MAX 1000
#define FIND_COLUMNS_MAX 64

struct find_index {
    json_t *design; /* a reference; with its `_id` */
    struct bytes design_id, name;
    json_t *map; /* {"fields":{...},"partial_filter_selector":{...}}, borrowed */
    struct bytes columns[FIND_COLUMNS_MAX];
    size_t columns_n;
    bool partial;
    enum view_kind kind; /* where its rows are */
};

struct find_indexes {
    struct find_index *list; /* by design document and name */
    size_t n, cap;

    struct visible *visible; /* the reader's, for as long as it gathers */
    void (*ready)(void *arg, enum qk_err err);
    void *arg;
};

/* Begins to gather, after the read point; `ready` fires later, once, and the store's file has then
 * all that was written before. QK_ERR_TOO_BIG: too many indexes or design documents. `indexes` is
 * all zeros before; find_indexes_fini ends it, not before `ready` has fired. */
void find_indexes_gather(struct find_indexes *indexes, struct visible *visible,
                         void (*ready)(void *arg, enum qk_err err), void *arg);
void find_indexes_fini(struct find_indexes *indexes);

/* The indexes in one design document (with its `_id`) are added. QK_ERR_TOO_BIG, QK_ERR_NOMEM. */
MUST_USE enum qk_err find_indexes_add(struct find_indexes *indexes, json_t *design);
/* {"ddoc":...,"name":...,"type":"json","partitioned":false,"def":{...}}; of NULL: _all_docs. NULL
 * without memory. */
json_t *find_index_json(const struct find_index *index);

#endif

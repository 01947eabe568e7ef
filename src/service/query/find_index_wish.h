/* What a request to make or remove Mango indexes asks for. */
#ifndef SERVICE_QUERY_FIND_INDEX_WISH_H
#define SERVICE_QUERY_FIND_INDEX_WISH_H

#include "doc/json.h"
#include "doc/view.h"
#include "service/exchange.h"
#include "service/service.h"

#define FIND_INDEX_NAME_BYTES_MAX 256
#define FIND_DESIGN_ID_BYTES_MAX 256
#define FIND_BULK_DELETE_MAX 1000

struct find_index_wish {
    struct buf design; /* "_design/x" */
    struct buf name;
    enum view_kind kind;
    json_t *view; /* the view that the design document is to have */
};

/* Of POST /{db}/_index. A name that is not given is made of the definition: the same definition has
 * the same name, and who cannot read the index cannot tell its fields from it. The caller ends with
 * find_index_wish_fini, on errors too. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err find_index_wish_parse(const struct service *service,
                                           const struct request *request,
                                           struct find_index_wish *ret_wish,
                                           struct doc_problem *ret_problem);
void find_index_wish_fini(struct find_index_wish *wish);

/* Appends the id of a design document that is named with or without `_design/`. */
void find_design_id(struct bytes name, struct buf *out);
/* The array `docids` of a body, a new reference. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err find_bulk_wish_parse(const struct request *request, json_t **ret_ids,
                                          struct doc_problem *ret_problem);

/* `design` (a whole document, NULL: there is none yet) with that view: a new object, or NULL with
 * QK_OK if it has it already. */
MUST_USE enum qk_err find_design_add(const json_t *design, struct bytes id, struct bytes name,
                                     json_t *view, enum view_kind kind,
                                     struct doc_problem *ret_problem, json_t **ret_design);
/* Without the index of that name; empty: without any. The last one takes the document with it:
 * {"_deleted":true}. NULL with QK_OK: it has no such index. */
MUST_USE enum qk_err find_design_remove(const json_t *design, struct bytes name,
                                        json_t **ret_design);

#endif

/* The body of _bulk_docs as documents. */
#ifndef SERVICE_DOCUMENTS_BULK_TEXT_H
#define SERVICE_DOCUMENTS_BULK_TEXT_H

#include "doc/document.h"
#include "wire/command.h"

#define BULK_DOCS_MAX WIRE_BATCHES_MAX

struct bulk_text {
    struct document *documents; /* owned */
    size_t n, cap;
    bool replicated; /* new_edits=false */
};

/* Touches nothing but its arguments, so that it may run on the pool. What is wrong with one
 * document refuses all. The caller ends with bulk_text_fini, on errors too. QK_ERR_INVALID with the
 * problem, QK_ERR_NOMEM. */
MUST_USE enum qk_err bulk_text_parse(struct bytes body, struct bulk_text *ret_text,
                                     struct doc_problem *ret_problem);
void bulk_text_fini(struct bulk_text *text);

#endif

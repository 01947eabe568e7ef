/* What document.c and document_text.c share. */
#ifndef DOC_DOCUMENT_PRIVATE_H
#define DOC_DOCUMENT_PRIVATE_H

#include "doc/document.h"

/* Whether CouchDB's member of that name is one that a client may send. */
bool document_special_is_known(struct bytes name);
/* Takes such members out of `object`. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err document_take_specials(struct document *document, json_t *object,
                                            struct doc_problem *problem);

#endif

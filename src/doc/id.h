/* Names of documents and databases. */
#ifndef DOC_ID_H
#define DOC_ID_H

#include "base/bytes.h"
#include "base/limits.h"
#include "doc/problem.h"

/* A document id that may be written by a client. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err doc_id_check(struct bytes id, struct doc_problem *ret_problem);
/* ^[a-z][a-z0-9_$()+/-]*$ of at most DATABASE_NAME_BYTES_MAX. */
MUST_USE enum qk_err database_name_check(struct bytes name, struct doc_problem *ret_problem);
/* An id for a document that came without one: 32 hex digits of `random`. */
#define DOC_ID_GENERATED_BYTES 32
void doc_id_generate(const uint8_t random[static 16],
                     char ret_text[static DOC_ID_GENERATED_BYTES + 1]);

#endif

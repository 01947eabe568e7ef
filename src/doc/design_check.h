/* What CouchDB asks of a design document when it is written: members of the right types, a map in
 * each view, no reduce that is neither built in nor a function. Pure. */
#ifndef DOC_DESIGN_CHECK_H
#define DOC_DESIGN_CHECK_H

#include <jansson.h>

#include "doc/problem.h"

/* QK_ERR_INVALID with the problem, in CouchDB's words. */
MUST_USE enum qk_err design_check(const json_t *design, struct doc_problem *ret_problem);

#endif

/* Query parameters as CouchDB reads them; what is wrong comes back in its words. */
#ifndef SERVICE_PARAMS_H
#define SERVICE_PARAMS_H

#include "doc/problem.h"
#include "service/exchange.h"

/* Each leaves `*ret_value` alone when the parameter is absent. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err param_bool(const struct request *request, const char *name, bool *ret_value,
                                struct doc_problem *ret_problem);
MUST_USE enum qk_err param_u64(const struct request *request, const char *name, uint64_t *ret_value,
                               struct doc_problem *ret_problem);
/* A JSON string, decoded and appended to `out`, and `*ret_has` set; several names for one thing
 * (startkey, start_key) are tried in turn. */
MUST_USE enum qk_err param_json_string(const struct request *request, const char *const *names,
                                       size_t names_n, struct buf *out, bool *ret_has,
                                       struct doc_problem *ret_problem);
/* Digits alone, fitting 64 bits. */
bool parse_u64(struct bytes text, uint64_t *ret_value);

void exchange_reply_problem(struct exchange *exchange, const struct doc_problem *problem);
/* `problem` if `err` is QK_ERR_INVALID and it was filled, else the usual words of `err`. */
void exchange_reply_problem_or(struct exchange *exchange, const struct doc_problem *problem,
                               enum qk_err err);

#endif

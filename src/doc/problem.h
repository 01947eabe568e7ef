/* What is wrong with what a client sent, in CouchDB's words: the pure parts return it, `service`
 * replies with it unchanged. */
#ifndef DOC_PROBLEM_H
#define DOC_PROBLEM_H

#include "base/err.h"

#define DOC_REASON_BYTES_MAX 256

struct doc_problem {
    int status;        /* the HTTP status that CouchDB gives it; 0: no problem noted */
    const char *error; /* static text: "bad_request", "illegal_docid", ... */
    char reason[DOC_REASON_BYTES_MAX];
};

/* Notes a problem; always returns QK_ERR_INVALID, so that a parser can end with it. A reason that
 * is too long is cut at a character's border. */
enum qk_err doc_problem_set(struct doc_problem *problem, int status, const char *error,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif

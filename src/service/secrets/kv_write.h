/* The inside of writing secrets: a request's wish evaluated against what is there (kv_evaluate.c),
 * and its way through the submitter (kv_write.c). Nobody else includes this. */
#ifndef SERVICE_SECRETS_KV_WRITE_H
#define SERVICE_SECRETS_KV_WRITE_H

#include "service/secrets/kv_batch.h"
#include "service/secrets/kv_wish.h"

/* What is said when the write is over; made anew at each evaluation. */
struct kv_answer {
    int status;          /* 204: nothing more */
    json_t *data;        /* owned */
    const char *message; /* of an error; "" is none */
    const char *warning;
};

struct kv_write {
    struct service *service;
    struct exchange *exchange;
    struct kv_wish wish;
    struct doc_problem problem;
    enum qk_err err; /* of the parsing */
    struct buf path; /* empty for the settings of all */
    struct kv_batch batch;
    struct kv_answer answer;
    bool done; /* a batch has done it */
    uint64_t now_s;
};

/* Makes the answer and, unless nothing is to be written, appends one batch to `command`. Not QK_OK
 * ends the write with that error. */
MUST_USE enum qk_err kv_evaluate(struct kv_write *write, struct wire_command *command);

#endif

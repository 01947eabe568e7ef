/* Maps in JavaScript, run by a worker process that holds no key and sees the documents it is sent
 * (node/script_worker.h). One worker for one update of one group of views. */
#ifndef SERVICE_SCRIPT_H
#define SERVICE_SCRIPT_H

#include "base/bytes.h"
#include "base/limits.h"
#include "doc/view.h"
#include "service/script_door.h"

struct service;
struct script;

#define SCRIPT_FRAME_BYTES_MAX (96 * MIB) /* a document with what it quotes */
#define SCRIPT_WORKERS_MAX 4              /* at a time, of a node */

struct script_ops {
    /* The answer to the next document that was sent, in order; empty: it gave none. */
    void (*answered)(void *arg, struct bytes answer);
    /* The worker is gone, maybe by the document that is to be answered next. Close it. */
    void (*ended)(void *arg);
};

/* A worker with the maps of `design`. QK_ERR_BUSY (as many as may be), QK_ERR_IO, QK_ERR_NOMEM. */
MUST_USE enum qk_err script_new(struct service *service, const struct view_design *design,
                                const struct script_ops *ops, void *arg,
                                struct script **ret_script);
/* Sends documents: each its length u32 and its JSON. Copied. QK_ERR_NOMEM, QK_ERR_IO. */
MUST_USE enum qk_err script_send(struct script *script, struct bytes documents);
/* No call back any more. NULL is fine. */
void script_close(struct script *script);

/* The rows in an answer, appended to `rows`; one that is none, or too large, gives nothing of that
 * map. `ret_errors` counts maps that failed. QK_ERR_INVALID: no answer at all. */
MUST_USE enum qk_err script_rows(const struct view_design *design, struct bytes answer,
                                 struct view_rows *rows, unsigned *ret_errors);

#endif

/* Functions in JavaScript of a design document, run by a worker process that holds no key and sees
 * what it is sent (node/script_worker.h). */
#ifndef SERVICE_SCRIPT_H
#define SERVICE_SCRIPT_H

#include "base/bytes.h"
#include "base/limits.h"
#include "doc/record.h"
#include "doc/view.h"
#include "service/script_door.h"

struct service;
struct script;

#define SCRIPT_FRAME_BYTES_MAX (96 * MIB) /* a document with what it quotes */
#define SCRIPT_WORKERS_MAX 4              /* at a time, of a node */
/* A call is what it is, its compartment, and JSON. Calls of different compartments share no heap:
 * those of documents under different data keys, or a map could put what it was shown of one into
 * the row of another, which other people may read. */
#define SCRIPT_COMPARTMENT_BYTES DOC_KEY_ID_BYTES

enum script_call {
    SCRIPT_MAP = 'm',     /* a document -> [[[map, key, value], ...], [[map, "error"], ...]] */
    SCRIPT_REDUCE = 'r',  /* [place, rereduce, keys or null, values] -> the value */
    SCRIPT_FILTER = 'f',  /* a document -> true, false, or "error" */
    SCRIPT_VALIDATE = 'v' /* [new, old or null, userCtx, secObj] -> [] or ["forbidden" |
                             "unauthorized" | "error", "reason"] */
};

/* The design is an object of what is wanted of a design document:
 *     "maps": ["function ...", ...], "lib": what require("views/lib/...") finds
 *     "reduces": ["function ...", ...]
 *     "filter": "function ...", or "view": a map to filter by; "request": what it gets besides
 *     "design": the whole document, for require and `this`
 *     "validates": [a design document with validate_doc_update, ...] */

struct script_ops {
    /* The answer to the next call that was sent, in order; empty: it gave none. */
    void (*answered)(void *arg, struct bytes answer);
    /* The worker is gone, maybe by the call that is to be answered next. Close it. */
    void (*ended)(void *arg);
};

/* A worker with `design`, JSON. QK_ERR_BUSY (as many as may be), QK_ERR_IO, QK_ERR_NOMEM. */
MUST_USE enum qk_err script_new(struct service *service, struct bytes design,
                                const struct script_ops *ops, void *arg,
                                struct script **ret_script);
/* Appends a call as script_send takes it. */
void script_put_call(enum script_call what,
                     const uint8_t compartment[static SCRIPT_COMPARTMENT_BYTES], struct bytes json,
                     struct buf *out);
/* Sends calls. Copied. QK_ERR_NOMEM, QK_ERR_IO. */
MUST_USE enum qk_err script_send(struct script *script, struct bytes calls);
/* No call back any more. NULL is fine. */
void script_close(struct script *script);

/* The design of the maps of `design`, appended. */
MUST_USE enum qk_err script_put_maps(const struct view_design *design, struct buf *out);
/* The rows in an answer, appended to `rows`; one that is none, or too large, gives nothing of that
 * map. `ret_errors` counts maps that failed. QK_ERR_INVALID: no answer at all. */
MUST_USE enum qk_err script_rows(const struct view_design *design, struct bytes answer,
                                 struct view_rows *rows, unsigned *ret_errors);

#endif

/* JavaScript of design documents: Duktape with a limit on its memory and nothing to touch but what
 * it is given. Time is for the process to limit (script_worker.h). One engine is one heap: what a
 * function keeps in it for later calls no other engine sees. */
#ifndef NODE_SCRIPT_ENGINE_H
#define NODE_SCRIPT_ENGINE_H

#include "base/bytes.h"
#include "service/script.h"

#define SCRIPT_MEMORY_BYTES_MAX (64 * 1024 * 1024)

struct script_engine;

MUST_USE enum qk_err script_engine_new(struct script_engine **ret_engine);
void script_engine_free(struct script_engine *engine); /* takes NULL */
/* Takes the functions, a JSON object as service/script.h says. One that is wrong gives an error
 * with each call. */
MUST_USE enum qk_err script_engine_design(struct script_engine *engine, struct bytes design);
/* Appends the answer to the call `what` (SCRIPT_*) with `given`, JSON both. QK_ERR_INVALID: the
 * engine could not say that, and should not be used any more. */
MUST_USE enum qk_err script_engine_call(struct script_engine *engine, uint8_t what,
                                        struct bytes given, struct buf *out);

#endif

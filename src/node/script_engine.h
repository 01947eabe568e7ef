/* JavaScript for the maps of views: Duktape with a limit on its memory and nothing to touch but the
 * document that it is given. Time is for the process to limit (script_worker.h). */
#ifndef NODE_SCRIPT_ENGINE_H
#define NODE_SCRIPT_ENGINE_H

#include "base/bytes.h"

#define SCRIPT_MEMORY_BYTES_MAX (64 * 1024 * 1024)

struct script_engine;

MUST_USE enum qk_err script_engine_new(struct script_engine **ret_engine);
void script_engine_free(struct script_engine *engine); /* takes NULL */
/* Takes the map functions of a design document: {"maps":["function(doc) {...}", ...], "lib":...},
 * the latter for require("views/lib/..."). One that is wrong gives an error with each document. */
MUST_USE enum qk_err script_engine_design(struct script_engine *engine, struct bytes design);
/* Appends what a document, JSON, gives: [[[map, key, value], ...], [[map, "error"], ...]].
 * QK_ERR_INVALID: the engine could not say that, and should not be used any more. */
MUST_USE enum qk_err script_engine_map(struct script_engine *engine, struct bytes document,
                                       struct buf *out);

#endif

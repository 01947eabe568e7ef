/* Selectors: CouchDB's declarative conditions on documents (`_find`, `_changes`, partial indexes,
 * views of language `query`).
 *
 * A parsed selector is normal: implicit $eq and $and are written out, names of members are pushed
 * down to the conditions ("a.b"), $nor is gone, and $not is pushed down as far as CouchDB does,
 * which is what decides whether a document without the member matches.
 *
 * $text and the other operators that need an engine of their own are refused. Strings are ordered
 * by code point. What a match may cost is bounded (SELECTOR_STEPS_MAX), a regular expression's part
 * of it too (doc/regex.h). */
#ifndef DOC_SELECTOR_H
#define DOC_SELECTOR_H

#include "doc/json.h"
#include "doc/problem.h"

#define SELECTOR_NODES_MAX 20000
#define SELECTOR_DEPTH_MAX 256 /* of nodes: a few for each level of JSON */
#define SELECTOR_REGEXES_MAX 64
/* For one document; a value looked at is one. Some ten milliseconds: the loop waits meanwhile, and
 * on a busy machine a leader that waits for seconds is one no more. */
#define SELECTOR_STEPS_MAX 4000000

struct selector;

/* Keeps references into `json`, which must not be changed any more. The caller frees with
 * selector_free. QK_ERR_INVALID with the problem in CouchDB's words, QK_ERR_NOMEM. */
MUST_USE enum qk_err selector_parse(json_t *json, struct doc_problem *ret_problem,
                                    struct selector **ret_selector);
void selector_free(struct selector *selector); /* takes NULL */

/* Whether `document` (with its `_id` and `_rev`, if they are to be seen) matches. One thread at a
 * time for one selector. QK_ERR_TOO_BIG: it would need more than SELECTOR_STEPS_MAX. */
MUST_USE enum qk_err selector_match(struct selector *selector, const json_t *document,
                                    bool *ret_match);
/* What the last match cost, in steps; for who bounds a turn of the loop. */
size_t selector_steps(const struct selector *selector);

/* The selector {}: it matches everything. */
bool selector_is_empty(const struct selector *selector);
/* The normal form as JSON, for people. NULL without memory; the caller owns the reference. */
json_t *selector_json(const struct selector *selector);

#endif

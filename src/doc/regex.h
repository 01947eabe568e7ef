/* Regular expressions of selectors: PCRE2's syntax, over bytes as CouchDB's are, in bounded time.
 *
 * A backtracking engine can take time exponential in the text. Its own limit counts anew for each
 * place where a match may begin, so it bounds nothing for a long text: here a callout before each
 * item of the pattern counts, weighs how far the engine has moved since, and ends the match. */
#ifndef DOC_REGEX_H
#define DOC_REGEX_H

#include "base/bytes.h"
#include "base/limits.h"

#define REGEX_PATTERN_BYTES_MAX (4 * KIB)
/* Of one match, besides a few for each byte of the text: some milliseconds. One that needs more
 * does not match. */
#define REGEX_STEPS_MAX 250000
#define REGEX_STEPS_PER_BYTE 2
/* For the engine's own stack. One that needs more does not match. */
#define REGEX_HEAP_BYTES_MAX (16 * MIB)

/* What the patterns of one selector share: one thread at a time. */
struct regex_space;
struct regex;

MUST_USE enum qk_err regex_space_new(struct regex_space **ret_space);
/* After its patterns; takes NULL. */
void regex_space_free(struct regex_space *space);

/* QK_ERR_INVALID: no pattern, or too large a one. QK_ERR_NOMEM. The space must outlive it. */
MUST_USE enum qk_err regex_new(struct regex_space *space, struct bytes pattern,
                               struct regex **ret_regex);
void regex_free(struct regex *regex); /* takes NULL */

/* Whether it matches somewhere in `text`. Adds the work done to `*steps`. */
bool regex_match(const struct regex *regex, struct bytes text, size_t *steps);

#endif

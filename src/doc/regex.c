#include "doc/regex.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "secret/secret.h"

/* malloc's alignment must survive the size kept in front. */
#define BLOCK_HEAD 16
/* A stack larger than this is not kept for the next match. */
#define SPACE_KEPT_BYTES (64 * KIB)
/* The engine looks at about as many bytes in the time of one callout. */
#define STEP_BYTES 16

struct regex_space {
    size_t allocated; /* bytes now held by the engine */
    pcre2_general_context *general;
    pcre2_compile_context *compile;
    pcre2_match_context *match;
    pcre2_match_data *data;  /* NULL: made at the next match */
    size_t kept;             /* `allocated` without `data` */
    size_t steps, steps_max; /* of the match under way */
    size_t last;             /* where the engine was at the last callout */
};

struct regex {
    struct regex_space *space;
    pcre2_code *code;
};

/* --- memory that is wiped when freed: a pattern may hold a name --- */

static void *block_new(size_t len, void *arg)
{
    struct regex_space *space = arg;
    uint8_t *block = len > REGEX_HEAP_BYTES_MAX ? NULL : malloc(len + BLOCK_HEAD);

    if (block == NULL)
        return NULL;
    memcpy(block, &len, sizeof(len));
    space->allocated += len;
    return block + BLOCK_HEAD;
}

static void block_free(void *data, void *arg)
{
    struct regex_space *space = arg;
    uint8_t *block;
    size_t len;

    if (data == NULL)
        return;
    block = (uint8_t *)data - BLOCK_HEAD;
    memcpy(&len, block, sizeof(len));
    space->allocated -= len;
    secret_wipe(block, len + BLOCK_HEAD);
    free(block);
}

/* --- the space --- */

/* Negative ends the match with that error. */
static int count_step(pcre2_callout_block *block, void *arg)
{
    struct regex_space *space = arg;
    size_t at = block->current_position;
    size_t moved = at > space->last ? at - space->last : space->last - at;

    space->steps += 1 + moved / STEP_BYTES;
    space->last = at;
    return space->steps > space->steps_max ? PCRE2_ERROR_MATCHLIMIT : 0;
}

static bool space_make(struct regex_space *space)
{
    space->general = pcre2_general_context_create(block_new, block_free, space);
    if (space->general == NULL)
        return false;
    space->compile = pcre2_compile_context_create(space->general);
    space->match = pcre2_match_context_create(space->general);
    if (space->compile == NULL || space->match == NULL)
        return false;
    pcre2_set_max_pattern_length(space->compile, REGEX_PATTERN_BYTES_MAX);
    pcre2_set_heap_limit(space->match, REGEX_HEAP_BYTES_MAX / KIB / 2); /* it doubles by copy */
    pcre2_set_match_limit(space->match, UINT32_MAX); /* count_step is the limit */
    pcre2_set_callout(space->match, count_step, space);
    return true;
}

enum qk_err regex_space_new(struct regex_space **ret_space)
{
    struct regex_space *space = calloc(1, sizeof(*space));

    assert(ret_space != NULL);

    if (space == NULL || !space_make(space)) {
        regex_space_free(space);
        return QK_ERR_NOMEM;
    }
    *ret_space = space;
    return QK_OK;
}

void regex_space_free(struct regex_space *space)
{
    if (space == NULL)
        return;
    pcre2_match_data_free(space->data);
    pcre2_match_context_free(space->match);
    pcre2_compile_context_free(space->compile);
    pcre2_general_context_free(space->general);
    free(space);
}

/* --- one pattern --- */

enum qk_err regex_new(struct regex_space *space, struct bytes pattern, struct regex **ret_regex)
{
    struct regex *regex = calloc(1, sizeof(*regex));
    PCRE2_SIZE where;
    int code = 0;

    assert(space != NULL && ret_regex != NULL);

    if (regex == NULL)
        return QK_ERR_NOMEM;
    regex->space = space;
    regex->code = pcre2_compile(pattern.len == 0 ? (PCRE2_SPTR) "" : (PCRE2_SPTR)pattern.data,
                                pattern.len, PCRE2_AUTO_CALLOUT, &code, &where, space->compile);
    if (regex->code == NULL) {
        free(regex);
        return code == PCRE2_ERROR_HEAP_FAILED ? QK_ERR_NOMEM : QK_ERR_INVALID;
    }
    *ret_regex = regex;
    return QK_OK;
}

void regex_free(struct regex *regex)
{
    if (regex == NULL)
        return;
    pcre2_code_free(regex->code);
    free(regex);
}

static bool space_ready(struct regex_space *space)
{
    if (space->data != NULL)
        return true;
    space->kept = space->allocated;
    space->data = pcre2_match_data_create(1, space->general);
    return space->data != NULL;
}

static void space_shrink(struct regex_space *space)
{
    if (space->allocated - space->kept <= SPACE_KEPT_BYTES)
        return;
    pcre2_match_data_free(space->data);
    space->data = NULL;
}

bool regex_match(const struct regex *regex, struct bytes text, size_t *steps)
{
    struct regex_space *space = regex->space;
    int result = PCRE2_ERROR_NOMEMORY;

    assert(steps != NULL);

    space->steps = 1 + text.len / STEP_BYTES; /* it may look through all of it for a first byte */
    space->steps_max = REGEX_STEPS_MAX + REGEX_STEPS_PER_BYTE * text.len;
    space->last = 0;
    if (space_ready(space))
        result = pcre2_match(regex->code, text.len == 0 ? (PCRE2_SPTR) "" : (PCRE2_SPTR)text.data,
                             text.len, 0, 0, space->data, space->match);
    space_shrink(space);
    *steps += space->steps;
    return result >= 0;
}

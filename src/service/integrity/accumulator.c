#include "service/integrity/accumulator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct accumulator_past {
    uint64_t index;
    struct multiset delta;
    uint8_t space[DATABASE_ID_BYTES];
    unsigned bucket;
};

void accumulator_fini(struct accumulator *sums)
{
    for (size_t i = 0; i < sums->spaces_n; i++)
        free(sums->spaces[i]);
    free(sums->spaces);
    free(sums->past);
    *sums = (struct accumulator){0};
}

/* FNV-1a: the buckets need to be even, not unpredictable. */
unsigned accumulator_bucket(struct bytes key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.data[i]) * 0x100000001b3u;
    return (unsigned)(hash ^ hash >> 32) % ACCUMULATOR_BUCKETS;
}

/* --- spaces ---------------------------------------------------------------------------------- */

/* The first that is not below. */
static size_t space_position(const struct accumulator *sums, const uint8_t *id)
{
    size_t low = 0, high = sums->spaces_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (memcmp(sums->spaces[mid]->id, id, DATABASE_ID_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool space_is_at(const struct accumulator *sums, size_t at, const uint8_t *id)
{
    return at < sums->spaces_n && memcmp(sums->spaces[at]->id, id, DATABASE_ID_BYTES) == 0;
}

const struct accumulator_space *accumulator_space(const struct accumulator *sums,
                                                  const uint8_t id[static DATABASE_ID_BYTES])
{
    size_t at = space_position(sums, id);

    return space_is_at(sums, at, id) ? sums->spaces[at] : NULL;
}

static enum qk_err spaces_grow(struct accumulator *sums)
{
    size_t cap = sums->spaces_cap == 0 ? 16 : 2 * sums->spaces_cap;
    struct accumulator_space **spaces;

    if (sums->spaces_n >= ACCUMULATOR_SPACES_MAX)
        return QK_ERR_TOO_BIG;
    if (sums->spaces_n < sums->spaces_cap)
        return QK_OK;
    spaces = reallocarray(sums->spaces, cap, sizeof(struct accumulator_space *));
    if (spaces == NULL)
        return QK_ERR_NOMEM;
    sums->spaces = spaces;
    sums->spaces_cap = cap;
    return QK_OK;
}

static enum qk_err space_make(struct accumulator *sums, const uint8_t *id,
                              struct accumulator_space **ret_space)
{
    size_t at = space_position(sums, id);
    struct accumulator_space *space;
    enum qk_err err;

    if (space_is_at(sums, at, id)) {
        *ret_space = sums->spaces[at];
        return QK_OK;
    }
    err = spaces_grow(sums);
    if (err != QK_OK)
        return err;
    space = calloc(1, sizeof(*space));
    if (space == NULL)
        return QK_ERR_NOMEM;
    memcpy(space->id, id, DATABASE_ID_BYTES);
    memmove(&sums->spaces[at + 1], &sums->spaces[at],
            (sums->spaces_n - at) * sizeof(struct accumulator_space *));
    sums->spaces[at] = space;
    sums->spaces_n++;
    *ret_space = space;
    return QK_OK;
}

enum qk_err accumulator_put(struct accumulator *sums, const uint8_t space[static DATABASE_ID_BYTES],
                            unsigned bucket, const struct multiset *sum, bool take)
{
    struct accumulator_space *found;
    enum qk_err err = space_make(sums, space, &found);

    assert(bucket < ACCUMULATOR_BUCKETS);
    if (err != QK_OK)
        return err;
    (take ? multiset_take : multiset_add)(&found->buckets[bucket], sum);
    (take ? multiset_take : multiset_add)(&sums->total, sum);
    return QK_OK;
}

/* --- changes --------------------------------------------------------------------------------- */

static enum qk_err past_note(struct accumulator *sums, uint64_t index, const uint8_t *space,
                             unsigned bucket, const struct multiset *delta)
{
    struct accumulator_past *past;

    if (sums->past == NULL)
        sums->past = calloc(ACCUMULATOR_PAST_MAX, sizeof(*sums->past));
    if (sums->past == NULL)
        return QK_ERR_NOMEM;
    past = &sums->past[sums->past_at];
    if (sums->past_n == ACCUMULATOR_PAST_MAX)
        sums->floor = past->index; /* the oldest makes room */
    else
        sums->past_n++;
    *past = (struct accumulator_past){.index = index, .delta = *delta, .bucket = bucket};
    memcpy(past->space, space, DATABASE_ID_BYTES);
    sums->past_at = (sums->past_at + 1) % ACCUMULATOR_PAST_MAX;
    return QK_OK;
}

enum qk_err accumulator_change(struct accumulator *sums, uint64_t index,
                               const uint8_t space[static DATABASE_ID_BYTES], unsigned bucket,
                               const struct multiset *delta)
{
    enum qk_err err = accumulator_put(sums, space, bucket, delta, false);

    return err == QK_OK ? past_note(sums, index, space, bucket, delta) : err;
}

void accumulator_forget(struct accumulator *sums, uint64_t index)
{
    if (sums->floor < index)
        sums->floor = index;
}

void accumulator_drop(struct accumulator *sums, uint64_t index,
                      const uint8_t space[static DATABASE_ID_BYTES])
{
    size_t at = space_position(sums, space);
    struct multiset gone;

    accumulator_forget(sums, index);
    if (!space_is_at(sums, at, space))
        return;
    accumulator_space_total(sums->spaces[at], &gone);
    multiset_take(&sums->total, &gone);
    free(sums->spaces[at]);
    memmove(&sums->spaces[at], &sums->spaces[at + 1],
            (sums->spaces_n - at - 1) * sizeof(struct accumulator_space *));
    sums->spaces_n--;
}

/* --- telling --------------------------------------------------------------------------------- */

/* The `i`th newest of what is remembered. */
static const struct accumulator_past *past_get(const struct accumulator *sums, size_t i)
{
    return &sums->past[(sums->past_at + ACCUMULATOR_PAST_MAX - 1 - i) % ACCUMULATOR_PAST_MAX];
}

enum qk_err accumulator_total(const struct accumulator *sums, uint64_t index,
                              struct multiset *ret_total)
{
    struct multiset total = sums->total;

    if (index < sums->floor)
        return QK_ERR_STALE;
    for (size_t i = 0; i < sums->past_n && past_get(sums, i)->index > index; i++)
        multiset_take(&total, &past_get(sums, i)->delta);
    *ret_total = total;
    return QK_OK;
}

static enum qk_err spaces_copy(const struct accumulator *sums, struct accumulator *copy)
{
    for (size_t i = 0; i < sums->spaces_n; i++) {
        struct accumulator_space *space;
        enum qk_err err = space_make(copy, sums->spaces[i]->id, &space);

        if (err != QK_OK)
            return err;
        *space = *sums->spaces[i];
    }
    copy->total = sums->total;
    return QK_OK;
}

enum qk_err accumulator_copy(const struct accumulator *sums, uint64_t index,
                             struct accumulator *ret_copy)
{
    struct accumulator copy = {0};
    enum qk_err err;

    if (index < sums->floor)
        return QK_ERR_STALE;
    err = spaces_copy(sums, &copy);
    for (size_t i = 0; err == QK_OK && i < sums->past_n && past_get(sums, i)->index > index; i++) {
        const struct accumulator_past *past = past_get(sums, i);

        err = accumulator_put(&copy, past->space, past->bucket, &past->delta, true);
    }
    if (err != QK_OK)
        accumulator_fini(&copy);
    else
        *ret_copy = copy;
    return err;
}

void accumulator_space_total(const struct accumulator_space *space, struct multiset *ret_total)
{
    *ret_total = (struct multiset){{0}};
    for (unsigned i = 0; i < ACCUMULATOR_BUCKETS; i++)
        multiset_add(ret_total, &space->buckets[i]);
}

uint32_t accumulator_differ(const struct accumulator_space *a, const struct accumulator_space *b)
{
    static const struct accumulator_space none = {.id = {0}};
    uint32_t mask = 0;

    a = a == NULL ? &none : a;
    b = b == NULL ? &none : b;
    for (unsigned i = 0; i < ACCUMULATOR_BUCKETS; i++)
        if (!multiset_equal(&a->buckets[i], &b->buckets[i]))
            mask |= 1u << i;
    return mask;
}

#include "doc/reduce.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "secret/crypto.h"

#define REGISTERS_BITS 11
#define REGISTERS_N (1u << REGISTERS_BITS)

#define SUM_REASON                                                                                 \
    "The _sum function requires that map values be numbers, arrays of numbers, or objects. "       \
    "Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, "      \
    "provided that the values for all fields are themselves numbers, arrays of numbers, or "       \
    "objects."
#define STATS_REASON "The _stats function requires that map values be numbers or arrays of numbers"

struct reducer {
    enum reduce_kind kind;
    bool failed;
    uint64_t count;
    json_t *result;                 /* of _sum: an array of one; of _stats: the object or array */
    uint8_t registers[REGISTERS_N]; /* of _approx_count_distinct */
};

enum qk_err reduce_kind_of(struct bytes name, enum reduce_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum reduce_kind kind;
    } kinds[] = {{"_count", REDUCE_COUNT},
                 {"_sum", REDUCE_SUM},
                 {"_stats", REDUCE_STATS},
                 {"_approx_count_distinct", REDUCE_DISTINCT}};
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!bytes_starts_with(name, bytes_str(kinds[i].name)))
            continue;
        *ret_kind = kinds[i].kind;
        return QK_OK;
    }
    return QK_ERR_NOT_FOUND;
}

/* --- numbers --- */

/* JSON has no infinity: what is past the floats stays at their end. */
static json_t *real_of(double value)
{
    return json_real(value > DBL_MAX ? DBL_MAX : value < -DBL_MAX ? -DBL_MAX : value);
}

static json_t *number_add(const json_t *a, const json_t *b)
{
    json_int_t sum;

    if (json_is_integer(a) && json_is_integer(b) &&
        !__builtin_add_overflow(json_integer_value(a), json_integer_value(b), &sum))
        return json_integer(sum);
    return real_of(json_number_value(a) + json_number_value(b));
}

static json_t *number_square(const json_t *a)
{
    json_int_t square;

    if (json_is_integer(a) &&
        !__builtin_mul_overflow(json_integer_value(a), json_integer_value(a), &square))
        return json_integer(square);
    return real_of(json_number_value(a) * json_number_value(a));
}

static bool number_less(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) < json_integer_value(b);
    return json_number_value(a) < json_number_value(b);
}

static bool is_zero(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) == 0;
}

/* --- _sum: values are added into a tree of the same shape --- */

/* Where a container is being added into another of its kind. */
struct adding {
    json_t *sum;
    const json_t *value;
    size_t next;  /* of an array */
    void *member; /* of an object; NULL: at its end */
};

static struct adding adding_of(json_t *sum, const json_t *value)
{
    struct adding adding = {sum, value, 0, NULL};

    if (json_is_object(value))
        adding.member = json_object_iter((json_t *)(uintptr_t)value);
    return adding;
}

/* What comes next of the value, and where it belongs in the sum. */
static const json_t *adding_next(struct adding *adding, struct bytes *ret_name, size_t *ret_at)
{
    const json_t *value;

    *ret_name = BYTES_NONE;
    *ret_at = adding->next;
    if (json_is_array(adding->value))
        return json_array_get(adding->value, adding->next++);
    if (adding->member == NULL)
        return NULL;
    *ret_name =
        bytes_of(json_object_iter_key(adding->member), json_object_iter_key_len(adding->member));
    value = json_object_iter_value(adding->member);
    adding->member = json_object_iter_next((json_t *)(uintptr_t)adding->value, adding->member);
    return value;
}

/* Of an object by name; the name's data is NULL for an array. */
static json_t *slot_get(json_t *sum, struct bytes name, size_t at)
{
    if (name.data == NULL)
        return json_array_get(sum, at);
    return json_object_getn(sum, (const char *)name.data, name.len);
}

/* Takes over `value`, which may be NULL without memory. */
static enum qk_err slot_set(json_t *sum, struct bytes name, size_t at, json_t *value)
{
    int rc;

    if (name.data != NULL)
        rc = json_object_setn_new(sum, (const char *)name.data, name.len, value);
    else if (at < json_array_size(sum))
        rc = json_array_set_new(sum, at, value);
    else
        rc = json_array_append_new(sum, value);
    return rc == 0 ? QK_OK : QK_ERR_NOMEM;
}

/* [value], or [] for none: what an array is added into. */
static json_t *array_around(json_t *value)
{
    json_t *array = json_array();

    if (value != NULL && array != NULL)
        (void)json_array_append(array, value);
    return array;
}

/* Adds a number into a slot. An array's first number is what a lone number is added to. */
static enum qk_err add_number(json_t *sum, struct bytes name, size_t at, const json_t *value)
{
    json_t *old = slot_get(sum, name, at);

    while (json_is_array(old)) {
        sum = old;
        name = BYTES_NONE;
        at = 0;
        old = json_array_get(sum, 0);
    }
    if (old == NULL)
        return slot_set(sum, name, at, json_copy((json_t *)(uintptr_t)value));
    return json_is_number(old) ? slot_set(sum, name, at, number_add(old, value)) : QK_ERR_INVALID;
}

/* Makes the slot a container that `value` can be added into. */
static enum qk_err add_container(json_t *sum, struct bytes name, size_t at, const json_t *value,
                                 json_t **ret_into)
{
    json_t *old = slot_get(sum, name, at);
    enum qk_err err = QK_OK;

    if (json_is_array(value) && (old == NULL || json_is_number(old)))
        err = slot_set(sum, name, at, array_around(is_zero(old) ? NULL : old));
    else if (json_is_object(value) && (old == NULL || is_zero(old)))
        err = slot_set(sum, name, at, json_object());
    else if (json_typeof(old) != json_typeof(value))
        err = QK_ERR_INVALID;
    *ret_into = slot_get(sum, name, at);
    return err;
}

/* Adds one value into slot 0 of `root`. QK_ERR_INVALID: of a kind that is not summed. */
static enum qk_err sum_add(json_t *root, json_t *value)
{
    struct adding levels[JSON_DEPTH_MAX + 2];
    json_t *wrapped = array_around(value), *into;
    enum qk_err err = wrapped == NULL ? QK_ERR_NOMEM : QK_OK;
    unsigned depth = 1;

    levels[0] = adding_of(root, wrapped);
    while (err == QK_OK && depth > 0) {
        struct adding *level = &levels[depth - 1];
        struct bytes name;
        size_t at;
        const json_t *next = adding_next(level, &name, &at);

        if (next == NULL) {
            depth--;
        } else if (json_is_number(next)) {
            err = add_number(level->sum, name, at, next);
        } else if (!json_is_array(next) && !json_is_object(next)) {
            err = QK_ERR_INVALID;
        } else if (depth == sizeof(levels) / sizeof(levels[0])) {
            err = QK_ERR_INVALID;
        } else {
            err = add_container(level->sum, name, at, next, &into);
            if (err == QK_OK)
                levels[depth++] = adding_of(into, next);
        }
    }
    json_decref(wrapped);
    return err;
}

/* --- _stats --- */

static bool is_stats(const json_t *value)
{
    return json_is_number(json_object_get(value, "sum")) &&
           json_is_number(json_object_get(value, "count")) &&
           json_is_number(json_object_get(value, "min")) &&
           json_is_number(json_object_get(value, "max")) &&
           json_is_number(json_object_get(value, "sumsqr"));
}

/* What one value counts as; NULL if it is no number, nor figures that somebody has made before. */
static json_t *stats_of(json_t *value)
{
    if (json_is_number(value))
        return json_pack("{s:O, s:i, s:O, s:O, s:o}", "sum", value, "count", 1, "min", value, "max",
                         value, "sumsqr", number_square(value));
    return is_stats(value) ? json_deep_copy(value) : NULL;
}

static enum qk_err stats_set(json_t *stats, const char *name, json_t *value)
{
    return slot_set(stats, bytes_str(name), 0, value);
}

static enum qk_err stats_merge(json_t *into, json_t *from)
{
    static const char *const sums[] = {"sum", "count", "sumsqr"};
    json_t *min = json_object_get(from, "min"), *max = json_object_get(from, "max");
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < 3; i++)
        err = stats_set(into, sums[i],
                        number_add(json_object_get(into, sums[i]), json_object_get(from, sums[i])));
    if (err == QK_OK && number_less(min, json_object_get(into, "min")))
        err = stats_set(into, "min", json_incref(min));
    if (err == QK_OK && number_less(json_object_get(into, "max"), max))
        err = stats_set(into, "max", json_incref(max));
    return err;
}

/* Into slot `at` of an array of figures. */
static enum qk_err stats_add_at(json_t *all, size_t at, json_t *value)
{
    json_t *figures = stats_of(value), *old = json_array_get(all, at);
    enum qk_err err;

    if (figures == NULL)
        return QK_ERR_INVALID;
    if (old == NULL)
        return slot_set(all, BYTES_NONE, at, figures);
    err = stats_merge(old, figures);
    json_decref(figures);
    return err;
}

/* `root` holds nothing, the figures of numbers, or an array of those of each place of arrays. */
static enum qk_err stats_add(json_t *root, json_t *value)
{
    json_t *old = json_array_get(root, 0);
    enum qk_err err = QK_OK;
    size_t i;

    if (!json_is_array(value))
        return json_is_array(old) ? QK_ERR_INVALID : stats_add_at(root, 0, value);
    if (old == NULL)
        err = slot_set(root, BYTES_NONE, 0, json_array());
    else if (!json_is_array(old) || json_array_size(old) != json_array_size(value))
        err = QK_ERR_INVALID;
    for (i = 0; err == QK_OK && i < json_array_size(value); i++)
        err = stats_add_at(json_array_get(root, 0), i, json_array_get(value, i));
    return err;
}

/* --- _approx_count_distinct --- */

static void distinct_add(struct reducer *reducer, struct bytes sort)
{
    uint8_t hash[HASH_BYTES], rank;
    uint32_t at;
    uint64_t rest;

    hash_compute(&sort, 1, hash);
    at = get_u32(hash) >> (32 - REGISTERS_BITS);
    rest = get_u64(hash + 4);
    rank = (uint8_t)(rest == 0 ? 65 : __builtin_clzll(rest) + 1);
    if (rank > reducer->registers[at])
        reducer->registers[at] = rank;
}

/* The estimate of the paper, and linear counting where few registers are used. */
static uint64_t distinct_n(const struct reducer *reducer)
{
    double m = REGISTERS_N, sum = 0, estimate;
    unsigned i, empty = 0;

    for (i = 0; i < REGISTERS_N; i++) {
        sum += ldexp(1, -(int)reducer->registers[i]);
        empty += reducer->registers[i] == 0 ? 1 : 0;
    }
    estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (estimate <= 2.5 * m && empty > 0)
        estimate = m * log(m / empty);
    return (uint64_t)(estimate + 0.5);
}

/* --- one of them --- */

enum qk_err reducer_new(enum reduce_kind kind, struct reducer **ret_reducer)
{
    struct reducer *reducer = calloc(1, sizeof(*reducer));

    assert(kind != REDUCE_NONE);

    if (reducer == NULL)
        return QK_ERR_NOMEM;
    reducer->kind = kind;
    *ret_reducer = reducer;
    return QK_OK;
}

void reducer_reset(struct reducer *reducer)
{
    json_decref(reducer->result);
    reducer->result = NULL;
    reducer->failed = false;
    reducer->count = 0;
    memset(reducer->registers, 0, sizeof(reducer->registers));
}

void reducer_free(struct reducer *reducer)
{
    if (reducer == NULL)
        return;
    reducer_reset(reducer);
    free(reducer);
}

static enum qk_err add_value(struct reducer *reducer, struct bytes text)
{
    struct doc_problem problem;
    json_t *value = NULL;
    enum qk_err err;

    if (reducer->result == NULL)
        reducer->result = json_array();
    if (reducer->result == NULL)
        return QK_ERR_NOMEM;
    err = json_parse(text, JSON_DEPTH_MAX, &problem, &value);
    if (err == QK_OK)
        err = reducer->kind == REDUCE_SUM ? sum_add(reducer->result, value)
                                          : stats_add(reducer->result, value);
    json_decref(value);
    return err;
}

enum qk_err reducer_add(struct reducer *reducer, struct bytes sort, struct bytes value)
{
    enum qk_err err = QK_OK;

    reducer->count++;
    if (reducer->kind == REDUCE_DISTINCT)
        distinct_add(reducer, sort);
    else if (reducer->kind != REDUCE_COUNT && !reducer->failed)
        err = add_value(reducer, value);
    if (err == QK_ERR_INVALID) {
        reducer->failed = true;
        err = QK_OK;
    }
    return err;
}

static void write_failed(const struct reducer *reducer, struct buf *out)
{
    buf_put_str(out, "{\"error\":\"builtin_reduce_error\",\"reason\":\"");
    buf_put_str(out, reducer->kind == REDUCE_SUM ? SUM_REASON : STATS_REASON);
    buf_put_str(out, "\"}");
}

enum qk_err reducer_write(const struct reducer *reducer, struct buf *out)
{
    const json_t *result = json_array_get(reducer->result, 0);

    if (reducer->failed)
        write_failed(reducer, out);
    else if (reducer->kind == REDUCE_COUNT)
        buf_printf(out, "%llu", (unsigned long long)reducer->count);
    else if (reducer->kind == REDUCE_DISTINCT)
        buf_printf(out, "%llu", (unsigned long long)distinct_n(reducer));
    else if (result != NULL)
        return json_write(result, out);
    else
        buf_put_u8(out, '0');
    return buf_error(out);
}

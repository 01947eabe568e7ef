#include "doc/compare.h"

#include <assert.h>
#include <stdlib.h>

#define STEP_BYTES 64

/* Two containers of one kind, walked together. */
struct pair {
    const json_t *a, *b;
    void *member_a, *member_b; /* of objects: the next ones */
    size_t at;                 /* of arrays */
};

struct walk {
    struct pair stack[JSON_WRITE_DEPTH_MAX];
    unsigned depth;
    size_t steps;
    bool strict; /* an integer is no float */
};

static int type_rank(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return 0;
    case JSON_FALSE:
        return 1;
    case JSON_TRUE:
        return 2;
    case JSON_INTEGER:
    case JSON_REAL:
        return 3;
    case JSON_STRING:
        return 4;
    case JSON_ARRAY:
        return 5;
    case JSON_OBJECT:
        return 6;
    }
    return 7;
}

static int compare_integers(json_int_t a, json_int_t b)
{
    return (a > b) - (a < b);
}

/* Exactly: a double of that size cannot tell neighbouring integers apart. */
static int compare_integer_real(json_int_t a, double b)
{
    const double limit = 9223372036854775808.0; /* 2^63 */
    json_int_t whole;

    if (b >= limit)
        return -1;
    if (b < -limit)
        return 1;
    whole = (json_int_t)b;
    if (a != whole)
        return a < whole ? -1 : 1;
    return (b < (double)whole) - (b > (double)whole);
}

static int compare_numbers(const json_t *a, const json_t *b, bool strict)
{
    if (strict && json_typeof(a) != json_typeof(b))
        return json_is_integer(a) ? -1 : 1;
    if (json_is_integer(a) && json_is_integer(b))
        return compare_integers(json_integer_value(a), json_integer_value(b));
    if (json_is_integer(a))
        return compare_integer_real(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b))
        return -compare_integer_real(json_integer_value(b), json_real_value(a));
    return (json_real_value(a) > json_real_value(b)) - (json_real_value(a) < json_real_value(b));
}

static int compare_text(struct walk *walk, struct bytes a, struct bytes b)
{
    walk->steps += (a.len < b.len ? a.len : b.len) / STEP_BYTES;
    return bytes_compare(a, b); /* of UTF-8: by code point */
}

static void walk_into(struct walk *walk, const json_t *a, const json_t *b)
{
    struct pair *pair = &walk->stack[walk->depth++];

    assert(walk->depth <= JSON_WRITE_DEPTH_MAX);

    *pair = (struct pair){a, b, NULL, NULL, 0};
    if (json_is_object(a)) { /* jansson's iterators want a non-const object but do not change it */
        pair->member_a = json_object_iter((json_t *)(uintptr_t)a);
        pair->member_b = json_object_iter((json_t *)(uintptr_t)b);
    }
}

/* Containers of one kind are walked into and count as equal for now. */
static int compare_values(struct walk *walk, const json_t *a, const json_t *b)
{
    int order = type_rank(a) - type_rank(b);

    walk->steps++;
    if (order != 0)
        return order;
    if (json_is_number(a))
        return compare_numbers(a, b, walk->strict);
    if (json_is_string(a))
        return compare_text(walk, json_bytes(a), json_bytes(b));
    if (json_is_array(a) || json_is_object(a))
        walk_into(walk, a, b);
    return 0;
}

static int next_elements(struct walk *walk, struct pair *pair)
{
    const json_t *a = json_array_get(pair->a, pair->at);
    const json_t *b = json_array_get(pair->b, pair->at);

    pair->at++;
    if (a != NULL && b != NULL)
        return compare_values(walk, a, b);
    walk->depth--;
    return (a != NULL) - (b != NULL);
}

static struct bytes member_name(void *member)
{
    return bytes_of(json_object_iter_key(member), json_object_iter_key_len(member));
}

static int next_members(struct walk *walk, struct pair *pair)
{
    void *a = pair->member_a, *b = pair->member_b;
    int order;

    if (a == NULL || b == NULL) {
        walk->depth--;
        return (a != NULL) - (b != NULL);
    }
    pair->member_a = json_object_iter_next((json_t *)(uintptr_t)pair->a, a);
    pair->member_b = json_object_iter_next((json_t *)(uintptr_t)pair->b, b);
    order = compare_text(walk, member_name(a), member_name(b));
    return order != 0 ? order
                      : compare_values(walk, json_object_iter_value(a), json_object_iter_value(b));
}

static int walk_compare(const json_t *a, const json_t *b, bool strict, size_t *steps)
{
    struct walk walk;
    int order;

    walk.depth = 0;
    walk.steps = 0;
    walk.strict = strict;
    order = compare_values(&walk, a, b);
    while (order == 0 && walk.depth > 0) {
        struct pair *pair = &walk.stack[walk.depth - 1];

        order = json_is_array(pair->a) ? next_elements(&walk, pair) : next_members(&walk, pair);
    }
    if (steps != NULL)
        *steps += walk.steps;
    return order;
}

int json_compare(const json_t *a, const json_t *b, size_t *steps)
{
    assert(a != NULL && b != NULL);

    return walk_compare(a, b, false, steps);
}

bool json_same(const json_t *a, const json_t *b, size_t *steps)
{
    assert(a != NULL && b != NULL);

    return walk_compare(a, b, true, steps) == 0;
}

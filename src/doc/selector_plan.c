#include "doc/selector_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/compare.h"
#include "doc/selector_node.h"

/* --- the conditions that all must hold --- */

/* The nodes under $and, however deep: the next of each level is kept. */
struct walk {
    const struct selector_node *next[SELECTOR_DEPTH_MAX];
    unsigned depth;
    bool through_or; /* $or is looked through too */
};

static struct walk walk_begin(const struct selector *selector, bool through_or)
{
    struct walk walk = {.depth = 1, .through_or = through_or};

    walk.next[0] = selector->root;
    return walk;
}

static const struct selector_node *walk_next(struct walk *walk)
{
    while (walk->depth > 0) {
        const struct selector_node *node = walk->next[walk->depth - 1];

        if (node == NULL) {
            walk->depth--;
            continue;
        }
        walk->next[walk->depth - 1] = node->next;
        if (node->op != SELECTOR_AND && (node->op != SELECTOR_OR || !walk->through_or))
            return node;
        assert(walk->depth < SELECTOR_DEPTH_MAX);
        walk->next[walk->depth++] = node->child;
    }
    return NULL;
}

/* --- ranges --- */

static bool is_indexable(const struct selector_node *node)
{
    enum selector_op op;

    if (node->op != SELECTOR_FIELD || node->field.names_n == 0)
        return false;
    op = node->child->op;
    return op == SELECTOR_LT || op == SELECTOR_LTE || op == SELECTOR_EQ || op == SELECTOR_GTE ||
           op == SELECTOR_GT || op == SELECTOR_BEGINS_WITH;
}

static void raise_low(struct selector_range *range, json_t *value, bool excluded)
{
    int order = range->low == NULL ? 1 : json_compare(value, range->low, NULL);

    if (order < 0)
        return;
    if (order > 0) {
        json_decref(range->low);
        range->low = json_incref(value);
        range->low_excluded = false;
    }
    range->low_excluded = range->low_excluded || excluded;
}

static void lower_high(struct selector_range *range, json_t *value, bool excluded)
{
    int order = range->high == NULL ? -1 : json_compare(value, range->high, NULL);

    if (order > 0)
        return;
    if (order < 0) {
        json_decref(range->high);
        range->high = json_incref(value);
        range->high_excluded = false;
    }
    range->high_excluded = range->high_excluded || excluded;
}

/* One character of UTF-8 and back. */
static uint32_t last_character(struct bytes text, size_t *ret_at)
{
    uint32_t code;
    size_t at = text.len - 1;

    while (at > 0 && (text.data[at] & 0xc0) == 0x80)
        at--;
    code = text.data[at];
    if (code >= 0x80)
        code &= code >= 0xf0 ? 0x07 : code >= 0xe0 ? 0x0f : 0x1f;
    *ret_at = at;
    for (at++; at < text.len; at++)
        code = code << 6 | (text.data[at] & 0x3fu);
    return code;
}

static size_t put_character(uint32_t code, uint8_t out[static 4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

/* The least text above all that begin with `text`, in the order of code points; NULL with QK_OK:
 * there is none, all texts that great begin so. */
static enum qk_err text_above(struct bytes text, json_t **ret_above)
{
    struct buf above = BUF_SECRET_INIT(text.len + 4);
    uint8_t character[4];
    enum qk_err err = QK_OK;

    *ret_above = NULL;
    while (text.len > 0 && *ret_above == NULL && err == QK_OK) {
        size_t at;
        uint32_t code = last_character(text, &at);

        text.len = at;
        if (code >= 0x10ffff)
            continue; /* no greater one here: the one before it counts */
        code = code == 0xd7ff ? 0xe000 : code + 1;
        buf_put_bytes(&above, text);
        buf_put(&above, character, put_character(code, character));
        err = buf_error(&above);
        if (err == QK_OK)
            *ret_above = json_stringn((const char *)above.data, above.len);
        if (err == QK_OK && *ret_above == NULL)
            err = QK_ERR_NOMEM;
    }
    buf_fini(&above);
    return err;
}

static enum qk_err narrow_prefix(struct selector_range *range, json_t *prefix)
{
    json_t *above;
    enum qk_err err = text_above(json_bytes(prefix), &above);

    if (err != QK_OK)
        return err;
    if (above == NULL) /* what is greater than all texts */
        above = json_array();
    if (above == NULL)
        return QK_ERR_NOMEM;
    raise_low(range, prefix, false);
    lower_high(range, above, true);
    json_decref(above);
    return QK_OK;
}

static enum qk_err narrow(struct selector_range *range, const struct selector_node *condition)
{
    json_t *value = condition->arg;

    if (condition->op == SELECTOR_BEGINS_WITH)
        return narrow_prefix(range, value);
    if (condition->op == SELECTOR_EQ || condition->op == SELECTOR_GTE)
        raise_low(range, value, false);
    if (condition->op == SELECTOR_GT)
        raise_low(range, value, true);
    if (condition->op == SELECTOR_EQ || condition->op == SELECTOR_LTE)
        lower_high(range, value, false);
    if (condition->op == SELECTOR_LT)
        lower_high(range, value, true);
    return QK_OK;
}

static struct selector_range *range_add(struct selector_ranges *ranges, struct bytes field)
{
    struct selector_range *wide;
    size_t at = 0;

    while (at < ranges->n && bytes_compare(ranges->ranges[at].field, field) < 0)
        at++;
    if (at < ranges->n && bytes_equal(ranges->ranges[at].field, field))
        return &ranges->ranges[at];
    wide = reallocarray(ranges->ranges, ranges->n + 1, sizeof(*wide));
    if (wide == NULL)
        return NULL;
    memmove(wide + at + 1, wide + at, (ranges->n - at) * sizeof(*wide));
    wide[at] = (struct selector_range){.field = field};
    ranges->ranges = wide;
    ranges->n++;
    return &wide[at];
}

static void judge_empty(struct selector_range *range)
{
    int order;

    if (range->low == NULL || range->high == NULL)
        return;
    order = json_compare(range->low, range->high, NULL);
    range->empty = order > 0 || (order == 0 && (range->low_excluded || range->high_excluded));
}

enum qk_err selector_ranges(const struct selector *selector, struct selector_ranges *ret_ranges)
{
    struct walk walk = walk_begin(selector, false);
    const struct selector_node *node;
    enum qk_err err = QK_OK;
    size_t i;

    *ret_ranges = (struct selector_ranges){NULL, 0};
    while (err == QK_OK && (node = walk_next(&walk)) != NULL) {
        struct selector_range *range;

        if (!is_indexable(node))
            continue;
        range = range_add(ret_ranges, node->field.text);
        err = range == NULL ? QK_ERR_NOMEM : narrow(range, node->child);
    }
    for (i = 0; i < ret_ranges->n; i++)
        judge_empty(&ret_ranges->ranges[i]);
    return err;
}

void selector_ranges_fini(struct selector_ranges *ranges)
{
    size_t i;

    for (i = 0; i < ranges->n; i++) {
        json_decref(ranges->ranges[i].low);
        json_decref(ranges->ranges[i].high);
    }
    free(ranges->ranges);
    *ranges = (struct selector_ranges){NULL, 0};
}

const struct selector_range *selector_range_of(const struct selector_ranges *ranges,
                                               struct bytes field)
{
    size_t i;

    for (i = 0; i < ranges->n; i++)
        if (bytes_equal(ranges->ranges[i].field, field))
            return &ranges->ranges[i];
    return NULL;
}

/* --- what must be there --- */

static uint64_t field_bit(const struct selector_node *node, const struct bytes *fields, size_t n)
{
    size_t i;

    if (node->child->op == SELECTOR_EXISTS && json_is_false(node->child->arg))
        return 0;
    for (i = 0; i < n; i++)
        if (bytes_equal(node->field.text, fields[i]))
            return (uint64_t)1 << i;
    return 0;
}

/* Which of the fields a match of this node has, from what is known of its children. */
static uint64_t node_has(const struct selector_node *node, const struct bytes *fields, size_t n)
{
    const struct selector_node *child;
    uint64_t has = node->op == SELECTOR_OR ? UINT64_MAX : 0;

    if (node->op == SELECTOR_FIELD)
        return field_bit(node, fields, n);
    if (node->op != SELECTOR_AND && node->op != SELECTOR_OR)
        return 0;
    for (child = node->child; child != NULL; child = child->next)
        has = node->op == SELECTOR_OR ? has & child->has : has | child->has;
    return has;
}

bool selector_requires(struct selector *selector, const struct bytes *fields, size_t n)
{
    uint64_t wanted = n == SELECTOR_REQUIRED_MAX ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    struct selector_node *node;

    assert(n <= SELECTOR_REQUIRED_MAX);

    for (node = selector->newest; node != NULL; node = node->older)
        node->has = node_has(node, fields, n); /* children are newer: theirs is known */
    return (selector->root->has & wanted) == wanted;
}

bool selector_is_void(const struct selector *selector)
{
    const struct selector_node *root = selector->root;

    return (root->op == SELECTOR_AND || root->op == SELECTOR_OR) && root->child == NULL;
}

bool selector_is_constant(const struct selector *selector, struct bytes field)
{
    struct walk walk = walk_begin(selector, false);
    const struct selector_node *node;

    while ((node = walk_next(&walk)) != NULL)
        if (node->op == SELECTOR_FIELD && node->child->op == SELECTOR_EQ &&
            bytes_equal(node->field.text, field))
            return true;
    return false;
}

void selector_fields_each(const struct selector *selector,
                          void (*each)(void *arg, struct bytes field), void *arg)
{
    struct walk walk = walk_begin(selector, true);
    const struct selector_node *node;

    while ((node = walk_next(&walk)) != NULL)
        if (node->op == SELECTOR_FIELD && node->field.names_n > 0)
            each(arg, node->field.text);
}

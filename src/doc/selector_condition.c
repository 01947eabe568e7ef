/* Conditions: what says something about one value. */
#include <assert.h>
#include <stdlib.h>

#include "doc/compare.h"
#include "doc/selector_work.h"

/* Makes `node` the question for the member at the work's path, and returns the node of the
 * question. */
static enum qk_err fill_field(struct parse *parse, struct work *work,
                              struct selector_node **ret_inner)
{
    struct selector_node *node = work->node;
    enum qk_err err;

    node->op = SELECTOR_FIELD;
    if (work->path.len > 0) {
        err = field_path_parse(work->path, &node->field);
        if (err == QK_ERR_INVALID)
            return doc_problem_set(parse->problem, 400, "invalid_field_name",
                                   "One or more conditions has an empty part in a field name.");
        if (err != QK_OK)
            return err;
    }
    err = selector_node_new(parse, &node->child);
    if (err == QK_OK)
        *ret_inner = node->child;
    return err;
}

/* The same, behind a $not where the operator has no opposite. */
enum qk_err selector_fill_negated(struct parse *parse, struct work *work,
                                  struct selector_node **ret_inner)
{
    enum qk_err err = fill_field(parse, work, ret_inner);

    if (err != QK_OK || !work->negate)
        return err;
    (*ret_inner)->op = SELECTOR_NOT;
    err = selector_node_new(parse, &(*ret_inner)->child);
    if (err == QK_OK)
        *ret_inner = (*ret_inner)->child;
    return err;
}

enum qk_err selector_fill_compare(struct parse *parse, struct work *work, enum selector_op op)
{
    struct selector_node *inner = NULL;
    enum qk_err err = fill_field(parse, work, &inner);

    if (err != QK_OK)
        return err;
    inner->op = work->negate ? selector_op_negated(op) : op;
    inner->arg = json_incref(work->cond);
    return QK_OK;
}

static int by_value(const void *a, const void *b)
{
    return json_compare(*(const json_t *const *)a, *(const json_t *const *)b, NULL);
}

static enum qk_err fill_in(struct parse *parse, struct work *work, enum selector_op op)
{
    enum qk_err err = QK_OK;
    struct selector_node *inner;
    size_t i;

    if (!json_is_array(work->cond))
        return selector_bad_arg(parse, selector_op_name(op), work->cond);
    err = selector_fill_compare(parse, work, op);
    if (err != QK_OK)
        return err;
    inner = work->node->child;
    inner->sorted_n = json_array_size(work->cond);
    inner->sorted = calloc(inner->sorted_n + 1, sizeof(*inner->sorted));
    if (inner->sorted == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; i < inner->sorted_n; i++)
        inner->sorted[i] = json_array_get(work->cond, i);
    qsort(inner->sorted, inner->sorted_n, sizeof(*inner->sorted), by_value);
    return QK_OK;
}

static enum qk_err fill_exists(struct parse *parse, struct work *work)
{
    struct selector_node *inner = NULL;
    enum qk_err err;

    if (!json_is_boolean(work->cond))
        return selector_bad_arg(parse, "$exists", work->cond);
    err = fill_field(parse, work, &inner);
    if (err != QK_OK)
        return err;
    inner->op = SELECTOR_EXISTS;
    inner->arg = json_boolean(json_is_true(work->cond) != work->negate); /* never counted */
    return QK_OK;
}

static enum qk_err fill_regex(struct parse *parse, struct work *work, struct selector_node *inner)
{
    struct selector *selector = parse->selector;
    enum qk_err err = QK_OK;

    if (selector->regexes_n++ >= SELECTOR_REGEXES_MAX)
        return selector_too_large(parse);
    if (selector->regexes == NULL)
        err = regex_space_new(&selector->regexes);
    if (err == QK_OK)
        err = regex_new(selector->regexes, json_bytes(work->cond), &inner->regex);
    return err == QK_ERR_INVALID ? selector_bad_arg(parse, "$regex", work->cond) : err;
}

static bool is_mod(const json_t *arg)
{
    return json_array_size(arg) == 2 && json_is_integer(json_array_get(arg, 0)) &&
           json_is_integer(json_array_get(arg, 1)) &&
           json_integer_value(json_array_get(arg, 0)) != 0;
}

static bool is_arg_of(enum selector_op op, const json_t *arg)
{
    if (op == SELECTOR_TYPE || op == SELECTOR_REGEX || op == SELECTOR_BEGINS_WITH)
        return json_is_string(arg);
    if (op == SELECTOR_ALL)
        return json_is_array(arg);
    if (op == SELECTOR_SIZE)
        return json_is_integer(arg) && json_integer_value(arg) >= 0;
    return op == SELECTOR_MOD && is_mod(arg);
}

/* Those that only a $not can turn round. */
static enum qk_err fill_other(struct parse *parse, struct work *work, enum selector_op op)
{
    struct selector_node *inner;
    enum qk_err err;

    if (!is_arg_of(op, work->cond))
        return op == SELECTOR_BEGINS_WITH /* CouchDB's way to say it */
                   ? selector_problem_op(parse, work, "invalid_operator", "Invalid operator: ")
                   : selector_bad_arg(parse, selector_op_name(op), work->cond);
    err = selector_fill_negated(parse, work, &inner);
    if (err != QK_OK)
        return err;
    inner->op = op;
    inner->arg = json_incref(work->cond);
    return op == SELECTOR_REGEX ? fill_regex(parse, work, inner) : QK_OK;
}

enum qk_err selector_fill_condition(struct parse *parse, struct work *work, enum selector_op op)
{
    if (op == SELECTOR_IN || op == SELECTOR_NIN)
        return fill_in(parse, work, op);
    if (op == SELECTOR_EXISTS)
        return fill_exists(parse, work);
    return fill_other(parse, work, op);
}

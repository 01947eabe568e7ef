/* Parsing: a list of work, because selectors nest as deep as JSON may. One walk does what CouchDB
 * does in three (norm_ops, norm_fields, norm_negations of mango_selector). Below $elemMatch and its
 * like CouchDB pushes no negation down, so neither is it here: there {"$not": {"a": 1}} holds for
 * an element without `a`. */
#include "doc/selector.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/selector_work.h"

/* --- operators --- */

static const char *const OP_NAMES[SELECTOR_OPS_N] = {
    [SELECTOR_AND] = "$and",
    [SELECTOR_OR] = "$or",
    [SELECTOR_NOT] = "$not",
    [SELECTOR_LT] = "$lt",
    [SELECTOR_LTE] = "$lte",
    [SELECTOR_EQ] = "$eq",
    [SELECTOR_NE] = "$ne",
    [SELECTOR_GTE] = "$gte",
    [SELECTOR_GT] = "$gt",
    [SELECTOR_IN] = "$in",
    [SELECTOR_NIN] = "$nin",
    [SELECTOR_EXISTS] = "$exists",
    [SELECTOR_TYPE] = "$type",
    [SELECTOR_MOD] = "$mod",
    [SELECTOR_REGEX] = "$regex",
    [SELECTOR_BEGINS_WITH] = "$beginsWith",
    [SELECTOR_ALL] = "$all",
    [SELECTOR_SIZE] = "$size",
    [SELECTOR_ELEM_MATCH] = "$elemMatch",
    [SELECTOR_ALL_MATCH] = "$allMatch",
    [SELECTOR_KEY_MAP_MATCH] = "$keyMapMatch",
};

const char *selector_op_name(enum selector_op op)
{
    return OP_NAMES[op];
}

enum selector_op selector_op_of(const struct work *work)
{
    unsigned op;

    for (op = 0; op < SELECTOR_OPS_N; op++)
        if (OP_NAMES[op] != NULL && selector_work_is(work, OP_NAMES[op]))
            return (enum selector_op)op;
    return SELECTOR_ALWAYS;
}

enum selector_op selector_op_negated(enum selector_op op)
{
    static const enum selector_op pairs[][2] = {
        {SELECTOR_LT, SELECTOR_GTE}, {SELECTOR_LTE, SELECTOR_GT}, {SELECTOR_EQ, SELECTOR_NE},
        {SELECTOR_IN, SELECTOR_NIN}, {SELECTOR_AND, SELECTOR_OR},
    };
    size_t i;

    for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i][0] == op)
            return pairs[i][1];
        if (pairs[i][1] == op)
            return pairs[i][0];
    }
    return op;
}

/* --- combinations --- */

/* $elemMatch and its like: what is below stands for itself. */
static enum qk_err fill_inside(struct parse *parse, struct work *work, enum selector_op op)
{
    struct selector_node *inner;
    struct work below = *work;
    enum qk_err err;

    if (!json_is_object(work->cond))
        return selector_bad_arg(parse, selector_op_name(op), work->cond);
    err = selector_fill_negated(parse, work, &inner);
    if (err != QK_OK)
        return err;
    inner->op = op;
    err = selector_node_new(parse, &inner->child);
    below.path = BYTES_NONE;
    below.negate = false;
    below.push_down = false;
    below.depth += 3;
    return err == QK_OK ? selector_work_push(parse, &below, inner->child, work->cond, NULL) : err;
}

/* A child of `parent` behind those it has; `*last` is the last of them. */
static enum qk_err child_add(struct parse *parse, struct selector_node *parent,
                             struct selector_node **last)
{
    struct selector_node *child;
    enum qk_err err = selector_node_new(parse, &child);

    if (err != QK_OK)
        return err;
    if (*last == NULL)
        parent->child = child;
    else
        (*last)->next = child;
    *last = child;
    return QK_OK;
}

static enum qk_err fill_list(struct parse *parse, struct work *work, enum selector_op op)
{
    struct selector_node *last = NULL;
    enum qk_err err = QK_OK;
    size_t i;

    if (!json_is_array(work->cond))
        return selector_bad_arg(parse, selector_op_name(op), work->cond);
    work->node->op = work->negate ? selector_op_negated(op) : op;
    for (i = 0; i < json_array_size(work->cond) && err == QK_OK; i++) {
        err = child_add(parse, work->node, &last);
        if (err == QK_OK)
            err = selector_work_push(parse, work, last, json_array_get(work->cond, i), NULL);
    }
    return err;
}

/* Where no negation is pushed down it is a node of its own, and the work goes on below it. */
static enum qk_err fill_not(struct parse *parse, struct work *work)
{
    struct selector_node *node = work->node;
    struct work below = *work;
    enum qk_err err = QK_OK;

    if (!json_is_object(work->cond))
        return selector_bad_arg(parse, "$not", work->cond);
    if (work->push_down) {
        below.negate = !work->negate;
    } else {
        node->op = SELECTOR_NOT;
        err = selector_node_new(parse, &node->child);
        node = node->child;
    }
    return err == QK_OK ? selector_work_push(parse, &below, node, work->cond, NULL) : err;
}

/* None of them: all of their opposites, or, not to be pushed down, not one of them. */
static enum qk_err fill_nor(struct parse *parse, struct work *work)
{
    struct work below = *work;
    enum qk_err err = QK_OK;

    if (!json_is_array(work->cond))
        return selector_bad_arg(parse, "$nor", work->cond);
    if (work->push_down) {
        below.negate = !work->negate;
    } else {
        below.node->op = SELECTOR_NOT;
        err = selector_node_new(parse, &below.node->child);
        below.node = below.node->child;
        below.depth++;
    }
    return err == QK_OK ? fill_list(parse, &below, SELECTOR_OR) : err;
}

/* Members of an object beside each other: all must hold. */
static enum qk_err fill_members(struct parse *parse, struct work *work)
{
    struct selector_node *last = NULL;
    enum qk_err err = QK_OK;
    struct work *below;
    void *member;

    work->node->op = work->negate ? SELECTOR_OR : SELECTOR_AND;
    for (member = json_object_iter(work->cond); member != NULL && err == QK_OK;
         member = json_object_iter_next(work->cond, member)) {
        err = child_add(parse, work->node, &last);
        if (err == QK_OK)
            err = selector_work_push(parse, work, last, json_object_iter_value(member), &below);
        if (err != QK_OK)
            break;
        below->name = json_object_iter_key(member);
        below->name_len = json_object_iter_key_len(member);
    }
    return err;
}

/* --- one item of work --- */

static enum qk_err fill_unknown(struct parse *parse, struct work *work)
{
    static const char *const others[] = {"$where", "$geoWithin",  "$geoIntersects",
                                         "$near",  "$nearSphere", "$text"};
    size_t i;

    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        if (selector_work_is(work, others[i]))
            return selector_problem_op(parse, work, "not_supported", "Unsupported operator: ");
    return selector_problem_op(parse, work, "invalid_operator", "Invalid operator: ");
}

static enum qk_err fill_member(struct parse *parse, struct work *work)
{
    struct work *below;
    enum qk_err err = selector_work_push(parse, work, work->node, work->cond, &below);

    return err == QK_OK ? selector_work_deepen(parse, work, below) : err;
}

static enum qk_err fill_named(struct parse *parse, struct work *work)
{
    enum selector_op op = selector_op_of(work);

    if (work->name_len == 0 || work->name[0] != '$')
        return fill_member(parse, work);
    if (selector_work_is(work, "$nor"))
        return fill_nor(parse, work);
    switch (op) {
    case SELECTOR_AND:
    case SELECTOR_OR:
        return fill_list(parse, work, op);
    case SELECTOR_NOT:
        return fill_not(parse, work);
    case SELECTOR_LT:
    case SELECTOR_LTE:
    case SELECTOR_EQ:
    case SELECTOR_NE:
    case SELECTOR_GTE:
    case SELECTOR_GT:
        return selector_fill_compare(parse, work, op);
    case SELECTOR_IN:
    case SELECTOR_NIN:
    case SELECTOR_EXISTS:
    case SELECTOR_TYPE:
    case SELECTOR_MOD:
    case SELECTOR_REGEX:
    case SELECTOR_BEGINS_WITH:
    case SELECTOR_ALL:
    case SELECTOR_SIZE:
        return selector_fill_condition(parse, work, op);
    case SELECTOR_ELEM_MATCH:
    case SELECTOR_ALL_MATCH:
    case SELECTOR_KEY_MAP_MATCH:
        return fill_inside(parse, work, op);
    case SELECTOR_ALWAYS:
    case SELECTOR_FIELD:
        break;
    }
    return fill_unknown(parse, work);
}

static enum qk_err fill(struct parse *parse, struct work *work)
{
    void *member;

    if (work->name != NULL)
        return fill_named(parse, work);
    if (!json_is_object(work->cond) || json_object_size(work->cond) == 0)
        return selector_fill_compare(parse, work, SELECTOR_EQ);
    if (json_object_size(work->cond) > 1)
        return fill_members(parse, work);
    member = json_object_iter(work->cond);
    work->name = json_object_iter_key(member);
    work->name_len = json_object_iter_key_len(member);
    work->cond = json_object_iter_value(member);
    return fill_named(parse, work);
}

static enum qk_err parse_all(struct parse *parse)
{
    enum qk_err err = QK_OK;

    while (parse->work != NULL) {
        struct work *work = parse->work;

        parse->work = work->next;
        if (err == QK_OK) /* else only to be freed */
            err = fill(parse, work);
        selector_work_free(work);
    }
    return err;
}

static enum qk_err parse_object(struct parse *parse, json_t *json)
{
    const struct work first = {.push_down = true};
    struct selector_node *root;
    enum qk_err err;

    err = selector_node_new(parse, &root);
    if (err != QK_OK)
        return err;
    parse->selector->root = root;
    if (json_object_size(json) == 0)
        return QK_OK;
    err = selector_work_push(parse, &first, root, json, NULL);
    if (err == QK_OK)
        err = parse_all(parse);
    if (err == QK_OK && root->op == SELECTOR_FIELD && root->field.names_n == 0)
        err = doc_problem_set(parse->problem, 400, "invalid_selector",
                              "One or more conditions is missing a field name.");
    return err;
}

enum qk_err selector_parse(json_t *json, struct doc_problem *ret_problem,
                           struct selector **ret_selector)
{
    struct selector *selector = calloc(1, sizeof(*selector));
    struct parse parse = {selector, ret_problem, NULL, 0};
    enum qk_err err;

    assert(json != NULL && ret_problem != NULL && ret_selector != NULL);

    if (selector == NULL)
        return QK_ERR_NOMEM;
    if (json_is_object(json))
        err = parse_object(&parse, json);
    else
        err = selector_problem(&parse, "invalid_selector_json",
                               "Selector must be a JSON object, not: ", "", json);
    if (err == QK_OK)
        *ret_selector = selector;
    else
        selector_free(selector);
    return err;
}

static void node_free(struct selector_node *node)
{
    field_path_fini(&node->field);
    json_decref(node->arg);
    json_decref(node->json);
    free(node->sorted);
    regex_free(node->regex);
    free(node);
}

void selector_free(struct selector *selector)
{
    if (selector == NULL)
        return;
    while (selector->newest != NULL) {
        struct selector_node *node = selector->newest;

        selector->newest = node->older;
        node_free(node);
    }
    regex_space_free(selector->regexes);
    free(selector);
}

bool selector_is_empty(const struct selector *selector)
{
    return selector->root->op == SELECTOR_ALWAYS;
}

size_t selector_steps(const struct selector *selector)
{
    return selector->steps;
}

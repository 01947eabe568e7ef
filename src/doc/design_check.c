#include "doc/design_check.h"

#include <assert.h>
#include <string.h>

#include "doc/json.h"
#include "doc/reduce.h"

enum { OBJECT = 1, STRING = 2, BOOLEAN = 4, ARRAY = 8, FUNCTION = 16 };

/* `*` is any member. FUNCTION is a string, or in language query an object. */
#define STEPS_MAX 3
static const struct rule {
    const char *path[STEPS_MAX];
    unsigned types[STEPS_MAX];
} RULES[] = {
    {{"filters", "*"}, {OBJECT, OBJECT | STRING}},
    {{"language"}, {STRING}},
    {{"lists", "*"}, {OBJECT, OBJECT | STRING}},
    {{"options", "include_design"}, {OBJECT, BOOLEAN}},
    {{"options", "local_seq"}, {OBJECT, BOOLEAN}},
    {{"options", "partitioned"}, {OBJECT, BOOLEAN}},
    {{"rewrites"}, {STRING | ARRAY}},
    {{"shows", "*"}, {OBJECT, OBJECT | STRING}},
    {{"updates", "*"}, {OBJECT, OBJECT | STRING}},
    {{"validate_doc_update"}, {STRING}},
    {{"views", "lib"}, {OBJECT, OBJECT}},
    {{"views", "*", "map"}, {OBJECT, OBJECT, FUNCTION}},
    {{"views", "*", "reduce"}, {OBJECT, OBJECT, STRING}},
};

struct check {
    bool query; /* the language */
    struct doc_problem *problem;
    const char *path[STEPS_MAX]; /* as it is met */
};

static bool has_type(const struct check *check, const json_t *value, unsigned types)
{
    if ((types & FUNCTION) != 0)
        types = check->query ? OBJECT : STRING;
    return ((types & OBJECT) != 0 && json_is_object(value)) ||
           ((types & STRING) != 0 && json_is_string(value)) ||
           ((types & BOOLEAN) != 0 && json_is_boolean(value)) ||
           ((types & ARRAY) != 0 && json_is_array(value));
}

static const char *type_name(const struct check *check, unsigned types)
{
    if ((types & FUNCTION) != 0)
        return check->query ? "object" : "string";
    if (types == (OBJECT | STRING))
        return "string or object";
    if (types == (STRING | ARRAY))
        return "array or string";
    return types == OBJECT ? "object" : types == STRING ? "string" : "boolean";
}

static enum qk_err wrong_type(const struct check *check, unsigned step, unsigned types)
{
    const char *second = step > 0 ? check->path[1] : "", *third = step > 1 ? check->path[2] : "";

    return doc_problem_set(check->problem, 400, "invalid_design_doc",
                           "`%s%s%s%s%s` field must have %s type", check->path[0],
                           step > 0 ? "." : "", second, step > 1 ? "." : "", third,
                           type_name(check, types));
}

/* One member on the way of a rule; NULL: it is not there, which is fine. */
static enum qk_err check_value(struct check *check, const struct rule *rule, unsigned step,
                               const char *name, const json_t *value)
{
    check->path[step] = name;
    return value == NULL || has_type(check, value, rule->types[step])
               ? QK_OK
               : wrong_type(check, step, rule->types[step]);
}

/* The last step of a rule, below `parent`, which is an object. */
static enum qk_err check_last(struct check *check, const struct rule *rule, unsigned step,
                              json_t *parent)
{
    enum qk_err err = QK_OK;
    const char *name;
    json_t *value;

    if (strcmp(rule->path[step], "*") != 0)
        return check_value(check, rule, step, rule->path[step],
                           json_object_get(parent, rule->path[step]));
    json_object_foreach(parent, name, value)
    {
        if (err == QK_OK)
            err = check_value(check, rule, step, name, value);
    }
    return err;
}

static enum qk_err check_rule(struct check *check, const struct rule *rule, const json_t *design)
{
    json_t *first = json_object_get(design, rule->path[0]), *value;
    enum qk_err err = check_value(check, rule, 0, rule->path[0], first);
    const char *name;

    if (err != QK_OK || first == NULL || rule->path[1] == NULL)
        return err;
    if (rule->path[2] == NULL)
        return check_last(check, rule, 1, first);
    json_object_foreach(first, name, value)
    {
        if (err == QK_OK)
            err = check_value(check, rule, 1, name, value);
        if (err == QK_OK && strcmp(name, "lib") != 0)
            err = check_last(check, rule, 2, value);
    }
    return err;
}

static enum qk_err check_view(const struct check *check, const char *name, const json_t *view)
{
    struct bytes reduce = json_bytes(json_object_get(view, "reduce"));
    enum reduce_kind kind;

    if (json_object_get(view, "map") == NULL)
        return doc_problem_set(check->problem, 400, "invalid_design_doc",
                               "View `%s` must contain map function", name);
    if (reduce.len > 0 && reduce.data[0] == '_' && reduce_kind_of(reduce, &kind) != QK_OK)
        return doc_problem_set(check->problem, 400, "invalid_design_doc",
                               "`%.*s` is not a supported reduce function.", (int)reduce.len,
                               (const char *)reduce.data);
    return QK_OK;
}

enum qk_err design_check(const json_t *design, struct doc_problem *ret_problem)
{
    struct check check = {.problem = ret_problem};
    enum qk_err err = QK_OK;
    const char *name;
    json_t *view;
    size_t i;

    assert(design != NULL && ret_problem != NULL);

    check.query = bytes_equal(json_bytes(json_object_get(design, "language")), bytes_str("query"));
    for (i = 0; err == QK_OK && i < sizeof RULES / sizeof RULES[0]; i++)
        err = check_rule(&check, &RULES[i], design);
    json_object_foreach(json_object_get(design, "views"), name, view)
    {
        if (err == QK_OK && strcmp(name, "lib") != 0)
            err = check_view(&check, name, view);
    }
    return err;
}

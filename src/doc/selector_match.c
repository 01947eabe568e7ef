/* Matching: a stack of questions, since both selectors and documents nest. A question is a node
 * asked of a value; it either knows, or asks one of its children and is told the answer. */
#include <assert.h>
#include <string.h>

#include "doc/compare.h"
#include "doc/selector_node.h"

/* One step of a regular expression's takes the time of two others. */
#define REGEX_STEP_STEPS 2

struct question {
    const struct selector_node *node;
    const json_t *value;
    const struct selector_node *child; /* AND, OR: the one to ask next */
    size_t at;                         /* of an array's elements: the one to ask about next */
    void *member;                      /* the same of an object's members */
    json_t *key;                       /* what was asked about; owned */
    bool raw;                          /* in `_id`: a string is more than all else */
};

struct match {
    struct question stack[SELECTOR_DEPTH_MAX];
    unsigned depth;
    size_t steps;
    bool answered; /* the question on top has asked, and `answer` is what it was told */
    bool answer;
};

static void ask(struct match *match, const struct selector_node *node, const json_t *value,
                bool raw)
{
    assert(match->depth < SELECTOR_DEPTH_MAX);

    match->stack[match->depth++] =
        (struct question){.node = node, .value = value, .child = node->child, .raw = raw};
    match->answered = false;
}

static void tell(struct match *match, bool answer)
{
    json_decref(match->stack[--match->depth].key);
    match->answered = true;
    match->answer = answer;
}

/* --- conditions: they know --- */

static int compare(struct match *match, const struct question *question)
{
    if (question->raw && json_is_string(question->value) && !json_is_string(question->node->arg))
        return 1;
    return json_compare(question->value, question->node->arg, &match->steps);
}

static bool is_listed(struct match *match, const struct selector_node *node, const json_t *value)
{
    size_t low = 0, high = node->sorted_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = json_compare(value, node->sorted[middle], &match->steps);

        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool exhausted(const struct match *match)
{
    return match->steps > SELECTOR_STEPS_MAX;
}

/* Of an array it is asked whether one of its elements is listed, and never whether itself is. */
static bool match_in(struct match *match, const struct question *question)
{
    size_t i;

    if (!json_is_array(question->value))
        return is_listed(match, question->node, question->value);
    for (i = 0; i < json_array_size(question->value) && !exhausted(match); i++)
        if (is_listed(match, question->node, json_array_get(question->value, i)))
            return true;
    return false;
}

static bool has_element(struct match *match, const json_t *array, const json_t *wanted)
{
    size_t i;

    for (i = 0; i < json_array_size(array) && !exhausted(match); i++)
        if (json_same(json_array_get(array, i), wanted, &match->steps))
            return true;
    return false;
}

static bool match_all(struct match *match, const struct question *question)
{
    const json_t *wanted = question->node->arg;
    const json_t *first = json_array_get(wanted, 0);
    size_t i;

    if (first == NULL || !json_is_array(question->value))
        return false;
    if (json_array_size(wanted) == 1 && json_is_array(first) &&
        json_compare(first, question->value, &match->steps) == 0)
        return true;
    for (i = 0; i < json_array_size(wanted); i++)
        if (!has_element(match, question->value, json_array_get(wanted, i)))
            return false;
    return true;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return "null";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        break;
    }
    return "object";
}

static bool match_mod(const json_t *arg, const json_t *value)
{
    json_int_t divisor = json_integer_value(json_array_get(arg, 0));
    json_int_t remainder = json_integer_value(json_array_get(arg, 1));

    if (!json_is_integer(value))
        return false;
    if (divisor == -1) /* the least integer has no opposite */
        return remainder == 0;
    return json_integer_value(value) % divisor == remainder;
}

static bool match_regex(struct match *match, const struct question *question)
{
    size_t steps = 0;
    bool matches;

    if (!json_is_string(question->value))
        return false;
    matches = regex_match(question->node->regex, json_bytes(question->value), &steps);
    match->steps += steps * REGEX_STEP_STEPS;
    return matches;
}

static bool match_condition(struct match *match, const struct question *question)
{
    const json_t *arg = question->node->arg, *value = question->value;

    switch (question->node->op) {
    case SELECTOR_LT:
        return compare(match, question) < 0;
    case SELECTOR_LTE:
        return compare(match, question) <= 0;
    case SELECTOR_EQ:
        return compare(match, question) == 0;
    case SELECTOR_NE:
        return compare(match, question) != 0;
    case SELECTOR_GTE:
        return compare(match, question) >= 0;
    case SELECTOR_GT:
        return compare(match, question) > 0;
    case SELECTOR_IN:
        return match_in(match, question);
    case SELECTOR_NIN:
        return !match_in(match, question);
    case SELECTOR_EXISTS:
        return json_is_true(arg);
    case SELECTOR_TYPE:
        return bytes_equal(json_bytes(arg), bytes_str(type_name(value)));
    case SELECTOR_MOD:
        return match_mod(arg, value);
    case SELECTOR_REGEX:
        return match_regex(match, question);
    case SELECTOR_BEGINS_WITH:
        return json_is_string(value) && bytes_starts_with(json_bytes(value), json_bytes(arg));
    case SELECTOR_ALL:
        return match_all(match, question);
    case SELECTOR_SIZE:
        return json_is_array(value) &&
               (json_int_t)json_array_size(value) == json_integer_value(arg);
    case SELECTOR_ALWAYS:
    case SELECTOR_AND:
    case SELECTOR_OR:
    case SELECTOR_NOT:
    case SELECTOR_FIELD:
    case SELECTOR_ELEM_MATCH:
    case SELECTOR_ALL_MATCH:
    case SELECTOR_KEY_MAP_MATCH:
        break;
    }
    assert(!"no condition");
    return false;
}

/* --- those that ask --- */

/* Until one answers `decides`; if none does, the opposite. None at all hold: CouchDB's rule, for
 * $or too. */
static void ask_children(struct match *match, struct question *question, bool decides)
{
    const struct selector_node *child = question->child;

    if (match->answered && match->answer == decides) {
        tell(match, decides);
    } else if (child == NULL) {
        tell(match, question->node->child == NULL || !decides);
    } else {
        question->child = child->next;
        ask(match, child, question->value, question->raw);
    }
}

static void ask_field(struct match *match, struct question *question)
{
    const struct selector_node *node = question->node, *child = node->child;
    enum field_found found = FIELD_FOUND;
    const json_t *value = question->value;

    if (match->answered) {
        tell(match, match->answer);
        return;
    }
    if (node->field.names_n > 0)
        found = field_get(&node->field, question->value, &value);
    if (found == FIELD_FOUND)
        ask(match, child, value, question->raw || bytes_equal(node->field.text, bytes_str("_id")));
    else /* what is not there does not match, but for the one who asks just that */
        tell(match,
             found == FIELD_NOT_FOUND && child->op == SELECTOR_EXISTS && json_is_false(child->arg));
}

/* Until an element answers `decides`; if none does, the opposite, but for an empty array, which
 * matches neither $elemMatch nor $allMatch. */
static void ask_elements(struct match *match, struct question *question, bool decides)
{
    const json_t *value = json_array_get(question->value, question->at);

    if (!json_is_array(question->value) || json_array_size(question->value) == 0) {
        tell(match, false);
    } else if (match->answered && match->answer == decides) {
        tell(match, decides);
    } else if (value == NULL) {
        tell(match, !decides);
    } else {
        question->at++;
        ask(match, question->node->child, value, question->raw);
    }
}

static enum qk_err ask_keys(struct match *match, struct question *question)
{
    json_t *object = (json_t *)(uintptr_t)question->value; /* iterators do not change it */

    if (!match->answered)
        question->member = json_object_iter(object);
    if (question->member == NULL || (match->answered && match->answer)) {
        tell(match, match->answered && match->answer);
        return QK_OK;
    }
    json_decref(question->key);
    question->key = json_stringn(json_object_iter_key(question->member),
                                 json_object_iter_key_len(question->member));
    if (question->key == NULL)
        return QK_ERR_NOMEM;
    question->member = json_object_iter_next(object, question->member);
    ask(match, question->node->child, question->key, question->raw);
    return QK_OK;
}

static enum qk_err match_step(struct match *match)
{
    struct question *question = &match->stack[match->depth - 1];

    switch (question->node->op) {
    case SELECTOR_ALWAYS:
        tell(match, true);
        break;
    case SELECTOR_AND:
        ask_children(match, question, false);
        break;
    case SELECTOR_OR:
        ask_children(match, question, true);
        break;
    case SELECTOR_NOT:
        if (match->answered)
            tell(match, !match->answer);
        else
            ask(match, question->node->child, question->value, question->raw);
        break;
    case SELECTOR_FIELD:
        ask_field(match, question);
        break;
    case SELECTOR_ELEM_MATCH:
        ask_elements(match, question, true);
        break;
    case SELECTOR_ALL_MATCH:
        ask_elements(match, question, false);
        break;
    case SELECTOR_KEY_MAP_MATCH:
        return ask_keys(match, question);
    case SELECTOR_LT:
    case SELECTOR_LTE:
    case SELECTOR_EQ:
    case SELECTOR_NE:
    case SELECTOR_GTE:
    case SELECTOR_GT:
    case SELECTOR_IN:
    case SELECTOR_NIN:
    case SELECTOR_EXISTS:
    case SELECTOR_TYPE:
    case SELECTOR_MOD:
    case SELECTOR_REGEX:
    case SELECTOR_BEGINS_WITH:
    case SELECTOR_ALL:
    case SELECTOR_SIZE:
        tell(match, match_condition(match, question));
        break;
    }
    return QK_OK;
}

enum qk_err selector_match(struct selector *selector, const json_t *document, bool *ret_match)
{
    enum qk_err err = QK_OK;
    struct match match;

    assert(document != NULL && ret_match != NULL);

    match.depth = 0;
    match.steps = 0;
    ask(&match, selector->root, document, false);
    while (match.depth > 0 && err == QK_OK) {
        match.steps++;
        err = exhausted(&match) ? QK_ERR_TOO_BIG : match_step(&match);
    }
    while (match.depth > 0)
        tell(&match, false);
    selector->steps = match.steps;
    if (err == QK_OK)
        *ret_match = match.answer;
    return err;
}

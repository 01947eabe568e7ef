#include <assert.h>

#include "doc/selector_node.h"

/* Takes over `value`. */
static json_t *one_member(struct bytes name, json_t *value)
{
    json_t *object = json_object();

    if (object == NULL || value == NULL ||
        json_object_setn(object, name.len == 0 ? "" : (const char *)name.data, name.len, value) !=
            0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(value);
    return object;
}

static json_t *children_json(const struct selector_node *node)
{
    const struct selector_node *child;
    json_t *list = json_array();

    for (child = node->child; child != NULL && list != NULL; child = child->next) {
        if (child->json == NULL || json_array_append(list, child->json) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *node_json(const struct selector_node *node)
{
    if (node->op == SELECTOR_ALWAYS)
        return json_object();
    if (node->op == SELECTOR_FIELD)
        return one_member(node->field.text, json_incref(node->child->json));
    if (node->op == SELECTOR_AND || node->op == SELECTOR_OR)
        return one_member(bytes_str(selector_op_name(node->op)), children_json(node));
    return one_member(bytes_str(selector_op_name(node->op)),
                      json_incref(node->child != NULL ? node->child->json : node->arg));
}

json_t *selector_json(const struct selector *selector)
{
    struct selector_node *node;
    json_t *json;

    assert(selector->root != NULL);

    for (node = selector->newest; node != NULL; node = node->older)
        node->json = node_json(node); /* children are newer: theirs is there */
    json = json_incref(selector->root->json);
    for (node = selector->newest; node != NULL; node = node->older) {
        json_decref(node->json);
        node->json = NULL;
    }
    return json;
}

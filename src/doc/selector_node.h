/* The tree of a parsed selector: for selector*.c alone. */
#ifndef DOC_SELECTOR_NODE_H
#define DOC_SELECTOR_NODE_H

#include "doc/field.h"
#include "doc/regex.h"
#include "doc/selector.h"

enum selector_op {
    SELECTOR_ALWAYS, /* {} */
    SELECTOR_AND,
    SELECTOR_OR,
    SELECTOR_NOT,
    SELECTOR_FIELD, /* its one child is asked of that member; without a name: of the value itself */
    SELECTOR_LT,
    SELECTOR_LTE,
    SELECTOR_EQ,
    SELECTOR_NE,
    SELECTOR_GTE,
    SELECTOR_GT,
    SELECTOR_IN,
    SELECTOR_NIN,
    SELECTOR_EXISTS,
    SELECTOR_TYPE,
    SELECTOR_MOD,
    SELECTOR_REGEX,
    SELECTOR_BEGINS_WITH,
    SELECTOR_ALL,
    SELECTOR_SIZE,
    SELECTOR_ELEM_MATCH, /* these three have one child */
    SELECTOR_ALL_MATCH,
    SELECTOR_KEY_MAP_MATCH
};
#define SELECTOR_OPS_N (SELECTOR_KEY_MAP_MATCH + 1)

struct selector_node {
    enum selector_op op;
    struct selector_node *child; /* the first */
    struct selector_node *next;  /* its sibling */
    struct selector_node *older; /* made before it: parents before children */
    struct field_path field;     /* FIELD; no text: the value itself */
    json_t *arg;                 /* of a condition; owned reference */
    const json_t **sorted;       /* IN, NIN: the members of `arg` in order; owned */
    size_t sorted_n;
    struct regex *regex;
    json_t *json; /* while selector_json runs */
    uint64_t has; /* while selector_requires runs */
};

struct selector {
    struct selector_node *root;
    struct selector_node *newest; /* all nodes, by `older` */
    size_t nodes_n, regexes_n;
    struct regex_space *regexes; /* NULL without a $regex */
    size_t steps;
};

/* "$lt" and so on; NULL for what has no name (ALWAYS, FIELD). */
const char *selector_op_name(enum selector_op op);

#endif

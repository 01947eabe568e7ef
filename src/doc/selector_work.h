/* The work list of selector_parse: for selector*.c alone. Each item says which node is to be filled
 * from which JSON, under which name of a member, and whether a $not above is to be pushed into it.
 */
#ifndef DOC_SELECTOR_WORK_H
#define DOC_SELECTOR_WORK_H

#include "doc/selector_node.h"

struct work {
    struct work *next;
    struct selector_node *node; /* to be filled */
    json_t *cond;               /* borrowed */
    const char *name;           /* with it: of {name: cond}; NULL: `cond` itself */
    size_t name_len;
    struct bytes path; /* of the member; owned if any */
    unsigned depth;
    bool negate;    /* a $not above is to be pushed into this */
    bool push_down; /* of this and what is below */
};

struct parse {
    struct selector *selector;
    struct doc_problem *problem;
    struct work *work;
    size_t paths_bytes;
};

/* A node that belongs to the selector. QK_ERR_INVALID (too many), QK_ERR_NOMEM. */
MUST_USE enum qk_err selector_node_new(struct parse *parse, struct selector_node **ret_node);
/* Work like `from` but without a name: another node and JSON; deeper by one. */
MUST_USE enum qk_err selector_work_push(struct parse *parse, const struct work *from,
                                        struct selector_node *node, json_t *cond,
                                        struct work **ret_work);
/* Adds the work's name to the path of `below`. */
MUST_USE enum qk_err selector_work_deepen(struct parse *parse, const struct work *work,
                                          struct work *below);
void selector_work_free(struct work *work);
bool selector_work_is(const struct work *work, const char *name);

/* Each returns QK_ERR_INVALID with the problem noted, or QK_ERR_NOMEM. `text`, `op` and what was
 * given, as JSON, cut. */
MUST_USE enum qk_err selector_problem(struct parse *parse, const char *error, const char *text,
                                      const char *op, const json_t *arg);
MUST_USE enum qk_err selector_bad_arg(struct parse *parse, const char *op, const json_t *arg);
/* `text` and the work's name. */
MUST_USE enum qk_err selector_problem_op(struct parse *parse, const struct work *work,
                                         const char *error, const char *text);
MUST_USE enum qk_err selector_too_large(struct parse *parse);

/* ALWAYS: none of ours. */
enum selector_op selector_op_of(const struct work *work);
/* What a $not makes of a comparison; the same operator: it must stand inside a $not. */
enum selector_op selector_op_negated(enum selector_op op);

/* Fills the node of one item, by its name: an operator that says something about a value. */
MUST_USE enum qk_err selector_fill_compare(struct parse *parse, struct work *work,
                                           enum selector_op op);
/* Makes the work's node the question for the member at its path, behind a $not if there is one to
 * push down; the node that asks is `*ret_inner`. */
MUST_USE enum qk_err selector_fill_negated(struct parse *parse, struct work *work,
                                           struct selector_node **ret_inner);
/* $in, $nin, $exists, $type, $mod, $regex, $beginsWith, $all, $size. */
MUST_USE enum qk_err selector_fill_condition(struct parse *parse, struct work *work,
                                             enum selector_op op);

#endif

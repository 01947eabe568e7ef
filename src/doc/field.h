/* Names of members inside a document as selectors, sorts and projections give them: "a.b.c", with
 * `\.` for a dot that belongs to a name. A name in an array is the place of an element. */
#ifndef DOC_FIELD_H
#define DOC_FIELD_H

#include "doc/json.h"

struct field_path {
    struct bytes text;   /* as given; owned */
    struct bytes *names; /* owned, at least one */
    size_t names_n;
};

#define FIELD_PATH_NONE ((struct field_path){BYTES_NONE, NULL, 0})

enum field_found {
    FIELD_FOUND,
    FIELD_NOT_FOUND, /* the object that should have it has no such member */
    FIELD_BAD_PATH   /* something on the way is no object and has no such element */
};

/* The caller ends with field_path_fini. QK_ERR_INVALID: a name is empty. QK_ERR_NOMEM. */
MUST_USE enum qk_err field_path_parse(struct bytes text, struct field_path *ret_path);
void field_path_fini(struct field_path *path);

/* What is there, borrowed from `value`; written only if it is found. */
enum field_found field_get(const struct field_path *path, const json_t *value,
                           const json_t **ret_value);
/* Puts `value` (a new reference is taken) there, making the objects on the way; where one of them
 * is something else, nothing is changed. QK_ERR_NOMEM. */
MUST_USE enum qk_err field_set(const struct field_path *path, json_t *object, json_t *value);

#endif

/* The views of a design document of language `query`, and their map: which rows a document gives.
 *
 *     "views": {"by_year": {"map": {"fields": ["year", "title"] | {"year": "asc", ...} | "year",
 *                                   "selector": {...}, "value": "pages" | ["pages", ...]},
 *                           "reduce": "_count"}}
 *
 * A document that has all the fields, and that the selector (or partial_filter_selector, as Mango's
 * indexes say) matches, gives one row: its key is the array of the fields' values, or with a single
 * text the value itself; its value what `value` names, null without. Mango's indexes are such
 * views.
 *
 * Design documents of other languages are parsed too: their maps are text for somebody else. Pure.
 */
#ifndef DOC_VIEW_H
#define DOC_VIEW_H

#include "doc/field.h"
#include "doc/reduce.h"
#include "doc/selector.h"
#include "secret/crypto.h"

#define VIEWS_MAX 1000 /* of a design document */
#define VIEW_FIELDS_MAX 64
#define VIEW_KEY_BYTES_MAX (1 * MIB) /* of a row: sort key, key and value; as index/index.h has */

enum view_language { VIEW_QUERY, VIEW_JAVASCRIPT };

/* Where the rows are kept, and what that tells (docs/indexes.md): `options.index`. */
enum view_kind { VIEW_MEMORY, VIEW_PLAIN, VIEW_BLIND };

struct view {
    struct bytes name; /* borrowed from the design document, as are the texts */
    enum reduce_kind reduce;
    struct bytes map_text, reduce_text; /* JavaScript; of a reduce that is none of the built-in */
    struct field_path *fields;
    size_t fields_n;
    bool bare; /* the key is the one field's value */
    struct field_path *values;
    size_t values_n;
    bool bare_value;
    struct selector *selector; /* NULL: all documents */
};

struct view_design {
    json_t *json; /* a reference */
    enum view_language language;
    enum view_kind kind;
    struct view *views;
    size_t views_n;
    bool include_design;           /* design documents give rows, too: options.include_design */
    uint8_t signature[HASH_BYTES]; /* of all that decides about rows */
};

/* Parses a design document, of which a reference is kept: it must not be changed any more. The
 * caller frees with view_design_free. QK_ERR_INVALID with the problem, QK_ERR_NOMEM. */
MUST_USE enum qk_err view_design_parse(json_t *json, struct doc_problem *ret_problem,
                                       struct view_design **ret_design);
void view_design_free(struct view_design *design); /* takes NULL */
/* "memory", "plain", "blind", and back: QK_ERR_INVALID; NULL is memory. */
const char *view_kind_text(enum view_kind kind);
MUST_USE enum qk_err view_kind_parse(const json_t *text, enum view_kind *ret_kind);
/* What rows of that kind tell whoever has a disk, for people; NULL: nothing. */
const char *view_kind_leaks(enum view_kind kind, bool ids_hidden);
/* The view of that name; its place is `view - design->views`. NULL if there is none. */
const struct view *view_find(const struct view_design *design, struct bytes name);

/* Rows that one document has given, in the order in which it gave them. */
struct view_row {
    size_t view; /* its place in the design document */
    size_t sort_len, key_len, value_len;
};
struct view_rows {
    struct buf data; /* secret: sort key, key and value of each row, one behind the other */
    struct view_row *rows;
    size_t n, cap;
};
#define VIEW_ROWS_INIT ((struct view_rows){BUF_SECRET_INIT(64 * MIB), NULL, 0, 0})
void view_rows_reset(struct view_rows *rows);
void view_rows_fini(struct view_rows *rows);
/* Appends a row; `key` and `value` are written as JSON. QK_ERR_TOO_BIG, QK_ERR_NOMEM: nothing is
 * appended. */
MUST_USE enum qk_err view_rows_add(struct view_rows *rows, size_t view, const json_t *key,
                                   const json_t *value);

/* What `doc`, with its `_id` and `_rev`, gives in each view of a design document of language query.
 * A selector that costs too much, or a row that is too large, leaves out this row. QK_ERR_NOMEM. */
MUST_USE enum qk_err view_map(const struct view_design *design, const json_t *doc,
                              struct view_rows *rows);

#endif

#include "doc/view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/collate.h"

#define DESIGN_BYTES_MAX (DOC_BYTES_MAX + 1 * MIB)

static enum qk_err view_problem(struct doc_problem *problem, struct bytes name, const char *what)
{
    return doc_problem_set(problem, 400, "invalid_design_doc", "View `%.*s`: %s", (int)name.len,
                           (const char *)name.data, what);
}

/* --- fields --- */

static enum qk_err paths_add(struct field_path **paths, size_t *n, struct bytes text)
{
    struct field_path *wide;
    enum qk_err err;

    if (*n >= VIEW_FIELDS_MAX)
        return QK_ERR_INVALID;
    wide = reallocarray(*paths, *n + 1, sizeof(*wide));
    if (wide == NULL)
        return QK_ERR_NOMEM;
    *paths = wide;
    wide[*n] = FIELD_PATH_NONE;
    err = field_path_parse(text, &wide[*n]);
    *n += 1; /* freed with the others, also after an error */
    return err;
}

/* A text, an array of texts, or with `names` the members of an object, as Mango writes an index. */
static enum qk_err paths_parse(json_t *json, bool names, struct field_path **paths, size_t *n,
                               bool *ret_bare)
{
    enum qk_err err = QK_OK;
    const char *name;
    json_t *value;
    size_t i;

    *ret_bare = json_is_string(json);
    if (json_is_string(json))
        return paths_add(paths, n, json_bytes(json));
    if (json_is_array(json)) {
        json_array_foreach(json, i, value)
        {
            if (err == QK_OK)
                err =
                    json_is_string(value) ? paths_add(paths, n, json_bytes(value)) : QK_ERR_INVALID;
        }
        return err;
    }
    if (!names || !json_is_object(json))
        return QK_ERR_INVALID;
    json_object_foreach(json, name, value)
    {
        if (err == QK_OK)
            err = paths_add(paths, n, bytes_str(name));
    }
    return err;
}

static void paths_free(struct field_path *paths, size_t n)
{
    while (n > 0)
        field_path_fini(&paths[--n]);
    free(paths);
}

/* --- parsing --- */

static enum qk_err parse_selector(struct view *view, json_t *map, struct doc_problem *problem)
{
    json_t *selector = json_object_get(map, "selector");
    enum qk_err err;

    if (selector == NULL)
        selector = json_object_get(map, "partial_filter_selector");
    if (selector == NULL)
        return QK_OK;
    err = selector_parse(selector, problem, &view->selector);
    if (err == QK_OK && selector_is_empty(view->selector)) {
        selector_free(view->selector);
        view->selector = NULL;
    }
    return err;
}

static enum qk_err parse_map(struct view *view, json_t *map, struct doc_problem *problem)
{
    json_t *value = json_object_get(map, "value");
    enum qk_err err;

    if (!json_is_object(map))
        return view_problem(problem, view->name, "map must be an object");
    err = paths_parse(json_object_get(map, "fields"), true, &view->fields, &view->fields_n,
                      &view->bare);
    if (err == QK_OK && view->fields_n == 0)
        err = QK_ERR_INVALID;
    if (err == QK_ERR_INVALID)
        return view_problem(problem, view->name,
                            "fields must be the name of a field, or an array or object of names");
    if (err == QK_OK && value != NULL)
        err = paths_parse(value, false, &view->values, &view->values_n, &view->bare_value);
    if (err == QK_ERR_INVALID)
        return view_problem(problem, view->name,
                            "value must be the name of a field, or an array of names");
    return err == QK_OK ? parse_selector(view, map, problem) : err;
}

static enum qk_err parse_reduce(const struct view_design *design, struct view *view,
                                const json_t *reduce, struct doc_problem *problem)
{
    if (reduce == NULL || json_is_null(reduce))
        return QK_OK;
    if (!json_is_string(reduce))
        return view_problem(problem, view->name, "reduce must be a string");
    if (json_bytes(reduce).len == 0)
        return QK_OK;
    if (reduce_kind_of(json_bytes(reduce), &view->reduce) == QK_OK)
        return QK_OK;
    if (design->language == VIEW_QUERY || json_bytes(reduce).data[0] == '_')
        return view_problem(problem, view->name,
                            "reduce must be _count, _sum, _stats or _approx_count_distinct");
    view->reduce_text = json_bytes(reduce);
    return QK_OK;
}

static enum qk_err parse_view(const struct view_design *design, struct view *view, json_t *json,
                              struct doc_problem *problem)
{
    json_t *map = json_object_get(json, "map");
    enum qk_err err = QK_OK;

    if (design->language == VIEW_QUERY)
        err = parse_map(view, map, problem);
    else if (json_is_string(map))
        view->map_text = json_bytes(map);
    else
        err = view_problem(problem, view->name, "map must be a string");
    return err == QK_OK ? parse_reduce(design, view, json_object_get(json, "reduce"), problem)
                        : err;
}

/* JavaScript keeps shared code in views.lib, which is no view. */
static bool is_view(const struct view_design *design, const char *name)
{
    return design->language == VIEW_QUERY || strcmp(name, "lib") != 0;
}

static enum qk_err parse_views(struct view_design *design, json_t *views,
                               struct doc_problem *problem)
{
    enum qk_err err = QK_OK;
    const char *name;
    json_t *json;

    if (views == NULL)
        return QK_OK;
    if (!json_is_object(views) || json_object_size(views) > VIEWS_MAX)
        return doc_problem_set(problem, 400, "invalid_design_doc",
                               "`views` must be an object of at most %d views.", VIEWS_MAX);
    design->views = calloc(json_object_size(views) + 1, sizeof(*design->views));
    if (design->views == NULL)
        return QK_ERR_NOMEM;
    json_object_foreach(views, name, json)
    {
        struct view *view = &design->views[design->views_n];

        if (err != QK_OK || !is_view(design, name))
            continue;
        view->name = bytes_str(name);
        design->views_n++;
        err = parse_view(design, view, json, problem);
    }
    return err;
}

static enum qk_err parse_language(struct view_design *design, const json_t *language,
                                  struct doc_problem *problem)
{
    struct bytes text = json_bytes(language);

    design->language = VIEW_JAVASCRIPT;
    if (language == NULL || bytes_equal(text, bytes_str("javascript")))
        return QK_OK;
    design->language = VIEW_QUERY;
    if (bytes_equal(text, bytes_str("query")))
        return QK_OK;
    return doc_problem_set(problem, 400, "unknown_query_language",
                           "The language of a design document must be query or javascript.");
}

/* A change of anything that is signed makes the rows anew. */
static enum qk_err sign(struct view_design *design)
{
    struct buf text = BUF_SECRET_INIT(DESIGN_BYTES_MAX);
    json_t *views = json_object_get(design->json, "views");
    struct bytes parts[2];
    uint8_t kind[3] = {(uint8_t)design->language, design->include_design ? 1 : 0,
                       (uint8_t)design->kind};
    enum qk_err err = views == NULL ? QK_OK : json_write(views, &text);

    parts[0] = bytes_of(kind, sizeof(kind));
    parts[1] = buf_bytes(&text);
    hash_compute(parts, 2, design->signature);
    buf_fini(&text);
    return err;
}

/* --- kinds --- */

static const char *const kind_texts[] = {"memory", "plain", "blind"};

const char *view_kind_text(enum view_kind kind)
{
    return kind_texts[kind];
}

enum qk_err view_kind_parse(const json_t *text, enum view_kind *ret_kind)
{
    size_t i;

    *ret_kind = VIEW_MEMORY;
    if (text == NULL)
        return QK_OK;
    for (i = 0; i < sizeof(kind_texts) / sizeof(kind_texts[0]); i++) {
        if (bytes_equal(json_bytes(text), bytes_str(kind_texts[i]))) {
            *ret_kind = (enum view_kind)i;
            return QK_OK;
        }
    }
    return QK_ERR_INVALID;
}

const char *view_kind_leaks(enum view_kind kind, bool ids_hidden)
{
    if (kind == VIEW_PLAIN)
        return ids_hidden ? "each node's disk shows the keys of all rows, their order, number and "
                            "data keys; values and ids are encrypted"
                          : "each node's disk shows the keys of all rows, their order, number and "
                            "data keys, and which document gave each; values are encrypted";
    if (kind == VIEW_BLIND)
        return ids_hidden ? "each node's disk shows which rows have equal keys, their number and "
                            "data keys; keys, values and ids are encrypted"
                          : "each node's disk shows which rows have equal keys, their number and "
                            "data keys, and which document gave each; keys and values are "
                            "encrypted";
    return NULL;
}

/* A word that is not known must not be taken for one that is. */
static enum qk_err parse_kind(struct view_design *design, const json_t *kind,
                              struct doc_problem *problem)
{
    if (view_kind_parse(kind, &design->kind) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "invalid_design_doc",
                           "`options.index` must be memory, plain or blind.");
}

enum qk_err view_design_parse(json_t *json, struct doc_problem *ret_problem,
                              struct view_design **ret_design)
{
    struct view_design *design = calloc(1, sizeof(*design));
    enum qk_err err;

    assert(json != NULL && ret_problem != NULL && ret_design != NULL);

    if (design == NULL)
        return QK_ERR_NOMEM;
    design->json = json_incref(json);
    design->include_design =
        json_is_true(json_object_get(json_object_get(json, "options"), "include_design"));
    err =
        parse_kind(design, json_object_get(json_object_get(json, "options"), "index"), ret_problem);
    if (err == QK_OK)
        err = parse_language(design, json_object_get(json, "language"), ret_problem);
    if (err == QK_OK)
        err = parse_views(design, json_object_get(json, "views"), ret_problem);
    if (err == QK_OK)
        err = sign(design);
    if (err == QK_OK)
        *ret_design = design;
    else
        view_design_free(design);
    return err;
}

void view_design_free(struct view_design *design)
{
    size_t i;

    if (design == NULL)
        return;
    for (i = 0; i < design->views_n; i++) {
        paths_free(design->views[i].fields, design->views[i].fields_n);
        paths_free(design->views[i].values, design->views[i].values_n);
        selector_free(design->views[i].selector);
    }
    free(design->views);
    json_decref(design->json);
    free(design);
}

const struct view *view_find(const struct view_design *design, struct bytes name)
{
    size_t i;

    for (i = 0; i < design->views_n; i++)
        if (bytes_equal(design->views[i].name, name))
            return &design->views[i];
    return NULL;
}

/* --- rows --- */

void view_rows_reset(struct view_rows *rows)
{
    buf_reset(&rows->data);
    rows->n = 0;
}

void view_rows_fini(struct view_rows *rows)
{
    buf_fini(&rows->data);
    free(rows->rows); /* lengths: no secret */
    rows->rows = NULL;
    rows->n = rows->cap = 0;
}

static struct view_row *rows_next(struct view_rows *rows)
{
    size_t cap = rows->cap == 0 ? 64 : 2 * rows->cap;
    struct view_row *wide;

    if (rows->n == rows->cap) {
        wide = reallocarray(rows->rows, cap, sizeof(*wide));
        if (wide == NULL)
            return NULL;
        rows->rows = wide;
        rows->cap = cap;
    }
    return &rows->rows[rows->n];
}

static enum qk_err rows_put(struct view_rows *rows, struct view_row *row, const json_t *key,
                            const json_t *value)
{
    struct buf *data = &rows->data;
    size_t begin = data->len, sort_end, key_end;
    enum qk_err err = collate_key(key, data);

    sort_end = data->len;
    if (err == QK_OK)
        err = json_write(key, data);
    key_end = data->len;
    if (err == QK_OK && value == NULL)
        buf_put_str(data, "null");
    else if (err == QK_OK)
        err = json_write(value, data);
    row->sort_len = sort_end - begin;
    row->key_len = key_end - sort_end;
    row->value_len = data->len - key_end;
    if (err == QK_OK && data->len - begin > VIEW_KEY_BYTES_MAX)
        err = QK_ERR_TOO_BIG;
    return err == QK_OK ? buf_error(data) : err;
}

enum qk_err view_rows_add(struct view_rows *rows, size_t view, const json_t *key,
                          const json_t *value)
{
    size_t begin = rows->data.len;
    struct view_row *row = rows_next(rows);
    enum qk_err err;

    if (row == NULL)
        return QK_ERR_NOMEM;
    err = rows_put(rows, row, key, value);
    row->view = view;
    if (err == QK_OK) {
        rows->n++;
    } else {
        rows->data.len = begin;
        rows->data.failed = QK_OK;
    }
    return err;
}

/* --- the map --- */

/* An array of the values of the fields, or the one field's value: a new reference. NULL with QK_OK:
 * one of `must` is not there. */
static enum qk_err values_of(const struct field_path *paths, size_t n, bool bare, bool must,
                             const json_t *doc, json_t **ret_value)
{
    json_t *all = json_array();
    const json_t *found;
    size_t i;

    *ret_value = NULL;
    for (i = 0; all != NULL && i < n; i++) {
        json_t *value = NULL;

        if (field_get(&paths[i], doc, &found) == FIELD_FOUND)
            value = json_incref((json_t *)(uintptr_t)found);
        else if (!must)
            value = json_null();
        if (value == NULL) {
            json_decref(all);
            return QK_OK;
        }
        if (json_array_append_new(all, value) != 0) {
            json_decref(all);
            return QK_ERR_NOMEM;
        }
    }
    if (all == NULL)
        return QK_ERR_NOMEM;
    *ret_value = bare ? json_incref(json_array_get(all, 0)) : json_incref(all);
    json_decref(all);
    return QK_OK;
}

static bool is_wanted(const struct view *view, const json_t *doc)
{
    bool match = true;

    return view->selector == NULL ||
           (selector_match(view->selector, doc, &match) == QK_OK && match);
}

static enum qk_err map_view(const struct view_design *design, const struct view *view,
                            const json_t *doc, struct view_rows *rows)
{
    json_t *key = NULL, *value = NULL;
    enum qk_err err;

    err = values_of(view->fields, view->fields_n, view->bare, true, doc, &key);
    if (err == QK_OK && key != NULL && is_wanted(view, doc)) {
        if (view->values_n > 0)
            err = values_of(view->values, view->values_n, view->bare_value, false, doc, &value);
        if (err == QK_OK)
            err = view_rows_add(rows, (size_t)(view - design->views), key, value);
    }
    json_decref(key);
    json_decref(value);
    return err == QK_ERR_TOO_BIG ? QK_OK : err;
}

enum qk_err view_map(const struct view_design *design, const json_t *doc, struct view_rows *rows)
{
    enum qk_err err = QK_OK;
    size_t i;

    assert(design->language == VIEW_QUERY);

    for (i = 0; err == QK_OK && i < design->views_n; i++)
        err = map_view(design, &design->views[i], doc, rows);
    return err;
}

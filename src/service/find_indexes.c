#include "service/find_indexes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/view.h"
#include "service/doc_name.h"
#include "service/find_wish.h"
#include "service/read.h"
#include "service/service.h"

#define PREFIX "_design/"
#define TURN_RECORDS 512
#define TURN_BYTES (1 * MIB)

/* --- one design document --- */

/* False: this view is no index. */
static bool index_read(struct find_index *index, json_t *view)
{
    json_t *fields, *partial, *value;
    const char *name;

    index->map = json_object_get(view, "map");
    fields = json_object_get(index->map, "fields");
    partial = json_object_get(index->map, "partial_filter_selector");
    if (partial == NULL)
        partial = json_object_get(index->map, "selector");
    if (!json_is_object(fields) || !json_is_object(json_object_get(view, "options")) ||
        json_object_size(fields) == 0 || json_object_size(fields) > FIND_COLUMNS_MAX)
        return false;
    index->columns_n = 0;
    json_object_foreach(fields, name, value)
    {
        index->columns[index->columns_n++] = bytes_str(name);
    }
    index->partial = json_object_size(partial) > 0;
    return true;
}

static enum qk_err index_add(struct find_indexes *indexes, const struct find_index *index)
{
    size_t cap = indexes->cap == 0 ? 8 : 2 * indexes->cap;
    struct find_index *wide;

    if (indexes->n >= FIND_INDEXES_MAX)
        return QK_ERR_TOO_BIG;
    if (indexes->n == indexes->cap) {
        wide = reallocarray(indexes->list, cap, sizeof(*wide)); /* views: nothing to wipe */
        if (wide == NULL)
            return QK_ERR_NOMEM;
        indexes->list = wide;
        indexes->cap = cap;
    }
    indexes->list[indexes->n] = *index;
    json_incref(index->design);
    indexes->n++;
    return QK_OK;
}

enum qk_err find_indexes_add(struct find_indexes *indexes, json_t *design)
{
    json_t *views = json_object_get(design, "views"), *view;
    struct find_index index = {.design = design,
                               .design_id = json_bytes(json_object_get(design, "_id"))};
    enum qk_err err = QK_OK;
    const char *name;

    if (view_kind_parse(json_object_get(json_object_get(design, "options"), "index"),
                        &index.kind) != QK_OK)
        return QK_OK;
    if (!bytes_equal(json_bytes(json_object_get(design, "language")), bytes_str("query")))
        return QK_OK;
    json_object_foreach(views, name, view)
    {
        index.name = bytes_str(name);
        if (err == QK_OK && index_read(&index, view))
            err = index_add(indexes, &index);
    }
    return err;
}

static int by_name(const void *a, const void *b)
{
    const struct find_index *left = a, *right = b;
    int order = bytes_compare(left->design_id, right->design_id);

    return order != 0 ? order : bytes_compare(left->name, right->name);
}

/* --- all of a database --- */

static int place(const void *arg, struct bytes id)
{
    (void)arg;
    if (bytes_starts_with(id, bytes_str(PREFIX)))
        return 0;
    return bytes_compare(id, bytes_str(PREFIX)) < 0 ? -1 : 1;
}

static enum qk_err gather_open(struct find_indexes *indexes)
{
    struct visible *visible = indexes->visible;
    struct record_key prefix;

    if (visible->ids_hidden) {
        sorted_rows_init(&indexes->sorted, visible, false, SIZE_MAX, place, NULL);
        return QK_OK;
    }
    prefix = record_document(visible->database, bytes_str(PREFIX));
    return store_cursor_open_prefix(visible->service->store, record_key_bytes(&prefix), false,
                                    &indexes->cursor);
}

/* QK_ERR_NOT_FOUND: none in this step or, with *ret_last, no more. */
static enum qk_err gather_next(struct find_indexes *indexes, struct store_row *ret_row,
                               bool *ret_last)
{
    enum qk_err err;

    if (indexes->visible->ids_hidden) {
        if (!indexes->gathered) {
            err = sorted_rows_gather(&indexes->sorted, &indexes->gathered);
            return err == QK_OK ? QK_ERR_NOT_FOUND : err;
        }
        return sorted_rows_next(&indexes->sorted, ret_row, ret_last);
    }
    err = store_cursor_next(indexes->cursor, ret_row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    return err;
}

/* One view that is wrong makes a design document of no use, its indexes too. */
static bool is_sound(json_t *design)
{
    struct doc_problem problem = {0};
    struct view_design *parsed = NULL;
    bool sound = view_design_parse(design, &problem, &parsed) == QK_OK;

    view_design_free(parsed);
    return sound;
}

static enum qk_err add_body(struct find_indexes *indexes, struct bytes id,
                            const struct doc_leaf *leaf, struct bytes body)
{
    static const struct document_options no_options = {0};
    struct document_parts parts = {BYTES_NONE, body};
    struct doc_problem problem = {0};
    json_t *design = NULL;
    enum qk_err err;

    indexes->bytes += body.len;
    if (indexes->bytes > FIND_DESIGNS_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    buf_reset(&indexes->text);
    document_write(id, leaf, &parts, &no_options, &indexes->text);
    err = buf_error(&indexes->text);
    if (err == QK_OK)
        err = json_parse(buf_bytes(&indexes->text), JSON_DEPTH_MAX + 1, &problem, &design);
    if (err == QK_OK && is_sound(design))
        err = find_indexes_add(indexes, design);
    json_decref(design);
    return err;
}

static enum qk_err gather_row(struct find_indexes *indexes, const struct store_row *row)
{
    struct visible *visible = indexes->visible;
    struct bytes name = record_key_name(row->key), id;
    struct document_parts parts;
    struct doc_leaf leaf;
    enum qk_err err;
    bool shown;

    err = visible_row(visible, row, &leaf, &shown);
    if (err != QK_OK || !shown || leaf.deleted)
        return err;
    err = doc_name_to_id(visible->service, visible->database, visible->ids_hidden, name,
                         &indexes->id, &id);
    buf_reset(&indexes->plain);
    if (err == QK_OK)
        err =
            stored_open(visible->service, visible->database, name, &leaf, &indexes->plain, &parts);
    return err == QK_OK ? add_body(indexes, id, &leaf, parts.body) : err;
}

static void gather_end(struct find_indexes *indexes, enum qk_err err)
{
    store_cursor_close(indexes->cursor);
    indexes->cursor = NULL;
    sorted_rows_fini(&indexes->sorted);
    memset(&indexes->sorted, 0, sizeof(indexes->sorted));
    buf_fini(&indexes->id);
    buf_fini(&indexes->plain);
    buf_fini(&indexes->text);
    if (indexes->n > 0)
        qsort(indexes->list, indexes->n, sizeof(*indexes->list), by_name);
    indexes->ready(indexes->arg, err);
}

/* One turn of the loop. A design document that cannot be read has no index to offer. */
static void gather_turn(void *arg)
{
    struct find_indexes *indexes = arg;
    enum qk_err err = service_is_open(indexes->visible->service) ? QK_OK : QK_ERR_SEALED;
    size_t bytes = indexes->bytes;
    bool last = false;
    unsigned i;

    if (err == QK_OK && indexes->visible->exchange->closed)
        err = QK_ERR_CLOSED;
    if (err == QK_OK)
        err = visible_turn(indexes->visible);
    for (i = 0; i < TURN_RECORDS && err == QK_OK && !last; i++) {
        struct store_row row;

        if (indexes->bytes - bytes > TURN_BYTES)
            break;
        err = gather_next(indexes, &row, &last);
        if (err == QK_OK)
            err = gather_row(indexes, &row);
        if (err == QK_ERR_NOT_FOUND || err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED)
            err = QK_OK;
    }
    if (err != QK_OK || last)
        gather_end(indexes, err);
    else
        exchange_on_drain(indexes->visible->exchange, gather_turn, indexes);
}

static void gather_flushed(void *arg, enum qk_err err)
{
    struct find_indexes *indexes = arg;

    if (err == QK_OK && !service_is_open(indexes->visible->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = gather_open(indexes);
    if (err == QK_OK)
        gather_turn(indexes);
    else
        gather_end(indexes, err);
}

void find_indexes_gather(struct find_indexes *indexes, struct visible *visible,
                         void (*ready)(void *arg, enum qk_err err), void *arg)
{
    assert(indexes->n == 0);

    indexes->visible = visible;
    indexes->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    indexes->plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    indexes->text = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    indexes->ready = ready;
    indexes->arg = arg;
    store_flush_to_read(visible->service->store, gather_flushed, indexes);
}

void find_indexes_fini(struct find_indexes *indexes)
{
    size_t i;

    for (i = 0; i < indexes->n; i++)
        json_decref(indexes->list[i].design);
    free(indexes->list);
    *indexes = (struct find_indexes){0};
}

/* --- as JSON --- */

static json_t *def_json(const struct find_index *index)
{
    json_t *def = json_object(), *value, *fields = json_object_get(index->map, "fields");
    json_t *list = json_array();
    const char *name;

    json_object_foreach(fields, name, value)
    {
        json_array_append_new(list, json_pack("{s:O}", name, value));
    }
    json_object_set_new(def, "fields", list);
    json_object_foreach(index->map, name, value)
    {
        bool is_default = json_is_object(value) && json_object_size(value) == 0;

        if (strcmp(name, "fields") != 0 &&
            !(strcmp(name, "partial_filter_selector") == 0 && is_default))
            json_object_set(def, name, value);
    }
    return def;
}

json_t *find_index_json(const struct find_index *index)
{
    if (index == NULL)
        return json_pack("{s:n,s:s,s:s,s:{s:[{s:s}]}}", "ddoc", "name", "_all_docs", "type",
                         "special", "def", "fields", "_id", "asc");
    return json_pack("{s:s%,s:s%,s:s,s:b,s:o,s:s*}", "ddoc", (const char *)index->design_id.data,
                     index->design_id.len, "name", (const char *)index->name.data, index->name.len,
                     "type", "json", "partitioned", 0, "def", def_json(index), "kind",
                     index->kind == VIEW_MEMORY ? NULL : view_kind_text(index->kind));
}

#include "service/query/find_indexes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/view.h"
#include "service/designs.h"
#include "service/query/find_wish.h"
#include "service/service.h"

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

/* One view that is wrong makes a design document of no use, its indexes too. */
static bool is_sound(json_t *design)
{
    struct doc_problem problem = {0};
    struct view_design *parsed = NULL;
    bool sound = view_design_parse(design, &problem, &parsed) == QK_OK;

    view_design_free(parsed);
    return sound;
}

/* One that cannot be read, or not by this reader, has no index to offer. */
static enum qk_err design_add(struct find_indexes *indexes, const struct design *design)
{
    bool shown = indexes->visible->everything;
    enum qk_err err = visible_key(indexes->visible, design->key_id, &shown);

    if (err != QK_OK || !shown || design->json == NULL || !is_sound(design->json))
        return err;
    return find_indexes_add(indexes, design->json);
}

static enum qk_err gather(struct find_indexes *indexes, const struct designs *designs)
{
    enum qk_err err = visible_turn(indexes->visible);
    size_t i;

    for (i = 0; err == QK_OK && i < designs_n(designs); i++)
        err = design_add(indexes, designs_at(designs, i));
    if (indexes->n > 0)
        qsort(indexes->list, indexes->n, sizeof(*indexes->list), by_name);
    return err;
}

static void gather_there(void *arg, enum qk_err err);

static enum qk_err gather_wait(struct find_indexes *indexes)
{
    struct service *service = indexes->visible->service;
    const struct catalog_database *database =
        catalog_database_of(service->catalog, indexes->visible->database);

    return database == NULL ? QK_ERR_CLOSED
                            : designs_wait(service, database, gather_there, indexes);
}

/* They may have changed again since they were there. */
static void gather_there(void *arg, enum qk_err err)
{
    struct find_indexes *indexes = arg;
    struct service *service = indexes->visible->service;
    const struct designs *designs = NULL;

    if (err == QK_OK && !service_is_open(service))
        err = QK_ERR_SEALED;
    if (err == QK_OK && indexes->visible->exchange->closed)
        err = QK_ERR_CLOSED;
    if (err == QK_OK)
        designs = designs_find(service, indexes->visible->database);
    if (err == QK_OK && designs == NULL) {
        err = gather_wait(indexes);
        if (err == QK_OK)
            return;
    }
    if (err == QK_OK)
        err = gather(indexes, designs);
    indexes->ready(indexes->arg, err);
}

/* Who asks reads the file next. */
void find_indexes_gather(struct find_indexes *indexes, struct visible *visible,
                         void (*ready)(void *arg, enum qk_err err), void *arg)
{
    assert(indexes->n == 0);

    indexes->visible = visible;
    indexes->ready = ready;
    indexes->arg = arg;
    store_flush_to_read(visible->service->store, gather_there, indexes);
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

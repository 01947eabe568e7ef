#include "service/query/find_index_wish.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "doc/selector.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/query/find_indexes.h"
#include "service/query/find_wish.h"

#define PREFIX "_design/"
#define MADE_NAME_BYTES 20 /* as long as CouchDB's */

void find_design_id(struct bytes name, struct buf *out)
{
    if (!bytes_starts_with(name, bytes_str(PREFIX)))
        buf_put_str(out, PREFIX);
    buf_put_bytes(out, name);
}

/* --- the definition --- */

/* {"fields":{"a":"asc"},"partial_filter_selector":{...}}, as CouchDB stores it. */
static enum qk_err map_make(json_t *def, struct doc_problem *problem, json_t **ret_map)
{
    json_t *partial = json_object_get(def, "partial_filter_selector");
    struct bytes columns[FIND_COLUMNS_MAX];
    json_t *fields = NULL;
    bool descending;
    size_t n, i;
    enum qk_err err;

    err = find_sort_parse(json_object_get(def, "fields"), columns, FIND_COLUMNS_MAX, &n,
                          &descending, problem);
    if (err != QK_OK)
        return err;
    if (n == 0)
        return doc_problem_set(problem, 400, "invalid_index", "An index needs fields.");
    fields = json_object();
    for (i = 0; i < n; i++)
        json_object_setn_new(fields, (const char *)columns[i].data, columns[i].len,
                             json_string(descending ? "desc" : "asc"));
    *ret_map = json_pack("{s:o,s:o}", "fields", fields, "partial_filter_selector",
                         partial == NULL ? json_object() : json_incref(partial));
    return *ret_map == NULL ? QK_ERR_NOMEM : QK_OK;
}

static enum qk_err def_check(const json_t *def, struct doc_problem *problem)
{
    struct selector *selector = NULL;
    enum qk_err err = QK_OK;
    const char *name;
    json_t *value;

    if (!json_is_object(def))
        return find_problem(problem, "invalid_index", "JSON indexes must be an object, not: ", def,
                            "");
    if (json_object_get(def, "fields") == NULL)
        return doc_problem_set(problem, 400, "missing_required_key",
                               "Missing required key: fields");
    json_object_foreach((json_t *)(uintptr_t)def, name, value)
    {
        if (err == QK_OK && strcmp(name, "partial_filter_selector") == 0)
            err = selector_parse(value, problem, &selector);
        else if (err == QK_OK && strcmp(name, "fields") != 0)
            err = doc_problem_set(problem, 400, "invalid_key",
                                  "Invalid key %.64s for this request.", name);
    }
    selector_free(selector);
    return err;
}

/* --- names --- */

/* Hex of a MAC of the definition: equal definitions are one index, as in CouchDB. The key keeps the
 * names of fields from whoever has a disk, where ids stand in clear. */
static enum qk_err name_make(const struct service *service, const json_t *def, enum view_kind kind,
                             struct buf *out)
{
    struct buf text = BUF_SECRET_INIT(DOC_BYTES_MAX);
    uint8_t mac[HASH_BYTES];
    struct bytes part;
    char hex[2 * MADE_NAME_BYTES + 1];
    enum qk_err err = json_write(def, &text);

    if (kind != VIEW_MEMORY)
        buf_put_str(&text, view_kind_text(kind));
    part = buf_bytes(&text);
    if (err == QK_OK)
        err = buf_error(&text);
    if (err == QK_OK)
        err = mac_compute(keyring_index_key(service->keyring), "mango name", &part, 1, mac);
    buf_fini(&text);
    if (err != QK_OK)
        return err;
    hex_encode(mac, MADE_NAME_BYTES, hex);
    buf_put_str(out, hex);
    return buf_error(out);
}

/* The name that is given, or the made one. */
static enum qk_err name_take(const struct service *service, const json_t *body, const char *member,
                             enum view_kind kind, struct buf *out, struct doc_problem *problem)
{
    const json_t *name = json_object_get(body, member);

    if (name == NULL)
        return name_make(service, json_object_get(body, "index"), kind, out);
    if (!json_is_string(name))
        return find_problem(problem, "invalid_string", "Invalid string: ", name, "");
    if (json_string_length(name) == 0 || json_string_length(name) > FIND_INDEX_NAME_BYTES_MAX / 2)
        return find_problem(problem, "invalid_index_name", "Invalid index name: ", name, "");
    buf_put_bytes(out, json_bytes(name));
    return buf_error(out);
}

/* --- the request --- */

static enum qk_err type_check(const json_t *type, struct doc_problem *problem)
{
    if (type == NULL || bytes_equal(json_bytes(type), bytes_str("json")))
        return QK_OK;
    if (!json_is_string(type))
        return find_problem(problem, "invalid_string", "Invalid string: ", type, "");
    if (bytes_equal(json_bytes(type), bytes_str("text")))
        return doc_problem_set(problem, 503, "required index service unavailable", "text");
    return doc_problem_set(problem, 400, "invalid_index", "Invalid type for index: %.64s",
                           json_string_value(type));
}

static enum qk_err others_check(const json_t *body, struct doc_problem *problem)
{
    static const char *const known[] = {"index", "type",        "name", "ddoc",
                                        "w",     "partitioned", "kind"};
    const json_t *w = json_object_get(body, "w");
    const json_t *partitioned = json_object_get(body, "partitioned");
    const char *name;
    json_t *value;
    size_t i;

    if (w != NULL && (!json_is_integer(w) || json_integer_value(w) < 1))
        return find_problem(problem, "invalid_pos_integer", "", w,
                            " is not an integer greater than zero");
    if (partitioned != NULL && !json_is_false(partitioned))
        return find_problem(problem, "invalid_partitioned_value",
                            "Databases have no partitions here: ", partitioned, "");
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        for (i = 0; i < sizeof known / sizeof known[0] && strcmp(known[i], name) != 0; i++)
            continue;
        if (i == sizeof known / sizeof known[0])
            return doc_problem_set(problem, 400, "invalid_key",
                                   "Invalid key %.64s for this request.", name);
    }
    return QK_OK;
}

static enum qk_err view_make(json_t *def, struct doc_problem *problem, json_t **ret_view)
{
    json_t *map = NULL;
    enum qk_err err = def_check(def, problem);

    if (err == QK_OK)
        err = map_make(def, problem, &map);
    if (err != QK_OK)
        return err;
    *ret_view =
        json_pack("{s:o,s:s,s:{s:O}}", "map", map, "reduce", "_count", "options", "def", def);
    return *ret_view == NULL ? QK_ERR_NOMEM : QK_OK;
}

static enum qk_err wish_take(const struct service *service, const json_t *body,
                             struct find_index_wish *wish, struct doc_problem *problem)
{
    struct buf design = BUF_INIT(FIND_INDEX_NAME_BYTES_MAX);
    json_t *def = json_object_get(body, "index");
    enum qk_err err = type_check(json_object_get(body, "type"), problem);

    if (def == NULL)
        return doc_problem_set(problem, 400, "missing_required_key", "Missing required key: index");
    if (err == QK_OK)
        err = others_check(body, problem);
    if (err == QK_OK && view_kind_parse(json_object_get(body, "kind"), &wish->kind) != QK_OK)
        err = doc_problem_set(problem, 400, "invalid_index_kind",
                              "`kind` must be memory, plain or blind.");
    if (err == QK_OK)
        err = view_make(def, problem, &wish->view);
    if (err == QK_OK)
        err = name_take(service, body, "name", wish->kind, &wish->name, problem);
    if (err == QK_OK)
        err = name_take(service, body, "ddoc", wish->kind, &design, problem);
    if (err == QK_OK) {
        find_design_id(buf_bytes(&design), &wish->design);
        err = buf_error(&wish->design);
    }
    buf_fini(&design);
    return err;
}

enum qk_err find_index_wish_parse(const struct service *service, const struct request *request,
                                  struct find_index_wish *ret_wish, struct doc_problem *ret_problem)
{
    json_t *body = NULL;
    enum qk_err err;

    assert(ret_wish != NULL);

    *ret_wish = (struct find_index_wish){.design = BUF_INIT(FIND_DESIGN_ID_BYTES_MAX),
                                         .name = BUF_INIT(FIND_INDEX_NAME_BYTES_MAX)};
    err = find_body(request, ret_problem, &body);
    if (err == QK_OK)
        err = wish_take(service, body, ret_wish, ret_problem);
    json_decref(body);
    return err;
}

void find_index_wish_fini(struct find_index_wish *wish)
{
    buf_fini(&wish->design);
    buf_fini(&wish->name);
    json_decref(wish->view);
    wish->view = NULL;
}

enum qk_err find_bulk_wish_parse(const struct request *request, json_t **ret_ids,
                                 struct doc_problem *ret_problem)
{
    json_t *body = NULL, *ids;
    enum qk_err err = find_body(request, ret_problem, &body);
    size_t i;

    if (err != QK_OK)
        return err;
    ids = json_object_get(body, "docids");
    if (ids == NULL)
        err = doc_problem_set(ret_problem, 400, "missing_required_key",
                              "Missing required key: docids");
    else if (!json_is_array(ids) || json_array_size(ids) > FIND_BULK_DELETE_MAX)
        err = find_problem(ret_problem, "invalid_bulk_docs",
                           "Bulk Delete requires an array of non-null docids. Docids: ", ids, "");
    for (i = 0; err == QK_OK && i < json_array_size(ids); i++)
        if (!json_is_string(json_array_get(ids, i)))
            err = find_problem(ret_problem, "invalid_index_name",
                               "Invalid index name: ", json_array_get(ids, i), "");
    if (err == QK_OK)
        *ret_ids = json_incref(ids);
    json_decref(body);
    return err;
}

/* --- design documents --- */

static json_t *design_new(struct bytes id, enum view_kind kind)
{
    return json_pack(
        "{s:s%,s:s,s:{},s:o*}", "_id", (const char *)id.data, id.len, "language", "query", "views",
        "options", kind == VIEW_MEMORY ? NULL : json_pack("{s:s}", "index", view_kind_text(kind)));
}

/* All indexes of a design document are of one kind. */
static bool has_kind(const json_t *design, enum view_kind kind)
{
    enum view_kind known;

    return view_kind_parse(json_object_get(json_object_get(design, "options"), "index"), &known) ==
               QK_OK &&
           known == kind;
}

enum qk_err find_design_add(const json_t *design, struct bytes id, struct bytes name, json_t *view,
                            enum view_kind kind, struct doc_problem *ret_problem,
                            json_t **ret_design)
{
    const json_t *language = json_object_get(design, "language");
    json_t *made = design == NULL ? design_new(id, kind) : json_deep_copy(design), *views, *present;

    *ret_design = NULL;
    if (made == NULL)
        return QK_ERR_NOMEM;
    views = json_object_get(made, "views");
    present = json_object_getn(views, (const char *)name.data, name.len);
    if (design != NULL && !bytes_equal(json_bytes(language), bytes_str("query"))) {
        json_decref(made);
        return find_problem(ret_problem, "invalid_ddoc_lang",
                            "Existing design doc has an invalid language: ",
                            language == NULL ? json_null() : language, "");
    }
    if (!has_kind(made, kind)) {
        json_decref(made);
        return doc_problem_set(ret_problem, 400, "invalid_index_kind",
                               "The indexes of this design document are of another kind: its "
                               "`options.index` says which.");
    }
    if (present != NULL && json_equal(present, view)) {
        json_decref(made);
        return QK_OK;
    }
    if (!json_is_object(views)) {
        views = json_object();
        json_object_set_new(made, "views", views);
    }
    if (json_object_setn(views, (const char *)name.data, name.len, view) != 0) {
        json_decref(made);
        return QK_ERR_NOMEM;
    }
    *ret_design = made;
    return QK_OK;
}

static bool is_bare(const json_t *design)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)design, name, value)
    {
        if (name[0] != '_' && strcmp(name, "language") != 0)
            return false;
    }
    return true;
}

static json_t *tombstone_of(const json_t *design)
{
    return json_pack("{s:O,s:O,s:b}", "_id", json_object_get(design, "_id"), "_rev",
                     json_object_get(design, "_rev"), "_deleted", 1);
}

enum qk_err find_design_remove(const json_t *design, struct bytes name, json_t **ret_design)
{
    struct find_indexes indexes = {0};
    json_t *made = json_deep_copy(design), *views = json_object_get(made, "views");
    size_t i, removed_n = 0;
    enum qk_err err = made == NULL ? QK_ERR_NOMEM : QK_OK;

    *ret_design = NULL;
    if (err == QK_OK)
        err = find_indexes_add(&indexes, (json_t *)(uintptr_t)design);
    for (i = 0; err == QK_OK && i < indexes.n; i++) {
        struct bytes one = indexes.list[i].name;

        if (name.len > 0 && !bytes_equal(name, one))
            continue;
        (void)json_object_deln(views, (const char *)one.data, one.len);
        removed_n++;
    }
    find_indexes_fini(&indexes);
    if (json_object_size(views) == 0) {
        (void)json_object_del(made, "views");
        (void)json_object_del(made, "options");
        (void)json_object_del(made, "autoupdate");
    }
    if (err == QK_OK && removed_n > 0) {
        *ret_design = is_bare(made) ? tombstone_of(made) : json_incref(made);
        err = *ret_design == NULL ? QK_ERR_NOMEM : QK_OK;
    }
    json_decref(made);
    return err;
}

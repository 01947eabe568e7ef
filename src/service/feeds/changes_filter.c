#include "service/feeds/changes_filter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/script.h"
#include "service/script_context.h"
#include "service/query/view_load.h"

static enum qk_err ids_problem(struct doc_problem *problem)
{
    return doc_problem_set(problem, 400, "bad_request",
                           "`doc_ids` filter parameter is not a list of doc ids.");
}

static int ids_compare(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Takes over the reference to `wish`, of which `ids` is a part. */
static enum qk_err ids_take(struct changes_filter *filter, json_t *wish, const json_t *ids,
                            struct doc_problem *problem)
{
    size_t i;

    filter->wish = wish;
    if (!json_is_array(ids))
        return ids_problem(problem);
    filter->ids = calloc(json_array_size(ids) + 1, sizeof(*filter->ids));
    if (filter->ids == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; i < json_array_size(ids); i++) {
        if (!json_is_string(json_array_get(ids, i)))
            return ids_problem(problem);
        filter->ids[i] = json_bytes(json_array_get(ids, i));
    }
    filter->ids_n = i;
    qsort(filter->ids, filter->ids_n, sizeof(*filter->ids), ids_compare);
    return QK_OK;
}

static enum qk_err body_read(const struct request *request, struct doc_problem *problem,
                             json_t **ret_body)
{
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, problem, ret_body);

    if (err != QK_OK || json_is_object(*ret_body))
        return err;
    json_decref(*ret_body);
    *ret_body = NULL;
    return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
}

/* CouchDB's: a body is an object, whether the filter looks at it or not. */
static enum qk_err body_check(const struct request *request, struct doc_problem *problem)
{
    json_t *body = NULL;
    enum qk_err err = QK_OK;

    if (request->method == METHOD_POST && request->body.len > 0)
        err = body_read(request, problem, &body);
    json_decref(body);
    return err;
}

static enum qk_err ids_read(const struct request *request, struct changes_filter *filter,
                            struct doc_problem *problem)
{
    json_t *wish = NULL;
    struct bytes text;
    enum qk_err err;

    if (request->method == METHOD_POST) {
        err = body_read(request, problem, &wish);
        return err != QK_OK ? err
                            : ids_take(filter, wish, json_object_get(wish, "doc_ids"), problem);
    }
    if (!request_param(request, "doc_ids", &text))
        return ids_problem(problem);
    err = json_parse(text, JSON_DEPTH_MAX, problem, &wish);
    return err != QK_OK ? err : ids_take(filter, wish, wish, problem);
}

/* --- _selector --- */

static enum qk_err fields_take(struct changes_filter *filter, const json_t *fields,
                               struct doc_problem *problem)
{
    size_t n = json_array_size(fields), i;
    enum qk_err err = QK_OK;

    if (!json_is_array(fields) || n > CHANGES_FIELDS_MAX)
        return doc_problem_set(problem, 400, "bad_request",
                               "Selector error: fields must be JSON array");
    filter->fields = calloc(n + 1, sizeof(*filter->fields));
    if (filter->fields == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; err == QK_OK && i < n; i++) {
        const json_t *field = json_array_get(fields, i);

        err = json_is_string(field) ? field_path_parse(json_bytes(field), &filter->fields[i])
                                    : QK_ERR_INVALID;
        filter->fields_n += err == QK_OK ? 1 : 0;
    }
    if (err == QK_ERR_INVALID)
        return doc_problem_set(problem, 400, "bad_request",
                               "Fields must be an array of strings, none of them empty");
    return err;
}

static enum qk_err selector_read(const struct request *request, struct changes_filter *filter,
                                 struct doc_problem *problem)
{
    json_t *selector, *fields;
    enum qk_err err;

    if (request->method != METHOD_POST)
        return doc_problem_set(problem, 400, "bad_request",
                               "Selector must be specified in POST payload");
    err = body_read(request, problem, &filter->wish);
    if (err != QK_OK)
        return err;
    selector = json_object_get(filter->wish, "selector");
    fields = json_object_get(filter->wish, "fields");
    if (!json_is_object(selector))
        return doc_problem_set(problem, 400, "bad_request",
                               "Selector error: expected a JSON object");
    err = selector_parse(selector, problem, &filter->selector);
    if (err == QK_ERR_INVALID)
        problem->error = "bad_request"; /* as this filter words it, whatever _find says */
    return err == QK_OK && fields != NULL ? fields_take(filter, fields, problem) : err;
}

/* --- of design documents --- */

/* "design/name" in two. */
static bool split_name(struct bytes text, struct bytes *ret_design, struct bytes *ret_name)
{
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);

    if (slash == NULL)
        return false;
    *ret_design = bytes_slice(text, 0, (size_t)(slash - text.data));
    *ret_name = bytes_slice(text, ret_design->len + 1, text.len);
    return ret_design->len > 0 && ret_name->len > 0 &&
           memchr(ret_name->data, '/', ret_name->len) == NULL;
}

static enum qk_err member_missing(struct bytes name, struct doc_problem *problem)
{
    return doc_problem_set(problem, 404, "not_found", "missing json key: %.*s", (int)name.len,
                           (const char *)name.data);
}

static json_t *member_of(const json_t *design, const char *member, struct bytes name)
{
    return json_object_getn(json_object_get(design, member), (const char *)name.data, name.len);
}

/* As CouchDB: `member` of the design document must have `name` in it. */
static enum qk_err member_check(const json_t *design, const char *member, struct bytes name,
                                struct doc_problem *problem)
{
    const json_t *members = json_object_get(design, member);

    if (!json_is_object(members))
        return member_missing(bytes_str(member), problem);
    return member_of(design, member, name) == NULL ? member_missing(name, problem) : QK_OK;
}

/* What is to be run, with all that it may ask for. `member` is "filter" or "view". */
static enum qk_err script_take(struct service *service, const struct exchange *exchange,
                               const struct catalog_database *database,
                               struct changes_filter *filter, const char *member,
                               const json_t *source, struct doc_problem *problem)
{
    json_t *script;
    enum qk_err err = QK_ERR_NOMEM;

    if (service->script_door.connect == NULL)
        return doc_problem_set(problem, 501, "not_implemented", "this node runs no JavaScript");
    if (!json_is_string(source))
        return doc_problem_set(problem, 400, "bad_request", "%s must be a string", member);
    script = json_pack("{s:O, s:O, s:o}", member, source, "design", filter->design->json, "request",
                       script_request(service, exchange, database));
    if (script != NULL)
        err = json_write(script, &filter->script);
    json_decref(script);
    filter->kind = CHANGES_FILTER_SCRIPT;
    return err;
}

static enum qk_err view_of(struct service *service, const struct exchange *exchange,
                           const struct catalog_database *database, struct changes_filter *filter,
                           struct bytes name, struct doc_problem *problem)
{
    const struct view_design *design = filter->design;
    const struct view *view;
    enum qk_err err = member_check(design->json, "views", name, problem);

    if (err != QK_OK)
        return err;
    view = view_find(design, name);
    if (view == NULL)
        return member_missing(name, problem);
    filter->view = (size_t)(view - design->views);
    if (design->language == VIEW_QUERY)
        return QK_OK;
    return script_take(service, exchange, database, filter, "view",
                       json_object_get(member_of(design->json, "views", name), "map"), problem);
}

static enum qk_err view_read(struct service *service, struct exchange *exchange,
                             const struct catalog_database *database, struct changes_filter *filter,
                             struct doc_problem *problem)
{
    struct bytes text, design, name;
    enum qk_err err;

    if (!request_param(&exchange->request, "view", &text) || text.len == 0)
        return doc_problem_set(problem, 400, "bad_request",
                               "`view` filter parameter is not provided.");
    if (!split_name(text, &design, &name))
        return doc_problem_set(problem, 400, "bad_request",
                               "`view` must be of the form `designname/viewname`");
    err = view_load(service, exchange, database, design, problem, &filter->design);
    return err == QK_OK ? view_of(service, exchange, database, filter, name, problem) : err;
}

static enum qk_err custom_read(struct service *service, struct exchange *exchange,
                               const struct catalog_database *database, struct bytes text,
                               struct changes_filter *filter, struct doc_problem *problem)
{
    struct bytes design, name;
    enum qk_err err;

    if (!split_name(text, &design, &name))
        return doc_problem_set(problem, 400, "bad_request",
                               "`filter` must be of the form `designname/filtername`");
    err = view_load(service, exchange, database, design, problem, &filter->design);
    if (err == QK_OK)
        err = member_check(filter->design->json, "filters", name, problem);
    if (err == QK_OK && filter->design->language != VIEW_JAVASCRIPT)
        return doc_problem_set(problem, 400, "bad_request",
                               "Filters are functions of design documents in JavaScript");
    return err != QK_OK ? err
                        : script_take(service, exchange, database, filter, "filter",
                                      member_of(filter->design->json, "filters", name), problem);
}

enum qk_err changes_filter_read(struct service *service, struct exchange *exchange,
                                const struct catalog_database *database,
                                struct changes_filter *ret_filter, struct doc_problem *ret_problem)
{
    const struct request *request = &exchange->request;
    struct bytes name;
    enum qk_err err;

    *ret_filter = (struct changes_filter){.rows = VIEW_ROWS_INIT,
                                          .script = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX)};
    err = body_check(request, ret_problem);
    if (err != QK_OK)
        return err;
    if (!request_param(request, "filter", &name) || name.len == 0)
        return QK_OK;
    if (name.data[0] != '_')
        return custom_read(service, exchange, database, name, ret_filter, ret_problem);
    if (bytes_equal(name, bytes_str("_design"))) {
        ret_filter->kind = CHANGES_FILTER_DESIGN;
        return QK_OK;
    }
    if (bytes_equal(name, bytes_str("_view"))) {
        ret_filter->kind = CHANGES_FILTER_VIEW;
        return view_read(service, exchange, database, ret_filter, ret_problem);
    }
    if (bytes_equal(name, bytes_str("_selector"))) {
        ret_filter->kind = CHANGES_FILTER_SELECTOR;
        return selector_read(request, ret_filter, ret_problem);
    }
    if (!bytes_equal(name, bytes_str("_doc_ids")))
        return doc_problem_set(ret_problem, 400, "bad_request", "unknown builtin filter name");
    ret_filter->kind = CHANGES_FILTER_DOC_IDS;
    return ids_read(request, ret_filter, ret_problem);
}

void changes_filter_fini(struct changes_filter *filter)
{
    size_t i;

    free(filter->ids);
    selector_free(filter->selector);
    for (i = 0; i < filter->fields_n; i++)
        field_path_fini(&filter->fields[i]);
    free(filter->fields);
    view_rows_fini(&filter->rows);
    buf_fini(&filter->script);
    view_design_free(filter->design);
    json_decref(filter->wish);
    *filter = (struct changes_filter){0};
}

bool changes_filter_takes_id(const struct changes_filter *filter, struct bytes id)
{
    switch (filter->kind) {
    case CHANGES_FILTER_NONE:
    case CHANGES_FILTER_SELECTOR:
    case CHANGES_FILTER_VIEW:
    case CHANGES_FILTER_SCRIPT:
        return true;
    case CHANGES_FILTER_DOC_IDS:
        return filter->ids_n > 0 &&
               bsearch(&id, filter->ids, filter->ids_n, sizeof(id), ids_compare) != NULL;
    case CHANGES_FILTER_DESIGN:
        return bytes_starts_with(id, bytes_str("_design/"));
    }
    return false;
}

bool changes_filter_asks_doc(const struct changes_filter *filter)
{
    return filter->kind == CHANGES_FILTER_SELECTOR || filter->kind == CHANGES_FILTER_VIEW;
}

static enum qk_err view_takes(struct changes_filter *filter, const json_t *doc, bool *ret_takes)
{
    enum qk_err err;
    size_t i;

    *ret_takes = false;
    view_rows_reset(&filter->rows);
    err = view_map(filter->design, doc, &filter->rows);
    for (i = 0; err == QK_OK && i < filter->rows.n; i++)
        *ret_takes = *ret_takes || filter->rows.rows[i].view == filter->view;
    return err;
}

enum qk_err changes_filter_takes_doc(struct changes_filter *filter, const json_t *doc,
                                     bool *ret_takes)
{
    enum qk_err err;

    assert(changes_filter_asks_doc(filter));

    if (filter->kind == CHANGES_FILTER_VIEW)
        return view_takes(filter, doc, ret_takes);
    err = selector_match(filter->selector, doc, ret_takes);
    if (err != QK_ERR_TOO_BIG)
        return err;
    *ret_takes = false;
    return QK_OK;
}

size_t changes_filter_cost(const struct changes_filter *filter)
{
    const struct view_design *design = filter->design;
    size_t cost = 0, i;

    if (filter->kind == CHANGES_FILTER_SELECTOR)
        return selector_steps(filter->selector);
    for (i = 0; design != NULL && i < design->views_n; i++)
        if (design->views[i].selector != NULL)
            cost += selector_steps(design->views[i].selector);
    return cost;
}

enum qk_err changes_filter_project(const struct changes_filter *filter, json_t *doc,
                                   json_t **ret_doc)
{
    json_t *shown;
    enum qk_err err = QK_OK;
    size_t i;

    if (filter->fields_n == 0) {
        *ret_doc = json_incref(doc);
        return QK_OK;
    }
    shown = json_object();
    if (shown == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; err == QK_OK && i < filter->fields_n; i++) {
        const json_t *value;

        if (field_get(&filter->fields[i], doc, &value) == FIELD_FOUND)
            err = field_set(&filter->fields[i], shown, (json_t *)(uintptr_t)value);
    }
    if (err == QK_OK)
        *ret_doc = shown;
    else
        json_decref(shown);
    return err;
}

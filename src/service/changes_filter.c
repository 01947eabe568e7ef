#include "service/changes_filter.h"

#include <assert.h>
#include <stdlib.h>

#include "doc/json.h"

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

/* What this version does not do must not be ignored: a client would take the rows for filtered. */
static enum qk_err filter_unknown(struct bytes name, struct doc_problem *problem)
{
    if (bytes_equal(name, bytes_str("_view")) || name.data[0] != '_')
        return doc_problem_set(problem, 501, "not_implemented",
                               "this version of Quorumkeep has no such filter of feeds");
    return doc_problem_set(problem, 400, "bad_request", "unknown builtin filter name");
}

enum qk_err changes_filter_read(const struct request *request, struct changes_filter *ret_filter,
                                struct doc_problem *ret_problem)
{
    struct bytes name;

    *ret_filter = (struct changes_filter){0};
    if (!request_param(request, "filter", &name) || name.len == 0)
        return QK_OK;
    if (bytes_equal(name, bytes_str("_design"))) {
        ret_filter->kind = CHANGES_FILTER_DESIGN;
        return QK_OK;
    }
    if (bytes_equal(name, bytes_str("_selector"))) {
        ret_filter->kind = CHANGES_FILTER_SELECTOR;
        return selector_read(request, ret_filter, ret_problem);
    }
    if (!bytes_equal(name, bytes_str("_doc_ids")))
        return filter_unknown(name, ret_problem);
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
    json_decref(filter->wish);
    *filter = (struct changes_filter){0};
}

bool changes_filter_takes_id(const struct changes_filter *filter, struct bytes id)
{
    switch (filter->kind) {
    case CHANGES_FILTER_NONE:
    case CHANGES_FILTER_SELECTOR:
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
    return filter->kind == CHANGES_FILTER_SELECTOR;
}

enum qk_err changes_filter_takes_doc(struct changes_filter *filter, const json_t *doc,
                                     bool *ret_takes)
{
    enum qk_err err = selector_match(filter->selector, doc, ret_takes);

    if (err != QK_ERR_TOO_BIG)
        return err;
    *ret_takes = false;
    return QK_OK;
}

size_t changes_filter_cost(const struct changes_filter *filter)
{
    return selector_steps(filter->selector);
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

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

/* What this version does not do must not be ignored: a client would take the rows for filtered. */
static enum qk_err filter_unknown(struct bytes name, struct doc_problem *problem)
{
    if (bytes_equal(name, bytes_str("_selector")) || bytes_equal(name, bytes_str("_view")) ||
        name.data[0] != '_')
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
    if (!bytes_equal(name, bytes_str("_doc_ids")))
        return filter_unknown(name, ret_problem);
    ret_filter->kind = CHANGES_FILTER_DOC_IDS;
    return ids_read(request, ret_filter, ret_problem);
}

void changes_filter_fini(struct changes_filter *filter)
{
    free(filter->ids);
    json_decref(filter->wish);
    *filter = (struct changes_filter){0};
}

bool changes_filter_takes_id(const struct changes_filter *filter, struct bytes id)
{
    switch (filter->kind) {
    case CHANGES_FILTER_NONE:
        return true;
    case CHANGES_FILTER_DOC_IDS:
        return filter->ids_n > 0 &&
               bsearch(&id, filter->ids, filter->ids_n, sizeof(id), ids_compare) != NULL;
    case CHANGES_FILTER_DESIGN:
        return bytes_starts_with(id, bytes_str("_design/"));
    }
    return false;
}

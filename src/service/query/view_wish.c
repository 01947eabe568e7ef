#include "service/query/view_wish.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "service/params.h"

#define WISH_ID_BYTES_MAX (64 * KIB)

static enum qk_err wrong(struct doc_problem *problem, const char *reason)
{
    return doc_problem_set(problem, 400, "query_parse_error", "%s", reason);
}

/* --- values: JSON, or from the URL texts --- */

static bool text_is(const json_t *value, const char *text)
{
    return json_is_string(value) && strcasecmp(json_string_value(value), text) == 0;
}

static enum qk_err take_bool(const json_t *value, bool *ret_flag, struct doc_problem *problem)
{
    struct bytes shown = bytes_slice(json_bytes(value), 0, 64);

    if (json_is_true(value) || text_is(value, "true"))
        *ret_flag = true;
    else if (json_is_false(value) || text_is(value, "false"))
        *ret_flag = false;
    else
        return doc_problem_set(problem, 400, "query_parse_error",
                               "Invalid boolean parameter: \"%.*s\"", (int)shown.len,
                               (const char *)shown.data);
    return QK_OK;
}

static enum qk_err take_count(const json_t *value, uint64_t *ret_count, struct doc_problem *problem)
{
    struct bytes text = json_bytes(value), shown = bytes_slice(text, 0, 64);
    bool negative = text.len > 1 && text.data[0] == '-';
    uint64_t number;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret_count = (uint64_t)json_integer_value(value);
        return QK_OK;
    }
    if (json_is_string(value) && parse_u64(text, ret_count))
        return QK_OK;
    negative =
        (negative && parse_u64(bytes_slice(text, 1, text.len), &number)) || json_is_integer(value);
    return doc_problem_set(problem, 400, "query_parse_error", "Invalid value for %s: \"%.*s\"",
                           negative ? "positive integer" : "integer", (int)shown.len,
                           (const char *)shown.data);
}

static void take_json(json_t *value, json_t **ret_value)
{
    json_decref(*ret_value);
    *ret_value = json_incref(value);
}

/* --- one parameter each --- */

#define TAKE(name_)                                                                                \
    static enum qk_err name_(struct view_wish *wish, json_t *value, struct doc_problem *problem)

TAKE(take_start)
{
    (void)problem;
    take_json(value, &wish->start);
    return QK_OK;
}

TAKE(take_end)
{
    (void)problem;
    take_json(value, &wish->end);
    return QK_OK;
}

TAKE(take_key)
{
    (void)problem;
    take_json(value, &wish->start);
    take_json(value, &wish->end);
    return QK_OK;
}

TAKE(take_keys)
{
    if (!json_is_array(value))
        return doc_problem_set(problem, 400, "bad_request", "`keys` member must be an array.");
    take_json(value, &wish->keys);
    return QK_OK;
}

static enum qk_err take_id(const json_t *value, struct buf *out, bool *ret_has, const char *reason,
                           struct doc_problem *problem)
{
    if (!json_is_string(value))
        return wrong(problem, reason);
    buf_reset(out);
    buf_put_bytes(out, json_bytes(value));
    *ret_has = true;
    return buf_error(out) == QK_OK ? QK_OK : wrong(problem, reason);
}

TAKE(take_start_id)
{
    return take_id(value, &wish->start_id, &wish->has_start_id,
                   "`start_key_docid` must be a string.", problem);
}

TAKE(take_end_id)
{
    return take_id(value, &wish->end_id, &wish->has_end_id, "`end_key_docid` must be a string.",
                   problem);
}

TAKE(take_inclusive_end)
{
    return take_bool(value, &wish->inclusive_end, problem);
}

TAKE(take_descending)
{
    return take_bool(value, &wish->descending, problem);
}

TAKE(take_include_docs)
{
    return take_bool(value, &wish->include_docs, problem);
}

TAKE(take_attachments)
{
    return take_bool(value, &wish->attachments, problem);
}

TAKE(take_conflicts)
{
    wish->has_conflicts = true;
    return take_bool(value, &wish->conflicts, problem);
}

TAKE(take_update_seq)
{
    return take_bool(value, &wish->update_seq, problem);
}

TAKE(take_reduce)
{
    wish->has_reduce = true;
    return take_bool(value, &wish->reduce, problem);
}

TAKE(take_group)
{
    wish->has_group = true;
    return take_bool(value, &wish->group, problem);
}

TAKE(take_group_level)
{
    wish->has_group_level = true;
    return take_count(value, &wish->group_level, problem);
}

TAKE(take_limit)
{
    return take_count(value, &wish->limit, problem);
}

TAKE(take_skip)
{
    return take_count(value, &wish->skip, problem);
}

TAKE(take_update)
{
    if (json_is_true(value) || text_is(value, "true"))
        wish->update = VIEW_UPDATE_TRUE;
    else if (json_is_false(value) || text_is(value, "false"))
        wish->update = VIEW_UPDATE_FALSE;
    else if (text_is(value, "lazy"))
        wish->update = VIEW_UPDATE_LAZY;
    else
        return wrong(problem, "Invalid value for `update`.");
    return QK_OK;
}

/* What CouchDB 1 called it. */
TAKE(take_stale)
{
    if (text_is(value, "ok"))
        wish->update = VIEW_UPDATE_FALSE;
    else if (text_is(value, "update_after"))
        wish->update = VIEW_UPDATE_LAZY;
    else
        return wrong(problem, "Invalid value for `stale`.");
    return QK_OK;
}

/* Every node has the rows of all documents: there is nothing to be stable about. */
TAKE(take_stable)
{
    bool flag;

    (void)wish;
    return take_bool(value, &flag, problem) == QK_OK
               ? QK_OK
               : wrong(problem, "Invalid value for `stable`.");
}

/* Rows always come sorted. */
TAKE(take_sorted)
{
    bool flag;

    (void)wish;
    return take_bool(value, &flag, problem);
}

TAKE(take_partition)
{
    (void)wish;
    (void)value;
    return wrong(problem, "`partition` parameter is not supported in this database.");
}

static const struct {
    const char *name;
    bool json; /* in the URL, too */
    enum qk_err (*take)(struct view_wish *wish, json_t *value, struct doc_problem *problem);
} wishes[] = {{"key", true, take_key},
              {"keys", true, take_keys},
              {"startkey", true, take_start},
              {"start_key", true, take_start},
              {"endkey", true, take_end},
              {"end_key", true, take_end},
              {"startkey_docid", false, take_start_id},
              {"start_key_doc_id", false, take_start_id},
              {"endkey_docid", false, take_end_id},
              {"end_key_doc_id", false, take_end_id},
              {"inclusive_end", false, take_inclusive_end},
              {"descending", false, take_descending},
              {"include_docs", false, take_include_docs},
              {"attachments", false, take_attachments},
              {"conflicts", false, take_conflicts},
              {"update_seq", false, take_update_seq},
              {"reduce", false, take_reduce},
              {"group", false, take_group},
              {"group_level", false, take_group_level},
              {"limit", false, take_limit},
              {"skip", false, take_skip},
              {"update", false, take_update},
              {"stale", false, take_stale},
              {"stable", false, take_stable},
              {"sorted", false, take_sorted},
              {"partition", false, take_partition}};
#define WISHES_N (sizeof(wishes) / sizeof(wishes[0]))

/* --- the whole --- */

void view_wish_init(struct view_wish *ret_wish)
{
    *ret_wish = (struct view_wish){.inclusive_end = true,
                                   .limit = UINT64_MAX,
                                   .start_id = BUF_SECRET_INIT(WISH_ID_BYTES_MAX),
                                   .end_id = BUF_SECRET_INIT(WISH_ID_BYTES_MAX)};
}

enum qk_err view_wish_copy(const struct view_wish *wish, struct view_wish *ret_copy)
{
    *ret_copy = *wish;
    json_incref(ret_copy->start);
    json_incref(ret_copy->end);
    json_incref(ret_copy->keys);
    ret_copy->start_id = BUF_SECRET_INIT(WISH_ID_BYTES_MAX);
    ret_copy->end_id = BUF_SECRET_INIT(WISH_ID_BYTES_MAX);
    buf_put_bytes(&ret_copy->start_id, buf_bytes(&wish->start_id));
    buf_put_bytes(&ret_copy->end_id, buf_bytes(&wish->end_id));
    return buf_error(&ret_copy->start_id) != QK_OK ? buf_error(&ret_copy->start_id)
                                                   : buf_error(&ret_copy->end_id);
}

void view_wish_fini(struct view_wish *wish)
{
    json_decref(wish->start);
    json_decref(wish->end);
    json_decref(wish->keys);
    buf_fini(&wish->start_id);
    buf_fini(&wish->end_id);
    wish->start = wish->end = wish->keys = NULL;
}

/* A text of the URL that is no JSON is a string: what is expected to be one. */
static enum qk_err query_value(size_t at, struct bytes text, json_t **ret_value,
                               struct doc_problem *problem)
{
    if (wishes[at].json)
        return json_parse(text, JSON_DEPTH_MAX, problem, ret_value);
    if (!utf8_is_valid(text))
        return wrong(problem, "Invalid UTF-8 in the query string.");
    *ret_value = json_stringn_nocheck((const char *)text.data, text.len);
    return *ret_value == NULL ? QK_ERR_NOMEM : QK_OK;
}

enum qk_err view_wish_query(struct view_wish *wish, const struct request *request,
                            struct doc_problem *ret_problem)
{
    struct bytes text;
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < WISHES_N; i++) {
        json_t *value = NULL;

        if (!request_param(request, wishes[i].name, &text))
            continue;
        err = query_value(i, text, &value, ret_problem);
        if (err == QK_OK)
            err = wishes[i].take(wish, value, ret_problem);
        json_decref(value);
    }
    return err;
}

enum qk_err view_wish_body(struct view_wish *wish, const json_t *body,
                           struct doc_problem *ret_problem)
{
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < WISHES_N; i++) {
        json_t *value = json_object_get(body, wishes[i].name);

        if (value != NULL)
            err = wishes[i].take(wish, value, ret_problem);
    }
    return err;
}

static enum qk_err settle_group(struct view_wish *wish, struct doc_problem *problem)
{
    if (wish->has_group && !wish->group && wish->has_group_level && wish->group_level > 0)
        return wrong(problem, "Can't specify group=false and group_level>0 at the same time");
    if (!wish->has_group_level)
        wish->group_level = wish->group ? VIEW_GROUP_EXACT : 0;
    return QK_OK;
}

static enum qk_err check_reduce(const struct view_wish *wish, struct doc_problem *problem)
{
    if (wish->keys != NULL && wish->group_level != VIEW_GROUP_EXACT)
        return wrong(problem, "Multi-key fetches for reduce views must use `group=true`");
    if (wish->include_docs)
        return wrong(problem, "`include_docs` is invalid for reduce");
    if (wish->has_conflicts)
        return wrong(problem, "`conflicts` is invalid for reduce views.");
    return QK_OK;
}

enum qk_err view_wish_check(struct view_wish *wish, bool has_reduce,
                            struct doc_problem *ret_problem)
{
    enum qk_err err;

    if (wish->has_reduce && wish->reduce && !has_reduce)
        return wrong(ret_problem, "Reduce is invalid for map-only views.");
    wish->reduce = has_reduce && (!wish->has_reduce || wish->reduce);
    err = settle_group(wish, ret_problem);
    if (err == QK_OK && wish->keys != NULL && json_array_size(wish->keys) > 0 &&
        (wish->start != NULL || wish->end != NULL))
        err = wrong(ret_problem, "`keys` is incompatible with `key`, `start_key` and `end_key`");
    if (err != QK_OK)
        return err;
    if (wish->reduce)
        return check_reduce(wish, ret_problem);
    if (wish->group_level > 0)
        return wrong(ret_problem, "Invalid use of grouping on a map view.");
    return QK_OK;
}

#include <assert.h>
#include <string.h>

#include "service/documents/all_docs.h"

#define WISH_KEY_BYTES_MAX (64 * KIB)

static enum qk_err wish_problem(struct doc_problem *problem, const char *name, const char *what)
{
    return doc_problem_set(problem, 400, "query_parse_error", "Invalid value for %s: it must be %s",
                           name, what);
}

static enum qk_err take_string(const char *name, const json_t *value, struct buf *out,
                               bool *ret_has, struct doc_problem *problem)
{
    if (!json_is_string(value))
        return wish_problem(problem, name, "a JSON string");
    buf_reset(out);
    buf_put_bytes(out, json_bytes(value));
    *ret_has = true;
    return buf_error(out) == QK_OK ? QK_OK : wish_problem(problem, name, "shorter");
}

static enum qk_err take_start(struct all_docs_wish *wish, const char *name, json_t *value,
                              struct doc_problem *problem)
{
    return take_string(name, value, &wish->start, &wish->has_start, problem);
}

static enum qk_err take_end(struct all_docs_wish *wish, const char *name, json_t *value,
                            struct doc_problem *problem)
{
    return take_string(name, value, &wish->end, &wish->has_end, problem);
}

static enum qk_err take_key(struct all_docs_wish *wish, const char *name, json_t *value,
                            struct doc_problem *problem)
{
    enum qk_err err = take_start(wish, name, value, problem);

    return err != QK_OK ? err : take_end(wish, name, value, problem);
}

static enum qk_err take_keys(struct all_docs_wish *wish, const char *name, json_t *value,
                             struct doc_problem *problem)
{
    size_t i;

    if (!json_is_array(value))
        return doc_problem_set(problem, 400, "bad_request", "`keys` body member must be an array.");
    for (i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return wish_problem(problem, name, "an array of JSON strings");
    }
    json_decref(wish->keys);
    wish->keys = json_incref(value);
    return QK_OK;
}

static enum qk_err take_flag(bool *ret_flag, const char *name, const json_t *value,
                             struct doc_problem *problem)
{
    if (!json_is_boolean(value))
        return wish_problem(problem, name, "true or false");
    *ret_flag = json_is_true(value);
    return QK_OK;
}

static enum qk_err take_inclusive_end(struct all_docs_wish *wish, const char *name, json_t *value,
                                      struct doc_problem *problem)
{
    return take_flag(&wish->inclusive_end, name, value, problem);
}

static enum qk_err take_descending(struct all_docs_wish *wish, const char *name, json_t *value,
                                   struct doc_problem *problem)
{
    return take_flag(&wish->descending, name, value, problem);
}

static enum qk_err take_attachments(struct all_docs_wish *wish, const char *name, json_t *value,
                                    struct doc_problem *problem)
{
    return take_flag(&wish->attachments, name, value, problem);
}

static enum qk_err take_include_docs(struct all_docs_wish *wish, const char *name, json_t *value,
                                     struct doc_problem *problem)
{
    return take_flag(&wish->include_docs, name, value, problem);
}

static enum qk_err take_conflicts(struct all_docs_wish *wish, const char *name, json_t *value,
                                  struct doc_problem *problem)
{
    return take_flag(&wish->conflicts, name, value, problem);
}

static enum qk_err take_update_seq(struct all_docs_wish *wish, const char *name, json_t *value,
                                   struct doc_problem *problem)
{
    return take_flag(&wish->update_seq, name, value, problem);
}

static enum qk_err take_count(uint64_t *ret_count, const char *name, const json_t *value,
                              struct doc_problem *problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wish_problem(problem, name, "a positive integer");
    *ret_count = (uint64_t)json_integer_value(value);
    return QK_OK;
}

static enum qk_err take_limit(struct all_docs_wish *wish, const char *name, json_t *value,
                              struct doc_problem *problem)
{
    return take_count(&wish->limit, name, value, problem);
}

static enum qk_err take_skip(struct all_docs_wish *wish, const char *name, json_t *value,
                             struct doc_problem *problem)
{
    return take_count(&wish->skip, name, value, problem);
}

static const struct {
    const char *name;
    enum qk_err (*take)(struct all_docs_wish *wish, const char *name, json_t *value,
                        struct doc_problem *problem);
} wishes[] = {
    {"startkey", take_start},
    {"start_key", take_start},
    {"endkey", take_end},
    {"end_key", take_end},
    {"key", take_key},
    {"keys", take_keys},
    {"inclusive_end", take_inclusive_end},
    {"descending", take_descending},
    {"include_docs", take_include_docs},
    {"attachments", take_attachments},
    {"conflicts", take_conflicts},
    {"update_seq", take_update_seq},
    {"limit", take_limit},
    {"skip", take_skip},
};
#define WISHES_N (sizeof(wishes) / sizeof(wishes[0]))

/* The values of the query are JSON texts: "a", 10, true. */
static enum qk_err wish_query(const struct request *request, struct all_docs_wish *wish,
                              struct doc_problem *problem)
{
    struct bytes text;
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < WISHES_N; i++) {
        json_t *value = NULL;

        if (!request_param(request, wishes[i].name, &text))
            continue;
        err = json_parse(text, JSON_DEPTH_MAX, problem, &value);
        if (err == QK_ERR_INVALID && strstr(wishes[i].name, "key") == NULL)
            err = wish_problem(problem, wishes[i].name, "JSON");
        if (err == QK_OK)
            err = wishes[i].take(wish, wishes[i].name, value, problem);
        json_decref(value);
    }
    return err;
}

static enum qk_err wish_members(const json_t *object, struct all_docs_wish *wish,
                                struct doc_problem *problem)
{
    enum qk_err err = QK_OK;
    size_t i;

    if (!json_is_object(object))
        return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    for (i = 0; err == QK_OK && i < WISHES_N; i++) {
        json_t *value = json_object_get(object, wishes[i].name);

        if (value != NULL)
            err = wishes[i].take(wish, wishes[i].name, value, problem);
    }
    return err;
}

static enum qk_err wish_body(const struct request *request, struct all_docs_wish *wish,
                             struct doc_problem *problem)
{
    json_t *body = NULL;
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, problem, &body);

    if (err == QK_OK)
        err = wish_members(body, wish, problem);
    json_decref(body);
    return err;
}

static enum qk_err wish_check(const struct all_docs_wish *wish, struct doc_problem *problem)
{
    if (wish->keys != NULL && (wish->has_start || wish->has_end))
        return doc_problem_set(problem, 400, "query_parse_error",
                               "`keys` is incompatible with `key`, `start_key` and `end_key`");
    return QK_OK;
}

static void wish_init(struct all_docs_wish *wish)
{
    *wish = (struct all_docs_wish){.start = BUF_SECRET_INIT(WISH_KEY_BYTES_MAX),
                                   .end = BUF_SECRET_INIT(WISH_KEY_BYTES_MAX),
                                   .inclusive_end = true,
                                   .limit = UINT64_MAX};
}

enum qk_err all_docs_wish_parse(const struct request *request, struct all_docs_wish *ret_wish,
                                struct doc_problem *ret_problem)
{
    enum qk_err err = QK_OK;

    assert(ret_wish != NULL && ret_problem != NULL);

    wish_init(ret_wish);
    /* What the query says counts, where the body says it too: so the body comes first. */
    if (request->method == METHOD_POST && request->body.len > 0)
        err = wish_body(request, ret_wish, ret_problem);
    if (err == QK_OK)
        err = wish_query(request, ret_wish, ret_problem);
    return err == QK_OK ? wish_check(ret_wish, ret_problem) : err;
}

enum qk_err all_docs_wish_query(const struct request *request, const json_t *query,
                                struct all_docs_wish *ret_wish, struct doc_problem *ret_problem)
{
    enum qk_err err;

    wish_init(ret_wish);
    err = wish_query(request, ret_wish, ret_problem);
    if (err == QK_OK)
        err = wish_members(query, ret_wish, ret_problem);
    return err == QK_OK ? wish_check(ret_wish, ret_problem) : err;
}

static enum qk_err queries_check(const struct request *request, const json_t *queries,
                                 struct doc_problem *problem)
{
    struct all_docs_wish wish;
    enum qk_err err = QK_OK;
    size_t i;

    if (queries == NULL)
        return doc_problem_set(problem, 400, "bad_request",
                               "POST body must include `queries` parameter.");
    if (!json_is_array(queries))
        return doc_problem_set(problem, 400, "query_parse_error", "`queries` must be an array.");
    for (i = 0; err == QK_OK && i < json_array_size(queries); i++) {
        err = all_docs_wish_query(request, json_array_get(queries, i), &wish, problem);
        all_docs_wish_fini(&wish);
    }
    return err;
}

enum qk_err all_docs_queries_parse(const struct request *request, json_t **ret_queries,
                                   struct doc_problem *ret_problem)
{
    json_t *body = NULL;
    enum qk_err err;

    *ret_queries = NULL;
    if (request->segments_n < 3)
        return QK_OK;
    err = json_parse(request->body, JSON_DEPTH_MAX, ret_problem, &body);
    if (err == QK_OK)
        err = queries_check(request, json_object_get(body, "queries"), ret_problem);
    if (err == QK_OK)
        *ret_queries = json_incref(json_object_get(body, "queries"));
    json_decref(body);
    return err;
}

static void design_bound(struct buf *bound, bool *has, const char *text)
{
    buf_reset(bound);
    buf_put_str(bound, text);
    *has = true;
}

/* "_design0" is the first text behind all that begin with "_design/". */
void all_docs_wish_design(struct all_docs_wish *wish)
{
    struct bytes low = bytes_str(ALL_DOCS_DESIGN), high = bytes_str("_design0");
    struct buf *first = wish->descending ? &wish->end : &wish->start;
    struct buf *last = wish->descending ? &wish->start : &wish->end;
    bool *has_first = wish->descending ? &wish->has_end : &wish->has_start;
    bool *has_last = wish->descending ? &wish->has_start : &wish->has_end;

    if (wish->keys != NULL)
        return;
    if (!*has_first || bytes_compare(buf_bytes(first), low) < 0)
        design_bound(first, has_first, ALL_DOCS_DESIGN);
    if (!*has_last || bytes_compare(buf_bytes(last), high) > 0)
        design_bound(last, has_last, "_design0");
}

void all_docs_wish_fini(struct all_docs_wish *wish)
{
    buf_fini(&wish->start);
    buf_fini(&wish->end);
    json_decref(wish->keys);
    wish->keys = NULL;
}

int all_docs_wish_place(const void *arg, struct bytes id)
{
    const struct all_docs_wish *wish = arg;
    int sign = wish->descending ? -1 : 1;
    int order;

    if (wish->has_start && sign * bytes_compare(id, buf_bytes(&wish->start)) < 0)
        return -1;
    if (!wish->has_end)
        return 0;
    order = sign * bytes_compare(id, buf_bytes(&wish->end));
    return order > 0 || (order == 0 && !wish->inclusive_end) ? 1 : 0;
}

#include "service/query/find_wish.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES_MAX 80

enum qk_err find_problem(struct doc_problem *problem, const char *error, const char *before,
                         const json_t *value, const char *after)
{
    struct buf shown = BUF_SECRET_INIT(DOC_BYTES_MAX);
    enum qk_err err = json_write(value, &shown);
    struct bytes cut = bytes_slice(buf_bytes(&shown), 0, SHOWN_BYTES_MAX);

    while (cut.len > 0 && !utf8_is_valid(cut))
        cut.len--;
    if (err == QK_OK || err == QK_ERR_TOO_BIG)
        err = doc_problem_set(problem, 400, error, "%s%.*s%s", before, (int)cut.len,
                              (const char *)cut.data, after);
    buf_fini(&shown);
    return err;
}

enum qk_err find_body(const struct request *request, struct doc_problem *ret_problem,
                      json_t **ret_body)
{
    json_t *body = NULL;
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, ret_problem, &body);

    if (err == QK_OK && !json_is_object(body)) {
        json_decref(body);
        err =
            doc_problem_set(ret_problem, 400, "bad_request", "Request body must be a JSON object");
    }
    if (err == QK_OK)
        *ret_body = body;
    return err;
}

/* --- the members --- */

static enum qk_err take_selector(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return selector_parse(value, problem, &wish->selector);
}

/* "x", "_design/x", "x/y", "_design/x/y", ["x"], ["x", "y"]. */
static enum qk_err take_use_index(struct find_wish *wish, json_t *value,
                                  struct doc_problem *problem)
{
    static const char prefix[] = "_design/";
    struct bytes text = json_bytes(value);
    size_t at = bytes_starts_with(text, bytes_str(prefix)) ? sizeof(prefix) - 1 : 0;

    if (json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        return QK_OK;
    if (json_is_string(value)) {
        for (wish->use_design = text; at < text.len; at++) {
            if (text.data[at] != '/')
                continue;
            wish->use_design.len = at;
            wish->use_view = bytes_slice(text, at + 1, text.len);
            break;
        }
        return QK_OK;
    }
    if (json_array_size(value) > 2 || !json_is_string(json_array_get(value, 0)) ||
        (json_array_size(value) == 2 && !json_is_string(json_array_get(value, 1))))
        return find_problem(problem, "invalid_index_name", "Invalid index name: ", value, "");
    wish->use_design = json_bytes(json_array_get(value, 0));
    wish->use_view = json_bytes(json_array_get(value, 1));
    return QK_OK;
}

static enum qk_err take_bookmark(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    if (!json_is_null(value) && !json_is_string(value))
        return find_problem(problem, "invalid_bookmark", "Invalid bookmark value: ", value, "");
    wish->bookmark = json_bytes(value);
    if (bytes_equal(wish->bookmark, bytes_str("nil"))) /* what a reply without rows says */
        wish->bookmark = BYTES_NONE;
    return QK_OK;
}

static enum qk_err take_count(uint64_t *ret_count, uint64_t least, json_t *value,
                              struct doc_problem *problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)least)
        return least == 0 ? find_problem(problem, "invalid_non_neg_integer", "", value,
                                         " is not an integer greater than or equal to zero")
                          : find_problem(problem, "invalid_pos_integer", "", value,
                                         " is not an integer greater than zero");
    *ret_count = (uint64_t)json_integer_value(value);
    return QK_OK;
}

static enum qk_err take_limit(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_count(&wish->limit, 0, value, problem);
}

static enum qk_err take_skip(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_count(&wish->skip, 0, value, problem);
}

static enum qk_err take_r(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_count(&wish->r, 1, value, problem);
}

static enum qk_err take_bool(bool *ret_bool, json_t *value, struct doc_problem *problem)
{
    if (!json_is_boolean(value))
        return find_problem(problem, "invalid_boolean", "Invalid boolean value: ", value, "");
    *ret_bool = json_is_true(value);
    return QK_OK;
}

static enum qk_err take_conflicts(struct find_wish *wish, json_t *value,
                                  struct doc_problem *problem)
{
    return take_bool(&wish->conflicts, value, problem);
}

static enum qk_err take_update(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_bool(&wish->update, value, problem);
}

static enum qk_err take_stable(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_bool(&wish->stable, value, problem);
}

static enum qk_err take_stats(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_bool(&wish->execution_stats, value, problem);
}

static enum qk_err take_fallback(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return take_bool(&wish->allow_fallback, value, problem);
}

static enum qk_err take_stale(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    bool no = json_is_false(value) || bytes_equal(json_bytes(value), bytes_str("false"));

    wish->stale = bytes_equal(json_bytes(value), bytes_str("ok"));
    if (!no && !wish->stale)
        return find_problem(problem, "invalid_ok_or_false_value",
                            "Invalid value for stale: ", value, "");
    if (wish->stale)
        wish->update = false;
    return QK_OK;
}

static enum qk_err take_partition(struct find_wish *wish, json_t *value,
                                  struct doc_problem *problem)
{
    (void)wish;
    if (json_is_string(value) && json_string_length(value) == 0)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "`partition` parameter is not supported in this database.");
}

static enum qk_err take_sort(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    return find_sort_parse(value, wish->sort, FIND_SORTS_MAX, &wish->sort_n, &wish->descending,
                           problem);
}

static enum qk_err take_fields(struct find_wish *wish, json_t *value, struct doc_problem *problem)
{
    size_t i, n = json_array_size(value);

    if (!json_is_array(value) || n > FIND_FIELDS_MAX)
        return find_problem(problem, "invalid_fields",
                            "Fields must be an array of strings, not: ", value, "");
    wish->fields = calloc(n + 1, sizeof(*wish->fields));
    if (wish->fields == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; i < n; i++) {
        const json_t *name = json_array_get(value, i);
        enum qk_err err = QK_ERR_INVALID;

        if (json_is_string(name))
            err = field_path_parse(json_bytes(name), &wish->fields[i]);
        if (err == QK_ERR_INVALID)
            return find_problem(problem, "invalid_field", "Invalid JSON for field spec: ", name,
                                "");
        if (err != QK_OK)
            return err;
        wish->fields_n++;
    }
    return QK_OK;
}

/* --- sorts --- */

static enum qk_err sort_name(const json_t *json, struct bytes *ret_name, bool *ret_descending,
                             struct doc_problem *problem)
{
    void *member = json_object_iter((json_t *)(uintptr_t)json); /* does not change it */
    struct bytes direction;

    *ret_name = json_bytes(json);
    *ret_descending = false;
    if (json_is_string(json) && ret_name->len > 0)
        return QK_OK;
    if (json_object_size(json) != 1 || json_object_iter_key_len(member) == 0)
        return find_problem(problem, "invalid_sort_field", "Invalid sort field: ", json, "");
    *ret_name = bytes_of(json_object_iter_key(member), json_object_iter_key_len(member));
    direction = json_bytes(json_object_iter_value(member));
    *ret_descending = bytes_equal(direction, bytes_str("desc"));
    if (!*ret_descending && !bytes_equal(direction, bytes_str("asc")))
        return find_problem(problem, "invalid_sort_dir", "Invalid sort direction: ", json, "");
    return QK_OK;
}

enum qk_err find_sort_parse(const json_t *json, struct bytes *names, size_t names_max,
                            size_t *ret_n, bool *ret_descending, struct doc_problem *ret_problem)
{
    size_t i, n = json_array_size(json);
    bool descending = false;

    if (!json_is_array(json) || n > names_max)
        return find_problem(ret_problem, "invalid_sort_json",
                            "Sort must be an array of sort specs, not: ", json, "");
    for (i = 0; i < n; i++) {
        struct field_path path;
        bool this_descending;
        enum qk_err err;

        err = sort_name(json_array_get(json, i), &names[i], &this_descending, ret_problem);
        if (err != QK_OK)
            return err;
        err = field_path_parse(names[i], &path); /* only whether it is one */
        field_path_fini(&path);
        if (err == QK_ERR_INVALID)
            return find_problem(ret_problem, "invalid_sort_field",
                                "Invalid sort field: ", json_array_get(json, i), "");
        if (err != QK_OK)
            return err;
        if (i > 0 && this_descending != descending)
            return doc_problem_set(
                ret_problem, 400, "unsupported_mixed_sort",
                "Sorts currently only support a single direction for all fields.");
        descending = this_descending;
    }
    *ret_n = n;
    *ret_descending = descending;
    return QK_OK;
}

json_t *find_sort_json(const struct bytes *names, size_t n, bool descending)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; list != NULL && i < n; i++) {
        json_t *one = json_object();

        if (json_object_setn_new(one, (const char *)names[i].data, names[i].len,
                                 json_string(descending ? "desc" : "asc")) != 0 ||
            json_array_append(list, one) != 0) {
            json_decref(list);
            list = NULL;
        }
        json_decref(one);
    }
    return list;
}

/* --- the whole --- */

static const struct {
    const char *name;
    enum qk_err (*take)(struct find_wish *wish, json_t *value, struct doc_problem *problem);
} members[] = {
    {"selector", take_selector},
    {"use_index", take_use_index},
    {"bookmark", take_bookmark},
    {"limit", take_limit},
    {"skip", take_skip},
    {"sort", take_sort},
    {"fields", take_fields},
    {"partition", take_partition},
    {"r", take_r},
    {"conflicts", take_conflicts},
    {"stale", take_stale},
    {"update", take_update},
    {"stable", take_stable},
    {"execution_stats", take_stats},
    {"allow_fallback", take_fallback},
};
#define MEMBERS_N (sizeof members / sizeof members[0])

static bool is_member(const char *name)
{
    size_t i;

    for (i = 0; i < MEMBERS_N; i++)
        if (strcmp(members[i].name, name) == 0)
            return true;
    return false;
}

static enum qk_err wish_members(struct find_wish *wish, struct doc_problem *problem)
{
    enum qk_err err = QK_OK;
    const char *name;
    json_t *value;
    size_t i;

    for (i = 0; i < MEMBERS_N && err == QK_OK; i++) {
        value = json_object_get(wish->body, members[i].name);
        if (value != NULL)
            err = members[i].take(wish, value, problem);
        else if (i == 0)
            err = doc_problem_set(problem, 400, "missing_required_key",
                                  "Missing required key: selector");
    }
    json_object_foreach(wish->body, name, value)
    {
        if (err == QK_OK && !is_member(name))
            err = doc_problem_set(problem, 400, "invalid_key",
                                  "Invalid key %.64s for this request.", name);
    }
    return err;
}

enum qk_err find_wish_parse(const struct request *request, struct find_wish *ret_wish,
                            struct doc_problem *ret_problem)
{
    enum qk_err err;

    assert(ret_wish != NULL && ret_problem != NULL);

    *ret_wish = (struct find_wish){
        .limit = FIND_LIMIT_DEFAULT, .r = 1, .update = true, .allow_fallback = true};
    err = find_body(request, ret_problem, &ret_wish->body);
    return err == QK_OK ? wish_members(ret_wish, ret_problem) : err;
}

void find_wish_fini(struct find_wish *wish)
{
    size_t i;

    for (i = 0; i < wish->fields_n; i++)
        field_path_fini(&wish->fields[i]);
    free(wish->fields);
    selector_free(wish->selector);
    json_decref(wish->body);
    memset(wish, 0, sizeof(*wish));
}

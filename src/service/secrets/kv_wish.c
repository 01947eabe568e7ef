#include "service/secrets/kv_wish.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "service/params.h"

void kv_wish_fini(struct kv_wish *wish)
{
    json_decref(wish->data);
    json_decref(wish->custom);
    free(wish->versions);
    *wish = (struct kv_wish){.verb = wish->verb};
}

static enum qk_err problem_set(struct doc_problem *problem, const char *reason)
{
    return doc_problem_set(problem, 400, "bad_request", "%s", reason);
}

/* --- values --- */

static bool take_u64(const json_t *value, uint64_t max, uint64_t *ret_value)
{
    uint64_t number = 0;

    if (json_is_integer(value) && json_integer_value(value) >= 0)
        number = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !parse_u64(json_bytes(value), &number))
        return false;
    if (number > max)
        return false;
    *ret_value = number;
    return true;
}

static bool take_bool(const json_t *value, bool *ret_value)
{
    struct bytes text = json_bytes(value);

    if (json_is_boolean(value))
        *ret_value = json_is_true(value);
    else if (bytes_equal(text, bytes_str("true")) || bytes_equal(text, bytes_str("1")))
        *ret_value = true;
    else if (bytes_equal(text, bytes_str("false")) || bytes_equal(text, bytes_str("0")))
        *ret_value = false;
    else
        return false;
    return true;
}

static bool take_duration(const json_t *value, int64_t *ret_seconds)
{
    int64_t seconds = 0;

    if (json_is_integer(value))
        seconds = json_integer_value(value);
    else if (!json_is_string(value) || duration_parse(json_bytes(value), &seconds) != QK_OK)
        return false;
    if (seconds > (int64_t)KV_DURATION_S_MAX || seconds < -(int64_t)KV_DURATION_S_MAX)
        return false;
    *ret_seconds = seconds;
    return true;
}

/* --- versions --- */

/* "1,2": up to the next comma. */
static bool take_listed(struct bytes text, struct kv_wish *wish)
{
    size_t at = 0;

    while (at <= text.len) {
        size_t end = at;

        while (end < text.len && text.data[end] != ',')
            end++;
        if (wish->versions_n == KV_VERSIONS_MAX ||
            !parse_u64(bytes_slice(text, at, end - at), &wish->versions[wish->versions_n]))
            return false;
        wish->versions_n++;
        at = end + 1;
    }
    return true;
}

static bool take_each(const json_t *list, struct kv_wish *wish)
{
    const json_t *value;
    size_t i;

    if (json_array_size(list) > KV_VERSIONS_MAX)
        return false;
    json_array_foreach(list, i, value)
    {
        if (!take_u64(value, UINT64_MAX, &wish->versions[wish->versions_n]))
            return false;
        wish->versions_n++;
    }
    return true;
}

static enum qk_err take_versions(const json_t *value, struct kv_wish *wish,
                                 struct doc_problem *problem)
{
    bool good = false;

    wish->versions = calloc(KV_VERSIONS_MAX, sizeof(*wish->versions));
    if (wish->versions == NULL)
        return QK_ERR_NOMEM;
    if (json_is_array(value))
        good = take_each(value, wish);
    else if (json_is_string(value))
        good = take_listed(json_bytes(value), wish);
    else if (json_is_integer(value))
        good = take_u64(value, UINT64_MAX, &wish->versions[wish->versions_n++]);
    else
        good = value == NULL || json_is_null(value);
    if (!good)
        return problem_set(problem, "versions must be a list of at most 1000 version numbers");
    return wish->versions_n == 0 ? problem_set(problem, "No version number provided") : QK_OK;
}

/* --- custom metadata --- */

static bool is_printable(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    }
    return true;
}

static const char *custom_problem(struct bytes name, struct bytes value)
{
    if (name.len == 0 || name.len > KV_CUSTOM_NAME_BYTES_MAX)
        return "custom_metadata validation failed: a key must have 1 to 128 bytes";
    if (value.len == 0 || value.len > KV_CUSTOM_VALUE_BYTES_MAX)
        return "custom_metadata validation failed: a value must have 1 to 512 bytes";
    if (!is_printable(name) || !is_printable(value))
        return "custom_metadata validation failed: keys and values must be printable";
    return NULL;
}

/* Numbers and booleans become the texts that Vault makes of them. */
static json_t *custom_text(const json_t *value)
{
    char text[32];

    if (json_is_string(value))
        return json_deep_copy(value);
    if (json_is_boolean(value))
        return json_string(json_is_true(value) ? "1" : "0");
    if (!json_is_integer(value))
        return NULL;
    (void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return json_string(text);
}

static enum qk_err take_custom(const json_t *value, struct kv_wish *wish,
                               struct doc_problem *problem)
{
    const char *name, *reason = NULL;
    const json_t *member;

    if (!json_is_object(value))
        return problem_set(problem, "custom_metadata validation failed: it must be an object");
    wish->custom = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        bool removes = json_is_null(member) && wish->verb == KV_META_PATCH;
        json_t *text = removes ? json_null() : custom_text(member);

        if (text == NULL)
            return problem_set(problem, "custom_metadata validation failed: values must be texts");
        if (!removes)
            reason = custom_problem(bytes_str(name), json_bytes(text));
        if (json_object_set_new(wish->custom, name, text) != 0)
            return QK_ERR_NOMEM;
        if (reason != NULL)
            return problem_set(problem, reason);
    }
    wish->has_custom = true;
    return kv_custom_check(wish->custom, problem);
}

enum qk_err kv_custom_check(const json_t *custom, struct doc_problem *ret_problem)
{
    if (json_object_size(custom) > KV_CUSTOM_MAX)
        return problem_set(ret_problem, "custom_metadata validation failed: payload must contain "
                                        "at most 64 keys");
    return QK_OK;
}

/* --- bodies --- */

static enum qk_err take_data(const json_t *body, struct kv_wish *wish, struct doc_problem *problem)
{
    const json_t *options = json_object_get(body, "options");
    const json_t *cas = json_object_get(options, "cas");
    json_t *data = json_object_get(body, "data");

    if (data == NULL || json_is_null(data))
        return problem_set(problem, "no data provided");
    if (!json_is_object(data))
        return problem_set(problem, "data must be an object");
    if (options != NULL && !json_is_object(options) && !json_is_null(options))
        return problem_set(problem, "options must be an object");
    wish->has_cas = cas != NULL;
    if (wish->has_cas && !take_u64(cas, UINT64_MAX, &wish->cas))
        return problem_set(problem, "error parsing check-and-set parameter");
    wish->data = json_incref(data);
    return QK_OK;
}

/* The settings of one secret or of all. Null is as if it were not there. */
static enum qk_err take_settings(const json_t *body, struct kv_wish *wish,
                                 struct doc_problem *problem)
{
    const json_t *max = json_object_get(body, "max_versions");
    const json_t *cas = json_object_get(body, "cas_required");
    const json_t *after = json_object_get(body, "delete_version_after");
    const json_t *custom = json_object_get(body, "custom_metadata");

    wish->has_max_versions = max != NULL && !json_is_null(max);
    if (wish->has_max_versions && !take_u64(max, KV_VERSIONS_MAX, &wish->max_versions))
        return problem_set(problem, "max_versions must be a number from 0 to 1000");
    wish->has_cas_required = cas != NULL && !json_is_null(cas);
    if (wish->has_cas_required && !take_bool(cas, &wish->cas_required))
        return problem_set(problem, "cas_required must be true or false");
    wish->has_delete_after = after != NULL && !json_is_null(after);
    if (wish->has_delete_after && !take_duration(after, &wish->delete_after_s))
        return problem_set(problem, "delete_version_after must be a duration, such as \"3h25m\"");
    if (wish->verb != KV_CONFIG_PUT && wish->delete_after_s < 0)
        return problem_set(problem, "delete_version_after must not be negative");
    if (wish->verb == KV_CONFIG_PUT || custom == NULL || json_is_null(custom))
        return QK_OK;
    return take_custom(custom, wish, problem);
}

static enum qk_err take_body(const json_t *body, struct kv_wish *wish, struct doc_problem *problem)
{
    switch (wish->verb) {
    case KV_PUT:
    case KV_PATCH:
        return take_data(body, wish, problem);
    case KV_DELETE_VERSIONS:
    case KV_UNDELETE:
    case KV_DESTROY:
        return take_versions(json_object_get(body, "versions"), wish, problem);
    case KV_META_PUT:
    case KV_META_PATCH:
    case KV_CONFIG_PUT:
        return take_settings(body, wish, problem);
    case KV_DELETE:
    case KV_META_DELETE:
        break;
    }
    return QK_OK;
}

enum qk_err kv_wish_parse(enum kv_verb verb, struct bytes body, struct kv_wish *ret_wish,
                          struct doc_problem *ret_problem)
{
    json_t *json = NULL;
    enum qk_err err;

    assert(ret_wish != NULL && ret_problem != NULL);

    *ret_wish = (struct kv_wish){.verb = verb};
    if (verb == KV_DELETE || verb == KV_META_DELETE)
        return QK_OK; /* a body, if there is one, says nothing */
    err = json_parse(body.len == 0 ? bytes_str("{}") : body, JSON_DEPTH_MAX, ret_problem, &json);
    if (err != QK_OK)
        return err;
    err = json_is_object(json) ? take_body(json, ret_wish, ret_problem)
                               : problem_set(ret_problem, "the request's body must be an object");
    json_decref(json);
    return err;
}

/* --- merging --- */

/* Objects on both sides are merged by a list of pairs still to be done, not by recursion. */
enum qk_err kv_merge(json_t *into, const json_t *patch)
{
    struct pair {
        json_t *into;
        const json_t *patch;
        void *at;
    } stack[JSON_DEPTH_MAX + 1];
    size_t n = 1;

    stack[0] = (struct pair){into, patch, json_object_iter((json_t *)(uintptr_t)patch)};
    while (n > 0) {
        struct pair *pair = &stack[n - 1];
        const char *name;
        json_t *value, *old;

        if (pair->at == NULL) {
            n--;
            continue;
        }
        name = json_object_iter_key(pair->at);
        value = json_object_iter_value(pair->at);
        pair->at = json_object_iter_next((json_t *)(uintptr_t)pair->patch, pair->at);
        if (json_is_null(value)) {
            (void)json_object_del(pair->into, name);
            continue;
        }
        if (!json_is_object(value)) {
            if (json_object_set(pair->into, name, value) != 0)
                return QK_ERR_NOMEM;
            continue;
        }
        old = json_object_get(pair->into, name);
        if (!json_is_object(old)) {
            old = json_object();
            if (json_object_set_new(pair->into, name, old) != 0)
                return QK_ERR_NOMEM;
        }
        if (n > JSON_DEPTH_MAX)
            return QK_ERR_TOO_BIG;
        stack[n++] = (struct pair){old, value, json_object_iter(value)};
    }
    return QK_OK;
}

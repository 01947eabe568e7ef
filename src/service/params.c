#include "service/params.h"

#include <assert.h>

#include "doc/json.h"

/* What is shown of a wrong value. */
#define SHOWN_BYTES_MAX 64

static enum qk_err param_problem(struct doc_problem *problem, const char *what, struct bytes value)
{
    struct bytes shown = bytes_slice(value, 0, SHOWN_BYTES_MAX);

    return doc_problem_set(problem, 400, "query_parse_error", "Invalid %s: \"%.*s\"", what,
                           utf8_is_valid(shown) ? (int)shown.len : 0, (const char *)shown.data);
}

enum qk_err param_bool(const struct request *request, const char *name, bool *ret_value,
                       struct doc_problem *ret_problem)
{
    struct bytes value;

    if (!request_param(request, name, &value))
        return QK_OK;
    if (bytes_equal(value, bytes_str("true")))
        *ret_value = true;
    else if (bytes_equal(value, bytes_str("false")))
        *ret_value = false;
    else
        return param_problem(ret_problem, "boolean parameter", value);
    return QK_OK;
}

bool parse_u64(struct bytes text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i;

    if (text.len == 0 || text.len > 20)
        return false;
    for (i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

enum qk_err param_u64(const struct request *request, const char *name, uint64_t *ret_value,
                      struct doc_problem *ret_problem)
{
    struct bytes value;

    if (!request_param(request, name, &value) || parse_u64(value, ret_value))
        return QK_OK;
    return param_problem(ret_problem, "value for positive integer", value);
}

enum qk_err param_json_string(const struct request *request, const char *const *names,
                              size_t names_n, struct buf *out, bool *ret_has,
                              struct doc_problem *ret_problem)
{
    struct bytes text = BYTES_NONE;
    json_t *value = NULL;
    bool found = false;
    enum qk_err err;
    size_t i;

    for (i = 0; !found && i < names_n; i++)
        found = request_param(request, names[i], &text);
    if (!found)
        return QK_OK;
    err = json_parse(text, JSON_DEPTH_MAX, ret_problem, &value);
    if (err == QK_OK && !json_is_string(value))
        err = param_problem(ret_problem, "key, it must be a JSON string", text);
    if (err == QK_OK) {
        buf_put_bytes(out, json_bytes(value));
        err = buf_error(out);
        *ret_has = true;
    }
    json_decref(value);
    return err;
}

void exchange_reply_problem(struct exchange *exchange, const struct doc_problem *problem)
{
    assert(problem->status != 0);

    exchange_reply_error(exchange, problem->status, problem->error, "%s", problem->reason);
}

void exchange_reply_problem_or(struct exchange *exchange, const struct doc_problem *problem,
                               enum qk_err err)
{
    if (err == QK_ERR_INVALID && problem->status != 0)
        exchange_reply_problem(exchange, problem);
    else
        exchange_reply_err(exchange, err);
}

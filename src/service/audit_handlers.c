#include "service/audit_handlers.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "audit/audit.h"
#include "service/audit_mark.h"
#include "service/offload_uv.h"
#include "service/params.h"

#define LIMIT_DEFAULT 100
#define CHECKS_MAX 256

/* --- what is asked for ----------------------------------------------------------------------- */

static bool refuse(struct exchange *exchange, const char *name, const char *wanted)
{
    exchange_reply_error(exchange, 400, "query_parse_error", "Invalid value for %s: %s", name,
                         wanted);
    return false;
}

/* Digits, or absent; anything else is answered here and false returned. */
static bool read_number(struct exchange *exchange, const char *name, uint64_t *ret_value)
{
    struct bytes text;

    if (!request_param(&exchange->request, name, &text) || parse_u64(text, ret_value))
        return true;
    return refuse(exchange, name, "a number");
}

/* Printable and without quotes, as values stand in a line. */
static bool copy_text(struct bytes text, char *ret_text, size_t size)
{
    if (text.len >= size)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] >= 0x7f || text.data[i] == '"')
            return false;
    if (text.len > 0)
        memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
    return true;
}

static bool read_text(struct exchange *exchange, const char *name, char *ret_text, size_t size)
{
    struct bytes text;

    if (!request_param(&exchange->request, name, &text) || copy_text(text, ret_text, size))
        return true;
    return refuse(exchange, name, "too long, or not plain text");
}

/* A time as lines have it, or its beginning; what is none would compare as a text, and match
 * nothing or everything in silence. */
static bool is_time(const char *text)
{
    static const char shape[] = "9999-19-39T29:59:59.999Z"; /* the greatest digit of each place */
    static const struct {
        size_t at;
        const char *max;
    } pairs[] = {{5, "12"}, {8, "31"}, {11, "23"}};
    size_t len = strlen(text);

    if (len >= sizeof(shape))
        return false;
    for (size_t i = 0; i < len; i++) {
        bool digit = shape[i] >= '0' && shape[i] <= '9';

        if (digit ? text[i] < '0' || text[i] > shape[i] : text[i] != shape[i])
            return false;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (len >= pairs[i].at + 2 && memcmp(text + pairs[i].at, pairs[i].max, 2) > 0)
            return false;
    return true;
}

static bool read_time(struct exchange *exchange, const char *name, char *ret_text, size_t size)
{
    return read_text(exchange, name, ret_text, size) &&
           (is_time(ret_text) ||
            refuse(exchange, name, "a time or its beginning: 2026-01-31, 2026-01-31T08:15"));
}

static bool read_filters(struct exchange *exchange, struct audit_query *query)
{
    const struct request *request = &exchange->request;

    for (unsigned i = 0; i < request->params_n; i++) {
        struct bytes text = request->params[i].value;
        struct audit_filter *filter = &query->filters[query->filters_n];
        const uint8_t *colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);
        size_t len = colon == NULL ? 0 : (size_t)(colon - text.data);

        if (!bytes_equal(request->params[i].name, bytes_str("match")))
            continue;
        if (query->filters_n == AUDIT_FILTERS_MAX)
            return refuse(exchange, "match", "at most 8 of them");
        if (len == 0 || !copy_text(bytes_slice(text, 0, len), filter->name, sizeof filter->name) ||
            !copy_text(bytes_slice(text, len + 1, SIZE_MAX), filter->value, sizeof filter->value))
            return refuse(exchange, "match", "field:value");
        query->filters_n++;
    }
    return true;
}

static bool read_order(struct exchange *exchange, bool *ret_oldest)
{
    struct bytes text;

    if (!request_param(&exchange->request, "order", &text))
        return true;
    *ret_oldest = bytes_equal(text, bytes_str("oldest"));
    return *ret_oldest || bytes_equal(text, bytes_str("newest")) ||
           refuse(exchange, "order", "oldest or newest");
}

bool audit_query_parse(struct exchange *exchange, struct audit_query *ret_query)
{
    struct audit_query query = {0};
    uint64_t limit = LIMIT_DEFAULT;

    if (!read_number(exchange, "since", &query.since) || !read_number(exchange, "limit", &limit) ||
        !read_order(exchange, &query.oldest) ||
        !read_text(exchange, "event", query.events, sizeof query.events) ||
        !read_time(exchange, "from", query.from, sizeof query.from) ||
        !read_time(exchange, "until", query.until, sizeof query.until) ||
        !read_filters(exchange, &query))
        return false;
    if (limit == 0)
        return refuse(exchange, "limit", "at least 1");
    query.limit = (unsigned)(limit < AUDIT_READ_MAX ? limit : AUDIT_READ_MAX);
    *ret_query = query;
    return true;
}

/* --- on the pool ----------------------------------------------------------------------------- */

struct run {
    struct audit_query query;
    struct buf lines;
    uint64_t last;
    enum qk_err err;
    void (*done)(void *arg, enum qk_err err, struct bytes lines, uint64_t last);
    void *arg;
    char path[];
};

static void run_work(void *arg)
{
    struct run *run = arg;

    run->err = audit_read(run->path, &run->query, &run->lines, &run->last);
}

static void run_done(void *arg, enum qk_err err)
{
    struct run *run = arg;

    run->done(run->arg, err != QK_OK ? err : run->err, buf_bytes(&run->lines), run->last);
    buf_fini(&run->lines);
    free(run);
}

void audit_query_run(struct service *service, const struct audit_query *query,
                     void (*done)(void *arg, enum qk_err err, struct bytes lines, uint64_t last),
                     void *arg)
{
    const char *path = service->audit == NULL ? NULL : audit_file(service->audit);
    struct run *run = path == NULL ? NULL : calloc(1, sizeof *run + strlen(path) + 1);

    if (run == NULL) {
        done(arg, path == NULL ? QK_ERR_CLOSED : QK_ERR_NOMEM, BYTES_NONE, 0);
        return;
    }
    run->query = *query;
    run->lines = BUF_INIT(AUDIT_REPLY_BYTES_MAX);
    run->done = done;
    run->arg = arg;
    memcpy(run->path, path, strlen(path) + 1);
    offload_run(service, AUDIT_REPLY_BYTES_MAX, run_work, run_done, run);
}

static void reply_lines(void *arg, enum qk_err err, struct bytes lines, uint64_t last)
{
    struct exchange *exchange = arg;

    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        return;
    }
    exchange_field(exchange, AUDIT_LAST_FIELD, "%llu", (unsigned long long)last);
    exchange_reply_bytes(exchange, 200, "application/x-ndjson", lines);
}

void handle_audit(struct service *service, struct exchange *exchange)
{
    struct audit_query query;

    if (audit_query_parse(exchange, &query))
        audit_query_run(service, &query, reply_lines, exchange);
}

/* --- marks ----------------------------------------------------------------------------------- */

static bool take_hex(const json_t *json, const char *name, uint8_t *ret_out, size_t len)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL && hex_decode(bytes_str(text), ret_out, len) == QK_OK;
}

static bool take_mark(const json_t *json, struct audit_mark *ret_mark)
{
    const json_t *seq = json_object_get(json, "seq");

    *ret_mark = (struct audit_mark){.seq = (uint64_t)json_integer_value(seq)};
    return json_is_integer(seq) && json_integer_value(seq) > 0 &&
           take_hex(json, "log", ret_mark->log, sizeof ret_mark->log) &&
           take_hex(json, "head", ret_mark->head, sizeof ret_mark->head) &&
           take_hex(json, "mac", ret_mark->mac, sizeof ret_mark->mac);
}

static json_t *check_marks(struct service *service, const json_t *marks)
{
    json_t *list = json_array();
    struct audit_mark mark;

    for (size_t i = 0; i < json_array_size(marks); i++) {
        bool right =
            take_mark(json_array_get(marks, i), &mark) && audit_mark_check(service, &mark) == QK_OK;

        (void)json_array_append_new(list, json_boolean(right));
    }
    return json_pack("{s:o}", "right", list);
}

/* It tells whether a MAC is right and never what it would be. */
void handle_audit_check(struct service *service, struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *marks = json_object_get(json, "marks");

    if (service->keyring == NULL)
        exchange_reply_err(exchange, QK_ERR_SEALED);
    else if (!json_is_array(marks) || json_array_size(marks) > CHECKS_MAX)
        exchange_reply_error(exchange, 400, "bad_request",
                             "the body is {\"marks\": [{log, seq, head, mac}, ...]}, at most %d",
                             CHECKS_MAX);
    else
        exchange_reply_json(exchange, 200, check_marks(service, marks));
    json_decref(json);
}

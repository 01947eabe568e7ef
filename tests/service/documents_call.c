#include "documents_fixture.h"
#include "service/users/grants.h"
#include "service/documents/db_encryption.h"
#include "service/keys/reencrypt.h"
#include "service/users/users.h"
#include "service/query/view_handlers.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_start(struct exchange *exchange, int status, const char *content_type,
                     const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct call *call = (struct call *)exchange;

    cr_assert_eq(call->status, 0, "answered twice");
    call->status = status;
    snprintf(call->content_type, sizeof(call->content_type), "%s", content_type);
    if (fields_n > 0)
        memcpy(call->fields, fields, fields_n * sizeof(fields[0]));
    call->fields_n = fields_n;
    call->length = length;
}

static void on_write(struct exchange *exchange, struct bytes body)
{
    struct call *call = (struct call *)exchange;

    cr_assert(call->status != 0 && !call->ended);
    buf_put_bytes(&call->body, body);
    call->unread += body.len;
    if (call->unread > call->unread_max)
        call->unread_max = call->unread;
}

static void on_end(struct exchange *exchange)
{
    struct call *call = (struct call *)exchange;

    cr_assert(call->status != 0 && !call->ended);
    if (call->length != SIZE_MAX && exchange->request.method != METHOD_HEAD && !call->is_cut)
        cr_assert_eq(call->length, call->body.len);
    call->ended = true;
}

static size_t on_queued(const struct exchange *exchange)
{
    return ((const struct call *)exchange)->unread;
}

static void on_drain_timer(uv_timer_t *timer)
{
    struct call *call = timer->data;

    call->unread = 0;
    call->drained(call->drained_arg);
}

static void on_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    struct call *call = (struct call *)exchange;

    call->drains_n++;
    call->drained = drained;
    call->drained_arg = arg;
    if (!call->drain_open) {
        call->drain_open = true;
        uv_timer_init(&call->documents->loop, &call->drain_timer);
        call->drain_timer.data = call;
    }
    uv_timer_start(&call->drain_timer, on_drain_timer, 1, 0); /* 0 would fire in this turn */
}

/* --- streamed bodies --- */

#define PIECE_BYTES (200 * KIB + 1)

static void body_tell(struct call *call)
{
    struct exchange_body *body = &call->exchange.body;
    void (*more)(void *arg) = body->more;

    if (more == NULL || !exchange_body_is_ready(&call->exchange))
        return;
    body->more = NULL;
    more(body->arg);
}

static void on_body_timer(uv_timer_t *timer)
{
    struct call *call = timer->data;
    struct bytes piece = bytes_slice(call->coming, 0, PIECE_BYTES);
    size_t came = call->announced - call->coming.len;

    if (call->ended)
        return;
    if (came + piece.len > call->stop_at)
        piece.len = call->stop_at - came;
    if (!call->exchange.closed && call->incoming.len < EXCHANGE_BODY_WINDOW_BYTES) {
        buf_put_bytes(&call->incoming, piece);
        call->coming = bytes_slice(call->coming, piece.len, SIZE_MAX);
        call->exchange.body.ended = call->coming.len == 0;
        if (piece.len > 0)
            uv_timer_start(timer, on_body_timer, 1, 0);
    }
    body_tell(call);
}

void call_go_on(struct call *call)
{
    uv_timer_start(&call->body_timer, on_body_timer, 1, 0);
}

static void on_body(struct exchange *exchange)
{
    call_go_on((struct call *)exchange);
}

void call_vanish(struct call *call)
{
    call->exchange.closed = true;
    call_go_on(call);
}

void call_stream(struct call *call, bool known)
{
    struct bytes whole = call->exchange.request.body;

    call->exchange.request.body = BYTES_NONE;
    call->coming = whole;
    call->announced = call->stop_at = whole.len;
    call->incoming = BUF_SECRET_INIT(EXCHANGE_BODY_WINDOW_BYTES + PIECE_BYTES);
    call->exchange.body = (struct exchange_body){
        .streamed = true, .length = known ? whole.len : UINT64_MAX, .bytes = &call->incoming};
    uv_timer_init(&call->documents->loop, &call->body_timer);
    call->body_timer.data = call;
    call->body_open = true;
}

static const struct exchange_ops ops = {on_start,  on_write,    on_end,
                                        on_queued, on_on_drain, on_body};

static struct bytes decode(char **at, char **out, const char *stops)
{
    char *start = *out;

    while (**at != '\0' && strchr(stops, **at) == NULL) {
        char c = *(*at)++;

        if (c == '%') {
            char hex[3] = {(*at)[0], (*at)[1], 0};

            c = (char)strtoul(hex, NULL, 16);
            *at += 2;
        }
        *(*out)++ = c;
    }
    return bytes_of(start, (size_t)(*out - start));
}

static void parse_target(struct call *call)
{
    struct request *request = &call->exchange.request;
    char *at = call->target, *out = call->decoded;

    while (*at == '/' && at[1] != '\0') {
        at++;
        request->segments[request->segments_n++] = decode(&at, &out, "/?");
    }
    while (*at == '?' || *at == '&') {
        struct request_param *param = &request->params[request->params_n++];

        at++;
        param->name = decode(&at, &out, "=&");
        if (*at == '=')
            at++;
        param->value = decode(&at, &out, "&");
    }
}

struct call *call_begin(struct documents *documents, enum method method, const char *target,
                        struct bytes body)
{
    struct call *call = calloc(1, sizeof(*call));
    struct request *request = &call->exchange.request;

    call->documents = documents;
    call->exchange.ops = &ops;
    call->body = BUF_INIT(256 * MIB);
    snprintf(call->target, sizeof(call->target), "%s", target);
    request->method = method;
    request->target = bytes_str(call->target);
    request->body = body;
    request->content_type = bytes_str("application/json");
    request->host = bytes_str("localhost:7601");
    request->who = principal_control();
    parse_target(call);
    return call;
}

static service_handler user_handler_of(const struct request *request, bool read)
{
    if (request->segments_n == 2)
        return read ? handle_users : handle_user_add;
    return read                            ? handle_user_get
           : request->method == METHOD_PUT ? handle_user_change
                                           : handle_user_delete;
}

static service_handler view_handler_of(const struct request *request)
{
    struct bytes last = request->segments[request->segments_n - 1];

    if (request->segments_n > 4 && bytes_equal(request->segments[3], bytes_str("_view")))
        return request->segments_n == 5 ? handle_view : handle_view_queries;
    if (request->segments_n == 4 && bytes_equal(last, bytes_str("_info")))
        return handle_design_info;
    if (request->segments_n == 3 && bytes_equal(request->segments[1], bytes_str("_compact")))
        return handle_view_compact;
    return bytes_equal(last, bytes_str("_view_cleanup")) ? handle_view_cleanup : NULL;
}

static service_handler server_handler_of(const struct request *request)
{
    struct bytes name = request->segments[0];

    return bytes_equal(name, bytes_str("_all_dbs"))      ? handle_all_dbs
           : bytes_equal(name, bytes_str("_db_updates")) ? handle_db_updates
           : bytes_equal(name, bytes_str("_uuids"))      ? handle_uuids
                                                         : NULL;
}

static service_handler mango_handler_of(const struct request *request, bool read)
{
    struct bytes name = request->segments_n > 1 ? request->segments[1] : BYTES_NONE;

    if (bytes_equal(name, bytes_str("_find")))
        return handle_find;
    if (bytes_equal(name, bytes_str("_explain")))
        return handle_explain;
    if (!bytes_equal(name, bytes_str("_index")))
        return NULL;
    if (request->segments_n == 3)
        return handle_index_bulk_remove;
    if (read)
        return handle_index_list;
    return request->method == METHOD_POST ? handle_index_make : handle_index_remove;
}

static service_handler tree_handler_of(struct bytes name, bool read)
{
    if (bytes_equal(name, bytes_str("_revs_limit")))
        return read ? handle_revs_limit : handle_revs_limit_put;
    if (bytes_equal(name, bytes_str("_purge")))
        return handle_purge;
    if (bytes_equal(name, bytes_str("_local_docs")))
        return handle_local_docs;
    if (bytes_equal(name, bytes_str("_bulk_get")))
        return handle_bulk_get;
    if (bytes_equal(name, bytes_str("_revs_diff")) || bytes_equal(name, bytes_str("_missing_revs")))
        return handle_revs_diff;
    return NULL;
}

static service_handler handler_of(const struct request *request)
{
    struct bytes name = request->segments_n > 1 ? request->segments[1] : BYTES_NONE;
    bool read = request->method == METHOD_GET || request->method == METHOD_HEAD;

    if (bytes_equal(request->segments[0], bytes_str("v1")))
        return documents_kv_handler(request);
    if (request->segments_n == 2 && bytes_equal(request->segments[0], bytes_str("_users")))
        return read                            ? handle_userdoc_get
               : request->method == METHOD_PUT ? handle_userdoc_put
                                               : handle_userdoc_delete;
    if (bytes_equal(name, bytes_str("users")))
        return user_handler_of(request, read);
    if (request->segments_n == 4 && bytes_equal(request->segments[3], bytes_str("grants")))
        return read ? handle_grants : handle_grants_change;
    if (bytes_equal(name, bytes_str("secrets")))
        return bytes_equal(request->segments[2], bytes_str("rights"))
                   ? (read ? handle_security : handle_security_change)
                   : (read ? handle_db_encryption : handle_db_encryption_put);
    if (bytes_equal(name, bytes_str("_encryption")))
        return read ? handle_db_encryption : handle_db_encryption_put;
    if (bytes_equal(name, bytes_str("_security")))
        return read ? handle_security : handle_security_change;
    if (bytes_equal(request->segments[0], bytes_str("_quorumkeep")))
        return documents_keys_handler(request);
    if (request->segments_n == 1 && server_handler_of(request) != NULL)
        return server_handler_of(request);
    if (request->segments_n == 1)
        return read                             ? handle_db_get
               : request->method == METHOD_PUT  ? handle_db_put
               : request->method == METHOD_POST ? handle_doc_post
                                                : handle_db_delete;
    if (view_handler_of(request) != NULL)
        return view_handler_of(request);
    if (bytes_equal(name, bytes_str("_all_docs")) || bytes_equal(name, bytes_str("_design_docs")))
        return handle_all_docs;
    if (bytes_equal(name, bytes_str("_changes")))
        return handle_changes;
    if (mango_handler_of(request, read) != NULL)
        return mango_handler_of(request, read);
    if (bytes_equal(name, bytes_str("_bulk_docs")))
        return handle_bulk_docs;
    if (tree_handler_of(name, read) != NULL)
        return tree_handler_of(name, read);
    if (bytes_equal(name, bytes_str("_ensure_full_commit")))
        return handle_ensure_full_commit;
    if (request->method == METHOD_COPY)
        return handle_doc_copy;
    if (request->segments_n > 2 + (unsigned)(bytes_equal(name, bytes_str("_design")) ||
                                             bytes_equal(name, bytes_str("_local"))))
        return read                            ? handle_attachment_get
               : request->method == METHOD_PUT ? handle_attachment_put
                                               : handle_attachment_delete;
    return read                            ? handle_doc_get
           : request->method == METHOD_PUT ? handle_doc_put
                                           : handle_doc_delete;
}

void call_start(struct call *call)
{
    handler_of (&call->exchange.request)(&call->documents->service, &call->exchange);
}

void call_run(struct call *call)
{
    documents_run_until(call->documents, &call->ended);
}

void call_run_until(struct call *call, const char *text)
{
    uint64_t began = uv_hrtime();

    while (strstr(call_text(call), text) == NULL) {
        cr_assert_not(call->ended, "ended without %s: %s", text, call_text(call));
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "no %s: %s", text, call_text(call));
        (void)uv_run(&call->documents->loop, UV_RUN_ONCE);
    }
}

void call_leave(struct call *call)
{
    call->exchange.closed = true;
    cr_assert_not_null(call->exchange.gone);
    call->exchange.gone(call->exchange.gone_arg);
    if (!call->ended)
        call_run(call);
    call_free(call);
}

struct call *call(struct documents *documents, enum method method, const char *target,
                  const char *body)
{
    struct call *made =
        call_begin(documents, method, target, body == NULL ? BYTES_NONE : bytes_str(body));

    call_start(made);
    call_run(made);
    return made;
}

static void on_closed(uv_handle_t *handle)
{
    struct call *call = handle->data;

    if (handle == (uv_handle_t *)&call->body_timer)
        call->body_open = false;
    else
        call->drain_open = false;
    if (!call->body_open && !call->drain_open)
        free(call);
}

void call_free(struct call *call)
{
    bool any = call->drain_open || call->body_open;

    buf_fini(&call->body);
    buf_fini(&call->incoming);
    if (call->drain_open)
        uv_close((uv_handle_t *)&call->drain_timer, on_closed);
    if (call->body_open)
        uv_close((uv_handle_t *)&call->body_timer, on_closed);
    if (!any)
        free(call);
}

const char *call_field(const struct call *call, const char *name)
{
    unsigned i;

    for (i = 0; i < call->fields_n; i++) {
        if (strcmp(call->fields[i].name, name) == 0)
            return call->fields[i].value;
    }
    return NULL;
}

const char *call_text(struct call *call)
{
    buf_put_u8(&call->body, 0);
    call->body.len--;
    return (const char *)call->body.data;
}

json_t *call_json(struct call *call)
{
    json_t *json = json_loads(call_text(call), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    cr_assert_not_null(json, "%s", call_text(call));
    return json;
}

void expect(struct documents *documents, enum method method, const char *target, const char *body,
            int status, const char *reply)
{
    struct call *made = call(documents, method, target, body);
    size_t len = strlen(call_text(made));

    cr_assert_eq(made->status, status, "%s: %d %s", target, made->status, call_text(made));
    if (reply != NULL) {
        cr_assert(len > 0 && made->body.data[len - 1] == '\n');
        made->body.data[len - 1] = '\0';
        cr_assert_str_eq((const char *)made->body.data, reply);
    }
    call_free(made);
}

void expect_error(struct documents *documents, enum method method, const char *target,
                  const char *body, int status, const char *error, const char *reason)
{
    char reply[1024];
    json_t *json = json_pack("{s:s, s:s}", "error", error, "reason", reason);
    char *text = json_dumps(json, JSON_COMPACT);
    void (*release)(void *);

    snprintf(reply, sizeof(reply), "%s", text);
    json_get_alloc_funcs(NULL, &release);
    release(text);
    json_decref(json);
    expect(documents, method, target, body, status, reply);
}

void put_doc(struct documents *documents, const char *target, const char *body,
             char ret_rev[static 64])
{
    struct call *made = call(documents, METHOD_PUT, target, body);
    json_t *json;

    cr_assert_eq(made->status, 201, "%s: %s", target, call_text(made));
    json = call_json(made);
    snprintf(ret_rev, 64, "%s", json_string_value(json_object_get(json, "rev")));
    json_decref(json);
    call_free(made);
}

/* POST /_quorumkeep/debug/open: an open cluster tells an administrator what is in a record of one
 * of its stopped nodes, for `debug store --live` and `debug log --live`. The record is whatever the
 * caller has; it opens only if this cluster's keys made it, for that place and version. */
#include "base/encode.h"
#include "service/keys/debug_record.h"
#include "service/handlers.h"
#include "service/request.h"
#include "service/read.h"
#include "wire/command.h"

static enum qk_err take_bytes(const json_t *object, const char *name, struct buf *out)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value))
        return QK_ERR_INVALID;
    return base64_decode(json_bytes(value), out);
}

static enum qk_err take_record(const json_t *body, struct buf *key, struct buf *value,
                               struct debug_record *ret_record)
{
    const json_t *version = json_object_get(body, "version");
    const json_t *flags = json_object_get(body, "flags");

    if (!json_is_integer(version) || json_integer_value(version) < 1 || !json_is_integer(flags) ||
        (json_integer_value(flags) & ~(json_int_t)WIRE_FLAGS_ALL) != 0 ||
        take_bytes(body, "key", key) != QK_OK || take_bytes(body, "value", value) != QK_OK ||
        key->len <= DATABASE_ID_BYTES)
        return QK_ERR_INVALID;
    *ret_record = (struct debug_record){.key = buf_bytes(key),
                                        .version = (uint64_t)json_integer_value(version),
                                        .flags = (uint8_t)json_integer_value(flags),
                                        .value = buf_bytes(value)};
    return QK_OK;
}

static enum qk_err debug_open(struct service *service, struct exchange *exchange, struct buf *out)
{
    struct buf key = BUF_INIT(RECORD_KEY_BYTES_MAX);
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    struct doc_problem problem = {0};
    struct debug_record record;
    json_t *body = NULL;
    enum qk_err err = json_parse(exchange->request.body, JSON_DEPTH_MAX, &problem, &body);

    if (err == QK_OK)
        err = take_record(body, &key, &value, &record);
    buf_put_str(out, "{\"ok\":true");
    if (err == QK_OK)
        err = debug_record_put_body(service, &record, out);
    buf_put_str(out, "}\n");
    json_decref(body);
    buf_fini(&key);
    buf_fini(&value);
    return err == QK_OK ? buf_error(out) : err;
}

static void debug_ready(struct service *service, struct exchange *exchange)
{
    struct buf out = BUF_SECRET_INIT(2 * RECORD_VALUE_BYTES_MAX);
    enum qk_err err =
        service_is_open(service) ? debug_open(service, exchange, &out) : QK_ERR_SEALED;

    if (err == QK_OK)
        exchange_reply_bytes(exchange, 200, "application/json", buf_bytes(&out));
    else if (err == QK_ERR_INVALID)
        exchange_reply_error(exchange, 400, "bad_request",
                             "a record is {\"key\", \"value\": base64, \"version\", \"flags\"}");
    else
        exchange_reply_err(exchange, err);
    buf_fini(&out);
}

/* After a read point: one node that is open alone does not consent, a majority does. */
void handle_debug_open(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, debug_ready);
}

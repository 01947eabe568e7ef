#include "service/vault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/limits.h"
#include "doc/json.h"
#include "secret/crypto.h"

#define PREFIX "/v1/"
#define UUID_TEXT_BYTES 36
#define REPLY_BYTES_MAX (64 * MIB)
#define JSON_TYPE "application/json"
#define DATABASE_IS_MISSING "Database does not exist."

bool vault_is_request(const struct request *request)
{
    return bytes_starts_with(request->target, bytes_str(PREFIX));
}

/* RFC 9562, version 4. */
static void make_request_id(char ret_text[static UUID_TEXT_BYTES + 1])
{
    char hex[2 * 16 + 1];
    uint8_t raw[16];

    random_fill(raw, sizeof(raw));
    raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
    raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
    hex_encode(raw, sizeof(raw), hex);
    (void)snprintf(ret_text, UUID_TEXT_BYTES + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
                   hex + 12, hex + 16, hex + 20);
}

static void put_head(struct buf *out)
{
    char id[UUID_TEXT_BYTES + 1];

    make_request_id(id);
    buf_printf(out,
               "{\"request_id\":\"%s\",\"lease_id\":\"\",\"renewable\":false,"
               "\"lease_duration\":0,\"data\":",
               id);
}

static enum qk_err put_json(const json_t *value, struct buf *out)
{
    if (value != NULL)
        return json_write(value, out);
    buf_put_str(out, "null");
    return QK_OK;
}

/* No cache on the way keeps it. */
static void reply_text(struct exchange *exchange, int status, const struct buf *text)
{
    exchange_field(exchange, "Cache-Control", "no-store");
    exchange_reply_bytes(exchange, status, JSON_TYPE, buf_bytes(text));
}

void vault_reply(struct exchange *exchange, int status, json_t *data, json_t *auth,
                 const char *warning)
{
    struct buf text = BUF_SECRET_INIT(REPLY_BYTES_MAX);
    enum qk_err err;

    put_head(&text);
    err = put_json(data, &text);
    buf_put_str(&text, ",\"wrap_info\":null,\"warnings\":");
    if (warning == NULL) {
        buf_put_str(&text, "null");
    } else {
        buf_put_u8(&text, '[');
        json_write_string(bytes_str(warning), &text);
        buf_put_u8(&text, ']');
    }
    buf_put_str(&text, ",\"auth\":");
    if (err == QK_OK)
        err = put_json(auth, &text);
    buf_put_str(&text, "}\n");
    if (err == QK_OK)
        err = buf_error(&text);
    if (err == QK_OK)
        reply_text(exchange, status, &text);
    else
        exchange_reply_err(exchange, err);
    json_decref(data);
    json_decref(auth);
    buf_fini(&text);
}

void vault_reply_text(struct exchange *exchange, int status, struct bytes data)
{
    struct buf text = BUF_SECRET_INIT(REPLY_BYTES_MAX);

    put_head(&text);
    buf_put_bytes(&text, data);
    buf_put_str(&text, ",\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n");
    if (buf_error(&text) == QK_OK)
        reply_text(exchange, status, &text);
    else
        exchange_reply_err(exchange, buf_error(&text));
    buf_fini(&text);
}

/* `error` is ours, for who has to tell one 503 from another; NULL: none. */
static void reply_errors(struct exchange *exchange, int status, const char *message,
                         const char *error)
{
    struct buf text = BUF_INIT(8 * KIB);

    buf_put_str(&text, "{\"errors\":[");
    if (message[0] != '\0' && utf8_is_valid(bytes_str(message)))
        json_write_string(bytes_str(message), &text);
    buf_put_u8(&text, ']');
    if (error != NULL) {
        buf_put_str(&text, ",\"error\":");
        json_write_string(bytes_str(error), &text);
    }
    buf_put_str(&text, "}\n");
    exchange_reply_bytes(exchange, status, JSON_TYPE, buf_bytes(&text));
    buf_fini(&text);
}

void vault_reply_error(struct exchange *exchange, int status, const char *message_format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, message_format);
    if (vsnprintf(message, sizeof(message), message_format, args) < 0)
        message[0] = '\0';
    va_end(args);
    reply_errors(exchange, status, message, NULL);
}

void vault_reply_done(struct exchange *exchange)
{
    exchange_reply_bytes(exchange, 204, JSON_TYPE, BYTES_NONE);
}

void vault_reply_refusal(struct exchange *exchange, int status, const char *error,
                         const char *reason)
{
    if (status == 401 &&
        bytes_starts_with(exchange->request.target, bytes_str(PREFIX "auth/userpass/login/")))
        vault_reply_error(exchange, 400, "invalid username or password");
    else if (status == 401 || status == 403)
        vault_reply_error(exchange, 403, "permission denied: %s", reason);
    else if (status == 404 && strcmp(reason, DATABASE_IS_MISSING) == 0)
        /* The pattern of documents took the path, with a database v1, of which there is none. */
        vault_reply_error(exchange, 404,
                          "no handler for this route: there is one mount, secret/ (data, metadata, "
                          "subkeys, delete, undelete, destroy, config), and auth/userpass, "
                          "auth/token");
    else if (status == 404 && strcmp(error, "not_found") == 0)
        vault_reply_error(exchange, 404, "%s", strcmp(reason, "missing") == 0 ? "" : reason);
    else
        reply_errors(exchange, status, reason, status == 503 ? error : NULL);
}

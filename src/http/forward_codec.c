#include "http/forward_codec.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"

bool forward_kind_is_request(enum forward_kind kind)
{
    switch (kind) {
    case FORWARD_REQUEST:
    case FORWARD_REQUEST_BODY:
    case FORWARD_REPLY_ACK:
    case FORWARD_CANCEL:
        return true;
    case FORWARD_REQUEST_ACK:
    case FORWARD_REPLY:
    case FORWARD_REPLY_BODY:
    case FORWARD_REPLY_END:
        break;
    }
    return false;
}

static void encode_principal(const struct principal *who, struct buf *out)
{
    buf_put_u8(out, (uint8_t)who->kind);
    buf_put(out, who->user_id, sizeof who->user_id);
    buf_put_blob(out, bytes_str(who->name));
    buf_put_u64(out, who->credential_version);
    buf_put_u8(out, who->admin ? 1 : 0);
    buf_put_u8(out, who->loopback ? 1 : 0);
    buf_put(out, who->token_id, sizeof who->token_id);
}

static void encode_request(const struct forward_request *request, struct buf *out)
{
    buf_put_u8(out, (uint8_t)request->method);
    buf_put_u64(out, request->body_len);
    buf_put_u8(out, request->tls ? 1 : 0);
    encode_principal(&request->who, out);
    buf_put_blob(out, request->target);
    buf_put_blob(out, request->if_match);
    buf_put_blob(out, request->if_none_match);
    buf_put_blob(out, request->destination);
    buf_put_blob(out, request->content_type);
    buf_put_blob(out, request->accept);
    buf_put_blob(out, request->host);
    buf_put_blob(out, request->from);
    buf_put_blob(out, request->content_md5);
}

static void encode_reply(const struct forward_reply *reply, struct buf *out)
{
    assert(reply->fields_n <= REPLY_FIELDS_MAX);
    buf_put_u16(out, reply->status);
    buf_put_u64(out, reply->length);
    buf_put_blob(out, reply->content_type);
    buf_put_u8(out, (uint8_t)reply->fields_n);
    for (unsigned i = 0; i < reply->fields_n; i++) {
        buf_put_blob(out, reply->fields[i].name);
        buf_put_blob(out, reply->fields[i].value);
    }
}

void forward_encode(const struct forward_message *message, struct buf *out)
{
    buf_put_u8(out, FORWARD_VERSION);
    buf_put_u8(out, (uint8_t)message->kind);
    buf_put_u64(out, message->id);
    switch (message->kind) {
    case FORWARD_REQUEST:
        encode_request(&message->request, out);
        return;
    case FORWARD_REPLY:
        encode_reply(&message->reply, out);
        return;
    case FORWARD_REQUEST_ACK:
    case FORWARD_REPLY_ACK:
        buf_put_u64(out, message->taken);
        return;
    case FORWARD_REQUEST_BODY:
    case FORWARD_REPLY_BODY:
        buf_put_bytes(out, message->body);
        return;
    case FORWARD_REPLY_END:
    case FORWARD_CANCEL:
        return;
    }
}

static bool decode_bool(struct reader *reader)
{
    uint8_t value = reader_u8(reader);

    if (value > 1)
        reader->failed = QK_ERR_INVALID;
    return value == 1;
}

static void decode_principal(struct reader *reader, struct principal *ret_who)
{
    uint8_t kind = reader_u8(reader);
    struct bytes name;

    if (kind > PRINCIPAL_USER)
        reader->failed = QK_ERR_INVALID;
    ret_who->kind = (enum principal_kind)kind;
    reader_copy(reader, ret_who->user_id, sizeof ret_who->user_id);
    name = reader_blob(reader, USER_NAME_BYTES_MAX);
    if (name.len > 0)
        memcpy(ret_who->name, name.data, name.len);
    ret_who->name[name.len] = '\0';
    if (strlen(ret_who->name) != name.len)
        reader->failed = QK_ERR_INVALID;
    ret_who->credential_version = reader_u64(reader);
    ret_who->admin = decode_bool(reader);
    ret_who->loopback = decode_bool(reader);
    reader_copy(reader, ret_who->token_id, sizeof ret_who->token_id);
}

static void decode_request(struct reader *reader, struct forward_request *ret_request)
{
    uint8_t method = reader_u8(reader);

    if (method > METHOD_PATCH)
        reader->failed = QK_ERR_INVALID;
    ret_request->method = (enum method)method;
    ret_request->body_len = reader_u64(reader);
    ret_request->tls = decode_bool(reader);
    decode_principal(reader, &ret_request->who);
    ret_request->target = reader_blob(reader, HTTP_URI_BYTES_MAX);
    ret_request->if_match = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->if_none_match = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->destination = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->content_type = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->accept = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->host = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
    ret_request->from = reader_blob(reader, 64);
    ret_request->content_md5 = reader_blob(reader, HTTP_HEADER_BYTES_MAX);
}

/* Neither a zero byte nor a line break: it becomes a line of a header. */
static struct bytes decode_text(struct reader *reader, size_t len_max)
{
    struct bytes text = reader_blob(reader, len_max);

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            reader->failed = QK_ERR_INVALID;
    }
    return text;
}

static void decode_reply(struct reader *reader, struct forward_reply *ret_reply)
{
    uint8_t fields_n;

    ret_reply->status = reader_u16(reader);
    if (ret_reply->status < 200 || ret_reply->status > 599)
        reader->failed = QK_ERR_INVALID;
    ret_reply->length = reader_u64(reader);
    ret_reply->content_type = decode_text(reader, 127);
    fields_n = reader_u8(reader);
    if (fields_n > REPLY_FIELDS_MAX) {
        reader->failed = QK_ERR_INVALID;
        return;
    }
    for (unsigned i = 0; i < fields_n; i++) {
        ret_reply->fields[i].name = decode_text(reader, 63);
        ret_reply->fields[i].value = decode_text(reader, REPLY_FIELD_BYTES - 1);
    }
    ret_reply->fields_n = fields_n;
}

enum qk_err forward_decode(struct bytes in, struct forward_message *ret_message)
{
    struct reader reader = reader_of(in);
    uint8_t version = reader_u8(&reader);
    uint8_t kind = reader_u8(&reader);

    memset(ret_message, 0, sizeof *ret_message);
    if (reader_error(&reader) != QK_OK)
        return QK_ERR_INVALID;
    if (version != FORWARD_VERSION)
        return QK_ERR_UNSUPPORTED;
    if (kind < FORWARD_REQUEST || kind > FORWARD_CANCEL)
        return QK_ERR_INVALID;
    ret_message->kind = (enum forward_kind)kind;
    ret_message->id = reader_u64(&reader);
    switch (ret_message->kind) {
    case FORWARD_REQUEST:
        decode_request(&reader, &ret_message->request);
        break;
    case FORWARD_REPLY:
        decode_reply(&reader, &ret_message->reply);
        break;
    case FORWARD_REQUEST_ACK:
    case FORWARD_REPLY_ACK:
        ret_message->taken = reader_u64(&reader);
        break;
    case FORWARD_REQUEST_BODY: /* nothing: the end of a body without an announced length */
    case FORWARD_REPLY_BODY:
        ret_message->body = reader_rest(&reader);
        if (ret_message->body.len > FORWARD_PIECE_BYTES ||
            (ret_message->body.len == 0 && ret_message->kind == FORWARD_REPLY_BODY))
            return QK_ERR_INVALID;
        break;
    case FORWARD_REPLY_END:
    case FORWARD_CANCEL:
        break;
    }
    return reader_end(&reader) == QK_OK ? QK_OK : QK_ERR_INVALID;
}

/* Seeds of fuzz_http.c: the first byte even is a connection in pieces, odd a forwarded message. */
#include <string.h>

#include "fuzz.h"
#include "http/forward_codec.h"

static const char *const connections[] = {
    "PUT /db/doc?rev=1-a HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWRtaW46cGFzcw==\r\n"
    "Content-Length: 7\r\n\r\n{\"a\":1}",
    "POST /db/_bulk_docs HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2\r\n{}\r\n0\r\n\r\nLIST /v1/secret/x HTTP/1.1\r\nHost: h\r\n\r\n",
};

static void seed_message(enum forward_kind kind, struct buf *out)
{
    static struct forward_message message;

    memset(&message, 0, sizeof message);
    message.kind = kind;
    message.id = 7;
    if (kind == FORWARD_REQUEST) {
        message.request.method = METHOD_PUT;
        message.request.target = bytes_str("/db/doc");
        message.request.who.kind = PRINCIPAL_USER;
        memcpy(message.request.who.name, "admin", 5);
    }
    if (kind == FORWARD_REPLY) {
        message.reply.status = 201;
        message.reply.content_type = bytes_str("application/json");
        message.reply.fields_n = 1;
        message.reply.fields[0].name = bytes_str("etag");
        message.reply.fields[0].value = bytes_str("\"1-a\"");
    }
    message.body = bytes_str("body");
    forward_encode(&message, out);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number < 2) {
        buf_put_u8(out, 64);
        buf_put_str(out, connections[number]);
        return true;
    }
    if (number - 1 > FORWARD_CANCEL)
        return false;
    buf_put_u8(out, 1);
    seed_message((enum forward_kind)(number - 1), out);
    return true;
}

#include "node/launcher_wire.h"

#include <assert.h>

#define REQUEST_MAGIC 0x514b4c31u /* "QKL1" */
#define REPLY_MAGIC 0x514b4c32u   /* "QKL2" */

void launcher_request_encode(const struct launcher_request *request, struct buf *out)
{
    buf_put_u32(out, REQUEST_MAGIC);
    buf_put_u32(out, request->id);
    buf_put_u8(out, request->program);
    buf_put_u32(out, request->timeout_ms);
    buf_put_blob(out, request->input);
}

enum qk_err launcher_request_decode(struct bytes in, struct launcher_request *ret_request)
{
    struct reader reader = reader_of(in);
    struct launcher_request request = {0};
    uint32_t magic = reader_u32(&reader);

    assert(ret_request != NULL);

    request.id = reader_u32(&reader);
    request.program = reader_u8(&reader);
    request.timeout_ms = reader_u32(&reader);
    request.input = reader_blob(&reader, LAUNCHER_INPUT_BYTES_MAX);
    if (reader_end(&reader) != QK_OK || magic != REQUEST_MAGIC || request.id == 0 ||
        request.program >= LAUNCHER_PROGRAMS_MAX || request.timeout_ms == 0 ||
        request.timeout_ms > LAUNCHER_TIMEOUT_MS_MAX)
        return QK_ERR_INVALID;
    *ret_request = request;
    return QK_OK;
}

void launcher_reply_encode(const struct launcher_reply *reply, struct buf *out)
{
    buf_put_u32(out, REPLY_MAGIC);
    buf_put_u32(out, reply->id);
    buf_put_u8(out, (uint8_t)reply->result.end);
    buf_put_u32(out, reply->result.code);
    buf_put_blob(out, reply->result.output);
    buf_put_blob(out, reply->result.errors);
}

enum qk_err launcher_reply_decode(struct bytes in, struct launcher_reply *ret_reply)
{
    struct reader reader = reader_of(in);
    struct launcher_reply reply = {0};
    uint32_t magic = reader_u32(&reader);
    uint8_t end;

    assert(ret_reply != NULL);

    reply.id = reader_u32(&reader);
    end = reader_u8(&reader);
    reply.result.code = reader_u32(&reader);
    reply.result.output = reader_blob(&reader, LAUNCHER_OUTPUT_BYTES_MAX);
    reply.result.errors = reader_blob(&reader, LAUNCHER_ERRORS_BYTES_MAX);
    if (reader_end(&reader) != QK_OK || magic != REPLY_MAGIC || reply.id == 0 ||
        end >= ATTEST_ENDS_N)
        return QK_ERR_INVALID;
    reply.result.end = (enum attest_end)end;
    *ret_reply = reply;
    return QK_OK;
}

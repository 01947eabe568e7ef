#include "service/script.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "secret/secret.h"
#include "service/service.h"

#define READ_BYTES (64 * KIB)

struct script {
    uv_pipe_t pipe; /* the owner is freed in its close callback only */
    struct service *service;
    struct script_ops ops;
    void *arg;
    bool closed;
    struct buf in; /* secret: what has come of the frames to come */
    uint8_t *chunk;
};

struct sending {
    uv_write_t request;
    struct script *script;
    size_t len;
    uint8_t data[];
};

/* --- end --- */

static void on_closed(uv_handle_t *handle)
{
    struct script *script = handle->data;

    buf_fini(&script->in);
    if (script->chunk != NULL)
        secret_wipe(script->chunk, READ_BYTES);
    free(script->chunk);
    free(script);
}

void script_close(struct script *script)
{
    if (script == NULL || script->closed)
        return;
    script->closed = true;
    script->service->scripts_n--;
    uv_close((uv_handle_t *)&script->pipe, on_closed);
}

static void lost(struct script *script)
{
    if (!script->closed)
        script->ops.ended(script->arg);
}

/* --- in --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct script *script = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)script->chunk, READ_BYTES);
}

/* The first whole frame; BYTES_NONE with *ret_whole false: it is not all there. */
static struct bytes next_frame(const struct script *script, bool *ret_whole)
{
    size_t len = script->in.len < 4 ? 0 : get_u32(script->in.data);

    *ret_whole = script->in.len >= 4 && script->in.len - 4 >= len;
    return *ret_whole ? bytes_of(script->in.data + 4, len) : BYTES_NONE;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct script *script = stream->data;
    struct bytes frame;
    size_t used = 0;
    bool whole = true;

    (void)buf;
    if (n == 0 || script->closed)
        return;
    if (n > 0)
        buf_put(&script->in, script->chunk, (size_t)n);
    if (n < 0 || buf_error(&script->in) != QK_OK) {
        (void)uv_read_stop(stream);
        lost(script);
        return;
    }
    while (!script->closed && (frame = next_frame(script, &whole), whole)) {
        used = 4 + frame.len;
        script->ops.answered(script->arg, frame);
        buf_consume(&script->in, used);
    }
}

/* --- out --- */

static void on_sent(uv_write_t *request, int status)
{
    struct sending *sending = request->data;
    struct script *script = sending->script;

    secret_wipe(sending->data, sending->len);
    free(sending);
    if (status < 0 && !script->closed) {
        (void)uv_read_stop((uv_stream_t *)&script->pipe);
        lost(script);
    }
}

void script_put_call(enum script_call what,
                     const uint8_t compartment[static SCRIPT_COMPARTMENT_BYTES], struct bytes json,
                     struct buf *out)
{
    buf_put_u32(out, (uint32_t)(1 + SCRIPT_COMPARTMENT_BYTES + json.len));
    buf_put_u8(out, (uint8_t)what);
    buf_put(out, compartment, SCRIPT_COMPARTMENT_BYTES);
    buf_put_bytes(out, json);
}

enum qk_err script_send(struct script *script, struct bytes calls)
{
    struct sending *sending = malloc(sizeof(*sending) + calls.len);
    uv_buf_t buf;

    if (sending == NULL)
        return QK_ERR_NOMEM;
    sending->script = script;
    sending->len = calls.len;
    sending->request.data = sending;
    memcpy(sending->data, calls.data, calls.len);
    buf = uv_buf_init((char *)sending->data, (unsigned)calls.len);
    if (uv_write(&sending->request, (uv_stream_t *)&script->pipe, &buf, 1, on_sent) == 0)
        return QK_OK;
    secret_wipe(sending->data, sending->len);
    free(sending);
    return QK_ERR_IO;
}

/* --- begin --- */

static enum qk_err script_open(struct script *script)
{
    const struct script_door *door = &script->service->script_door;
    int fd;
    enum qk_err err = door->connect == NULL ? QK_ERR_IO : door->connect(door->arg, &fd);

    if (err != QK_OK)
        return err;
    if (uv_pipe_init(script->service->loop, &script->pipe, 0) != 0) {
        (void)close(fd);
        return QK_ERR_IO;
    }
    script->pipe.data = script;
    if (uv_pipe_open(&script->pipe, fd) != 0) {
        (void)close(fd);
        return QK_ERR_CLOSED; /* of a handle that must be closed */
    }
    return uv_read_start((uv_stream_t *)&script->pipe, on_alloc, on_read) == 0 ? QK_OK
                                                                               : QK_ERR_CLOSED;
}

static enum qk_err send_design(struct script *script, struct bytes design)
{
    struct buf frame = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    enum qk_err err;

    buf_put_blob(&frame, design);
    err = buf_error(&frame);
    if (err == QK_OK)
        err = script_send(script, buf_bytes(&frame));
    buf_fini(&frame);
    return err;
}

enum qk_err script_new(struct service *service, struct bytes design, const struct script_ops *ops,
                       void *arg, struct script **ret_script)
{
    struct script *script;
    enum qk_err err;

    assert(ops != NULL && ret_script != NULL);

    if (service->scripts_n >= SCRIPT_WORKERS_MAX)
        return QK_ERR_BUSY;
    script = calloc(1, sizeof(*script));
    if (script != NULL)
        script->chunk = malloc(READ_BYTES);
    if (script == NULL || script->chunk == NULL) {
        free(script);
        return QK_ERR_NOMEM;
    }
    script->service = service;
    script->ops = *ops;
    script->arg = arg;
    script->in = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX + READ_BYTES);
    err = script_open(script);
    if (err != QK_OK && err != QK_ERR_CLOSED) {
        free(script->chunk);
        free(script);
        return err;
    }
    service->scripts_n++;
    if (err == QK_OK)
        err = send_design(script, design);
    if (err == QK_OK)
        *ret_script = script;
    else
        script_close(script);
    return err == QK_ERR_CLOSED ? QK_ERR_IO : err;
}

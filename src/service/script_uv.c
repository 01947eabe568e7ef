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

enum qk_err script_send(struct script *script, struct bytes documents)
{
    struct sending *sending = malloc(sizeof(*sending) + documents.len);
    uv_buf_t buf;

    if (sending == NULL)
        return QK_ERR_NOMEM;
    sending->script = script;
    sending->len = documents.len;
    sending->request.data = sending;
    memcpy(sending->data, documents.data, documents.len);
    buf = uv_buf_init((char *)sending->data, (unsigned)documents.len);
    if (uv_write(&sending->request, (uv_stream_t *)&script->pipe, &buf, 1, on_sent) == 0)
        return QK_OK;
    secret_wipe(sending->data, sending->len);
    free(sending);
    return QK_ERR_IO;
}

/* --- begin --- */

/* {"maps":[...],"lib":...} as the first frame. */
static enum qk_err put_design(const struct view_design *design, struct buf *out)
{
    json_t *views = json_object_get(design->json, "views");
    json_t *lib = json_object_get(views, "lib");
    size_t i;
    enum qk_err err = QK_OK;

    buf_put_u32(out, 0);
    buf_put_str(out, "{\"maps\":[");
    for (i = 0; i < design->views_n; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        json_write_string(design->views[i].map_text, out);
    }
    buf_put_str(out, "],\"lib\":");
    if (lib != NULL)
        err = json_write(lib, out);
    else
        buf_put_str(out, "null");
    buf_put_u8(out, '}');
    if (err == QK_OK)
        err = buf_error(out);
    if (err == QK_OK)
        put_u32(out->data, (uint32_t)(out->len - 4));
    return err;
}

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

static enum qk_err send_design(struct script *script, const struct view_design *design)
{
    struct buf frame = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    enum qk_err err = put_design(design, &frame);

    if (err == QK_OK)
        err = script_send(script, buf_bytes(&frame));
    buf_fini(&frame);
    return err;
}

enum qk_err script_new(struct service *service, const struct view_design *design,
                       const struct script_ops *ops, void *arg, struct script **ret_script)
{
    struct script *script;
    enum qk_err err;

    assert(design->language == VIEW_JAVASCRIPT && ret_script != NULL);

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

/* --- answers --- */

/* The map that a member of an answer is of, or design->views_n. */
static size_t map_of(const struct view_design *design, const json_t *item)
{
    const json_t *at = json_array_get(item, 0);
    json_int_t place = json_is_integer(at) ? json_integer_value(at) : -1;

    return place < 0 || (size_t)place >= design->views_n ? design->views_n : (size_t)place;
}

enum qk_err script_rows(const struct view_design *design, struct bytes answer,
                        struct view_rows *rows, unsigned *ret_errors)
{
    struct doc_problem problem;
    json_t *json = NULL, *item;
    enum qk_err err;
    size_t i, map;

    *ret_errors = 0;
    err = json_parse(answer, JSON_WRITE_DEPTH_MAX, &problem, &json);
    if (err == QK_OK && !json_is_array(json_array_get(json, 0)))
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        *ret_errors = (unsigned)json_array_size(json_array_get(json, 1));
    json_array_foreach(json_array_get(json, 0), i, item)
    {
        map = map_of(design, item);
        if (err != QK_OK || map == design->views_n || json_array_size(item) != 3)
            continue;
        err = view_rows_add(rows, map, json_array_get(item, 1), json_array_get(item, 2));
        if (err == QK_ERR_TOO_BIG) {
            *ret_errors += 1;
            err = QK_OK;
        }
    }
    json_decref(json);
    return err;
}

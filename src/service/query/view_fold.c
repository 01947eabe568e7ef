/* A reduce in JavaScript over the rows of one group: what is gathered goes to the worker a piece at
 * a time, the values that come back are reduced once more (rereduce), until one is left. The rows
 * are those that the reader may see and nobody else's work is in the worker, so nothing is kept. */
#include <stdlib.h>

#include "service/script_job.h"
#include "service/query/view_read.h"

/* A piece: so many rows, or so much of them. */
#define PIECE_ROWS 512
#define PIECE_BYTES (256 * KIB)
/* Values that are reduced to one at a time. */
#define PIECE_VALUES 64
#define PIECES_BYTES_MAX (64 * MIB)

struct view_fold {
    struct view_read *read;
    struct script_job *job;
    struct buf keys, values; /* secret: members of two arrays, of the rows not reduced yet */
    size_t rows_n;
    struct buf parts; /* secret: of a third, of the values that have come back */
    size_t parts_n;
    bool of_parts; /* at work on these */
    struct buf call;
};

static void fold_done(void *arg, enum qk_err err);

static enum qk_err put_design(const struct view_read *read, struct buf *out)
{
    const struct view *view = &views_design(read->group)->views[read->view];
    const json_t *views = json_object_get(views_design(read->group)->json, "views");
    const json_t *lib = json_object_get(views, "lib");
    enum qk_err err = QK_OK;

    buf_put_str(out, "{\"reduces\":[");
    json_write_string(view->reduce_text, out);
    buf_put_str(out, "],\"lib\":");
    if (lib != NULL)
        err = json_write(lib, out);
    else
        buf_put_str(out, "null");
    buf_put_u8(out, '}');
    return err;
}

enum qk_err view_fold_new(struct view_read *read, struct view_fold **ret_fold)
{
    struct buf design = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    struct view_fold *fold = calloc(1, sizeof(*fold));
    enum qk_err err = fold == NULL ? QK_ERR_NOMEM : put_design(read, &design);

    if (err != QK_OK) {
        buf_fini(&design);
        free(fold);
        return err;
    }
    *fold = (struct view_fold){.read = read,
                               .keys = BUF_SECRET_INIT(PIECES_BYTES_MAX),
                               .values = BUF_SECRET_INIT(PIECES_BYTES_MAX),
                               .parts = BUF_SECRET_INIT(PIECES_BYTES_MAX),
                               .call = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX)};
    err = script_job_new(read->service, &design, fold_done, fold, &fold->job);
    if (err == QK_OK)
        *ret_fold = fold;
    else
        free(fold);
    return err;
}

static void rows_clear(struct view_fold *fold)
{
    buf_reset(&fold->keys);
    buf_reset(&fold->values);
    fold->rows_n = 0;
}

void view_fold_reset(struct view_fold *fold)
{
    rows_clear(fold);
    buf_reset(&fold->parts);
    fold->parts_n = 0;
    script_job_reset(fold->job);
}

void view_fold_free(struct view_fold *fold)
{
    if (fold == NULL)
        return;
    script_job_free(fold->job);
    buf_fini(&fold->keys);
    buf_fini(&fold->values);
    buf_fini(&fold->parts);
    buf_fini(&fold->call);
    free(fold);
}

enum qk_err view_fold_add(struct view_fold *fold, const struct index_row *row)
{
    const char *before = fold->rows_n++ == 0 ? "" : ",";

    buf_put_str(&fold->keys, before);
    buf_put_u8(&fold->keys, '[');
    buf_put_bytes(&fold->keys, row->key);
    buf_put_u8(&fold->keys, ',');
    json_write_string(row->id, &fold->keys);
    buf_put_u8(&fold->keys, ']');
    buf_put_str(&fold->values, before);
    buf_put_bytes(&fold->values, row->value);
    return buf_error(&fold->keys) != QK_OK ? buf_error(&fold->keys) : buf_error(&fold->values);
}

/* --- at work --- */

static enum qk_err run(struct view_fold *fold)
{
    enum qk_err err = buf_error(&fold->call);

    script_job_reset(fold->job);
    if (err == QK_OK) {
        script_job_put(fold->job, SCRIPT_REDUCE, buf_bytes(&fold->call));
        err = script_job_run(fold->job);
    }
    buf_reset(&fold->call);
    fold->read->stream.wait = err == QK_OK;
    return err;
}

static enum qk_err run_rows(struct view_fold *fold)
{
    fold->of_parts = false;
    buf_put_str(&fold->call, "[0,false,[");
    buf_put_bytes(&fold->call, buf_bytes(&fold->keys));
    buf_put_str(&fold->call, "],[");
    buf_put_bytes(&fold->call, buf_bytes(&fold->values));
    buf_put_str(&fold->call, "]]");
    return run(fold);
}

static enum qk_err run_parts(struct view_fold *fold)
{
    fold->of_parts = true;
    buf_put_str(&fold->call, "[0,true,null,[");
    buf_put_bytes(&fold->call, buf_bytes(&fold->parts));
    buf_put_str(&fold->call, "]]");
    return run(fold);
}

enum qk_err view_fold_go(struct view_fold *fold, bool all)
{
    bool full = fold->rows_n >= PIECE_ROWS || fold->keys.len + fold->values.len >= PIECE_BYTES;

    if (fold->rows_n > 0 && (all || full))
        return run_rows(fold);
    if (fold->parts_n >= PIECE_VALUES || (all && fold->parts_n > 1))
        return run_parts(fold);
    return QK_OK;
}

/* What comes from the worker is JSON, or nothing of it is taken. */
static enum qk_err take_answer(struct view_fold *fold, struct bytes answer)
{
    struct doc_problem problem;
    json_t *value = NULL;
    enum qk_err err = answer.len == 0 ? QK_ERR_TIMEOUT
                                      : json_parse(answer, JSON_WRITE_DEPTH_MAX, &problem, &value);

    if (err != QK_OK)
        return QK_ERR_TIMEOUT;
    if (fold->of_parts) {
        buf_reset(&fold->parts);
        fold->parts_n = 0;
    } else {
        rows_clear(fold);
    }
    if (fold->parts_n++ > 0)
        buf_put_u8(&fold->parts, ',');
    err = json_write(value, &fold->parts);
    json_decref(value);
    return err == QK_OK ? buf_error(&fold->parts) : err;
}

static void fold_done(void *arg, enum qk_err err)
{
    struct view_fold *fold = arg;
    struct stream *stream = &fold->read->stream;

    if (err == QK_OK)
        err = take_answer(fold, script_job_answer(fold->job));
    if (err == QK_ERR_TIMEOUT)
        (void)doc_problem_set(&stream->problem, 500, "os_process_error",
                              "the reduce of this view was too slow, or took too much memory");
    stream_go_on(stream, err);
}

enum qk_err view_fold_write(struct view_fold *fold, struct buf *out)
{
    if (fold->parts_n == 0)
        buf_put_str(out, "null");
    buf_put_bytes(out, buf_bytes(&fold->parts));
    return buf_error(out);
}

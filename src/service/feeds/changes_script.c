/* A feed's filter in JavaScript. A document is judged by a worker that this reader's feed has to
 * itself, and only one that the reader may see. What the worker says, yes or no, decides about rows
 * of this reply alone; a function that fails, or takes too long, ends it with an error, since a
 * change that was left out would be missed for ever. */
#include <assert.h>
#include <stdlib.h>

#include "service/feeds/changes_private.h"
#include "service/script_job.h"

#define BATCH_ROWS 64
#define BATCH_BYTES (256 * KIB)
#define ROWS_BYTES_MAX (2 * DOCUMENT_PLAIN_BYTES_MAX + 128 * MIB)

struct changes_script {
    struct changes *changes;
    struct script_job *job;
    struct buf
        rows; /* secret: key blob ‖ version ‖ seq ‖ value blob ‖ leaves_n u32 ‖ asked u8 each */
    size_t rows_n, rows_at;
    bool judged;
    struct buf text; /* secret */
};

static void judged(void *arg, enum qk_err err);

enum qk_err changes_script_new(struct changes *changes, struct changes_script **ret_script)
{
    struct changes_script *script = calloc(1, sizeof(*script));
    enum qk_err err;

    if (script == NULL)
        return QK_ERR_NOMEM;
    *script = (struct changes_script){.changes = changes,
                                      .rows = BUF_SECRET_INIT(ROWS_BYTES_MAX),
                                      .text = BUF_SECRET_INIT(ROWS_BYTES_MAX)};
    err = script_job_new(changes->service, &changes->filter.script, judged, script, &script->job);
    if (err == QK_OK)
        *ret_script = script;
    else
        free(script);
    return err;
}

void changes_script_free(struct changes_script *script)
{
    if (script == NULL)
        return;
    script_job_free(script->job);
    buf_fini(&script->rows);
    buf_fini(&script->text);
    free(script);
}

static void rows_clear(struct changes_script *script)
{
    buf_reset(&script->rows);
    script->rows_n = script->rows_at = 0;
    script->judged = false;
    script_job_reset(script->job);
}

void changes_script_rest(struct changes_script *script)
{
    rows_clear(script);
    buf_fini(&script->rows);
    buf_fini(&script->text);
    script_job_rest(script->job);
}

size_t changes_script_rows_n(const struct changes_script *script)
{
    return script->rows_n;
}

bool changes_script_is_judged(const struct changes_script *script)
{
    return script->judged && script->rows_n > 0;
}

/* --- gathering --- */

/* A body that nobody can open any more passes nothing: it is not asked about. */
static enum qk_err leaf_add(struct changes_script *script, const struct store_row *row,
                            const struct doc_record *record, const struct doc_leaf *leaf)
{
    enum qk_err err = changes_row_leaf(script->changes, row, record, leaf, &script->text);

    if (err == QK_OK)
        script_job_put(script->job, SCRIPT_FILTER, buf_bytes(&script->text));
    buf_put_u8(&script->rows, err == QK_OK ? 1 : 0);
    buf_reset(&script->text);
    return err == QK_ERR_DESTROYED ? QK_OK : err;
}

enum qk_err changes_script_add(struct changes_script *script, const struct store_row *row,
                               const struct doc_record *record)
{
    unsigned n = script->changes->wish.all_leaves ? record->leaves_n : 1, i;
    enum qk_err err = QK_OK;

    assert(!script->judged);

    buf_put_blob(&script->rows, row->key);
    buf_put_u64(&script->rows, row->record.version);
    buf_put_u64(&script->rows, row->record.seq);
    buf_put_blob(&script->rows, row->record.value);
    buf_put_u32(&script->rows, record->leaves_n);
    for (i = 0; err == QK_OK && i < record->leaves_n; i++) {
        if (i < n)
            err = leaf_add(script, row, record, &record->leaves[i]);
        else
            buf_put_u8(&script->rows, 0);
    }
    script->rows_n++;
    return err == QK_OK ? buf_error(&script->rows) : err;
}

/* --- judging --- */

enum qk_err changes_script_go(struct changes_script *script, bool all)
{
    bool full = script->rows_n >= BATCH_ROWS || script_job_bytes(script->job) >= BATCH_BYTES ||
                script->rows.len >= BATCH_BYTES;
    enum qk_err err;

    if (script->judged || script->rows_n == 0 || (!all && !full))
        return QK_OK;
    if (script_job_calls_n(script->job) == 0) { /* nothing to be asked */
        script->judged = true;
        return QK_OK;
    }
    err = script_job_run(script->job);
    script->changes->stream.wait = err == QK_OK;
    return err;
}

static void judged(void *arg, enum qk_err err)
{
    struct changes_script *script = arg;

    script->judged = true;
    if (err == QK_ERR_TIMEOUT)
        (void)doc_problem_set(&script->changes->stream.problem, 500, "os_process_error",
                              "the filter was too slow for several documents, or took too much "
                              "memory");
    stream_go_on(&script->changes->stream, err);
}

/* One answer: true, false, or what went wrong. */
static enum qk_err answer_read(struct changes_script *script, bool *ret_passes)
{
    struct doc_problem *problem = &script->changes->stream.problem;
    struct bytes answer = script_job_answer(script->job);
    struct doc_problem unread;
    json_t *json = NULL;
    enum qk_err err = QK_OK;

    *ret_passes = bytes_equal(answer, bytes_str("true"));
    if (*ret_passes || bytes_equal(answer, bytes_str("false")))
        return QK_OK;
    if (answer.len == 0)
        return doc_problem_set(problem, 500, "os_process_error",
                               "the filter was too slow for a document, or took too much memory");
    if (json_parse(answer, JSON_WRITE_DEPTH_MAX, &unread, &json) != QK_OK || !json_is_string(json))
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        err = doc_problem_set(problem, 500, "filter_error", "%.*s", (int)json_bytes(json).len,
                              (const char *)json_bytes(json).data);
    json_decref(json);
    return err;
}

enum qk_err changes_script_put_next(struct changes_script *script, uint64_t *ret_seq)
{
    struct reader in =
        reader_of(bytes_slice(buf_bytes(&script->rows), script->rows_at, script->rows.len));
    bool passes[DOC_RECORD_LEAVES_MAX];
    struct store_row row = {.key = reader_blob(&in, in.in.len)};
    enum qk_err err = QK_OK;
    uint32_t leaves_n, i;

    row.record.version = reader_u64(&in);
    row.record.seq = reader_u64(&in);
    row.record.value = reader_blob(&in, in.in.len);
    leaves_n = reader_u32(&in);
    assert(changes_script_is_judged(script) && leaves_n <= DOC_RECORD_LEAVES_MAX);
    for (i = 0; err == QK_OK && i < leaves_n; i++) {
        passes[i] = reader_u8(&in) != 0;
        if (passes[i])
            err = answer_read(script, &passes[i]);
    }
    assert(err != QK_OK || reader_error(&in) == QK_OK);
    script->rows_at += in.at;
    script->rows_n--;
    *ret_seq = row.record.seq;
    if (err == QK_OK)
        err = changes_row_judged(script->changes, &row, passes);
    if (script->rows_n == 0)
        rows_clear(script);
    return err;
}

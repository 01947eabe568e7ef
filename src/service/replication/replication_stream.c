/* One document with its long attachments: what the source gives (multipart/related, or JSON where
 * it has nothing else) is put to the target as it comes, so that neither is ever held.
 *
 *     GET from the source, into the flow --> it has begun: PUT to the target, from the flow --> the
 *     target's answer
 *
 * An end of either side is the end of the other. What was put is whole or nothing: a target that
 * does not get all that was announced keeps none of it. Then the whole document goes again. */
#include "base/encode.h"
#include "service/replication/replication_run_private.h"

#include "service/timer_uv.h"

static void stream_end(struct replication_run *run)
{
    endpoint_cancel(&run->source);
    endpoint_cancel(&run->target);
    timer_stop(run->timer);
    run->stream_put = false;
    flow_fini(&run->flow);
}

static void stream_done(struct replication_run *run)
{
    (void)json_array_remove(run->lengthy, 0);
    run_next_docs(run);
}

/* Whose trouble it is. */
static void stream_trouble(struct replication_run *run, enum run_step step,
                           const struct fetch_reply *reply)
{
    run->step = step;
    run_trouble(run, reply);
}

static void stream_fail(struct replication_run *run, enum run_step step, enum qk_err err)
{
    stream_end(run);
    stream_trouble(run, step, &(struct fetch_reply){.err = QK_ERR_IO, .why = qk_err_text(err)});
}

/* --- the source --------------------------------------------------------------------------------
 */

/* The answer is the target's to give, unless the source has ended otherwise. 404: it was written
 * again meanwhile, and that revision stands further on in the changes. */
static void on_source(void *arg, const struct fetch_reply *reply)
{
    struct replication_run *run = arg;

    if (reply->err == QK_OK && reply->status == 200)
        return;
    stream_end(run);
    if (reply->err == QK_OK && reply->status == 404)
        stream_done(run);
    else
        stream_trouble(run, RUN_STREAM, reply);
}

/* Inside of the source's call: the other half waits for the loop. */
static void on_begun(void *arg)
{
    struct replication_run *run = arg;

    run->stream_put = true;
    timer_start(run->timer, 0);
}

void run_stream(struct replication_run *run)
{
    const json_t *doc = json_array_get(run->lengthy, 0);
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct endpoint_request request = {.method = METHOD_GET,
                                       .accept = "multipart/related, application/json;q=0.5",
                                       .into = &run->flow,
                                       .silence_ms = RUN_SILENCE_MS};
    enum qk_err err;

    flow_init(&run->flow);
    run->flow.came = on_begun;
    run->flow.came_arg = run;
    replication_put_doc_path(doc, &path);
    buf_put_str(&path, "?attachments=true&revs=true&rev=");
    percent_encode(json_bytes(json_object_get(doc, "rev")), &path);
    buf_put_u8(&path, 0);
    request.path = (const char *)path.data;
    err = buf_error(&path);
    if (err == QK_OK)
        err = endpoint_ask(&run->source, &request, on_source, run);
    buf_fini(&path);
    if (err != QK_OK)
        stream_fail(run, RUN_STREAM, err);
}

/* --- the target --------------------------------------------------------------------------------
 */

/* What the document itself is the reason for, as those of _bulk_docs. */
static bool is_refusal(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 409 || status == 412 ||
           status == 413 || status == 415 || status == 417;
}

static void on_target(void *arg, const struct fetch_reply *reply)
{
    struct replication_run *run = arg;
    struct replication_counts *counts = &run->session.counts;
    bool written = reply->err == QK_OK && (reply->status == 201 || reply->status == 202);

    stream_end(run);
    if (!written && (reply->err != QK_OK || !is_refusal(reply->status))) {
        stream_trouble(run, RUN_STREAM_PUT, reply);
        return;
    }
    counts->docs_read++;
    counts->docs_written += written;
    counts->doc_write_failures += !written;
    stream_done(run);
}

void run_stream_put(struct replication_run *run)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct endpoint_request request = {
        .method = METHOD_PUT, .from = &run->flow, .silence_ms = RUN_SILENCE_MS};
    enum qk_err err;

    run->stream_put = false;
    replication_put_doc_path(json_array_get(run->lengthy, 0), &path);
    buf_put_str(&path, "?new_edits=false");
    buf_put_u8(&path, 0);
    request.path = (const char *)path.data;
    err = buf_error(&path);
    if (err == QK_OK)
        err = endpoint_ask(&run->target, &request, on_target, run);
    buf_fini(&path);
    if (err != QK_OK)
        stream_fail(run, RUN_STREAM_PUT, err);
}

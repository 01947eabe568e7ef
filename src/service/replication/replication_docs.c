/* Some of what is missing is asked for without contents of attachments. What has none is written;
 * what has some is asked for again, several documents with short ones at a time (RUN_GET_BRIEF),
 * each with long ones as a stream (replication_stream.c). Only then come the next. */
#include "service/replication/replication_run_private.h"

#include "service/offload_uv.h"

static void get_some(struct replication_run *run, enum run_step step, const json_t *list, size_t at,
                     size_t max)
{
    size_t left = json_array_size(list) - at;
    enum qk_err err;

    run->asked_n = left < run->docs_max ? left : run->docs_max;
    run->asked_n = run->asked_n < max ? run->asked_n : max;
    buf_reset(&run->body);
    err = replication_write_bulk_get(list, at, run->asked_n, &run->body);
    run->step = step; /* whose side it is, in either case */
    if (err != QK_OK)
        run_nonsense(run, err);
    else
        run_to(run, step);
}

void run_next_docs(struct replication_run *run)
{
    if (json_array_size(run->lengthy) > 0)
        run_to(run, RUN_STREAM);
    else if (json_array_size(run->brief) > 0)
        get_some(run, RUN_GET_BRIEF, run->brief, 0, RUN_BRIEF_MAX);
    else if (run->at < json_array_size(run->missing))
        get_some(run, RUN_GET, run->missing, run->at, RUN_DOCS_MAX);
    else
        run_page_done(run);
}

/* Those that were asked for are dealt with, or on one of the lists. Of those that came with their
 * contents none is asked for again: what is a stub still stays away, and is counted. */
static void docs_done(struct replication_run *run)
{
    struct replication_docs *docs = &run->docs;
    struct replication_counts *counts = &run->session.counts;
    bool ok = true;

    counts->docs_read += docs->docs_n;
    counts->doc_write_failures += docs->failed_n;
    if (run->is_brief)
        counts->doc_write_failures += json_array_size(docs->brief) + json_array_size(docs->lengthy);
    else if (docs->brief != NULL)
        ok = json_array_extend(run->brief, docs->brief) == 0 &&
             json_array_extend(run->lengthy, docs->lengthy) == 0;
    replication_docs_fini(docs);
    if (!run->is_brief)
        run->at += run->asked_n;
    for (size_t i = 0; run->is_brief && i < run->asked_n; i++)
        (void)json_array_remove(run->brief, 0);
    if (ok)
        run_next_docs(run);
    else
        run_nonsense(run, QK_ERR_NOMEM);
}

void run_take_diff(struct replication_run *run, const struct fetch_reply *reply)
{
    json_t *missing = NULL;
    enum qk_err err;

    if (reply->status != 200) {
        run_trouble(run, reply);
        return;
    }
    err = replication_read_diff(reply->body, &missing);
    if (err != QK_OK) {
        run_nonsense(run, err);
        return;
    }
    json_decref(run->missing);
    run->missing = missing;
    run->at = 0;
    run->session.counts.missing_found += json_array_size(missing);
    run_next_docs(run);
}

/* These do not go as they are: fewer at a time. One alone goes as a stream if it is for its
 * attachments that it does not, and is passed over if not. */
static void docs_fewer(struct replication_run *run)
{
    replication_docs_fini(&run->docs); /* they are read again */
    if (run->asked_n > 1) {
        run->docs_max = run->asked_n / 2;
        run_next_docs(run);
        return;
    }
    if (!run->is_brief)
        run->session.counts.doc_write_failures++;
    else if (json_array_append(run->lengthy, json_array_get(run->brief, 0)) != 0) {
        run_nonsense(run, QK_ERR_NOMEM);
        return;
    }
    docs_done(run);
}

static void work_docs(void *arg)
{
    struct replication_run *run = arg;

    buf_reset(&run->body);
    run->worked = replication_read_bulk_get(buf_bytes(&run->reply), &run->body, &run->docs);
}

static void worked_docs(void *arg, enum qk_err err)
{
    struct replication_run *run = arg;

    run->working = false;
    buf_fini(&run->reply);
    if (run->freed) {
        run_gone(run);
        return;
    }
    if (err == QK_OK)
        err = run->worked;
    if (err == QK_ERR_INVALID || err == QK_ERR_TOO_BIG) {
        docs_fewer(run);
        return;
    }
    if (err != QK_OK)
        run_nonsense(run, err);
    else if (run->docs.docs_n > 0)
        run_to(run, RUN_WRITE);
    else
        docs_done(run);
}

void run_take_get(struct replication_run *run, const struct fetch_reply *reply)
{
    run->is_brief = run->step == RUN_GET_BRIEF;
    if (reply->err == QK_ERR_TOO_BIG || reply->status == 413) {
        docs_fewer(run);
        return;
    }
    if (reply->status != 200) {
        run_trouble(run, reply);
        return;
    }
    buf_fini(&run->reply);
    buf_put_bytes(&run->reply, reply->body);
    if (buf_error(&run->reply) != QK_OK) {
        run_nonsense(run, buf_error(&run->reply));
        return;
    }
    run->working = true;
    offload_run(run->service, run->reply.len, work_docs, worked_docs, run);
}

void run_take_write(struct replication_run *run, const struct fetch_reply *reply)
{
    size_t refused_n = 0;
    enum qk_err err;

    /* 400 and 417: of all for the sake of one (a validation, or what the server cannot keep). */
    if (reply->status == 413 || reply->status == 400 || reply->status == 417) {
        docs_fewer(run);
        return;
    }
    if (reply->status != 201 && reply->status != 202) {
        run_trouble(run, reply);
        return;
    }
    err = replication_read_bulk_docs(reply->body, &refused_n);
    if (err != QK_OK) {
        run_nonsense(run, err);
        return;
    }
    refused_n = refused_n > run->docs.docs_n ? run->docs.docs_n : refused_n;
    run->session.counts.docs_written += run->docs.docs_n - refused_n;
    run->session.counts.doc_write_failures += refused_n;
    if (run->docs_max < RUN_DOCS_MAX)
        run->docs_max *= 2;
    docs_done(run);
}

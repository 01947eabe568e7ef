#include "service/replication/replication_run_private.h"

#include "service/offload_uv.h"

static void next_docs(struct replication_run *run)
{
    size_t left = json_array_size(run->missing) - run->at;
    enum qk_err err;

    if (left == 0) {
        run_page_done(run);
        return;
    }
    run->asked_n = left < run->docs_max ? left : run->docs_max;
    buf_reset(&run->body);
    err = replication_write_bulk_get(run->missing, run->at, run->asked_n, &run->body);
    if (err != QK_OK)
        run_nonsense(run, err);
    else
        run_to(run, RUN_GET);
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
    next_docs(run);
}

/* These do not go as they are: fewer at a time, and one alone is passed over. */
static void docs_fewer(struct replication_run *run)
{
    if (run->asked_n > 1) {
        run->docs_max = run->asked_n / 2;
    } else {
        run->session.counts.doc_write_failures++;
        run->at++;
    }
    next_docs(run);
}

static void work_docs(void *arg)
{
    struct replication_run *run = arg;

    buf_reset(&run->body);
    run->worked =
        replication_read_bulk_get(buf_bytes(&run->reply), &run->body, &run->docs_n, &run->failed_n);
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
    if (err != QK_OK) {
        run_nonsense(run, err);
        return;
    }
    run->session.counts.docs_read += run->docs_n;
    run->session.counts.doc_write_failures += run->failed_n;
    if (run->docs_n > 0) {
        run_to(run, RUN_WRITE);
        return;
    }
    run->at += run->asked_n;
    next_docs(run);
}

void run_take_get(struct replication_run *run, const struct fetch_reply *reply)
{
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
        run->session.counts.docs_read -= run->docs_n; /* they are read again */
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
    refused_n = refused_n > run->docs_n ? run->docs_n : refused_n;
    run->session.counts.docs_written += run->docs_n - refused_n;
    run->session.counts.doc_write_failures += refused_n;
    run->at += run->asked_n;
    if (run->docs_max < RUN_DOCS_MAX)
        run->docs_max *= 2;
    next_docs(run);
}

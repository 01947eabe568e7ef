#include "service/replication/replication_run_private.h"

#include "base/encode.h"
#include "service/timer_uv.h"

/* --- both there ------------------------------------------------------------------------------ */

void run_take_source(struct replication_run *run, const struct fetch_reply *reply)
{
    if (reply->status == 200)
        run_to(run, RUN_TARGET);
    else
        run_trouble(run, reply);
}

void run_take_target(struct replication_run *run, const struct fetch_reply *reply)
{
    if (reply->status == 200)
        run_to(run, RUN_SOURCE_LOG);
    else if (reply->status == 404 && run->spec->create_target)
        run_to(run, RUN_CREATE);
    else
        run_trouble(run, reply);
}

void run_take_create(struct replication_run *run, const struct fetch_reply *reply)
{
    if (reply->status == 201 || reply->status == 202 || reply->status == 412)
        run_to(run, RUN_SOURCE_LOG);
    else
        run_trouble(run, reply);
}

/* --- the checkpoint -------------------------------------------------------------------------- */

static enum qk_err log_read(const struct fetch_reply *reply, json_t **ret_log)
{
    struct doc_problem problem;
    json_t *value = NULL;
    enum qk_err err = QK_OK;

    if (reply->status == 200)
        err = json_parse(reply->body, JSON_DEPTH_MAX, &problem, &value);
    if (err == QK_OK) {
        json_decref(*ret_log);
        *ret_log = value;
    }
    return err;
}

/* 404: there was none yet. */
static bool take_log(struct replication_run *run, const struct fetch_reply *reply, json_t **log)
{
    enum qk_err err;

    if (reply->status != 200 && reply->status != 404) {
        run_trouble(run, reply);
        return false;
    }
    err = log_read(reply, log);
    if (err != QK_OK)
        run_nonsense(run, err);
    return err == QK_OK;
}

void run_take_source_log(struct replication_run *run, const struct fetch_reply *reply)
{
    if (reply->status == 401 || reply->status == 403)
        run_to(run, RUN_TARGET_LOG); /* it may be read, and keeps no checkpoint for us */
    else if (take_log(run, reply, &run->source_log))
        run_to(run, RUN_TARGET_LOG);
}

void run_set_json(json_t **place, const json_t *value)
{
    json_t *copy = value == NULL ? NULL : json_deep_copy(value);

    json_decref(*place);
    *place = copy;
}

void run_take_target_log(struct replication_run *run, const struct fetch_reply *reply)
{
    const json_t *common = NULL;

    if (!take_log(run, reply, &run->target_log))
        return;
    if (!run->spec->no_checkpoints)
        common = replication_common_seq(run->source_log, run->target_log);
    if (common == NULL)
        common = run->spec->since_seq;
    if (run->since == NULL) {
        run_set_json(&run->since, common);
        run_set_json(&run->marked, common);
        run_set_json(&run->start, common);
    }
    /* A log that was written by another meanwhile was read again: back to writing it. */
    run_to(run, RUN_CHANGES);
}

/* --- changes --------------------------------------------------------------------------------- */

enum qk_err run_changes_body(struct replication_run *run)
{
    json_t *body = NULL;
    enum qk_err err = QK_OK;

    buf_reset(&run->body);
    if (run->spec->doc_ids != NULL)
        body = json_pack("{s:O}", "doc_ids", run->spec->doc_ids);
    else if (run->spec->selector != NULL)
        body = json_pack("{s:O}", "selector", run->spec->selector);
    else
        return QK_OK;
    err = body == NULL ? QK_ERR_NOMEM : json_write(body, &run->body);
    json_decref(body);
    return err;
}

static void put_params(const json_t *params, struct buf *path)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        buf_put_u8(path, '&');
        percent_encode(bytes_str(name), path);
        buf_put_u8(path, '=');
        replication_put_since(value, path);
    }
}

void run_changes_path(const struct replication_run *run, struct buf *path)
{
    const struct replication_spec *spec = run->spec;

    buf_printf(path, "/_changes?style=%s&limit=%d",
               spec->winning_revs_only ? "main_only" : "all_docs", RUN_PAGE_ROWS);
    if (spec->continuous)
        buf_printf(path, "&feed=longpoll&timeout=%u", RUN_POLL_MS);
    if (run->since != NULL) {
        buf_put_str(path, "&since=");
        replication_put_since(run->since, path);
    }
    if (spec->doc_ids != NULL || spec->selector != NULL)
        buf_put_str(path, spec->doc_ids != NULL ? "&filter=_doc_ids" : "&filter=_selector");
    if (spec->filter != NULL) {
        buf_put_str(path, "&filter=");
        percent_encode(bytes_str(spec->filter), path);
    }
    put_params(spec->query_params, path);
}

static bool is_marked(const struct replication_run *run)
{
    return run->spec->no_checkpoints || run->since == NULL ||
           (run->marked != NULL && json_equal(run->since, run->marked));
}

/* A page is done: on, or its checkpoint first. */
void run_page_done(struct replication_run *run)
{
    uint64_t now_ms = timer_now_ms(run->service->loop);

    if (run->next_since != NULL) {
        json_decref(run->since);
        run->since = run->next_since;
        run->next_since = NULL;
    }
    if (!is_marked(run) && (run->idle || now_ms - run->marked_ms >= RUN_CHECKPOINT_MS))
        run_to(run, RUN_COMMIT);
    else if (run->idle && !run->spec->continuous)
        run_end(run, RUN_END);
    else
        run_to(run, RUN_CHANGES);
}

void run_take_changes(struct replication_run *run, const struct fetch_reply *reply)
{
    struct replication_page page = {0};
    enum qk_err err;

    if (reply->status != 200) {
        run_trouble(run, reply);
        return;
    }
    buf_reset(&run->body);
    err = replication_read_changes(reply->body, &run->body, &page);
    if (err != QK_OK) {
        /* A feed that was cut in the middle, by the end of a server, is no JSON either. */
        struct fetch_reply cut = {.err = QK_ERR_IO, .why = "its list of changes is cut short"};

        if (err == QK_ERR_INVALID)
            run_trouble(run, &cut);
        else
            run_nonsense(run, err);
        return;
    }
    json_decref(run->next_since);
    run->next_since = page.last_seq;
    run->idle = page.rows_n == 0;
    run->pending = page.pending;
    run->session.counts.missing_checked += page.revs_n;
    if (page.rows_n == 0)
        run_page_done(run);
    else
        run_to(run, RUN_DIFF);
}

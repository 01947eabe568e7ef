#include "service/replication/replication_run_private.h"

#include <string.h>
#include <time.h>

#include "service/timer_uv.h"

void run_http_date(char ret_text[static 32])
{
    time_t now = time(NULL);
    struct tm tm;

    (void)gmtime_r(&now, &tm);
    (void)strftime(ret_text, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static enum qk_err mark_body(struct replication_run *run, const json_t *log)
{
    buf_reset(&run->body);
    run->session.start_seq = run->start;
    run->session.recorded_seq = run->since;
    run_http_date(run->session.end_time);
    return replication_write_log(log, &run->session, &run->body);
}

void run_take_commit(struct replication_run *run, const struct fetch_reply *reply)
{
    enum qk_err err;

    if (reply->status != 201 && reply->status != 202) {
        run_trouble(run, reply);
        return;
    }
    err = mark_body(run, run->target_log);
    if (err != QK_OK)
        run_nonsense(run, err);
    else
        run_to(run, RUN_TARGET_MARK);
}

/* The log as it is there now: its revision is what the next one must name. */
static enum qk_err mark_note(struct replication_run *run, const struct fetch_reply *reply,
                             json_t **log)
{
    struct doc_problem problem;
    json_t *answer = NULL, *written = NULL;
    enum qk_err err = json_parse(reply->body, JSON_DEPTH_MAX, &problem, &answer);

    if (err == QK_OK)
        err = json_parse(buf_bytes(&run->body), JSON_DEPTH_MAX, &problem, &written);
    if (err == QK_OK && !json_is_string(json_object_get(answer, "rev")))
        err = QK_ERR_INVALID;
    if (err == QK_OK && json_object_set(written, "_rev", json_object_get(answer, "rev")) != 0)
        err = QK_ERR_NOMEM;
    json_decref(answer);
    if (err != QK_OK) {
        json_decref(written);
        return err;
    }
    json_decref(*log);
    *log = written;
    return QK_OK;
}

static void marks_done(struct replication_run *run)
{
    run_set_json(&run->marked, run->since);
    run->marked_ms = timer_now_ms(run->service->loop);
    run_page_done(run);
}

void run_take_target_mark(struct replication_run *run, const struct fetch_reply *reply)
{
    enum qk_err err;

    if (reply->status == 409) { /* an earlier try was written, or another run of the same */
        run_to(run, RUN_SOURCE_LOG);
        return;
    }
    if (reply->status != 201 && reply->status != 202) {
        run_trouble(run, reply);
        return;
    }
    err = mark_note(run, reply, &run->target_log);
    if (err == QK_OK && run->no_source_log) {
        marks_done(run);
        return;
    }
    if (err == QK_OK)
        err = mark_body(run, run->source_log);
    if (err != QK_OK)
        run_nonsense(run, err);
    else
        run_to(run, RUN_SOURCE_MARK);
}

void run_take_source_mark(struct replication_run *run, const struct fetch_reply *reply)
{
    enum qk_err err;

    if (reply->status == 401 || reply->status == 403 || reply->status == 405) {
        run->no_source_log = true; /* the next run begins anew: slow, not wrong */
        marks_done(run);
        return;
    }
    if (reply->status == 409) {
        run_to(run, RUN_SOURCE_LOG);
        return;
    }
    if (reply->status != 201 && reply->status != 202) {
        run_trouble(run, reply);
        return;
    }
    err = mark_note(run, reply, &run->source_log);
    if (err != QK_OK)
        run_nonsense(run, err);
    else
        marks_done(run);
}

/* The machine: each step is a request to one side (run_ask) and what its reply means, which names
 * the next step: a table. A reply that cannot be used goes to run_trouble. */
#include "service/replication/replication_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "secret/crypto.h"
#include "service/replication/replication_run_private.h"
#include "service/timer_uv.h"

static void run_ask(struct replication_run *run);

/* --- ends ------------------------------------------------------------------------------------ */

void run_gone(struct replication_run *run)
{
    json_decref(run->source_log);
    json_decref(run->target_log);
    json_decref(run->since);
    json_decref(run->marked);
    json_decref(run->start);
    json_decref(run->next_since);
    json_decref(run->missing);
    replication_docs_fini(&run->docs);
    json_decref(run->brief);
    json_decref(run->lengthy);
    flow_fini(&run->flow);
    buf_fini(&run->body);
    buf_fini(&run->reply);
    free(run);
}

void run_end(struct replication_run *run, enum run_step step)
{
    struct replication_outcome outcome = {step == RUN_END, step == RUN_END ? 200 : run->status,
                                          run->error, run->why};

    run->step = step;
    run->cb(run->arg, &outcome);
}

static void run_fail(struct replication_run *run, int status, const char *error, const char *side,
                     const char *why)
{
    run->status = status;
    run->error = error;
    snprintf(run->why, sizeof run->why, "%s: %.250s", side, why);
    run_end(run, RUN_FAILED);
}

/* --- trouble --------------------------------------------------------------------------------- */

static bool asks_source(enum run_step step)
{
    return step == RUN_SOURCE || step == RUN_SOURCE_LOG || step == RUN_CHANGES || step == RUN_GET ||
           step == RUN_GET_BRIEF || step == RUN_STREAM || step == RUN_SOURCE_MARK;
}

/* The other server's words: what it calls its error, if it is a word, and no more. */
static const char *error_word(struct bytes body, char ret_word[static 48])
{
    struct doc_problem problem;
    json_t *value = NULL;
    const char *word = NULL;

    if (body.len < 64 * KIB && json_parse(body, 8, &problem, &value) == QK_OK)
        word = json_string_value(json_object_get(value, "error"));
    ret_word[0] = '\0';
    for (size_t i = 0; word != NULL && word[i] != '\0' && i < 47; i++) {
        bool plain = (word[i] >= 'a' && word[i] <= 'z') || word[i] == '_';

        ret_word[i] = plain ? word[i] : '?';
        ret_word[i + 1] = '\0';
    }
    json_decref(value);
    return ret_word;
}

static const char *error_of(enum run_step step, int status)
{
    if (status == 404 && (step == RUN_SOURCE || step == RUN_TARGET))
        return "db_not_found";
    if (status == 401 || status == 403)
        return status == 401 ? "unauthorized" : "forbidden";
    return "replication_error";
}

/* The reply cannot be used. Reasons that pass: no connection, no answer, the server's own trouble.
 */
void run_trouble(struct replication_run *run, const struct fetch_reply *reply)
{
    const char *side = asks_source(run->step) ? "source" : "target";
    bool passes = reply->err == QK_ERR_IO || reply->err == QK_ERR_TIMEOUT || reply->status == 408 ||
                  reply->status == 429 || reply->status >= 500;
    char text[RUN_WHY_BYTES], word[48];

    if (reply->err != QK_OK)
        snprintf(text, sizeof text, "%s", reply->why);
    else
        snprintf(text, sizeof text, "%d %s", reply->status, error_word(reply->body, word));
    if (passes && ++run->tries <= RUN_TRIES_MAX) {
        snprintf(run->why, sizeof run->why, "%s: %.250s", side, text);
        run->trouble = true;
        timer_start(run->timer, (uint64_t)RUN_RETRY_MS << run->tries);
        return;
    }
    if (reply->err == QK_ERR_DENIED)
        run_fail(run, 403, "forbidden", side, text);
    else if (reply->err != QK_OK)
        run_fail(run, 500, "replication_error", side, text);
    else
        run_fail(run, reply->status < 400 ? 500 : reply->status, error_of(run->step, reply->status),
                 side, text);
}

/* What it said is not of the protocol, or there is no memory for it. */
void run_nonsense(struct replication_run *run, enum qk_err err)
{
    run_fail(run, 500, "replication_error", asks_source(run->step) ? "source" : "target",
             err == QK_ERR_INVALID ? "its reply is none of the replication protocol"
                                   : qk_err_text(err));
}

static void on_timer(void *arg)
{
    struct replication_run *run = arg;

    if (run->stream_put)
        run_stream_put(run);
    else
        run_ask(run);
}

void run_to(struct replication_run *run, enum run_step step)
{
    run->step = step;
    run->tries = 0;
    run->trouble = false;
    run_ask(run);
}

/* --- the table ------------------------------------------------------------------------------- */

struct step {
    enum method method;
    const char *path; /* NULL: the log's, or of changes */
    bool has_body;
    void (*take)(struct replication_run *run, const struct fetch_reply *reply);
};

static const struct step STEPS[] = {
    [RUN_SOURCE] = {METHOD_GET, "", false, run_take_source},
    [RUN_TARGET] = {METHOD_GET, "", false, run_take_target},
    [RUN_CREATE] = {METHOD_PUT, "", false, run_take_create},
    [RUN_SOURCE_LOG] = {METHOD_GET, NULL, false, run_take_source_log},
    [RUN_TARGET_LOG] = {METHOD_GET, NULL, false, run_take_target_log},
    [RUN_CHANGES] = {METHOD_GET, NULL, true, run_take_changes},
    [RUN_DIFF] = {METHOD_POST, "/_revs_diff", true, run_take_diff},
    [RUN_GET] = {METHOD_POST, "/_bulk_get?revs=true&latest=true", true, run_take_get},
    [RUN_GET_BRIEF] = {METHOD_POST, "/_bulk_get?revs=true&latest=true&attachments=true", true,
                       run_take_get},
    [RUN_WRITE] = {METHOD_POST, "/_bulk_docs", true, run_take_write},
    [RUN_COMMIT] = {METHOD_POST, "/_ensure_full_commit", false, run_take_commit},
    [RUN_TARGET_MARK] = {METHOD_PUT, NULL, true, run_take_target_mark},
    [RUN_SOURCE_MARK] = {METHOD_PUT, NULL, true, run_take_source_mark},
};

static void on_reply(void *arg, const struct fetch_reply *reply)
{
    struct replication_run *run = arg;

    bool gets = run->step == RUN_GET || run->step == RUN_GET_BRIEF;

    if (reply->err != QK_OK && !(gets && reply->err == QK_ERR_TOO_BIG))
        run_trouble(run, reply);
    else
        STEPS[run->step].take(run, reply);
}

static void run_ask(struct replication_run *run)
{
    const struct step *step = &STEPS[run->step];
    struct endpoint *endpoint = asks_source(run->step) ? &run->source : &run->target;
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct endpoint_request request = {.method = step->method, .silence_ms = RUN_SILENCE_MS};
    enum qk_err err = QK_OK;

    if (run->step == RUN_STREAM || run->step == RUN_STREAM_PUT) { /* both sides at once */
        run_stream(run);
        return;
    }
    if (run->step == RUN_CHANGES) {
        err = run_changes_body(run);
        run_changes_path(run, &path);
        request.method = run->body.len > 0 ? METHOD_POST : METHOD_GET;
    } else {
        buf_put_str(&path, step->path == NULL ? run->log_path : step->path);
    }
    buf_put_u8(&path, '\0');
    if (err == QK_OK)
        err = buf_error(&path);
    request.path = (const char *)path.data;
    if (step->has_body)
        request.body = buf_bytes(&run->body);
    if (err == QK_OK)
        err = endpoint_ask(endpoint, &request, on_reply, run);
    buf_fini(&path);
    if (err != QK_OK)
        run_trouble(run, &(struct fetch_reply){.err = QK_ERR_IO, .why = qk_err_text(err)});
}

/* --- life ------------------------------------------------------------------------------------ */

enum qk_err replication_run_new(struct service *service, struct fetch *fetch,
                                const struct replication_spec *spec, const struct principal *who,
                                const char *id, replication_run_cb cb, void *arg,
                                struct replication_run **ret_run)
{
    struct replication_run *run = calloc(1, sizeof *run);
    uint8_t session[REPLICATION_SESSION_BYTES / 2];
    enum qk_err err;

    if (run == NULL)
        return QK_ERR_NOMEM;
    *run = (struct replication_run){
        .service = service,
        .spec = spec,
        .source = {.service = service, .fetch = fetch, .side = &spec->source, .who = *who},
        .target = {.service = service, .fetch = fetch, .side = &spec->target, .who = *who},
        .cb = cb,
        .arg = arg,
        .docs_max = RUN_DOCS_MAX,
        .body = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX),
        .reply = BUF_SECRET_INIT(ENDPOINT_REPLY_BYTES_MAX),
        .brief = json_array(),
        .lengthy = json_array(),
        .marked_ms = timer_now_ms(service->loop),
    };
    flow_init(&run->flow);
    err = run->brief == NULL || run->lengthy == NULL
              ? QK_ERR_NOMEM
              : timer_new(service->loop, on_timer, run, &run->timer);
    if (err != QK_OK) {
        run_gone(run);
        return err;
    }
    random_fill(session, sizeof session);
    hex_encode(session, sizeof session, run->session.id);
    run_http_date(run->session.start_time);
    snprintf(run->log_path, sizeof run->log_path, "/_local/%s", id);
    timer_start(run->timer, 0); /* never an end inside this call */
    *ret_run = run;
    return QK_OK;
}

void replication_run_free(struct replication_run *run)
{
    if (run == NULL)
        return;
    timer_free(run->timer, NULL, NULL);
    endpoint_cancel(&run->source);
    endpoint_cancel(&run->target);
    run->freed = true;
    if (!run->working)
        run_gone(run);
}

void replication_run_view(const struct replication_run *run, struct replication_view *ret_view)
{
    *ret_view = (struct replication_view){.counts = run->session.counts,
                                          .through_seq = run->since,
                                          .checkpointed_seq = run->marked,
                                          .pending = run->pending,
                                          .error = run->trouble ? run->why : NULL};
}

json_t *replication_run_result(const struct replication_run *run)
{
    struct replication_session session = run->session;
    bool nothing = session.counts.missing_checked == 0 && run->start != NULL;
    json_t *seq;

    session.start_seq = run->start;
    session.recorded_seq = run->since;
    if (session.end_time[0] == '\0')
        run_http_date(session.end_time);
    seq = run->since == NULL ? json_integer(0) : json_deep_copy(run->since);
    if (nothing)
        return json_pack("{s:b, s:b, s:s, s:o, s:i}", "ok", 1, "no_changes", 1, "session_id",
                         session.id, "source_last_seq", seq, "replication_id_version", 4);
    return json_pack("{s:b, s:s, s:o, s:i, s:[o]}", "ok", 1, "session_id", session.id,
                     "source_last_seq", seq, "replication_id_version", 4, "history",
                     replication_session_json(&session));
}

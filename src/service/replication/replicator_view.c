/* GET /_scheduler/jobs and /_scheduler/docs: what runs here, on the leader, in CouchDB's shapes. */
#include <string.h>

#include "service/params.h"
#include "service/replication/replicator_private.h"
#include "service/submit.h"

static json_t *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

static const char *user_of(const struct job *job)
{
    return job->who.kind == PRINCIPAL_USER ? job->who.name : NULL;
}

static json_t *info_json(const struct job *job)
{
    struct replication_counts counts = job_counts(job);
    struct replication_view view = {0};
    json_t *info;

    if (job->run != NULL)
        replication_run_view(job->run, &view);
    info = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "revisions_checked",
                     (json_int_t)counts.missing_checked, "missing_revisions_found",
                     (json_int_t)counts.missing_found, "docs_read", (json_int_t)counts.docs_read,
                     "docs_written", (json_int_t)counts.docs_written, "doc_write_failures",
                     (json_int_t)counts.doc_write_failures, "changes_pending",
                     (json_int_t)view.pending);
    if (info != NULL && view.through_seq != NULL)
        (void)json_object_set_new(info, "through_seq", json_deep_copy(view.through_seq));
    if (info != NULL && view.checkpointed_seq != NULL)
        (void)json_object_set_new(info, "checkpointed_source_seq",
                                  json_deep_copy(view.checkpointed_seq));
    if (info != NULL && (job->why[0] != '\0' || view.error != NULL))
        (void)json_object_set_new(info, "error",
                                  json_string(view.error != NULL ? view.error : job->why));
    return info;
}

static json_t *job_json(const struct job *job)
{
    const struct service *service = job->replicator->service;

    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:o, s:[{s:s, s:s}]}", "database",
                     job->doc_id == NULL ? json_null() : json_string(REPLICATOR_DATABASE), "id",
                     job->id, "source", job->spec.source.name == NULL ? "" : job->spec.source.name,
                     "target", job->spec.target.name == NULL ? "" : job->spec.target.name, "user",
                     text_or_null(user_of(job)), "doc_id", text_or_null(job->doc_id), "node",
                     service->node_name, "start_time", job->started, "info", info_json(job),
                     "history", "timestamp", job->changed, "type", job_state_text(job->state));
}

static json_t *doc_json(const struct job *job)
{
    const struct service *service = job->replicator->service;

    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:I, s:s, s:s}", "database",
                     REPLICATOR_DATABASE, "doc_id", job->doc_id, "id", job->id, "node",
                     service->node_name, "source", text_or_null(job->spec.source.name), "target",
                     text_or_null(job->spec.target.name), "state", job_state_text(job->state),
                     "info", info_json(job), "error_count", (json_int_t)job->errors_n, "start_time",
                     job->started, "last_updated", job->changed);
}

/* Of the jobs that are not done, or of those with a document: the rows from `skip` on, at most
 * `limit`. */
static void reply_list(struct service *service, struct exchange *exchange, const char *name,
                       bool docs)
{
    uint64_t skip = 0, limit = 25, total = 0;
    struct doc_problem problem = {0};
    json_t *rows = json_array();
    enum qk_err err = param_u64(&exchange->request, "skip", &skip, &problem);

    if (err == QK_OK)
        err = param_u64(&exchange->request, "limit", &limit, &problem);
    if (err != QK_OK) {
        json_decref(rows);
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    for (struct job *job = service->replicator->jobs; job != NULL && rows != NULL;
         job = job->next) {
        if ((docs && job->doc_id == NULL) || job->state == JOB_COMPLETED)
            continue;
        if (total >= skip && total - skip < limit)
            (void)json_array_append_new(rows, docs ? doc_json(job) : job_json(job));
        total++;
    }
    exchange_reply_json(exchange, 200,
                        json_pack("{s:I, s:I, s:o}", "total_rows", (json_int_t)total, "offset",
                                  (json_int_t)skip, name, rows));
}

static bool is_ready(struct service *service, struct exchange *exchange)
{
    if (service->replicator != NULL && service_is_open(service))
        return true;
    submit_reply_err(service, exchange, QK_ERR_SEALED);
    return false;
}

void handle_scheduler_jobs(struct service *service, struct exchange *exchange)
{
    if (is_ready(service, exchange))
        reply_list(service, exchange, "jobs", false);
}

void handle_scheduler_docs(struct service *service, struct exchange *exchange)
{
    if (is_ready(service, exchange))
        reply_list(service, exchange, "docs", true);
}

static void reply_one(struct service *service, struct exchange *exchange, struct bytes name,
                      bool doc)
{
    struct job *job = service->replicator->jobs;

    while (job != NULL &&
           !bytes_equal(bytes_str(doc ? (job->doc_id == NULL ? "" : job->doc_id) : job->id), name))
        job = job->next;
    if (job == NULL)
        exchange_reply_error(exchange, 404, "not_found", "missing");
    else
        exchange_reply_json(exchange, 200, doc ? doc_json(job) : job_json(job));
}

void handle_scheduler_job(struct service *service, struct exchange *exchange)
{
    if (is_ready(service, exchange))
        reply_one(service, exchange, exchange->request.segments[2], false);
}

void handle_scheduler_doc(struct service *service, struct exchange *exchange)
{
    if (is_ready(service, exchange))
        reply_one(service, exchange, exchange->request.segments[3], true);
}

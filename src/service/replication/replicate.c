/* POST /_replicate: a replication that lives as long as this node leads, and is not continuous, as
 * long as whoever asked for it waits. */
#include <string.h>

#include "service/authorize.h"
#include "service/params.h"
#include "service/request.h"
#include "service/replication/replicator_private.h"
#include "service/submit.h"

static void reply_local_id(struct exchange *exchange, int status, const char *id)
{
    exchange_reply_json(exchange, status, json_pack("{s:b, s:s}", "ok", 1, "_local_id", id));
}

static bool may_cancel(struct replicator *replicator, const struct exchange *exchange,
                       const struct job *job)
{
    const struct principal *who = &exchange->request.who;

    if (authorize_user(replicator->service, who, ACCESS_CLUSTER) == QK_OK)
        return true;
    return who->kind == PRINCIPAL_USER && job->who.kind == PRINCIPAL_USER &&
           memcmp(who->user_id, job->who.user_id, USER_ID_BYTES) == 0;
}

/* By what it does, or by its id. One with a document ends with the document. */
static void replicate_cancel(struct replicator *replicator, struct exchange *exchange,
                             const char *id)
{
    struct job *job = job_find(replicator, id);
    char text[JOB_ID_BYTES];

    if (job == NULL || !may_cancel(replicator, exchange, job)) {
        exchange_reply_error(exchange, 404, "not_found", "there is no such replication");
        return;
    }
    if (job->doc_id != NULL) {
        exchange_reply_error(exchange, 403, "forbidden",
                             "this replication has a document in _replicator: delete that");
        return;
    }
    memcpy(text, job->id, sizeof text);
    job_free(job, QK_OK);
    reply_local_id(exchange, 200, text);
}

static void replicate_wait(struct replicator *replicator, struct exchange *exchange,
                           struct job *job)
{
    if (job->waiters_n == JOB_WAITERS_MAX) {
        exchange_reply_err(exchange, QK_ERR_BUSY);
        return;
    }
    job->waiters[job->waiters_n++] = (struct job_waiter){
        .exchange = exchange, .said_ms = timer_now_ms(replicator->service->loop)};
    if (job->run == NULL) {
        job->state = JOB_PENDING; /* so that it is tried again if it cannot begin now */
        job_begin(job);
    }
}

static void replicate_begin(struct replicator *replicator, struct exchange *exchange,
                            struct replication_spec *spec)
{
    char id[JOB_ID_BYTES];
    struct job *job;
    enum qk_err err = QK_OK;

    job_id_of(replicator, spec, id);
    job = job_find(replicator, id);
    if (job != NULL && !may_cancel(replicator, exchange, job)) {
        exchange_reply_error(exchange, 403, "forbidden", "another user's replication is the same");
        return;
    }
    if (job == NULL)
        err = job_new(replicator, spec, &exchange->request.who, &job);
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
    } else if (job->spec.continuous) {
        if (job->run == NULL)
            job_begin(job);
        reply_local_id(exchange, 202, job->id);
    } else {
        replicate_wait(replicator, exchange, job);
    }
}

static const char *given_id(const json_t *object)
{
    static const char *const NAMES[] = {"replication_id", "_local_id", "id"};
    const char *id = NULL;

    for (size_t i = 0; i < 3 && id == NULL; i++)
        id = json_string_value(json_object_get(object, NAMES[i]));
    return id;
}

static void replicate_parsed(struct replicator *replicator, struct exchange *exchange,
                             json_t *object)
{
    struct doc_problem problem = {0};
    struct replication_spec spec = {0};
    json_t *secret = NULL;
    char id[JOB_ID_BYTES];
    enum qk_err err;

    if (json_is_true(json_object_get(object, "cancel")) && given_id(object) != NULL) {
        replicate_cancel(replicator, exchange, given_id(object));
        return;
    }
    err = replication_split(object, &problem, &secret);
    if (err == QK_OK)
        err = replication_spec_read(object, secret, &spec, &problem);
    json_decref(secret);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
    } else if (spec.cancel) {
        job_id_of(replicator, &spec, id);
        replicate_cancel(replicator, exchange, id);
    } else {
        replicate_begin(replicator, exchange, &spec);
    }
    replication_spec_fini(&spec);
}

void handle_replicate(struct service *service, struct exchange *exchange)
{
    struct replicator *replicator = service->replicator;
    struct doc_problem problem = {0};
    json_t *object = NULL;
    enum qk_err err;

    if (request_wants_json(exchange) != QK_OK)
        return;
    if (replicator == NULL || replicator->stopped || !service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    err = json_parse(exchange->request.body, JSON_DEPTH_MAX, &problem, &object);
    if (err == QK_OK && !json_is_object(object))
        err = doc_problem_set(&problem, 400, "bad_request", "Request body must be a JSON object");
    if (err == QK_OK)
        replicate_parsed(replicator, exchange, object);
    else
        exchange_reply_problem_or(exchange, &problem, err);
    json_decref(object);
}

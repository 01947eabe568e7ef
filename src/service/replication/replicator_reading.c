/* The documents are read over requests of the node's own, whole, whenever one has changed: there
 * are few. Each that is not done makes a job; one that was changed ends its job and makes another;
 * one that is gone ends it. What came of a job is written into its document, which no client waits
 * for: if that does not work, it is done again after the next reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "service/catalog.h"
#include "service/replication/replicator_private.h"
#include "store/store.h"

#define READ_RETRY_MS 3000u

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static struct job *job_of_doc(struct replicator *replicator, const char *doc_id)
{
    struct job *job = replicator->jobs;

    while (job != NULL && (job->doc_id == NULL || strcmp(job->doc_id, doc_id) != 0))
        job = job->next;
    return job;
}

/* --- a document to a job --------------------------------------------------------------------- */

static enum qk_err doc_spec(struct replicator *replicator, const json_t *doc,
                            struct replication_spec *ret_spec, struct principal *ret_who,
                            char ret_why[static RUN_WHY_BYTES])
{
    struct bytes id = json_bytes(json_object_get(doc, "_id"));
    struct doc_problem problem = {0};
    struct replicator_owner owner;
    json_t *secret = NULL;
    enum qk_err err = replicator_open(replicator->service, id, doc, &owner, &secret);

    *ret_spec = (struct replication_spec){0};
    if (err == QK_ERR_CORRUPT)
        snprintf(ret_why, RUN_WHY_BYTES, "its credentials are of another document: put it anew");
    if (err != QK_OK)
        return err;
    err = replication_spec_read(doc, secret, ret_spec, &problem);
    if (err == QK_ERR_INVALID)
        snprintf(ret_why, RUN_WHY_BYTES, "%s", problem.reason);
    *ret_who = principal_control();
    if (owner.name[0] != '\0') {
        *ret_who = (struct principal){.kind = PRINCIPAL_USER};
        memcpy(ret_who->name, owner.name, sizeof owner.name);
        memcpy(ret_who->user_id, owner.user_id, USER_ID_BYTES);
    }
    json_decref(secret);
    return err;
}

static void doc_begin(struct replicator *replicator, const json_t *doc)
{
    const char *state = text_of(doc, "_replication_state");
    struct replication_spec spec;
    struct principal who;
    struct job *job;
    char why[RUN_WHY_BYTES] = "";
    enum qk_err err;

    if (state != NULL && (strcmp(state, "completed") == 0 || strcmp(state, "failed") == 0))
        return;
    err = doc_spec(replicator, doc, &spec, &who, why);
    if (err != QK_OK && why[0] == '\0') {
        replication_spec_fini(&spec);
        replicator->dirty = true; /* sealed, or no memory: again */
        return;
    }
    if (job_new(replicator, &spec, &who, &job) != QK_OK)
        return;
    job->seen = true;
    job->doc_id = strdup(text_of(doc, "_id"));
    job->doc_rev = strdup(text_of(doc, "_rev"));
    if (err != QK_OK) {
        job->state = JOB_FAILED;
        memcpy(job->why, why, sizeof why);
    }
    if (job->doc_id == NULL || job->doc_rev == NULL)
        job_free(job, QK_ERR_NOMEM);
}

static void doc_take(struct replicator *replicator, const json_t *doc)
{
    const char *id = text_of(doc, "_id"), *rev = text_of(doc, "_rev");
    struct job *job;

    if (id == NULL || rev == NULL || id[0] == '_')
        return;
    job = job_of_doc(replicator, id);
    if (job != NULL && strcmp(job->doc_rev, rev) == 0) {
        job->seen = true;
        return;
    }
    if (job != NULL)
        job_free(job, QK_OK);
    doc_begin(replicator, doc);
}

static void docs_take(struct replicator *replicator, const json_t *rows)
{
    struct job *next;
    json_t *row;
    size_t i;

    for (struct job *job = replicator->jobs; job != NULL; job = job->next)
        job->seen = job->doc_id == NULL;
    json_array_foreach(rows, i, row) doc_take(replicator, json_object_get(row, "doc"));
    for (struct job *job = replicator->jobs; job != NULL; job = next) {
        next = job->next;
        if (!job->seen)
            job_free(job, QK_OK);
    }
}

/* --- reading --------------------------------------------------------------------------------- */

static void on_docs(void *arg, const struct fetch_reply *reply)
{
    struct replicator *replicator = arg;
    struct doc_problem problem;
    json_t *value = NULL;
    const json_t *rows = NULL;

    replicator->docs_busy = false;
    if (reply->err == QK_OK && reply->status == 404)
        return; /* a cluster without that database */
    if (reply->err == QK_OK && reply->status == 200 &&
        json_parse(reply->body, JSON_DEPTH_MAX + 4, &problem, &value) == QK_OK)
        rows = json_object_get(value, "rows");
    if (json_is_array(rows)) {
        docs_take(replicator, rows);
    } else {
        replicator->dirty = true;
        replicator->read_ms = timer_now_ms(replicator->service->loop) + READ_RETRY_MS;
    }
    json_decref(value);
}

/* False: it is not under way, and `cb` is not to come. */
static bool ask_docs(struct replicator *replicator, enum method method, const char *path,
                     struct bytes body, fetch_cb cb)
{
    struct endpoint_request request = {.method = method, .path = path, .body = body};

    return endpoint_ask(&replicator->docs, &request, cb, replicator) == QK_OK;
}

static void docs_read(struct replicator *replicator)
{
    replicator->dirty = false;
    replicator->docs_busy =
        ask_docs(replicator, METHOD_GET, "/_all_docs?include_docs=true", BYTES_NONE, on_docs);
    if (!replicator->docs_busy)
        replicator->dirty = true;
}

/* --- writing what came of one ---------------------------------------------------------------- */

static void on_noted(void *arg, const struct fetch_reply *reply)
{
    struct replicator *replicator = arg;
    struct job *job = replicator->noted;

    replicator->docs_busy = false;
    replicator->noted = NULL;
    if (job == NULL || reply->status == 201 || reply->status == 202 || reply->status == 409)
        return; /* written, or changed by somebody: it is read again */
    job->retry_ms = 0;
}

static void doc_path(const struct job *job, struct buf *path)
{
    buf_put_u8(path, '/');
    percent_encode(bytes_str(job->doc_id), path);
    buf_put_u8(path, '\0');
}

static void on_note_read(void *arg, const struct fetch_reply *reply)
{
    struct replicator *replicator = arg;
    struct job *job = replicator->noted;
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX), body = BUF_SECRET_INIT(DOC_BYTES_MAX);
    struct doc_problem problem;
    json_t *doc = NULL;

    replicator->docs_busy = false;
    if (job == NULL || reply->err != QK_OK || reply->status != 200 ||
        json_parse(reply->body, JSON_DEPTH_MAX, &problem, &doc) != QK_OK)
        goto out;
    if (text_of(doc, "_rev") == NULL || strcmp(text_of(doc, "_rev"), job->doc_rev) != 0 ||
        json_object_update(doc, job->noting) != 0 || json_write(doc, &body) != QK_OK)
        goto out;
    doc_path(job, &path);
    if (buf_error(&path) == QK_OK)
        replicator->docs_busy =
            ask_docs(replicator, METHOD_PUT, (const char *)path.data, buf_bytes(&body), on_noted);

out:
    if (job != NULL && replicator->docs_busy) {
        json_decref(job->noting);
        job->noting = NULL;
    } else {
        replicator->noted = NULL;
    }
    json_decref(doc);
    buf_fini(&path);
    buf_fini(&body);
}

static void note_begin(struct replicator *replicator, struct job *job)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);

    doc_path(job, &path);
    if (buf_error(&path) == QK_OK)
        replicator->docs_busy =
            ask_docs(replicator, METHOD_GET, (const char *)path.data, BYTES_NONE, on_note_read);
    if (replicator->docs_busy)
        replicator->noted = job;
    buf_fini(&path);
}

/* --- when ------------------------------------------------------------------------------------ */

static void on_change(void *arg, struct bytes key)
{
    struct replicator *replicator = arg;

    (void)key;
    replicator->dirty = true;
}

static void docs_watch(struct replicator *replicator)
{
    struct service *service = replicator->service;
    const struct catalog_database *database =
        catalog_database_find(service->catalog, bytes_str(REPLICATOR_DATABASE));

    if (database == NULL || replicator->watching)
        return;
    memcpy(replicator->watched, database->id, DATABASE_ID_BYTES);
    replicator->watching =
        store_watch(service->store, bytes_of(replicator->watched, DATABASE_ID_BYTES), on_change,
                    replicator) == QK_OK;
    replicator->dirty = true;
}

void replicator_docs_tick(struct replicator *replicator)
{
    docs_watch(replicator);
    if (replicator->docs_busy || !replicator->watching)
        return;
    if (replicator->dirty) {
        if (timer_now_ms(replicator->service->loop) >= replicator->read_ms)
            docs_read(replicator);
        return;
    }
    for (struct job *job = replicator->jobs; job != NULL && !replicator->docs_busy;
         job = job->next) {
        if (job->noting != NULL)
            note_begin(replicator, job);
    }
}

void replicator_docs_stop(struct replicator *replicator)
{
    if (replicator->docs_busy)
        endpoint_cancel(&replicator->docs);
    replicator->docs_busy = false;
    replicator->noted = NULL;
    if (replicator->watching && replicator->service->store != NULL)
        store_unwatch(replicator->service->store, on_change, replicator);
    replicator->watching = false;
}

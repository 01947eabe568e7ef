#include "service/validation.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/design_check.h"
#include "doc/tree.h"
#include "service/authorize.h"
#include "service/leaf_write.h"
#include "service/script_context.h"
#include "service/script_job.h"
#include "service/write.h"

#define MEMBER "validate_doc_update"
/* So much is asked about at a time; the other writes of the request wait for the next round. */
#define ROUND_BYTES (4 * MIB)
#define CALL_BYTES_MAX (3 * DOCUMENT_PLAIN_BYTES_MAX)

/* --- the functions --- */

static bool validates(const struct design *design)
{
    struct bytes language = json_bytes(json_object_get(design->json, "language"));

    return json_is_string(json_object_get(design->json, MEMBER)) &&
           (language.len == 0 || bytes_equal(language, bytes_str("javascript")));
}

/* Some that validate; *ret_damaged: there may be more. */
static bool any_validates(const struct designs *designs, bool *ret_damaged)
{
    bool any = false;
    size_t i;

    *ret_damaged = false;
    for (i = 0; i < designs_n(designs); i++) {
        any = any || validates(designs_at(designs, i));
        *ret_damaged = *ret_damaged || designs_at(designs, i)->json == NULL;
    }
    return any;
}

static enum qk_err put_designs(const struct designs *designs, struct buf *out)
{
    const char *before = "";
    enum qk_err err = QK_OK;
    size_t i;

    buf_put_str(out, "{\"validates\":[");
    for (i = 0; err == QK_OK && i < designs_n(designs); i++) {
        if (!validates(designs_at(designs, i)))
            continue;
        buf_put_str(out, before);
        err = json_write(designs_at(designs, i)->json, out);
        before = ",";
    }
    buf_put_str(out, "]}");
    return err;
}

static void judged(void *arg, enum qk_err err);

static enum qk_err job_make(struct validation *validation, const struct designs *designs)
{
    struct buf design = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    enum qk_err err;

    if (validation->job != NULL && validation->job_epoch == designs_epoch(designs))
        return QK_OK;
    script_job_free(validation->job);
    validation->job = NULL;
    validation->asked_n = 0;
    validation->job_epoch = designs_epoch(designs);
    err = put_designs(designs, &design);
    if (err == QK_OK)
        return script_job_new(validation->service, &design, judged, validation, &validation->job);
    buf_fini(&design);
    return err;
}

/* --- what they are shown --- */

/* Attachments as stubs: what was given of them. */
static void put_wishes(const struct attachment_wishes *wishes, struct buf *out)
{
    unsigned i;

    for (i = 0; i < wishes->n; i++) {
        const struct attachment_wish *wish = &wishes->items[i];

        buf_put_str(out, i == 0 ? ",\"_attachments\":{" : ",");
        json_write_string(buf_bytes(&wish->name), out);
        buf_put_str(out, ":{\"content_type\":");
        json_write_string(wish->content_type.len > 0 ? buf_bytes(&wish->content_type)
                                                     : bytes_str(ATTACHMENT_TYPE_DEFAULT),
                          out);
        buf_put_str(out, ",\"stub\":true}");
    }
    if (i > 0)
        buf_put_u8(out, '}');
}

static enum qk_err put_new(const struct write *write, const struct leaf_at *at,
                           const struct doc_leaf *parent, struct validation *validation,
                           struct buf *out)
{
    static const struct document_options options = {0};
    const struct document *document = write->document;
    struct document_parts parts;
    char revision[REVISION_TEXT_BYTES_MAX + 1];
    enum qk_err err;

    if (write->attachment.len > 0 && parent != NULL) /* the rest is as it was */
        return leaf_write(validation->service, at, parent, &options, out);
    err = document_plain_open(buf_bytes(&document->plain), &parts);
    if (err != QK_OK)
        return err;
    buf_put_str(out, "{\"_id\":");
    json_write_string(write->id, out);
    if (document->has_revision) {
        revision_format(&document->revision, revision);
        buf_printf(out, ",\"_rev\":\"%s\"", revision);
    }
    if (document->deleted)
        buf_put_str(out, ",\"_deleted\":true");
    put_wishes(&document->attachments, out);
    document_write_body(&parts, out);
    return buf_error(out);
}

static enum qk_err put_json(json_t *json, struct buf *out)
{
    enum qk_err err = json == NULL ? QK_ERR_NOMEM : json_write(json, out);

    json_decref(json);
    return err;
}

/* [new, old or null, userCtx, secObj] */
static enum qk_err put_call(struct validation *validation, const struct write *write,
                            const struct catalog_database *database, struct bytes name,
                            const struct doc_leaf *parent, struct buf *out)
{
    static const struct document_options options = {0};
    const struct leaf_at at = {database->id, name, write->id};
    const struct principal *who = &write->exchange->request.who;
    enum qk_err err;

    buf_put_u8(out, '[');
    err = put_new(write, &at, parent, validation, out);
    buf_put_u8(out, ',');
    if (err == QK_OK && parent != NULL)
        err = leaf_write(validation->service, &at, parent, &options, out);
    else
        buf_put_str(out, "null");
    buf_put_u8(out, ',');
    if (err == QK_OK)
        err = put_json(script_user_context(validation->service, who, database), out);
    buf_put_u8(out, ',');
    if (err == QK_OK)
        err = put_json(script_security(validation->service, database), out);
    buf_put_u8(out, ']');
    return err == QK_OK ? buf_error(out) : err;
}

/* --- one write --- */

static enum qk_err asked_add(struct validation *validation, struct write *write)
{
    size_t cap = validation->asked_cap == 0 ? 8 : 2 * validation->asked_cap;
    struct write **wide;

    if (validation->asked_n == validation->asked_cap) {
        wide = reallocarray(validation->asked, cap, sizeof(struct write *));
        if (wide == NULL)
            return QK_ERR_NOMEM;
        validation->asked = wide;
        validation->asked_cap = cap;
    }
    validation->asked[validation->asked_n++] = write;
    return QK_OK;
}

static void refuse(struct write *write, int status, const char *error, const char *reason)
{
    (void)doc_problem_set(&write->verdict.refusal, status, error, "%s", reason);
    write->state = WRITE_REFUSED;
}

static enum qk_err ask(struct validation *validation, struct write *write,
                       const struct catalog_database *database, struct bytes name,
                       const struct stored *stored, const struct doc_leaf *parent)
{
    struct buf call = BUF_SECRET_INIT(CALL_BYTES_MAX);
    enum qk_err err = QK_OK;

    write->verdict = (struct validation_verdict){
        .waits = true, .version = stored->version, .epoch = validation->job_epoch};
    if (script_job_bytes(validation->job) >= ROUND_BYTES)
        return QK_OK;
    err = put_call(validation, write, database, name, parent, &call);
    if (err == QK_OK)
        err = asked_add(validation, write);
    if (err == QK_OK)
        script_job_put(validation->job, SCRIPT_VALIDATE, buf_bytes(&call));
    buf_fini(&call);
    return err;
}

/* The revision that is edited: of CouchDB's oldDoc; a deleted one that is written anew without
 * naming it is none. */
static const struct doc_leaf *old_of(const struct write *write, const struct stored *stored,
                                     const struct doc_leaf *parent)
{
    const struct document *document = write->document;
    struct doc_leaf leaf = {.revision = document->revision,
                            .path = buf_bytes(&document->revisions)};

    if (write->replicated)
        return doc_tree_parent(&stored->record, &leaf);
    return document->has_revision ? parent : NULL;
}

/* Its body is shown to functions whose words the writer gets to read. */
static enum qk_err may_see(struct validation *validation, struct write *write,
                           const struct doc_leaf *old)
{
    enum qk_err err = old == NULL
                          ? QK_OK
                          : authorize_key(validation->service, &write->exchange->request.who,
                                          old->key_id, ACCESS_KEY_DECRYPT);

    if (err == QK_ERR_DENIED)
        write->state = WRITE_NO_GRANT;
    return err == QK_ERR_DENIED ? QK_OK : err;
}

/* As CouchDB, which asks nothing but this of design documents. */
static enum qk_err check_design(struct write *write)
{
    struct document_parts parts;
    struct doc_problem unread;
    json_t *json = NULL;
    enum qk_err err = QK_OK;

    if (write->document->deleted || write->attachment.len > 0)
        return QK_OK;
    err = document_plain_open(buf_bytes(&write->document->plain), &parts);
    if (err == QK_OK)
        err = json_parse(parts.body, JSON_DEPTH_MAX, &unread, &json);
    if (err == QK_OK && design_check(json, &write->verdict.refusal) == QK_ERR_INVALID)
        write->state = WRITE_REFUSED;
    json_decref(json);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
}

enum qk_err validation_check(struct validation *validation, struct write *write,
                             const struct catalog_database *database, struct bytes name,
                             const struct stored *stored, const struct doc_leaf *parent,
                             bool *ret_ready)
{
    const struct designs *designs;
    const struct doc_leaf *old;
    bool damaged;
    enum qk_err err;

    *ret_ready = true;
    write->verdict.waits = false;
    if (bytes_starts_with(write->id, bytes_str("_design/")))
        return check_design(write);
    designs = designs_find(validation->service, database->id);
    if (designs == NULL) {
        memcpy(validation->cold, database->id, DATABASE_ID_BYTES);
        validation->is_cold = write->verdict.waits = true;
        *ret_ready = false;
        return QK_OK;
    }
    if (!any_validates(designs, &damaged) && !damaged)
        return QK_OK;
    if (damaged) {
        refuse(write, 500, "internal_error",
               "a design document cannot be read, and may have a validation function: see verify");
        return QK_OK;
    }
    if (validation->service->script_door.connect == NULL) {
        refuse(write, 501, "not_implemented",
               "this node runs no JavaScript, and the database has validation functions");
        return QK_OK;
    }
    if (write->verdict.known && write->verdict.version == stored->version &&
        write->verdict.epoch == designs_epoch(designs)) {
        if (write->verdict.refusal.status != 0)
            write->state = WRITE_REFUSED;
        return QK_OK;
    }
    old = old_of(write, stored, parent);
    err = may_see(validation, write, old);
    if (err != QK_OK || write->state != WRITE_OPEN)
        return err;
    *ret_ready = false;
    err = job_make(validation, designs);
    return err == QK_OK ? ask(validation, write, database, name, stored, old) : err;
}

/* --- the round --- */

/* [] or [word, reason] */
static void verdict_read(struct validation_verdict *verdict, struct bytes answer)
{
    struct doc_problem *refusal = &verdict->refusal, unread;
    json_t *json = NULL;
    struct bytes word, reason;

    verdict->known = true;
    if (answer.len == 0) {
        (void)doc_problem_set(refusal, 500, "os_process_error",
                              "a validation function was too slow, or took too much memory");
        return;
    }
    if (bytes_equal(answer, bytes_str("[]")))
        return;
    if (json_parse(answer, JSON_WRITE_DEPTH_MAX, &unread, &json) != QK_OK)
        json = NULL; /* refused all the same */
    word = json_bytes(json_array_get(json, 0));
    reason = json_bytes(json_array_get(json, 1));
    if (bytes_equal(word, bytes_str("forbidden")))
        (void)doc_problem_set(refusal, 403, "forbidden", "%.*s", (int)reason.len,
                              (const char *)reason.data);
    else if (bytes_equal(word, bytes_str("unauthorized")))
        (void)doc_problem_set(refusal, 401, "unauthorized", "%.*s", (int)reason.len,
                              (const char *)reason.data);
    else
        (void)doc_problem_set(refusal, 500, "unknown_error", "%.*s", (int)reason.len,
                              (const char *)reason.data);
    json_decref(json);
}

static void judged(void *arg, enum qk_err err)
{
    struct validation *validation = arg;
    size_t i;

    for (i = 0; (err == QK_OK || err == QK_ERR_TIMEOUT) && i < validation->asked_n; i++)
        verdict_read(&validation->asked[i]->verdict,
                     err == QK_OK ? script_job_answer(validation->job) : BYTES_NONE);
    validation->asked_n = 0;
    script_job_reset(validation->job);
    /* Functions that have ended several workers refuse all that was asked together with those. */
    validation->cb(validation->arg, err == QK_ERR_TIMEOUT ? QK_OK : err);
}

void validation_begin(struct validation *validation, struct service *service)
{
    validation->service = service;
    validation->is_cold = false;
    validation->asked_n = 0;
    if (validation->job != NULL)
        script_job_reset(validation->job);
}

enum qk_err validation_wait(struct validation *validation, void (*cb)(void *arg, enum qk_err err),
                            void *arg)
{
    const struct catalog_database *database;

    validation->cb = cb;
    validation->arg = arg;
    if (validation->asked_n > 0)
        return script_job_run(validation->job);
    if (!validation->is_cold)
        return QK_ERR_NOT_FOUND;
    database = catalog_database_of(validation->service->catalog, validation->cold);
    if (database == NULL)
        return QK_ERR_CLOSED;
    return designs_wait(validation->service, database, cb, arg);
}

void validation_fini(struct validation *validation)
{
    script_job_free(validation->job);
    free(validation->asked);
    *validation = (struct validation){0};
}

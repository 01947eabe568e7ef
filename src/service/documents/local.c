#include "service/documents/local.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/bodies.h"
#include "service/doc_name.h"
#include "service/key_policy.h"
#include "service/keys_current.h"
#include "service/params.h"
#include "service/period.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write_right.h"

bool local_is_id(struct bytes id)
{
    return bytes_starts_with(id, bytes_str(LOCAL_PREFIX));
}

static struct bytes bare_id(struct bytes id)
{
    return bytes_slice(id, strlen(LOCAL_PREFIX), id.len);
}

enum qk_err local_id_check(struct bytes id, struct doc_problem *ret_problem)
{
    if (!utf8_is_valid(id))
        return doc_problem_set(ret_problem, 400, "illegal_docid", "Document id must be UTF-8");
    if (bare_id(id).len == 0)
        return doc_problem_set(ret_problem, 400, "bad_request", "Invalid _local document id.");
    /* Two bytes of the record's name tell it from a document. */
    if (bare_id(id).len > DOC_ID_BYTES_MAX - 2)
        return doc_problem_set(ret_problem, 400, "illegal_docid", "Document id is too long");
    return QK_OK;
}

enum qk_err local_document_check(struct bytes id, const struct document *document,
                                 struct doc_problem *ret_problem)
{
    if (document->attachments.n > 0)
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "_local documents do not accept attachments.");
    return local_id_check(id, ret_problem);
}

/* --- reading --- */

void local_put_json(struct bytes id, const struct doc_leaf *leaf,
                    const struct document_parts *parts, struct buf *out)
{
    buf_put_str(out, "{\"_id\":");
    json_write_string(id, out);
    buf_printf(out, ",\"_rev\":\"0-%" PRIu32 "\"", leaf->revision.generation);
    document_write_body(parts, out);
}

static enum qk_err get_text(struct service *service, struct exchange *exchange,
                            const struct record_key *key, struct bytes id,
                            const struct doc_leaf *leaf, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err =
        authorize_key(service, &exchange->request.who, leaf->key_id, ACCESS_KEY_DECRYPT);

    if (err == QK_OK)
        err = stored_open(service, key->data, record_key_name(record_key_bytes(key)), leaf, &plain,
                          &parts);
    if (err == QK_OK) {
        local_put_json(id, leaf, &parts, out);
        buf_put_u8(out, '\n');
        err = buf_error(out);
    }
    buf_fini(&plain);
    return err;
}

void local_get(struct service *service, struct exchange *exchange,
               const struct catalog_database *database, struct bytes id)
{
    struct buf text = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 128 * KIB);
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key;
    enum qk_err err =
        doc_name_of_local(service, database->id, database->ids_hidden, bare_id(id), &key);

    if (err == QK_OK)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK && stored.record.leaves_n == 0)
        err = QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        err = get_text(service, exchange, &key, id, &stored.record.leaves[0], &text);
    if (err == QK_OK)
        exchange_reply_bytes(exchange, 200, "application/json", buf_bytes(&text));
    else if (err == QK_ERR_DENIED)
        exchange_reply_error(exchange, 403, "forbidden",
                             "You have no grant to decrypt this document.");
    else
        exchange_reply_err(exchange, err);
    stored_fini(&stored);
    buf_fini(&text);
}

/* --- writing --- */

struct local_write {
    struct service *service;
    struct buf id;
    struct document document; /* owned */
    struct write write;       /* whose request it is, and what became of it */
};

/* A revision that is given must be the present one, so that of two who continue from the same one
 * only the first succeeds; without one the write begins anew, as in CouchDB. */
static bool revision_holds(const struct document *document, const struct stored *stored)
{
    return !document->has_revision || stored->version == 0 ||
           document->local_revision == stored->record.leaves[0].revision.generation;
}

static enum qk_err local_seal(struct service *service, struct write *write,
                              const struct catalog_database *database, struct bytes name,
                              const uint8_t *parent_key, struct doc_leaf *leaf,
                              struct buf *envelope)
{
    struct bytes plain = buf_bytes(&write->document->plain);
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad;
    enum qk_err err = key_choose(service, database, buf_bytes(&write->document->key_name),
                                 parent_key, leaf->key_id, &leaf->key_version);

    if (err == QK_OK)
        err = write_authorize_key(service, write, leaf->key_id);
    if (err == QK_OK)
        err = period_take(service, leaf->key_id, leaf->key_version, plain.len);
    if (err != QK_OK)
        return err;
    aad = stored_aad(service, database->id, name, leaf, revision);
    err = keyring_seal_envelope(service->keyring, leaf->key_id, leaf->key_version,
                                bodies_are_clear(database), &aad, plain, envelope);
    leaf->envelope = buf_bytes(envelope);
    leaf->body_bytes = (uint32_t)plain.len;
    return err;
}

static void local_conds(struct service *service, const struct write *write,
                        const struct catalog_database *database, const uint8_t *key_id,
                        struct bytes replaced, struct wire_command *command)
{
    wire_command_batch(command);
    wire_command_cond(command, bytes_of(database->key, CATALOG_KEY_BYTES),
                      database->record_version);
    write_right_conds(service, write, key_id, replaced, command);
}

static enum qk_err local_propose(struct service *service, struct write *write,
                                 const struct catalog_database *database,
                                 const struct record_key *key, const struct stored *stored,
                                 struct wire_command *command)
{
    struct bytes name = record_key_name(record_key_bytes(key)), replaced = BYTES_NONE;
    struct doc_place place = {service->origin_id, database->id, name, stored->version + 1};
    struct doc_leaf leaf = {.sealed_at = stored->version + 1};
    struct doc_record record = {&leaf, 1};
    struct buf envelope = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err;

    if (stored->version != 0)
        replaced = bytes_of(stored->record.leaves[0].key_id, KEY_ID_BYTES);
    leaf.revision.generation = write->revision.generation;
    err = local_seal(service, write, database, name, replaced.data, &leaf, &envelope);
    if (err == QK_OK)
        err = doc_record_encode(keyring_integrity_key(service->keyring), &place, &record, &value);
    if (err == QK_OK) {
        local_conds(service, write, database, leaf.key_id, replaced, command);
        keys_cond(service, command, leaf.key_id);
        wire_command_put(command, record_key_bytes(key), stored->version + 1, WIRE_KEYED,
                         buf_bytes(&value));
    }
    buf_fini(&envelope);
    buf_fini(&value);
    return err;
}

static enum qk_err local_remove(struct service *service, struct write *write,
                                const struct catalog_database *database,
                                const struct record_key *key, const struct stored *stored,
                                struct wire_command *command)
{
    local_conds(service, write, database, stored->record.leaves[0].key_id, BYTES_NONE, command);
    wire_command_cond(command, record_key_bytes(key), stored->version);
    wire_command_delete(command, record_key_bytes(key));
    return QK_OK;
}

static enum write_state local_decide(const struct write *write, const struct stored *stored)
{
    if (write->same_id_earlier || !revision_holds(write->document, stored))
        return WRITE_CONFLICT;
    return write->document->deleted && stored->version == 0 ? WRITE_MISSING : WRITE_OPEN;
}

static enum qk_err local_judge(struct service *service, struct write *write,
                               const struct catalog_database *database,
                               const struct record_key *key, const struct stored *stored,
                               struct wire_command *command)
{
    const struct document *document = write->document;
    enum qk_err err = write_authorize(service, write, database, &stored->record);

    if (err != QK_OK)
        return err;
    write->state = database == NULL ? WRITE_NO_DATABASE : local_decide(write, stored);
    if (write->state != WRITE_OPEN)
        return QK_OK;
    if (document->deleted) {
        write->revision.generation = 0;
        return local_remove(service, write, database, key, stored, command);
    }
    write->revision.generation =
        document->local_revision + (document->local_revision != UINT32_MAX);
    return local_propose(service, write, database, key, stored, command);
}

enum qk_err local_evaluate(struct service *service, struct write *write,
                           struct wire_command *command)
{
    const struct catalog_database *database =
        catalog_database_find(service->catalog, write->database_name);
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key = {.len = 0};
    enum qk_err err = QK_OK;

    assert(write->state == WRITE_OPEN && local_is_id(write->id));

    if (database != NULL)
        err = doc_name_of_local(service, database->id, database->ids_hidden, bare_id(write->id),
                                &key);
    if (err == QK_OK && database != NULL)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK)
        err = local_judge(service, write, database, &key, &stored, command);
    stored_fini(&stored);
    return write_concluded(service, write, err);
}

void local_put_result(const struct write *write, struct buf *out)
{
    char revision[16];

    assert(write->state == WRITE_DONE);

    (void)snprintf(revision, sizeof(revision), "0-%" PRIu32, write->revision.generation);
    write_put_done(write->id, revision, out);
}

enum qk_err local_latch(struct service *service, const struct write *write,
                        struct record_key *ret_key)
{
    const struct catalog_database *database =
        catalog_database_find(service->catalog, write->database_name);

    if (database == NULL)
        return write_latch(service, write->database_name, BYTES_NONE, ret_key);
    return doc_name_of_local(service, database->id, database->ids_hidden, bare_id(write->id),
                             ret_key);
}

/* --- one write of a request --- */

static enum qk_err one_evaluate(void *arg, struct wire_command *command)
{
    struct local_write *local = arg;

    return local->write.state == WRITE_OPEN ? local_evaluate(local->service, &local->write, command)
                                            : QK_OK;
}

static void local_result(void *arg, size_t at, const struct wire_result *result)
{
    struct local_write *local = arg;

    (void)at;
    if (result->ok)
        local->write.state = WRITE_DONE;
}

static void local_done(void *arg, enum qk_err err)
{
    struct local_write *local = arg;
    struct exchange *exchange = local->write.exchange;
    struct buf text = BUF_SECRET_INIT(8 * KIB);

    if (local->write.state == WRITE_DONE) {
        local_put_result(&local->write, &text);
        exchange_reply_text(exchange, local->document.deleted ? 200 : 201, &text);
    } else {
        write_reply(local->service, exchange, &local->write, 201, err);
    }
    document_fini(&local->document);
    buf_fini(&local->id);
    free(local);
}

static const struct submit_ops local_ops = {one_evaluate, local_result, local_done};

static enum qk_err local_start(struct local_write *local)
{
    struct record_key key;
    struct bytes view;
    enum qk_err err = service_is_open(local->service) ? QK_OK : QK_ERR_SEALED;

    if (err == QK_OK)
        err = local_latch(local->service, &local->write, &key);
    if (err != QK_OK)
        return err;
    view = record_key_bytes(&key);
    return submit_start(local->service, &view, 1, &local_ops, local);
}

void local_write(struct service *service, struct exchange *exchange, struct bytes id,
                 struct document *document)
{
    struct local_write *local = calloc(1, sizeof(*local));
    enum qk_err err;

    if (local == NULL) {
        document_fini(document);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    local->service = service;
    local->document = *document;
    local->id = BUF_INIT(HTTP_URI_BYTES_MAX);
    buf_put_bytes(&local->id, id);
    local->write.exchange = exchange;
    local->write.database_name = exchange->request.segments[0];
    local->write.id = buf_bytes(&local->id);
    local->write.document = &local->document;
    err = buf_error(&local->id);
    if (err == QK_OK)
        err = local_start(local);
    if (err != QK_OK)
        local_done(local, err);
}

#include "service/write.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/tree.h"
#include "keys/envelope.h"
#include "keys/keyring.h"
#include "service/bodies.h"
#include "service/doc_name.h"
#include "service/key_policy.h"
#include "service/keys_current.h"
#include "service/leaf_seal.h"
#include "service/period.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write_right.h"

/* --- the decision --- */

/* CouchDB's rule for interactive edits: a given revision must be a leaf; none is needed for a new
 * document or to bring back a deleted one. `ret_parent` is NULL for a new document. */
static bool write_parent(const struct write *write, const struct doc_record *record,
                         struct doc_leaf **ret_parent)
{
    const struct document *document = write->document;

    *ret_parent = NULL;
    if (document->revision_is_foreign)
        return false;
    if (document->has_revision) {
        *ret_parent = doc_record_find(record, &document->revision);
        return *ret_parent != NULL;
    }
    if (record->leaves_n == 0)
        return true;
    *ret_parent = &record->leaves[0];
    return record->leaves[0].deleted && !document->deleted;
}

/* What the record alone decides; WRITE_OPEN if it is to be written over `ret_parent`. */
static enum write_state write_decide(struct write *write, const struct doc_record *record,
                                     struct doc_leaf **ret_parent)
{
    if (write->replicated)
        return WRITE_OPEN; /* the tree tells */
    if (write->must_exist && record->leaves_n == 0)
        return WRITE_MISSING;
    if (write->must_exist && record->leaves[0].deleted)
        return WRITE_DELETED;
    if (!write->same_id_earlier && write_parent(write, record, ret_parent))
        return WRITE_OPEN;
    write->revision_is_unknown =
        write->document->revision_is_foreign ||
        (write->document->has_revision && !doc_tree_knows(record, &write->document->revision));
    return WRITE_CONFLICT;
}

/* What is deleted and comes back is a new document: it is under no key of before. */
static enum qk_err write_key(struct service *service, const struct catalog_database *database,
                             struct write *write, const struct doc_leaf *parent,
                             struct doc_leaf *leaf)
{
    bool keeps =
        parent != NULL && !write->key_anew && (!parent->deleted || write->document->deleted);
    struct bytes name;
    enum qk_err err = key_choose(service, database, buf_bytes(&write->document->key_name),
                                 keeps ? parent->key_id : NULL, leaf->key_id, &leaf->key_version);

    if (err != QK_OK)
        return err;
    name =
        bytes_slice(keyring_name(service->keyring, leaf->key_id), 0, sizeof(write->key_name) - 1);
    memcpy(write->key_name, name.data, name.len);
    write->key_name[name.len] = '\0';
    write->key_version = leaf->key_version;
    write->clear = bodies_are_clear(database);
    return QK_OK;
}

static enum qk_err write_seal(struct service *service, const struct catalog_database *database,
                              const struct write *write, struct bytes name, struct bytes plain,
                              struct doc_leaf *leaf, struct buf *envelope)
{
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad = stored_aad(service, database->id, name, leaf, revision);
    enum qk_err err = keyring_seal_envelope(service->keyring, leaf->key_id, leaf->key_version,
                                            write->clear, &aad, plain, envelope);

    leaf->envelope = buf_bytes(envelope);
    leaf->body_bytes = (uint32_t)plain.len;
    return err;
}

/* The revision that is written, and its path: that of an edit of `parent`, or the one that came. */
static enum qk_err write_revision(struct service *service, const struct catalog_database *database,
                                  const struct write *write, struct bytes content,
                                  const struct doc_leaf *parent, struct doc_leaf *leaf,
                                  struct buf *path)
{
    struct revision_input input = {.database = database->id,
                                   .document_id = write->id,
                                   .parent = parent == NULL ? REVISION_NONE : parent->revision,
                                   .deleted = write->document->deleted,
                                   .content = content};

    if (write->replicated) {
        leaf->revision = write->document->revision;
        leaf->path = buf_bytes(&write->document->revisions);
        return QK_OK;
    }
    if (parent != NULL)
        doc_record_child_path(parent, database->revs_limit, path);
    leaf->path = buf_bytes(path);
    if (buf_error(path) != QK_OK)
        return buf_error(path);
    return revision_compute(keyring_revision_key(service->keyring), &input, &leaf->revision);
}

/* Seals the body into the new leaf of the tree. */
static enum qk_err write_leaf(struct service *service, const struct catalog_database *database,
                              struct write *write, struct bytes name, struct bytes plain,
                              const struct doc_leaf *parent, struct doc_leaf *leaf,
                              struct buf *envelope)
{
    enum qk_err err = write_key(service, database, write, parent, leaf);

    if (err == QK_OK)
        err = period_take(service, leaf->key_id, leaf->key_version, plain.len);
    return err == QK_OK ? write_seal(service, database, write, name, plain, leaf, envelope) : err;
}

/* The value of the record `made->key`, and what it depends on. */
static enum qk_err write_tree(struct service *service, const struct catalog_database *database,
                              struct write *write, const struct stored *stored,
                              const struct doc_leaf *parent, struct doc_tree *tree,
                              struct write_made *made)
{
    struct bytes name = record_key_name(record_key_bytes(&made->key));
    struct doc_place place = {service->origin_id, database->id, name, stored->version + 1};
    struct buf envelope = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    struct leaf_follow follow = LEAF_FOLLOW_INIT;
    enum qk_err err = QK_OK;

    made->sealed = tree->added != NULL;
    if (made->sealed)
        err = write_leaf(service, database, write, name, write_atts_plain(&made->atts, write),
                         parent, tree->added, &envelope);
    /* Whoever names a key means the document: what conflicts with this revision follows it. */
    if (err == QK_OK && made->sealed && !write->replicated && write->document->key_name.len > 0)
        err = leaf_follow(service, database->id, name, write, tree->added, &tree->record, &follow);
    memcpy(made->key_id, made->sealed ? tree->added->key_id : tree->record.leaves[0].key_id,
           KEY_ID_BYTES);
    if (err == QK_OK)
        err = doc_record_encode(keyring_integrity_key(service->keyring), &place, &tree->record,
                                &made->value);
    attachment_ids_put(&tree->record, &made->atts.after);
    if (err == QK_OK)
        err = buf_error(&made->atts.after);
    made->version = stored->version + 1;
    made->flags = WIRE_DOC | WIRE_KEYED | (tree->record.leaves[0].deleted ? WIRE_DELETED : 0);
    leaf_follow_fini(&follow);
    buf_fini(&envelope);
    return err;
}

/* The attachments, before anything depends on what the revision holds. One that replication brings
 * has its revision already: of what is known nothing is to be found out, and nothing is drawn. */
static enum qk_err write_attach(struct service *service, const struct catalog_database *database,
                                struct write *write, const struct stored *stored,
                                const struct doc_leaf *parent, struct write_made *made)
{
    struct bytes name = record_key_name(record_key_bytes(&made->key));
    struct doc_leaf leaf = {.revision = write->document->revision,
                            .path = buf_bytes(&write->document->revisions)};

    attachment_ids_put(&stored->record, &made->atts.before);
    if (buf_error(&made->atts.before) != QK_OK)
        return buf_error(&made->atts.before);
    if (write->replicated && doc_tree_knows(&stored->record, &leaf.revision))
        return QK_OK;
    if (write->replicated)
        parent = doc_tree_parent(&stored->record, &leaf);
    return write_atts_make(service, database, write, name, stored, parent, &made->atts);
}

/* What is to become of the record. Of a revision that the tree knows already nothing is made:
 * WRITE_DONE. */
static enum qk_err write_make(struct service *service, const struct catalog_database *database,
                              struct write *write, const struct stored *stored,
                              const struct doc_leaf *parent, struct write_made *made)
{
    struct buf path = BUF_INIT((size_t)DOC_RECORD_PATH_MAX * REVISION_HASH_BYTES);
    struct doc_leaf leaf = {.deleted = write->document->deleted, .sealed_at = stored->version + 1};
    struct doc_tree tree;
    enum qk_err err = write_attach(service, database, write, stored, parent, made);

    if (err == QK_OK)
        err = write_revision(service, database, write, write_atts_content(&made->atts, write),
                             parent, &leaf, &path);
    leaf.attachments = buf_bytes(&made->atts.ids);
    if (err == QK_OK)
        err = doc_tree_merge(&stored->record, &leaf, database->revs_limit, &tree);
    if (err != QK_OK)
        goto out;
    if (write->replicated)
        parent = doc_tree_parent(&stored->record, &leaf);
    /* A branch from elsewhere is a conflict with what is there: under its key. */
    if (write->replicated && parent == NULL && stored->record.leaves_n > 0)
        parent = &stored->record.leaves[0];
    write->revision = leaf.revision;
    if (tree.changed)
        err = write_tree(service, database, write, stored, parent, &tree, made);
    else
        write->state = WRITE_DONE;
    doc_tree_fini(&tree);

out:
    buf_fini(&path);
    return err;
}

enum qk_err write_record(struct service *service, const struct catalog_database *database,
                         struct bytes id, const struct document *document, struct stored *stored,
                         struct write_made *ret_made)
{
    struct write write = {.id = id, .document = document, .key_anew = true};
    struct doc_leaf *parent = stored->record.leaves_n == 0 ? NULL : &stored->record.leaves[0];
    enum qk_err err =
        doc_name_of_id(service, database->id, database->ids_hidden, id, &ret_made->key);

    if (err != QK_OK)
        return err;
    return write_make(service, database, &write, stored, parent, ret_made);
}

void write_made_conds(struct service *service, const struct catalog_database *database,
                      const struct write_made *made, struct wire_command *command)
{
    wire_command_cond(command, bytes_of(database->key, CATALOG_KEY_BYTES),
                      database->record_version);
    if (made->sealed)
        keys_cond(service, command, made->key_id);
    write_atts_conds(&made->atts, database->id, command);
}

void write_made_put(struct service *service, const struct write_made *made,
                    struct wire_command *command)
{
    wire_command_put(command, record_key_bytes(&made->key), made->version, made->flags,
                     buf_bytes(&made->value));
    write_atts_put(service, &made->atts, &made->key, command);
}

void write_made_fini(struct write_made *made)
{
    buf_fini(&made->value);
    write_atts_fini(&made->atts);
}

/* Makes the new record and appends its batch. */
static enum qk_err write_propose(struct service *service, const struct catalog_database *database,
                                 struct write *write, const struct record_key *key,
                                 struct stored *stored, struct doc_leaf *parent,
                                 struct wire_command *command)
{
    struct write_made made = WRITE_MADE_INIT;
    struct buf replaced = BUF_INIT((size_t)DOC_RECORD_LEAVES_MAX * KEY_ID_BYTES);
    enum qk_err err;

    made.key = *key;
    write_replaced_keys(&stored->record, &replaced);
    err = write_make(service, database, write, stored, parent, &made);
    if (err == QK_OK)
        err = buf_error(&replaced);
    if (err == QK_OK && write->state == WRITE_OPEN)
        err = write_authorize_key(service, write, made.key_id);
    if (err == QK_OK && write->state == WRITE_OPEN) {
        wire_command_batch(command);
        write_made_conds(service, database, &made, command);
        write_right_conds(service, write, made.key_id, buf_bytes(&replaced), command);
        write_made_put(service, &made, command);
    }
    buf_fini(&replaced);
    write_made_fini(&made);
    return err;
}

static enum qk_err write_judge(struct service *service, struct write *write,
                               const struct catalog_database *database,
                               const struct record_key *key, struct stored *stored,
                               struct wire_command *command)
{
    struct doc_leaf *parent = NULL;
    bool ready = true;
    enum qk_err err = write_authorize(service, write, database, &stored->record);

    if (err == QK_OK && database == NULL)
        write->state = WRITE_NO_DATABASE;
    else if (err == QK_OK)
        write->state = write_decide(write, &stored->record, &parent);
    if (err == QK_OK && write->state == WRITE_OPEN && write->validation != NULL)
        err = validation_check(write->validation, write, database,
                               record_key_name(record_key_bytes(key)), stored, parent, &ready);
    if (err == QK_OK && write->state == WRITE_OPEN && ready)
        err = write_propose(service, database, write, key, stored, parent, command);
    return err;
}

enum qk_err write_concluded(struct service *service, struct write *write, enum qk_err err)
{
    if (write->state == WRITE_DENIED || write->state == WRITE_NO_GRANT ||
        write->state == WRITE_NO_STUB || write->state == WRITE_NO_ATTACHMENT)
        return QK_OK;
    if (err == QK_ERR_NOT_FOUND) {
        write->state = write_state_no_key(service, write);
    } else if (err == QK_ERR_CORRUPT || err == QK_ERR_TOO_BIG || err == QK_ERR_UNSUPPORTED) {
        write->state = WRITE_FAILED; /* this document's own trouble */
        write->err = err;
    } else {
        return err;
    }
    return QK_OK;
}

enum qk_err write_evaluate(struct service *service, struct write *write,
                           struct wire_command *command)
{
    const struct catalog_database *database;
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key = {.len = 0};
    enum qk_err err = QK_OK;

    assert(write->state == WRITE_OPEN && write->exchange != NULL);

    database = catalog_database_find(service->catalog, write->database_name);
    if (database != NULL)
        err = doc_name_of_id(service, database->id, database->ids_hidden, write->id, &key);
    if (err == QK_OK && database != NULL)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK)
        err = write_judge(service, write, database, &key, &stored, command);
    stored_fini(&stored);
    return write_concluded(service, write, err);
}

/* --- one write of a request --- */

struct one_write {
    struct service *service;
    struct exchange *exchange;
    struct document document; /* owned */
    struct buf id, attachment;
    struct write write;
    struct write_how how;
    struct validation validation;
};

static enum qk_err one_evaluate(void *arg, struct wire_command *command)
{
    struct one_write *one = arg;

    validation_begin(&one->validation, one->service);
    return one->write.state == WRITE_OPEN ? write_evaluate(one->service, &one->write, command)
                                          : QK_OK;
}

static void one_result(void *arg, size_t at, const struct wire_result *result)
{
    struct one_write *one = arg;

    (void)at;
    if (result->ok)
        one->write.state = WRITE_DONE;
}

static enum qk_err one_wait(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg)
{
    struct one_write *one = arg;

    return one->write.verdict.waits ? validation_wait(&one->validation, cb, cb_arg)
                                    : QK_ERR_NOT_FOUND;
}

static void one_done(void *arg, enum qk_err err)
{
    struct one_write *one = arg;

    /* Sealed or no longer leading right after it was applied: it is written all the same. */
    if (one->write.state == WRITE_DONE)
        err = QK_OK;
    if (err == QK_OK && one->write.state == WRITE_DONE && one->how.batch)
        exchange_reply_json(one->exchange, 202,
                            json_pack("{s:b, s:s%}", "ok", 1, "id",
                                      (const char *)one->write.id.data, one->write.id.len));
    else
        write_reply(one->service, one->exchange, &one->write, one->how.status_ok, err);
    validation_fini(&one->validation);
    document_fini(&one->document);
    buf_fini(&one->id);
    buf_fini(&one->attachment);
    if (one->how.ended != NULL)
        one->how.ended(one->how.ended_arg);
    free(one);
}

static const struct submit_ops one_ops = {one_evaluate, one_result, one_done};

enum qk_err write_latch(struct service *service, struct bytes database_name, struct bytes id,
                        struct record_key *ret_key)
{
    const struct catalog_database *database;
    uint8_t name_key[CATALOG_KEY_BYTES];
    enum qk_err err;

    database = catalog_database_find(service->catalog, database_name);
    if (database != NULL)
        return doc_name_of_id(service, database->id, database->ids_hidden, id, ret_key);
    err = catalog_name_key(service, database_name, name_key);
    if (err == QK_OK)
        *ret_key = record_catalog(name_key + DATABASE_ID_BYTES);
    return err;
}

static enum qk_err one_start(struct one_write *one)
{
    struct record_key key;
    struct bytes view;
    enum qk_err err;

    if (!service_is_open(one->service))
        return QK_ERR_SEALED;
    err = write_latch(one->service, one->write.database_name, one->write.id, &key);
    if (err != QK_OK)
        return err;
    view = record_key_bytes(&key);
    return submit_start_waiting(one->service, &view, 1, &one_ops, one_wait, one);
}

void write_one(struct service *service, struct exchange *exchange, struct bytes id,
               struct document *document, const struct write_how *how)
{
    struct one_write *one = calloc(1, sizeof(*one));
    enum qk_err err;

    assert(exchange->request.segments_n > 0);

    if (one == NULL) {
        document_fini(document);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        if (how->ended != NULL)
            how->ended(how->ended_arg);
        return;
    }
    *one = (struct one_write){.service = service,
                              .exchange = exchange,
                              .document = *document,
                              .id = BUF_INIT(DOC_ID_BYTES_MAX),
                              .attachment = BUF_INIT(ATTACHMENT_NAME_BYTES_MAX),
                              .how = *how};
    buf_put_bytes(&one->id, id);
    buf_put_bytes(&one->attachment, how->attachment);
    one->write.exchange = exchange;
    one->write.database_name = exchange->request.segments[0];
    one->write.id = buf_bytes(&one->id);
    one->write.attachment = buf_bytes(&one->attachment);
    one->write.document = &one->document;
    one->write.validation = &one->validation;
    one->write.must_exist = how->must_exist;
    one->write.replicated = how->replicated;
    err = buf_error(&one->id);
    if (err == QK_OK)
        err = buf_error(&one->attachment);
    if (err == QK_OK)
        err = one_start(one);
    if (err != QK_OK)
        one_done(one, err);
}

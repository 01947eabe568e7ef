#include "service/secrets/kv_batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/authorize.h"

void kv_batch_init(struct kv_batch *batch, struct service *service, const struct principal *who,
                   const struct catalog_database *database)
{
    batch->service = service;
    batch->who = who;
    batch->database = database;
    batch->puts_n = 0;
    batch->conds = NULL;
    batch->conds_n = 0;
    batch->conds_cap = 0;
    batch->keys_n = 0;
}

void kv_batch_fini(struct kv_batch *batch)
{
    while (batch->puts_n > 0)
        write_made_fini(&batch->puts[--batch->puts_n]);
    free(batch->conds);
    batch->conds = NULL;
}

enum qk_err kv_batch_may(struct kv_batch *batch, const uint8_t key_id[static KEY_ID_BYTES])
{
    enum qk_err err = authorize_key(batch->service, batch->who, key_id, ACCESS_KEY_ENCRYPT);

    for (size_t i = 0; i < batch->keys_n && err == QK_OK; i++) {
        if (memcmp(batch->keys[i], key_id, KEY_ID_BYTES) == 0)
            return QK_OK;
    }
    if (err == QK_OK) {
        assert(batch->keys_n < sizeof(batch->keys) / sizeof(batch->keys[0]));
        memcpy(batch->keys[batch->keys_n++], key_id, KEY_ID_BYTES);
    }
    return err;
}

enum qk_err kv_batch_put(struct kv_batch *batch, const struct kv_id *id, struct stored *stored,
                         struct bytes body)
{
    struct document document = {.plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX)};
    struct write_made *made = &batch->puts[batch->puts_n];
    enum qk_err err = QK_OK;

    assert(batch->puts_n < KV_BATCH_PUTS_MAX);

    *made = WRITE_MADE_INIT;
    if (stored->record.leaves_n > 0)
        err = kv_batch_may(batch, stored->record.leaves[0].key_id);
    document_plain_put(body, &document.plain);
    if (err == QK_OK)
        err = buf_error(&document.plain);
    if (err == QK_OK)
        err =
            write_record(batch->service, batch->database, kv_id_bytes(id), &document, stored, made);
    if (err == QK_OK)
        err = kv_batch_may(batch, made->key_id);
    if (err == QK_OK)
        batch->puts_n++;
    else
        write_made_fini(made);
    document_fini(&document);
    return err;
}

enum qk_err kv_batch_cond(struct kv_batch *batch, const struct kv_id *id, uint64_t version,
                          bool remove)
{
    if (batch->conds_n == batch->conds_cap) {
        size_t cap = batch->conds_cap == 0 ? 16 : 2 * batch->conds_cap;
        struct kv_batch_cond *conds = reallocarray(batch->conds, cap, sizeof(*conds));

        if (conds == NULL)
            return QK_ERR_NOMEM;
        batch->conds = conds;
        batch->conds_cap = cap;
    }
    batch->conds[batch->conds_n++] = (struct kv_batch_cond){*id, version, remove};
    return QK_OK;
}

/* --- folders --- */

static enum qk_err folder_put(struct kv_batch *batch, const struct kv_id *id,
                              struct kv_record *record, struct bytes folder, uint64_t names_n)
{
    struct buf body = BUF_SECRET_INIT(KV_BODY_BYTES_MAX);
    enum qk_err err = kv_folder_encode(folder, names_n, &body);

    if (err == QK_OK)
        err = kv_batch_put(batch, id, &record->stored, buf_bytes(&body));
    buf_fini(&body);
    return err;
}

/* One folder; `ret_on` when the one above gains or loses a name by it. */
static enum qk_err folder_count(struct kv_batch *batch, struct bytes folder, bool add, bool *ret_on)
{
    struct kv_record record = {.stored = {0, 0, DOC_RECORD_EMPTY}};
    uint64_t names_n = 0;
    struct kv_id id;
    enum qk_err err = kv_id_name(batch->service, batch->database->id, folder, &id);

    if (err == QK_OK)
        err = kv_record_get(batch->service, batch->database, &id, &record);
    if (err == QK_OK && record.stored.version != 0)
        err = kv_folder_decode(record.body, folder, &names_n);
    if (err != QK_OK)
        goto out;
    *ret_on = add ? names_n == 0 : names_n == 1;
    if (!add && names_n == 0)
        err = QK_ERR_CORRUPT; /* something in it is there */
    else if (!add && names_n == 1)
        err = kv_batch_cond(batch, &id, record.stored.version, true);
    else
        err = folder_put(batch, &id, &record, folder, add ? names_n + 1 : names_n - 1);

out:
    kv_record_fini(&record);
    return err;
}

enum qk_err kv_batch_folders(struct kv_batch *batch, struct bytes path, bool add)
{
    struct bytes folder = kv_path_folder(path);
    enum qk_err err = QK_OK;
    bool on = true;

    while (folder.len > 0 && on && err == QK_OK) {
        err = folder_count(batch, folder, add, &on);
        folder = kv_path_folder(folder);
    }
    return err;
}

/* --- the command --- */

static struct record_key cond_key(const struct kv_batch *batch, const struct kv_batch_cond *cond)
{
    return record_document(batch->database->id, kv_id_bytes(&cond->id));
}

static void append_conds(struct kv_batch *batch, struct wire_command *command)
{
    for (size_t i = 0; i < batch->puts_n; i++)
        write_made_conds(batch->service, batch->database, &batch->puts[i], command);
    if (batch->puts_n == 0)
        wire_command_cond(command, bytes_of(batch->database->key, CATALOG_KEY_BYTES),
                          batch->database->record_version);
    if (batch->keys_n == 0)
        authorize_conditions(batch->service, batch->who, NULL, command);
    for (size_t i = 0; i < batch->keys_n; i++)
        authorize_conditions(batch->service, batch->who, batch->keys[i], command);
    for (size_t i = 0; i < batch->conds_n; i++) {
        struct record_key key = cond_key(batch, &batch->conds[i]);

        if (batch->conds[i].version != KV_BATCH_ANY)
            wire_command_cond(command, record_key_bytes(&key), batch->conds[i].version);
    }
}

void kv_batch_append(struct kv_batch *batch, struct wire_command *command)
{
    size_t removes_n = 0;

    for (size_t i = 0; i < batch->conds_n; i++)
        removes_n += batch->conds[i].remove;
    if (batch->puts_n == 0 && removes_n == 0)
        return;
    wire_command_batch(command);
    append_conds(batch, command);
    for (size_t i = 0; i < batch->puts_n; i++)
        write_made_put(batch->service, &batch->puts[i], command);
    for (size_t i = 0; i < batch->conds_n; i++) {
        struct record_key key = cond_key(batch, &batch->conds[i]);

        if (batch->conds[i].remove)
            wire_command_delete(command, record_key_bytes(&key));
    }
}

/* Documents as the product keeps them: sealed under the active version of the key "default", with
 * the list of what stands under which key, written through service/submit.c, so that the periods of
 * keys (service/period.h) and the re-encryption (service/keys/reencrypt.h) work on them.
 *
 *   apply never lets more be sealed under a version than its key's limit says
 *   once a deal without a member is applied nothing is sealed under a version from before it
 *   a re-encryption is done only when no record stands under such a version
 *   at the end every acknowledged body, or a newer one, opens on every node
 */
#include "system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_uses.h"
#include "doc/record.h"
#include "keys/keyring.h"
#include "service/keys_current.h"
#include "service/period.h"
#include "service/read.h"
#include "service/keys/reencrypt.h"
#include "service/reencrypt_record.h"
#include "service/submit.h"
#include "system_truth.h"

#define DOCS_MAX 24
#define TEXT_BYTES 48

static const uint8_t database[DATABASE_ID_BYTES] = {9};

/* --- a process's parts ----------------------------------------------------------------------- */

void documents_start(struct machine *m)
{
    if (submitter_new(&m->service, &m->service.submitter) != QK_OK ||
        reencrypt_new(&m->service, &m->service.reencrypt) != QK_OK)
        abort();
}

void documents_stop(struct machine *m)
{
    reencrypt_stop(m->service.reencrypt);
}

void documents_end(struct machine *m)
{
    reencrypt_free(m->service.reencrypt);
    submitter_free(m->service.submitter);
    m->service.reencrypt = NULL;
    m->service.submitter = NULL;
}

/* --- writing --------------------------------------------------------------------------------- */

struct write {
    struct machine *m;
    char name[16], text[TEXT_BYTES];
    struct record_key key;
    uint64_t version, seq; /* of the last evaluation, and of what was applied */
    bool applied;
};

static void acknowledge(struct write *write)
{
    struct system *sys = write->m->sys;
    struct bytes key = record_key_bytes(&write->key);
    struct acked *place = NULL;

    sys->acked_total++;
    for (unsigned i = 0; i < sys->acked_n; i++)
        if (bytes_equal(blob_bytes(sys->acked[i].key), key))
            place = &sys->acked[i];
    if (place == NULL) {
        assert(sys->acked_n < SYSTEM_ACKED_MAX);
        place = &sys->acked[sys->acked_n++];
        memset(place, 0, sizeof(*place));
        place->key = blob_new(key);
    }
    if (place->version >= write->version)
        return;
    blob_drop(place->value);
    place->value = blob_new(bytes_str(write->text));
    place->version = write->version;
    place->seq = write->seq;
}

static enum qk_err leaf_seal(struct service *service, const struct write *write,
                             struct doc_leaf *leaf, struct buf *envelope)
{
    uint8_t revision[REVISION_BYTES];
    struct bytes name = record_key_name(record_key_bytes(&write->key));
    struct envelope_aad aad;
    enum qk_err err = keyring_default(service->keyring, leaf->key_id, &leaf->key_version);

    if (err == QK_OK)
        err = period_take(service, leaf->key_id, leaf->key_version, strlen(write->text));
    if (err != QK_OK)
        return err;
    aad = stored_aad(service, database, name, leaf, revision);
    err = keyring_seal_envelope(service->keyring, leaf->key_id, leaf->key_version, false, &aad,
                                bytes_str(write->text), envelope);
    leaf->envelope = buf_bytes(envelope);
    leaf->body_bytes = (uint32_t)strlen(write->text);
    return err;
}

static enum qk_err value_make(struct service *service, const struct write *write,
                              uint8_t *ret_key_id, struct buf *value)
{
    struct buf envelope = BUF_INIT(KIB);
    struct doc_leaf leaf = {.revision = {(uint32_t)write->version, {0}},
                            .sealed_at = write->version};
    struct doc_record record = {&leaf, 1};
    struct doc_place place = {service->origin_id, database,
                              record_key_name(record_key_bytes(&write->key)), write->version};
    enum qk_err err = leaf_seal(service, write, &leaf, &envelope);

    if (err == QK_OK)
        err = doc_record_encode(keyring_integrity_key(service->keyring), &place, &record, value);
    memcpy(ret_key_id, leaf.key_id, KEY_ID_BYTES);
    buf_fini(&envelope);
    return err;
}

static enum qk_err evaluate(void *arg, struct wire_command *command)
{
    struct write *write = arg;
    struct service *service = &write->m->service;
    struct buf value = BUF_INIT(4 * KIB);
    uint8_t key_id[KEY_ID_BYTES];
    struct record record;
    enum qk_err err;

    if (write->applied)
        return QK_OK;
    write->version = 1;
    if (store_get(service->store, record_key_bytes(&write->key), &record) == QK_OK)
        write->version = record.version + 1;
    err = value_make(service, write, key_id, &value);
    if (err == QK_OK) {
        wire_command_batch(command);
        keys_cond(service, command, key_id);
        wire_command_put(command, record_key_bytes(&write->key), write->version,
                         WIRE_DOC | WIRE_KEYED, buf_bytes(&value));
        if (write->m->sys->bug == BUG_ACK_EARLY)
            acknowledge(write);
    }
    buf_fini(&value);
    return err;
}

static void applied(void *arg, size_t at, const struct wire_result *result)
{
    struct write *write = arg;

    (void)at;
    write->applied = result->ok;
    write->seq = result->seq;
}

static void done(void *arg, enum qk_err err)
{
    struct write *write = arg;

    if (err == QK_OK && write->applied)
        acknowledge(write);
    free(write);
}

void people_put(struct system *sys)
{
    static const struct submit_ops ops = {evaluate, applied, done};
    struct machine *m = people_leader(sys), *before = system_current;
    struct write *write;
    struct bytes key;

    if (m == NULL || m->dying || !service_is_open(&m->service))
        return;
    system_current = m;
    write = calloc(1, sizeof(*write));
    assert(write != NULL);
    write->m = m;
    snprintf(write->name, sizeof(write->name), "d%u", sim_below(sys->w, DOCS_MAX));
    snprintf(write->text, sizeof(write->text), "value %llu", (unsigned long long)++sys->docs_n);
    write->key = record_document(database, bytes_str(write->name));
    key = record_key_bytes(&write->key);
    if (submit_start(&m->service, &key, 1, &ops, write) != QK_OK)
        free(write);
    system_current = before;
}

/* --- what must hold: after each entry -------------------------------------------------------- */

/* Which version is active, as the records say it in the clear. */
static uint32_t active_of(const struct machine *m, const uint8_t *key_id)
{
    struct record_key key = record_data_key(key_id);
    const struct row *row = table_find(&m->mem, record_key_bytes(&key));
    struct reader reader;
    struct key_info info;

    if (row == NULL)
        return 0;
    reader = reader_of(blob_bytes(row->value));
    return key_info_read(&reader, &info) == QK_OK ? info.active : 0;
}

static void check_limits(struct machine *m)
{
    struct system *sys = m->sys;

    for (size_t i = 0; i < m->mem.keys_n && sys->period_records > 0; i++)
        if (m->mem.keys[i].sealed > sys->period_records)
            sim_fail(sys->w, "%llu bodies are sealed under version %u, and %llu may be",
                     (unsigned long long)m->mem.keys[i].sealed,
                     get_u32(m->mem.keys[i].id + KEY_ID_BYTES),
                     (unsigned long long)sys->period_records);
}

/* Bodies that stand under versions from before the last removal's deal, or another theft's. */
static uint64_t old_bodies(const struct machine *m)
{
    const struct truth *truth = m->sys->truth;
    uint64_t n = 0;

    for (size_t i = 0; i < m->mem.keys_n; i++)
        if (get_u32(m->mem.keys[i].id + KEY_ID_BYTES) < truth->fresh_version)
            n += m->mem.keys[i].bodies;
    return n;
}

/* Of the catalog, under a version that one who was removed may hold. */
static bool is_old_name(const struct machine *m, const struct row *row)
{
    enum record_space space;
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;

    return record_key_space(blob_bytes(row->key), &space) && space == RECORD_CATALOG &&
           envelope_peek(blob_bytes(row->value), key_id, &version) == QK_OK &&
           version < m->sys->truth->fresh_catalog;
}

static bool has_old_names(const struct machine *m)
{
    for (size_t i = 0; i < m->mem.n; i++)
        if (is_old_name(m, &m->mem.rows[i]))
            return true;
    return false;
}

static uint64_t old_sealed(const struct machine *m)
{
    const struct truth *truth = m->sys->truth;
    uint64_t n = 0;

    for (size_t i = 0; i < m->mem.keys_n; i++)
        if (get_u32(m->mem.keys[i].id + KEY_ID_BYTES) < truth->fresh_version)
            n += m->mem.keys[i].sealed;
    return n;
}

/* A deal is applied that leaves out somebody who knew the keys until now. */
void documents_dealt(struct machine *m)
{
    struct truth *truth = m->sys->truth;

    truth->fresh_catalog = active_of(m, keyring_catalog_id);
    if (m->mem.keys_n > 0) /* all of them are of one key */
        truth->fresh_version = active_of(m, m->mem.keys[0].id);
    truth->old_sealed = old_sealed(m);
}

/* On the first node that applies an entry; those whose disk was put back are not asked. */
void documents_applied(struct machine *m)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct truth *truth = m->sys->truth;
    struct reencrypt_record record;
    const struct row *row;

    if (m->mem.index <= truth->documents_index)
        return;
    truth->documents_index = m->mem.index;
    if (m->mem.keys_n > 0 && active_of(m, m->mem.keys[0].id) != truth->active) {
        m->sys->periods_n += truth->active > 0;
        truth->active = active_of(m, m->mem.keys[0].id);
    }
    check_limits(m);
    if (truth->fresh_version > 0 && old_sealed(m) != truth->old_sealed)
        sim_fail(m->sys->w, "something was sealed under a version that a removed node may hold");
    row = table_find(&m->mem, record_key_bytes(&key));
    if (row == NULL || row->version == truth->reencrypt_version)
        return;
    truth->reencrypt_version = row->version;
    if (reencrypt_record_decode(blob_bytes(row->value), &record) != QK_OK)
        sim_fail(m->sys->w, "a record of the re-encryption was committed that does not decode");
    else if (record.state == REENCRYPT_DONE) {
        m->sys->reencrypts_n++;
        if (has_old_names(m))
            sim_fail(m->sys->w, "re-encryption is done, and the catalog has old versions");
        if (old_bodies(m) > 0)
            sim_fail(m->sys->w, "re-encryption is done, and %llu bodies are under old versions",
                     (unsigned long long)old_bodies(m));
    }
}

/* --- and at the end -------------------------------------------------------------------------- */

static bool opens_as(struct machine *m, const struct row *row, struct bytes *ret_text,
                     struct buf *plain)
{
    struct bytes name = record_key_name(blob_bytes(row->key));
    struct doc_record record = DOC_RECORD_EMPTY;
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad;
    enum qk_err err =
        stored_decode(&m->service, database, name, row->version, blob_bytes(row->value), &record);

    if (err == QK_OK) {
        aad = stored_aad(&m->service, database, name, &record.leaves[0], revision);
        err = keyring_open_envelope(m->service.keyring, &aad, record.leaves[0].envelope, plain);
    }
    doc_record_fini(&record);
    *ret_text = buf_bytes(plain);
    return err == QK_OK;
}

static const char *fault_of(struct machine *m, const struct acked *acked)
{
    const struct row *row = table_find(&m->mem, blob_bytes(acked->key));
    struct buf plain = BUF_SECRET_INIT(KIB);
    const char *fault = NULL;
    struct bytes text;

    if (row == NULL || row->version < acked->version || row->seq < acked->seq)
        return "lacks an acknowledged write";
    if (!opens_as(m, row, &text, &plain))
        fault = "cannot open an acknowledged write";
    else if (row->seq == acked->seq && !bytes_equal(text, blob_bytes(acked->value)))
        fault = "has another body than was acknowledged";
    buf_fini(&plain);
    return fault;
}

bool documents_check(struct machine *m)
{
    struct system *sys = m->sys;
    struct machine *before = system_current;

    system_current = m;
    for (unsigned i = 0; i < sys->acked_n && sys->w->failure[0] == 0; i++) {
        const char *fault = fault_of(m, &sys->acked[i]);

        if (fault != NULL)
            sim_fail(sys->w, "m%u %s (version %llu)", m->at, fault,
                     (unsigned long long)sys->acked[i].version);
    }
    system_current = before;
    return sys->w->failure[0] == 0;
}

const char *documents_unfinished(const struct machine *leader)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    const struct row *row = table_find(&leader->mem, record_key_bytes(&key));
    struct reencrypt_record record;

    if (row != NULL && reencrypt_record_decode(blob_bytes(row->value), &record) == QK_OK &&
        record.state == REENCRYPT_WANTED)
        return "leads, and the re-encryption is not done";
    return NULL;
}

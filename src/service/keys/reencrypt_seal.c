#include "service/keys/reencrypt_seal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/record.h"
#include "keys/keyring.h"
#include "service/bodies.h"
#include "service/catalog.h"
#include "service/keys_current.h"
#include "service/leaf_seal.h"
#include "service/read.h"
#include "service/keys/reencrypt_private.h"
#include "wire/records.h"

/* --- counts --- */

void reencrypt_counts_fini(struct reencrypt_counts *counts)
{
    free(counts->items);
    *counts = (struct reencrypt_counts){0};
}

static int count_compare(const struct reencrypt_count *count, const uint8_t *key_id,
                         uint32_t version)
{
    int order = memcmp(count->key_id, key_id, KEY_ID_BYTES);

    return order != 0 ? order : count->version < version ? -1 : count->version > version;
}

/* The first that is not below. */
static size_t count_position(const struct reencrypt_counts *counts, const uint8_t *key_id,
                             uint32_t version)
{
    size_t low = 0, high = counts->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (count_compare(&counts->items[mid], key_id, version) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool count_is_at(const struct reencrypt_counts *counts, size_t at, const uint8_t *key_id,
                        uint32_t version)
{
    return at < counts->n && count_compare(&counts->items[at], key_id, version) == 0;
}

enum qk_err reencrypt_counts_add(struct reencrypt_counts *counts,
                                 const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                                 int by)
{
    size_t at = count_position(counts, key_id, version);

    if (!count_is_at(counts, at, key_id, version)) {
        if (by <= 0)
            return QK_OK;
        if (counts->n == counts->cap) {
            size_t cap = counts->cap == 0 ? 16 : 2 * counts->cap;
            struct reencrypt_count *items = reallocarray(counts->items, cap, sizeof(*items));

            if (items == NULL)
                return QK_ERR_NOMEM;
            counts->items = items;
            counts->cap = cap;
        }
        memmove(&counts->items[at + 1], &counts->items[at],
                (counts->n - at) * sizeof(*counts->items));
        counts->items[at] = (struct reencrypt_count){.version = version};
        memcpy(counts->items[at].key_id, key_id, KEY_ID_BYTES);
        counts->n++;
    }
    if (by > 0)
        counts->items[at].n += (uint64_t)by;
    else if (counts->items[at].n >= (uint64_t)-by)
        counts->items[at].n -= (uint64_t)-by;
    return QK_OK;
}

uint64_t reencrypt_counts_of(const struct reencrypt_counts *counts,
                             const uint8_t key_id[static KEY_ID_BYTES], uint32_t version)
{
    size_t at = count_position(counts, key_id, version);

    return count_is_at(counts, at, key_id, version) ? counts->items[at].n : 0;
}

/* --- looking --- */

static bool is_catalog(struct bytes key)
{
    enum record_space space;

    return record_key_space(key, &space) && space == RECORD_CATALOG;
}

bool reencrypt_concerns(struct bytes key, uint8_t flags)
{
    enum record_space space;

    /* Of a database: documents, _local ones among them. */
    return record_key_space(key, &space) ? space == RECORD_CATALOG : (flags & WIRE_KEYED) != 0;
}

static bool is_fresh(const struct service *service, const uint8_t *key_id, uint32_t version)
{
    return service->reencrypt != NULL &&
           reencrypt_is_fresh(&service->reencrypt->record, key_id, version);
}

/* QK_OK and the active version if `version` is another one of that key. What is under a destroyed
 * one stays as it is: nobody can open it. */
static enum qk_err key_look(const struct service *service, const uint8_t *key_id, uint32_t version,
                            bool *ret_old, uint32_t *ret_active)
{
    struct keyring_info info;
    enum qk_err err = keyring_info_of(service->keyring, key_id, &info);

    if (err != QK_OK)
        return err;
    *ret_active = info.active;
    *ret_old = version != info.active && !is_fresh(service, key_id, version) &&
               keyring_version_check(service->keyring, key_id, version) != QK_ERR_DESTROYED;
    return QK_OK;
}

static enum qk_err look_one(const struct service *service, const uint8_t *key_id, uint32_t version,
                            int by, struct reencrypt_counts *counts, bool *old)
{
    uint32_t active;
    bool is_old = false;
    enum qk_err err = key_look(service, key_id, version, &is_old, &active);

    if (err != QK_OK || !is_old)
        return err;
    *old = true;
    return counts == NULL ? QK_OK : reencrypt_counts_add(counts, key_id, version, by);
}

static enum qk_err look_catalog(const struct service *service, const struct record *record, int by,
                                struct reencrypt_counts *counts, bool *old)
{
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err err = envelope_peek(record->value, key_id, &version);

    return err != QK_OK ? err : look_one(service, key_id, version, by, counts, old);
}

static enum qk_err look_document(struct service *service, struct bytes key,
                                 const struct record *record, int by,
                                 struct reencrypt_counts *counts, bool *old)
{
    struct doc_record document = DOC_RECORD_EMPTY;
    enum qk_err err = stored_decode(service, key.data, record_key_name(key), record->version,
                                    record->value, &document);

    for (unsigned i = 0; i < document.leaves_n && err == QK_OK; i++) {
        const struct doc_leaf *leaf = &document.leaves[i];

        err = look_one(service, leaf->key_id, leaf->key_version, by, counts, old);
        *old = *old || bodies_are_to_seal(service, key.data, leaf->envelope);
    }
    doc_record_fini(&document);
    return err;
}

enum qk_err reencrypt_look(struct service *service, struct bytes key, const struct record *record,
                           int by, struct reencrypt_counts *counts, bool *ret_old)
{
    bool old = false;
    enum qk_err err = is_catalog(key) ? look_catalog(service, record, by, counts, &old)
                                      : look_document(service, key, record, by, counts, &old);

    if (err == QK_OK)
        *ret_old = old;
    return err;
}

/* --- sealing --- */

static enum qk_err seal_catalog(struct service *service, struct bytes key,
                                const struct record *record, struct wire_command *command)
{
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err = catalog_reseal(service, key, record->version, record->value, &value);

    if (err == QK_OK) {
        wire_command_batch(command);
        keys_cond(service, command, keyring_catalog_id);
        wire_command_put(command, key, record->version + 1, record->flags, buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

/* Opens one leaf and seals it for the record's next version; `envelope` keeps the bytes. */
static enum qk_err leaf_reseal(struct service *service, struct bytes key, uint64_t next_version,
                               struct doc_leaf *leaf, struct buf *envelope)
{
    uint32_t active = 0;
    bool old = false, to_seal = bodies_are_to_seal(service, key.data, leaf->envelope);
    enum qk_err err = key_look(service, leaf->key_id, leaf->key_version, &old, &active);
    const struct leaf_seal to = {leaf->key_id, active, next_version,
                                 envelope_is_clear(leaf->envelope) && !to_seal};

    if (err != QK_OK || (!old && !to_seal))
        return err;
    return leaf_seal_anew(service, key.data, record_key_name(key), &to, leaf, envelope);
}

static bool is_first_of_key(const struct doc_record *document, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (memcmp(document->leaves[i].key_id, document->leaves[at].key_id, KEY_ID_BYTES) == 0)
            return false;
    return true;
}

static bool document_is_clear(const struct doc_record *document)
{
    for (unsigned i = 0; i < document->leaves_n; i++)
        if (envelope_is_clear(document->leaves[i].envelope))
            return true;
    return false;
}

/* Under the condition that the versions taken for the active ones still are, and, of what is clear,
 * that the database keeps its bodies as it did. */
static enum qk_err seal_leaves(struct service *service, struct bytes key,
                               const struct record *record, struct doc_record *document,
                               struct buf *envelopes, struct wire_command *command)
{
    struct doc_place place = {service->origin_id, key.data, record_key_name(key),
                              record->version + 1};
    const struct catalog_database *database =
        document_is_clear(document) ? catalog_database_of(service->catalog, key.data) : NULL;
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err = QK_OK;

    for (unsigned i = 0; i < document->leaves_n && err == QK_OK; i++)
        err = leaf_reseal(service, key, record->version + 1, &document->leaves[i], &envelopes[i]);
    if (err == QK_OK)
        err = doc_record_encode(keyring_integrity_key(service->keyring), &place, document, &value);
    if (err == QK_OK) {
        wire_command_batch(command);
        for (unsigned i = 0; i < document->leaves_n; i++)
            if (is_first_of_key(document, i))
                keys_cond(service, command, document->leaves[i].key_id);
        if (database != NULL)
            wire_command_cond(command, bytes_of(database->key, CATALOG_KEY_BYTES),
                              database->record_version);
        wire_command_put(command, key, record->version + 1,
                         record->flags | ((record->flags & WIRE_DOC) != 0 ? WIRE_SAME_SEQ : 0),
                         buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err seal_document(struct service *service, struct bytes key,
                                 const struct record *record, struct wire_command *command)
{
    struct doc_record document = DOC_RECORD_EMPTY;
    struct buf *envelopes = NULL;
    enum qk_err err = stored_decode(service, key.data, record_key_name(key), record->version,
                                    record->value, &document);

    if (err != QK_OK)
        goto out;
    envelopes = calloc(document.leaves_n, sizeof(*envelopes));
    err = QK_ERR_NOMEM;
    if (envelopes == NULL)
        goto out;
    for (unsigned i = 0; i < document.leaves_n; i++)
        envelopes[i] = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    err = seal_leaves(service, key, record, &document, envelopes, command);

out:
    for (unsigned i = 0; envelopes != NULL && i < document.leaves_n; i++)
        buf_fini(&envelopes[i]);
    free(envelopes);
    doc_record_fini(&document);
    return err;
}

enum qk_err reencrypt_seal(struct service *service, struct bytes key, const struct record *record,
                           struct wire_command *command)
{
    return is_catalog(key) ? seal_catalog(service, key, record, command)
                           : seal_document(service, key, record, command);
}

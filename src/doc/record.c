#include "doc/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_uses.h"
#include "secret/crypto.h"

/* --- the mac --- */

static enum qk_err record_mac(const struct secret *key, const struct doc_place *place,
                              struct bytes keys, struct bytes header,
                              uint8_t ret_mac[static DOC_RECORD_MAC_BYTES])
{
    uint8_t head[4 + 8], mac[HASH_BYTES];
    enum qk_err err;

    put_u32(head, (uint32_t)place->document_id.len);
    put_u64(head + 4, place->record_version);
    const struct bytes parts[] = {
        bytes_of(place->cluster, CLUSTER_ID_BYTES),
        bytes_of(place->database, DATABASE_ID_BYTES),
        bytes_of(head, sizeof(head)),
        place->document_id,
        keys, /* its first byte tells its length */
        header,
    };
    err = mac_compute(key, "revision record", parts, sizeof(parts) / sizeof(parts[0]), mac);
    if (err == QK_OK)
        memcpy(ret_mac, mac, DOC_RECORD_MAC_BYTES);
    return err;
}

/* Nothing of the header is believed before this says yes. The mac is public data, but a comparison
 * in constant time tells a forger nothing about how near a guess was. */
static enum qk_err record_authenticate(const struct secret *key, const struct doc_place *place,
                                       struct bytes keys, struct bytes header, const uint8_t *mac)
{
    uint8_t expected[DOC_RECORD_MAC_BYTES];
    uint8_t difference = 0;
    enum qk_err err;
    size_t i;

    err = record_mac(key, place, keys, header, expected);
    if (err != QK_OK)
        return err;
    for (i = 0; i < DOC_RECORD_MAC_BYTES; i++)
        difference |= (uint8_t)(expected[i] ^ mac[i]);
    return difference == 0 ? QK_OK : QK_ERR_CORRUPT;
}

/* --- decoding --- */

struct record_reader {
    struct key_uses keys;
    struct reader header;
    struct reader envelopes;
    unsigned leaves_n;
};

static enum qk_err record_open(const struct secret *key, const struct doc_place *place,
                               struct bytes value, struct record_reader *ret_in)
{
    struct bytes rest, mac, header;
    struct reader in;
    uint8_t format;
    enum qk_err err;

    if (key_uses_open(value, &ret_in->keys, &rest) != QK_OK)
        return QK_ERR_CORRUPT;
    in = reader_of(rest);
    format = reader_u8(&in);
    mac = reader_bytes(&in, DOC_RECORD_MAC_BYTES);
    header = reader_blob(&in, value.len);
    if (reader_error(&in) != QK_OK || format != DOC_RECORD_FORMAT)
        return QK_ERR_CORRUPT;
    err = record_authenticate(key, place, bytes_slice(value, 0, value.len - rest.len), header,
                              mac.data);
    if (err != QK_OK)
        return err;
    ret_in->header = reader_of(header);
    ret_in->envelopes = reader_of(reader_rest(&in));
    ret_in->leaves_n = reader_u16(&ret_in->header);
    if (ret_in->leaves_n == 0 || ret_in->leaves_n > DOC_RECORD_LEAVES_MAX)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

static enum qk_err record_read_key(const struct record_reader *in, unsigned at,
                                   struct doc_leaf *leaf)
{
    struct key_uses keys = in->keys;
    struct key_use use;

    do
        if (!key_uses_next(&keys, &use))
            return QK_ERR_CORRUPT;
    while (at-- > 0);
    memcpy(leaf->key_id, use.key_id, DOC_KEY_ID_BYTES);
    leaf->key_version = use.version;
    return QK_OK;
}

static enum qk_err record_read_leaf(struct record_reader *in, struct doc_leaf *ret_leaf)
{
    struct reader *header = &in->header;
    uint8_t flags = reader_u8(header), key;
    uint32_t envelope_bytes;

    ret_leaf->deleted = (flags & DOC_RECORD_LEAF_DELETED) != 0;
    ret_leaf->revision.generation = reader_u32(header);
    reader_copy(header, ret_leaf->revision.hash, REVISION_HASH_BYTES);
    key = reader_u8(header);
    ret_leaf->sealed_at = reader_u64(header);
    ret_leaf->body_bytes = reader_u32(header);
    envelope_bytes = reader_u32(header);
    ret_leaf->path = reader_bytes(header, (size_t)reader_u16(header) * REVISION_HASH_BYTES);
    ret_leaf->attachments = reader_bytes(header, (size_t)reader_u16(header) * ATTACHMENT_ID_BYTES);
    ret_leaf->envelope = reader_bytes(&in->envelopes, envelope_bytes);
    if (reader_error(header) != QK_OK || reader_error(&in->envelopes) != QK_OK)
        return QK_ERR_CORRUPT;
    if ((flags & ~DOC_RECORD_LEAF_DELETED) != 0 || ret_leaf->revision.generation == 0)
        return QK_ERR_CORRUPT;
    return record_read_key(in, key, ret_leaf);
}

static enum qk_err record_read_end(const struct record_reader *in)
{
    if (reader_end(&in->header) != QK_OK || reader_end(&in->envelopes) != QK_OK)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

enum qk_err doc_record_decode(const struct secret *integrity_key, const struct doc_place *place,
                              struct bytes value, struct doc_record *ret_record)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    struct record_reader in;
    enum qk_err err;

    assert(integrity_key != NULL && place != NULL && ret_record != NULL);

    err = record_open(integrity_key, place, value, &in);
    if (err != QK_OK)
        return err;
    record.leaves = calloc(in.leaves_n, sizeof(*record.leaves));
    if (record.leaves == NULL)
        return QK_ERR_NOMEM;
    while (err == QK_OK && record.leaves_n < in.leaves_n)
        err = record_read_leaf(&in, &record.leaves[record.leaves_n++]);
    if (err == QK_OK)
        err = record_read_end(&in);
    if (err != QK_OK) {
        doc_record_fini(&record);
        return err;
    }
    *ret_record = record;
    return QK_OK;
}

enum qk_err doc_record_decode_winner(const struct secret *integrity_key,
                                     const struct doc_place *place, struct bytes value,
                                     struct doc_leaf *ret_leaf, unsigned *ret_leaves_n)
{
    struct record_reader in;
    enum qk_err err;

    assert(integrity_key != NULL && ret_leaf != NULL && ret_leaves_n != NULL);

    err = record_open(integrity_key, place, value, &in);
    if (err != QK_OK)
        return err;
    err = record_read_leaf(&in, ret_leaf);
    if (err != QK_OK)
        return err;
    *ret_leaves_n = in.leaves_n;
    return QK_OK;
}

void doc_record_fini(struct doc_record *record)
{
    free(record->leaves);
    *record = DOC_RECORD_EMPTY;
}

/* --- encoding --- */

int doc_record_leaf_compare(const struct doc_leaf *a, const struct doc_leaf *b)
{
    if (a->deleted != b->deleted)
        return a->deleted ? -1 : 1;
    return revision_compare(&a->revision, &b->revision);
}

static int leaf_order(const void *a, const void *b)
{
    return doc_record_leaf_compare(b, a);
}

/* The leaf's place in the list of keys, to which it is added. */
static enum qk_err key_place(struct key_use *uses, unsigned *uses_n, const struct doc_leaf *leaf,
                             const struct doc_place *place, uint8_t *ret_place)
{
    bool sealed = leaf->sealed_at == place->record_version;
    unsigned at = 0;

    while (at < *uses_n && (uses[at].version != leaf->key_version ||
                            memcmp(uses[at].key_id, leaf->key_id, DOC_KEY_ID_BYTES) != 0))
        at++;
    if (at == KEY_USES_MAX)
        return QK_ERR_TOO_BIG;
    if (at == *uses_n) {
        uses[at] = (struct key_use){.version = leaf->key_version};
        memcpy(uses[at].key_id, leaf->key_id, DOC_KEY_ID_BYTES);
        ++*uses_n;
    }
    uses[at].bodies++;
    uses[at].sealed = (uint16_t)(uses[at].sealed + sealed);
    uses[at].sealed_bytes += sealed ? leaf->body_bytes : 0;
    *ret_place = (uint8_t)at;
    return QK_OK;
}

static void record_put_leaf(const struct doc_leaf *leaf, uint8_t key, struct buf *out)
{
    assert(leaf->path.len % REVISION_HASH_BYTES == 0);
    assert(leaf->path.len / REVISION_HASH_BYTES <= DOC_RECORD_PATH_MAX);
    assert(leaf->attachments.len % ATTACHMENT_ID_BYTES == 0);
    assert(leaf->attachments.len / ATTACHMENT_ID_BYTES <= ATTACHMENTS_MAX);
    assert(leaf->envelope.len <= UINT32_MAX);

    buf_put_u8(out, leaf->deleted ? DOC_RECORD_LEAF_DELETED : 0);
    buf_put_u32(out, leaf->revision.generation);
    buf_put(out, leaf->revision.hash, REVISION_HASH_BYTES);
    buf_put_u8(out, key);
    buf_put_u64(out, leaf->sealed_at);
    buf_put_u32(out, leaf->body_bytes);
    buf_put_u32(out, (uint32_t)leaf->envelope.len);
    buf_put_u16(out, (uint16_t)(leaf->path.len / REVISION_HASH_BYTES));
    buf_put_bytes(out, leaf->path);
    buf_put_u16(out, (uint16_t)(leaf->attachments.len / ATTACHMENT_ID_BYTES));
    buf_put_bytes(out, leaf->attachments);
}

/* The leaves' header, and the list of their keys. */
static enum qk_err record_put_header(const struct doc_place *place, const struct doc_record *record,
                                     struct buf *keys, struct buf *header)
{
    /* No more keys than leaves: of the one leaf that most have, no list of the longest. */
    unsigned uses_max = record->leaves_n < KEY_USES_MAX ? record->leaves_n : KEY_USES_MAX;
    struct key_use *uses = calloc(uses_max, sizeof(*uses));
    enum qk_err err = uses == NULL ? QK_ERR_NOMEM : QK_OK;
    unsigned uses_n = 0;

    buf_put_u16(header, (uint16_t)record->leaves_n);
    for (unsigned i = 0; i < record->leaves_n && err == QK_OK; i++) {
        uint8_t key = 0;

        err = key_place(uses, &uses_n, &record->leaves[i], place, &key);
        if (err == QK_OK)
            record_put_leaf(&record->leaves[i], key, header);
    }
    if (err == QK_OK) {
        key_uses_put(uses, uses_n, keys);
        err = buf_error(header);
    }
    free(uses);
    return err == QK_OK ? buf_error(keys) : err;
}

enum qk_err doc_record_encode(const struct secret *integrity_key, const struct doc_place *place,
                              struct doc_record *record, struct buf *out)
{
    struct buf keys = BUF_INIT(1 + KEY_USES_MAX * KEY_USE_BYTES);
    struct buf header = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    size_t envelopes_bytes = 0;
    uint8_t mac[DOC_RECORD_MAC_BYTES];
    enum qk_err err;

    assert(record->leaves_n > 0 && record->leaves_n <= DOC_RECORD_LEAVES_MAX);
    assert(place != NULL && out != NULL);

    qsort(record->leaves, record->leaves_n, sizeof(*record->leaves), leaf_order);
    err = record_put_header(place, record, &keys, &header);
    if (err == QK_OK)
        err = record_mac(integrity_key, place, buf_bytes(&keys), buf_bytes(&header), mac);
    if (err != QK_OK)
        goto out;
    for (unsigned i = 0; i < record->leaves_n; i++)
        envelopes_bytes += record->leaves[i].envelope.len;
    /* At once: grown step by step, an envelope would be copied as often as it doubles. */
    err = buf_reserve(out, keys.len + 1 + sizeof(mac) + 4 + header.len + envelopes_bytes);
    if (err != QK_OK)
        goto out;
    buf_put_bytes(out, buf_bytes(&keys));
    buf_put_u8(out, DOC_RECORD_FORMAT);
    buf_put(out, mac, sizeof(mac));
    buf_put_blob(out, buf_bytes(&header));
    for (unsigned i = 0; i < record->leaves_n; i++)
        buf_put_bytes(out, record->leaves[i].envelope);
    err = buf_error(out);

out:
    buf_fini(&keys);
    buf_fini(&header);
    return err;
}

/* --- the tree --- */

struct doc_leaf *doc_record_find(const struct doc_record *record, const struct revision *revision)
{
    unsigned i;

    for (i = 0; i < record->leaves_n; i++) {
        if (revision_equal(&record->leaves[i].revision, revision))
            return &record->leaves[i];
    }
    return NULL;
}

void doc_record_child_path(const struct doc_leaf *parent, unsigned limit, struct buf *out)
{
    assert(limit > 0 && limit <= DOC_RECORD_PATH_MAX);

    buf_put(out, parent->revision.hash, REVISION_HASH_BYTES);
    buf_put_bytes(out, bytes_slice(parent->path, 0, (size_t)(limit - 1) * REVISION_HASH_BYTES));
}

#include "service/keys/debug_record.h"

#include <assert.h>
#include <inttypes.h>

#include "base/encode.h"
#include "base/key_uses.h"
#include "doc/document.h"
#include "keys/keyring.h"
#include "service/catalog_record.h"
#include "service/read.h"
#include "wire/command.h"
#include "wire/records.h"

/* Bytes that are no text as \xNN. */
static void put_name(struct bytes name, struct buf *out)
{
    buf_put_str(out, "\"");
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.data[i];

        if (byte == '"' || byte == '\\')
            buf_printf(out, "\\%c", byte);
        else if (byte >= ' ' && byte < 0x7f)
            buf_put_u8(out, byte);
        else
            buf_printf(out, "\\\\x%02x", byte);
    }
    buf_put_str(out, "\"");
}

static void put_space(struct bytes key, struct buf *out)
{
    static const char *const spaces[] = {
        [RECORD_SYS] = "system", [RECORD_CATALOG] = "catalog", [RECORD_KEYRING] = "keyring"};
    char hex[2 * DATABASE_ID_BYTES + 1];
    enum record_space space;

    hex_encode(key.data, DATABASE_ID_BYTES, hex);
    buf_printf(out, "\"space\":\"%s\"", record_key_space(key, &space) ? spaces[space] : hex);
}

static void put_key(const uint8_t *key_id, uint32_t version, struct buf *out)
{
    char hex[2 * KEY_ID_BYTES + 1];

    hex_encode(key_id, KEY_ID_BYTES, hex);
    buf_printf(out, "\"%s/%" PRIu32 "\"", hex, version);
}

/* The data keys under which its bodies stand: in the clear. */
static void put_keys(struct bytes value, struct buf *out)
{
    struct key_uses uses;
    struct key_use use;
    bool first = true;

    if (key_uses_open(value, &uses, NULL) != QK_OK)
        return;
    buf_put_str(out, ",\"keys\":[");
    for (; key_uses_next(&uses, &use); first = false) {
        buf_put_str(out, first ? "" : ",");
        put_key(use.key_id, use.version, out);
    }
    buf_put_str(out, "]");
}

static void put_envelope_key(struct bytes value, struct buf *out)
{
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;

    if (envelope_peek(value, key_id, &version) != QK_OK)
        return;
    buf_put_str(out, ",\"keys\":[");
    put_key(key_id, version, out);
    buf_put_str(out, "]");
}

static void put_damaged(enum qk_err err, struct buf *out)
{
    buf_put_str(out, ",\"damaged\":");
    put_name(bytes_str(qk_err_text(err)), out);
}

/* --- bodies ---------------------------------------------------------------------------------- */

static enum qk_err put_leaf(const struct service *keys, const struct debug_record *record,
                            const struct doc_leaf *leaf, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    char text[REVISION_TEXT_BYTES_MAX + 1];
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad =
        stored_aad(keys, record->key.data, record_key_name(record->key), leaf, revision);
    struct document_parts parts;
    enum qk_err err = keyring_open_body(keys->keyring, &aad, leaf->envelope, true, &plain);

    if (err == QK_OK)
        err = document_plain_open(buf_bytes(&plain), &parts);
    if (err == QK_OK) {
        revision_format(&leaf->revision, text);
        buf_printf(out, ",\"revision\":\"%s\",\"body\":", text);
        buf_put_bytes(out, parts.body);
    }
    buf_fini(&plain);
    return err;
}

static enum qk_err put_document(const struct service *keys, const struct debug_record *record,
                                struct buf *out)
{
    struct doc_place place = {keys->origin_id, record->key.data, record_key_name(record->key),
                              record->version};
    struct doc_record document = DOC_RECORD_EMPTY;
    enum qk_err err =
        doc_record_decode(keyring_integrity_key(keys->keyring), &place, record->value, &document);

    if (err == QK_OK && document.leaves_n > 0)
        err = put_leaf(keys, record, &document.leaves[0], out);
    doc_record_fini(&document);
    return err;
}

static enum qk_err put_catalog(const struct service *keys, const struct debug_record *record,
                               struct buf *out)
{
    static const char *const kinds[] = {[CATALOG_DATABASE] = "database",
                                        [CATALOG_USER] = "user",
                                        [CATALOG_GRANTS] = "grants",
                                        [CATALOG_TOKEN] = "token",
                                        [CATALOG_POLICY] = "policy"};
    struct catalog_entry *entry = NULL;
    enum qk_err err = catalog_entry_open(keys, record->key, record->version, record->value, &entry);

    if (err == QK_OK && entry != NULL) {
        buf_printf(out, ",\"kind\":\"%s\"", kinds[entry->kind]);
        if (entry->kind == CATALOG_DATABASE || entry->kind == CATALOG_USER) {
            buf_put_str(out, ",\"of\":");
            put_name(bytes_str(entry->kind == CATALOG_DATABASE ? entry->database.name
                                                               : entry->user.name),
                     out);
        }
    }
    catalog_entry_free(entry);
    return err;
}

/* Keys are told by their names alone: no tool prints a key. */
enum qk_err debug_record_put_body(const struct service *keys, const struct debug_record *record,
                                  struct buf *out)
{
    enum record_space space;
    bool system = record_key_space(record->key, &space);
    enum qk_err err = QK_OK;

    assert(keys != NULL && out->secret);

    if ((record->flags & WIRE_DOC) != 0)
        err = put_document(keys, record, out);
    else if (system && space == RECORD_CATALOG)
        err = put_catalog(keys, record, out);
    if (err != QK_OK)
        put_damaged(err, out);
    return buf_error(out);
}

enum qk_err debug_record_put(const struct service *keys, const struct debug_record *record,
                             struct buf *out)
{
    bool doc = (record->flags & WIRE_DOC) != 0;
    enum record_space space;
    bool system = record_key_space(record->key, &space);

    put_space(record->key, out);
    buf_put_str(out, ",\"name\":");
    put_name(record_key_name(record->key), out);
    buf_printf(out, ",\"version\":%" PRIu64, record->version);
    if (record->seq != 0)
        buf_printf(out, ",\"seq\":%" PRIu64, record->seq);
    if (record->stamp != 0)
        buf_printf(out, ",\"stamp\":%" PRIu64, record->stamp);
    buf_printf(out, ",\"bytes\":%zu", record->value.len);
    if ((record->flags & WIRE_DELETED) != 0)
        buf_put_str(out, ",\"deleted\":true");
    if (doc)
        put_keys(record->value, out);
    else if (system && space == RECORD_CATALOG)
        put_envelope_key(record->value, out);
    return keys == NULL ? buf_error(out) : debug_record_put_body(keys, record, out);
}

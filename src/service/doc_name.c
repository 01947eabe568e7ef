/* Where ids are hidden, a name is
 *
 *     0x01 ‖ siv_seal(index key, "doc" ‖ database id, id ‖ 0x80 ‖ 0 ...)
 *
 * the id padded to a multiple of 32 bytes (as far as a name may be long): what is left to see is
 * which names are equal, and a rounded length. The index key is never renewed, since names must be
 * found again: who holds an old master key and a later backup can open them (docs/design.md, 8).
 *
 * A _local document's name is 0xff 'l' and its id, or the same sealed. */
#include "service/doc_name.h"

#include <assert.h>
#include <string.h>

#include "keys/keyring.h"
#include "secret/crypto.h"

#define NAME_RESERVED 0xff
#define NAME_SEALED 0x01
#define NAME_PAD_STEP 32u
#define NAME_PAD_END 0x80

#define PREFIX_BYTES_MAX 2

/* A kind of names: what stands before the id, and what binds the sealed ones to it. */
struct kind {
    const char *label;
    size_t prefix_len, sealed_prefix_len;
    uint8_t prefix[PREFIX_BYTES_MAX], sealed_prefix[PREFIX_BYTES_MAX];
};

static const struct kind kind_document = {"doc", 0, 1, {0}, {NAME_SEALED}};
static const struct kind kind_local = {"local", 2, 2, {NAME_RESERVED, 'l'}, {NAME_RESERVED, 'l'}};

#define CONTEXT_BYTES_MAX (8 + DATABASE_ID_BYTES)

static struct bytes name_context(const struct kind *kind, const uint8_t *database,
                                 uint8_t ret_context[static CONTEXT_BYTES_MAX])
{
    size_t len = strlen(kind->label);

    memcpy(ret_context, kind->label, len);
    memcpy(ret_context + len, database, DATABASE_ID_BYTES);
    return bytes_of(ret_context, len + DATABASE_ID_BYTES);
}

static enum qk_err name_pad(struct bytes id, size_t bytes_max, struct buf *out)
{
    size_t len = (id.len + NAME_PAD_STEP) / NAME_PAD_STEP * NAME_PAD_STEP;

    if (id.len >= bytes_max)
        return QK_ERR_TOO_BIG;
    buf_put_bytes(out, id);
    buf_put_u8(out, NAME_PAD_END);
    while (out->len < len && out->len < bytes_max && buf_error(out) == QK_OK)
        buf_put_u8(out, 0);
    return buf_error(out);
}

static enum qk_err name_seal(const struct service *service, const struct kind *kind,
                             const uint8_t *database, struct bytes id, struct record_key *ret_key)
{
    struct buf plain = BUF_SECRET_INIT(RECORD_NAME_BYTES_MAX);
    struct buf name = BUF_INIT(RECORD_NAME_BYTES_MAX);
    uint8_t context[CONTEXT_BYTES_MAX];
    enum qk_err err;

    buf_put(&name, kind->sealed_prefix, kind->sealed_prefix_len);
    err = name_pad(id, RECORD_NAME_BYTES_MAX - SIV_TAG_BYTES - name.len, &plain);
    if (err == QK_OK)
        err = siv_seal(keyring_index_key(service->keyring), name_context(kind, database, context),
                       buf_bytes(&plain), &name);
    if (err == QK_OK)
        *ret_key = record_document(database, buf_bytes(&name));
    buf_fini(&plain);
    buf_fini(&name);
    return err;
}

static enum qk_err name_open(const struct service *service, const struct kind *kind,
                             const uint8_t *database, struct bytes name, struct buf *scratch,
                             struct bytes *ret_id)
{
    struct bytes prefix = bytes_of(kind->sealed_prefix, kind->sealed_prefix_len);
    uint8_t context[CONTEXT_BYTES_MAX];
    enum qk_err err;
    size_t len;

    assert(scratch->secret);

    buf_reset(scratch);
    if (!bytes_starts_with(name, prefix))
        return QK_ERR_CORRUPT;
    err = siv_open(keyring_index_key(service->keyring), name_context(kind, database, context),
                   bytes_slice(name, prefix.len, SIZE_MAX), scratch);
    if (err != QK_OK)
        return err;
    for (len = scratch->len; len > 0 && scratch->data[len - 1] == 0;)
        len--;
    if (len == 0 || scratch->data[len - 1] != NAME_PAD_END)
        return QK_ERR_CORRUPT;
    *ret_id = bytes_of(scratch->data, len - 1);
    return QK_OK;
}

static enum qk_err key_of_id(const struct service *service, const struct kind *kind,
                             const uint8_t *database, bool hidden, struct bytes id,
                             struct record_key *ret_key)
{
    uint8_t name[RECORD_NAME_BYTES_MAX];

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    if (hidden)
        return name_seal(service, kind, database, id, ret_key);
    if (id.len > RECORD_NAME_BYTES_MAX - kind->prefix_len)
        return QK_ERR_TOO_BIG;
    memcpy(name, kind->prefix, kind->prefix_len);
    if (id.len > 0)
        memcpy(name + kind->prefix_len, id.data, id.len);
    *ret_key = record_document(database, bytes_of(name, kind->prefix_len + id.len));
    return QK_OK;
}

static enum qk_err key_to_id(const struct service *service, const struct kind *kind,
                             const uint8_t *database, bool hidden, struct bytes name,
                             struct buf *scratch, struct bytes *ret_id)
{
    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    if (hidden)
        return name_open(service, kind, database, name, scratch, ret_id);
    if (!bytes_starts_with(name, bytes_of(kind->prefix, kind->prefix_len)))
        return QK_ERR_CORRUPT;
    *ret_id = bytes_slice(name, kind->prefix_len, SIZE_MAX);
    return QK_OK;
}

enum qk_err doc_name_of_id(const struct service *service,
                           const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                           struct bytes id, struct record_key *ret_key)
{
    return key_of_id(service, &kind_document, database, hidden, id, ret_key);
}

enum qk_err doc_name_to_id(const struct service *service,
                           const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                           struct bytes name, struct buf *scratch, struct bytes *ret_id)
{
    return key_to_id(service, &kind_document, database, hidden, name, scratch, ret_id);
}

enum qk_err doc_name_of_local(const struct service *service,
                              const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                              struct bytes id, struct record_key *ret_key)
{
    return key_of_id(service, &kind_local, database, hidden, id, ret_key);
}

enum qk_err doc_name_to_local(const struct service *service,
                              const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                              struct bytes name, struct buf *scratch, struct bytes *ret_id)
{
    return key_to_id(service, &kind_local, database, hidden, name, scratch, ret_id);
}

bool doc_name_is_document(struct bytes name)
{
    return name.len > 0 && name.data[0] != NAME_RESERVED;
}

struct record_key doc_name_end(const uint8_t database[static DATABASE_ID_BYTES])
{
    static const uint8_t reserved = NAME_RESERVED;

    return record_document(database, bytes_of(&reserved, 1));
}

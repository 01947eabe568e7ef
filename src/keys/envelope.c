#include "keys/envelope.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#define MAGIC "QKE1"
#define COMMITTED_BYTES 52 /* magic to salt: what Ke ‖ Kc derive from */
#define KEY_VERSION_AT 24
#define SALT_AT 28
#define REVISION_BYTES_MAX 64
/* Every field after its 32-bit length, the eight of struct envelope_aad and the header. */
#define AAD_BYTES_MAX                                                                              \
    (8 * 4 + CLUSTER_ID_BYTES + DATABASE_ID_BYTES + RECORD_KEY_BYTES_MAX + REVISION_BYTES_MAX +    \
     8 + 1 + 1 + ENVELOPE_HEADER_BYTES)

_Static_assert(COMMITTED_BYTES + KEY_BYTES == ENVELOPE_HEADER_BYTES, "header layout");
_Static_assert(SALT_AT + ENVELOPE_SALT_BYTES == COMMITTED_BYTES, "header layout");

/* The additional data, on the caller's stack: nothing in it is secret. */
struct aad {
    uint8_t bytes[AAD_BYTES_MAX];
    size_t len;
};

static void aad_field(struct aad *aad, const void *data, size_t len)
{
    assert(aad->len + 4 + len <= sizeof aad->bytes);
    put_u32(aad->bytes + aad->len, (uint32_t)len);
    if (len > 0)
        memcpy(aad->bytes + aad->len + 4, data, len);
    aad->len += 4 + len;
}

static enum qk_err aad_build(const struct envelope_aad *in, const uint8_t *header,
                             struct aad *ret_aad)
{
    uint8_t version[8], deleted = in->deleted ? 1 : 0;

    if (in->document_id.len > RECORD_KEY_BYTES_MAX || in->revision.len > REVISION_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    ret_aad->len = 0;
    put_u64(version, in->record_version);
    aad_field(ret_aad, in->cluster, sizeof in->cluster);
    aad_field(ret_aad, in->database, sizeof in->database);
    aad_field(ret_aad, in->document_id.data, in->document_id.len);
    aad_field(ret_aad, in->revision.data, in->revision.len);
    aad_field(ret_aad, version, sizeof version);
    aad_field(ret_aad, &deleted, 1);
    aad_field(ret_aad, &in->record_kind, 1);
    aad_field(ret_aad, header, ENVELOPE_HEADER_BYTES);
    return QK_OK;
}

/* The header without its commitment. The salt comes from the pool of public randomness, anew at
 * every call: a proposal that is tried again is sealed again. */
static void header_begin(enum envelope_suite suite, const uint8_t *key_id, uint32_t key_version,
                         uint8_t *ret_header)
{
    memcpy(ret_header, MAGIC, 4);
    ret_header[4] = (uint8_t)suite;
    ret_header[5] = 0;
    put_u16(ret_header + 6, ENVELOPE_HEADER_BYTES);
    memcpy(ret_header + 8, key_id, KEY_ID_BYTES);
    put_u32(ret_header + KEY_VERSION_AT, key_version);
    random_fill(ret_header + SALT_AT, ENVELOPE_SALT_BYTES);
}

/* The additional data has a length of its own inside, so that no byte moves over to the body. */
static enum qk_err clear_mac(const struct secret *ke, struct bytes aad, struct bytes plain,
                             uint8_t ret_mac[static HASH_BYTES])
{
    uint8_t len[4];
    const struct bytes parts[] = {bytes_of(len, sizeof len), aad, plain};

    put_u32(len, (uint32_t)aad.len);
    return mac_compute(ke, "clear", parts, 3, ret_mac);
}

static enum qk_err clear_seal(const struct secret *ke, struct bytes aad, struct bytes plain,
                              struct buf *out)
{
    uint8_t mac[HASH_BYTES];
    enum qk_err err = clear_mac(ke, aad, plain, mac);

    if (err != QK_OK)
        return err;
    buf_put_bytes(out, plain);
    buf_put(out, mac, AEAD_TAG_BYTES);
    return buf_error(out);
}

static enum qk_err clear_open(const struct secret *ke, struct bytes aad, struct bytes sealed,
                              struct buf *out)
{
    struct bytes plain = bytes_slice(sealed, 0, sealed.len - AEAD_TAG_BYTES);
    uint8_t mac[HASH_BYTES];
    enum qk_err err = clear_mac(ke, aad, plain, mac);

    if (err != QK_OK)
        return err;
    if (sodium_memcmp(mac, plain.data + plain.len, AEAD_TAG_BYTES) != 0)
        return QK_ERR_CORRUPT;
    buf_put_bytes(out, plain);
    return buf_error(out);
}

static enum qk_err suite_seal(enum envelope_suite suite, const struct secret *ke, struct bytes aad,
                              struct bytes plain, struct buf *out)
{
    switch (suite) {
    case ENVELOPE_XCHACHA20POLY1305:
        return aead_seal_once(AEAD_XCHACHA20POLY1305, ke, aad, plain, out);
    case ENVELOPE_AES256GCM:
        return aead_seal_once(AEAD_AES256GCM, ke, aad, plain, out);
    case ENVELOPE_CLEAR:
        return clear_seal(ke, aad, plain, out);
    }
    return QK_ERR_UNSUPPORTED;
}

static enum qk_err suite_open(uint8_t suite, const struct secret *ke, struct bytes aad,
                              struct bytes sealed, struct buf *out)
{
    switch (suite) {
    case ENVELOPE_XCHACHA20POLY1305:
        return aead_open_once(AEAD_XCHACHA20POLY1305, ke, aad, sealed, out);
    case ENVELOPE_AES256GCM:
        return aead_open_once(AEAD_AES256GCM, ke, aad, sealed, out);
    case ENVELOPE_CLEAR:
        return clear_open(ke, aad, sealed, out);
    }
    return QK_ERR_UNSUPPORTED;
}

enum qk_err envelope_seal(const struct secret *data_key, const uint8_t key_id[static KEY_ID_BYTES],
                          uint32_t key_version, const struct envelope_aad *aad, struct bytes plain,
                          struct buf *out)
{
    return envelope_seal_in(ENVELOPE_XCHACHA20POLY1305, data_key, key_id, key_version, aad, plain,
                            out);
}

enum qk_err envelope_seal_in(enum envelope_suite suite, const struct secret *data_key,
                             const uint8_t key_id[static KEY_ID_BYTES], uint32_t key_version,
                             const struct envelope_aad *aad, struct bytes plain, struct buf *out)
{
    uint8_t header[ENVELOPE_HEADER_BYTES];
    struct secret *ke = NULL;
    struct aad full;
    size_t at = out->len;
    enum qk_err err;

    if (plain.len > ENVELOPE_PLAIN_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    header_begin(suite, key_id, key_version, header);
    secret_scope_begin();
    err = kdf_derive_pair(data_key, "qk.record.v1", bytes_of(header, COMMITTED_BYTES), &ke,
                          header + COMMITTED_BYTES);
    if (err == QK_OK)
        err = aad_build(aad, header, &full);
    if (err == QK_OK)
        err = buf_reserve(out, plain.len + ENVELOPE_OVERHEAD_BYTES);
    if (err != QK_OK)
        goto out;
    buf_put(out, header, sizeof header);
    err = suite_seal(suite, ke, bytes_of(full.bytes, full.len), plain, out);
    if (err != QK_OK)
        out->len = at;

out:
    secret_free(ke);
    secret_scope_end();
    return err;
}

/* All that can be said of the header without a key. */
static enum qk_err header_check(struct bytes sealed)
{
    if (sealed.len < ENVELOPE_OVERHEAD_BYTES || memcmp(sealed.data, MAGIC, 4) != 0)
        return QK_ERR_CORRUPT;
    if ((sealed.data[4] != ENVELOPE_XCHACHA20POLY1305 && sealed.data[4] != ENVELOPE_AES256GCM &&
         sealed.data[4] != ENVELOPE_CLEAR) ||
        sealed.data[5] != 0)
        return QK_ERR_UNSUPPORTED;
    if (get_u16(sealed.data + 6) != ENVELOPE_HEADER_BYTES ||
        sealed.len - ENVELOPE_OVERHEAD_BYTES > ENVELOPE_PLAIN_BYTES_MAX)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

/* Ke and the additional data, once the commitment shows that the data key is the right one. */
static enum qk_err open_begin(const struct secret *data_key, const struct envelope_aad *aad,
                              struct bytes sealed, struct secret **ret_ke, struct aad *ret_aad)
{
    uint8_t commitment[KEY_BYTES];
    struct secret *ke;
    enum qk_err err = header_check(sealed);

    if (err == QK_OK)
        err = aad_build(aad, sealed.data, ret_aad);
    if (err == QK_OK)
        err = kdf_derive_pair(data_key, "qk.record.v1", bytes_of(sealed.data, COMMITTED_BYTES), &ke,
                              commitment);
    if (err != QK_OK)
        return err;
    if (sodium_memcmp(commitment, sealed.data + COMMITTED_BYTES, sizeof commitment) != 0) {
        secret_free(ke);
        return QK_ERR_CORRUPT;
    }
    *ret_ke = ke;
    return QK_OK;
}

static struct bytes ciphertext(struct bytes sealed)
{
    return bytes_slice(sealed, ENVELOPE_HEADER_BYTES, sealed.len);
}

static enum qk_err open_any(const struct secret *data_key, const struct envelope_aad *aad,
                            struct bytes sealed, struct buf *out)
{
    struct aad full;
    struct secret *ke = NULL;
    enum qk_err err;

    assert(out->secret);

    secret_scope_begin();
    err = open_begin(data_key, aad, sealed, &ke, &full);
    if (err == QK_OK)
        err =
            suite_open(sealed.data[4], ke, bytes_of(full.bytes, full.len), ciphertext(sealed), out);
    secret_free(ke);
    secret_scope_end();
    return err;
}

bool envelope_is_clear(struct bytes sealed)
{
    return sealed.len > 4 && memcmp(sealed.data, MAGIC, 4) == 0 && sealed.data[4] == ENVELOPE_CLEAR;
}

enum qk_err envelope_open(const struct secret *data_key, const struct envelope_aad *aad,
                          struct bytes sealed, struct buf *out)
{
    return envelope_is_clear(sealed) ? QK_ERR_CORRUPT : open_any(data_key, aad, sealed, out);
}

enum qk_err envelope_open_clear(const struct secret *data_key, const struct envelope_aad *aad,
                                struct bytes sealed, struct buf *out)
{
    return envelope_is_clear(sealed) ? open_any(data_key, aad, sealed, out) : QK_ERR_CORRUPT;
}

enum qk_err envelope_seal_secret(const struct secret *data_key,
                                 const uint8_t key_id[static KEY_ID_BYTES], uint32_t key_version,
                                 const struct envelope_aad *aad, const struct secret *plain,
                                 struct buf *out)
{
    enum qk_err err;

    if (secret_is_wiped(plain))
        return QK_ERR_SEALED;
    err = envelope_seal(data_key, key_id, key_version, aad,
                        bytes_of(secret_borrow(plain), secret_len(plain)), out);
    secret_return(plain);
    return err;
}

enum qk_err envelope_open_secret(const struct secret *data_key, const struct envelope_aad *aad,
                                 struct bytes sealed, struct secret **ret_plain)
{
    struct aad full;
    struct secret *ke;
    enum qk_err err = header_check(sealed);

    if (err == QK_OK && sealed.data[4] != ENVELOPE_XCHACHA20POLY1305)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK)
        err = open_begin(data_key, aad, sealed, &ke, &full);
    if (err != QK_OK)
        return err;
    err = aead_open_secret(ke, NULL, bytes_of(full.bytes, full.len), ciphertext(sealed), ret_plain);
    secret_free(ke);
    return err;
}

enum qk_err envelope_peek(struct bytes sealed, uint8_t ret_key_id[static KEY_ID_BYTES],
                          uint32_t *ret_key_version)
{
    enum qk_err err = header_check(sealed);

    if (err != QK_OK)
        return err;
    memcpy(ret_key_id, sealed.data + 8, KEY_ID_BYTES);
    *ret_key_version = get_u32(sealed.data + KEY_VERSION_AT);
    return QK_OK;
}

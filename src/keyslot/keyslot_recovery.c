#include "keyslot/keyslot_recovery.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#define BLOB_VERSION 1
#define PERSONAL "qk.keyslot.v1"
#define CONTEXT_BYTES (CLUSTER_ID_BYTES + KEYSLOT_ID_BYTES + 4 + X25519_BYTES + X25519_BYTES)

_Static_assert(KEYSLOT_RECOVERY_BLOB_BYTES <= DEAL_KEYSLOT_BLOB_BYTES_MAX, "a record takes it");
_Static_assert(KEYSLOT_ID_BYTES == sizeof(((struct deal_keyslot *)0)->id), "one id");

/* All that the key of one sealing depends on, each part of fixed length. */
struct context {
    uint8_t bytes[CONTEXT_BYTES];
};

/* The parts of a blob, into its bytes. */
struct parts {
    uint32_t mk_version;
    struct bytes seal_pk, ephemeral_pk, commitment, sealed;
};

static struct context context_make(const uint8_t *cluster, const uint8_t *id, uint32_t mk_version,
                                   const uint8_t *seal_pk, const uint8_t *ephemeral_pk)
{
    struct context context = {0};
    uint8_t *at = context.bytes;

    memcpy(at, cluster, CLUSTER_ID_BYTES);
    memcpy(at += CLUSTER_ID_BYTES, id, KEYSLOT_ID_BYTES);
    put_u32(at += KEYSLOT_ID_BYTES, mk_version);
    memcpy(at += 4, seal_pk, X25519_BYTES);
    memcpy(at + X25519_BYTES, ephemeral_pk, X25519_BYTES);
    return context;
}

static enum qk_err parse(struct bytes blob, struct parts *ret_parts)
{
    struct reader reader = reader_of(blob);
    uint8_t version = reader_u8(&reader);

    if (blob.len == 0)
        return QK_ERR_CORRUPT;
    if (version != BLOB_VERSION)
        return QK_ERR_UNSUPPORTED;
    ret_parts->mk_version = reader_u32(&reader);
    ret_parts->seal_pk = reader_bytes(&reader, X25519_BYTES);
    ret_parts->ephemeral_pk = reader_bytes(&reader, X25519_BYTES);
    ret_parts->commitment = reader_bytes(&reader, KEY_BYTES);
    ret_parts->sealed = reader_bytes(&reader, DEAL_MK_BYTES + AEAD_TAG_BYTES);
    return reader_end(&reader) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err keyslot_recovery_read(struct bytes blob, uint32_t *ret_mk_version,
                                  uint8_t ret_seal_pk[static X25519_BYTES])
{
    struct parts parts;
    enum qk_err err = parse(blob, &parts);

    if (err != QK_OK)
        return err;
    *ret_mk_version = parts.mk_version;
    memcpy(ret_seal_pk, parts.seal_pk.data, X25519_BYTES);
    return QK_OK;
}

static enum qk_err derive_seal(const struct secret *secret, struct secret **ret_key)
{
    assert(secret_len(secret) == KEYSLOT_SECRET_BYTES);
    return kdf_derive(secret, "recovery x25519", BYTES_NONE, ret_key);
}

static enum qk_err derive_sign(const struct secret *secret, struct secret **ret_key,
                               uint8_t *ret_public)
{
    struct secret *seed;
    enum qk_err err;

    assert(secret_len(secret) == KEYSLOT_SECRET_BYTES);
    err = kdf_derive(secret, "recovery ed25519", BYTES_NONE, &seed);
    if (err != QK_OK)
        return err;
    err = ed25519_keypair_of(seed, ret_key, ret_public);
    secret_free(seed);
    return err;
}

enum qk_err keyslot_recovery_derive(const struct secret *secret,
                                    struct keyslot_recovery_public *ret_public)
{
    struct keyslot_recovery_public public;
    struct secret *key = NULL;
    enum qk_err err = derive_seal(secret, &key);

    if (err == QK_OK)
        err = x25519_public(key, public.seal_pk);
    secret_free(key);
    if (err != QK_OK)
        return err;
    err = derive_sign(secret, &key, public.sign_pk);
    if (err != QK_OK)
        return err;
    secret_free(key);
    *ret_public = public;
    return QK_OK;
}

enum qk_err keyslot_recovery_sign(const struct secret *secret, struct bytes message,
                                  uint8_t ret_signature[static ED25519_SIGNATURE_BYTES])
{
    uint8_t public[ED25519_PUBLIC_BYTES];
    struct secret *key;
    enum qk_err err = derive_sign(secret, &key, public);

    if (err != QK_OK)
        return err;
    err = ed25519_sign(key, message, ret_signature);
    secret_free(key);
    return err;
}

enum qk_err keyslot_recovery_sign_key(const struct secret *secret, struct secret **ret_key)
{
    uint8_t public[ED25519_PUBLIC_BYTES];

    return derive_sign(secret, ret_key, public);
}

/* Ke and Kc of one exchange: `own` is the secret half of one side, `other` the public one of the
 * other. */
static enum qk_err agree(const struct secret *own, const uint8_t *other,
                         const struct context *context, struct secret **ret_ke, uint8_t *ret_kc)
{
    struct secret *shared;
    enum qk_err err = x25519_shared(own, other, &shared);

    if (err != QK_OK)
        return err;
    err = kdf_derive_pair(shared, PERSONAL, bytes_of(context->bytes, sizeof context->bytes), ret_ke,
                          ret_kc);
    secret_free(shared);
    return err;
}

enum qk_err keyslot_recovery_seal(const uint8_t seal_pk[static X25519_BYTES],
                                  const uint8_t id[static KEYSLOT_ID_BYTES],
                                  const uint8_t cluster[static CLUSTER_ID_BYTES],
                                  uint32_t mk_version, const struct secret *mk, struct buf *blob)
{
    struct buf sealed = BUF_INIT(DEAL_MK_BYTES + AEAD_TAG_BYTES);
    uint8_t ephemeral_pk[X25519_BYTES], kc[KEY_BYTES];
    struct secret *ephemeral = NULL, *ke = NULL;
    struct context context;
    enum qk_err err;

    assert(secret_len(mk) == DEAL_MK_BYTES);
    err = x25519_keypair(&ephemeral, ephemeral_pk);
    if (err != QK_OK)
        return err;
    context = context_make(cluster, id, mk_version, seal_pk, ephemeral_pk);
    err = agree(ephemeral, seal_pk, &context, &ke, kc);
    if (err == QK_OK)
        err =
            aead_seal_secret(ke, NULL, bytes_of(context.bytes, sizeof context.bytes), mk, &sealed);
    if (err != QK_OK)
        goto out;
    buf_put_u8(blob, BLOB_VERSION);
    buf_put_u32(blob, mk_version);
    buf_put(blob, seal_pk, X25519_BYTES);
    buf_put(blob, ephemeral_pk, sizeof ephemeral_pk);
    buf_put(blob, kc, sizeof kc);
    buf_put_bytes(blob, buf_bytes(&sealed));
    err = buf_error(blob);

out:
    buf_fini(&sealed);
    secret_free(ke);
    secret_free(ephemeral);
    return err;
}

/* The commitment is compared before anything is decrypted. */
static enum qk_err open_parts(const struct parts *parts, const struct context *context,
                              const struct secret *own, struct secret **ret_mk)
{
    struct secret *ke;
    uint8_t kc[KEY_BYTES];
    enum qk_err err = agree(own, parts->ephemeral_pk.data, context, &ke, kc);

    if (err != QK_OK)
        return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
    if (sodium_memcmp(kc, parts->commitment.data, sizeof kc) == 0)
        err = aead_open_secret(ke, NULL, bytes_of(context->bytes, sizeof context->bytes),
                               parts->sealed, ret_mk);
    else
        err = QK_ERR_CORRUPT;
    secret_free(ke);
    return err;
}

enum qk_err keyslot_recovery_open(const struct deal_keyslot *slot,
                                  const uint8_t cluster[static CLUSTER_ID_BYTES],
                                  uint32_t mk_version, const struct secret *secret,
                                  struct secret **ret_mk)
{
    uint8_t seal_pk[X25519_BYTES];
    struct secret *own = NULL;
    struct context context;
    struct parts parts;
    enum qk_err err;

    if (slot->type != DEAL_KEYSLOT_RECOVERY)
        return QK_ERR_UNSUPPORTED;
    err = parse(slot->blob, &parts);
    if (err != QK_OK)
        return err;
    if (parts.mk_version != mk_version)
        return QK_ERR_STALE;
    err = derive_seal(secret, &own);
    if (err == QK_OK)
        err = x25519_public(own, seal_pk);
    if (err == QK_OK && memcmp(seal_pk, parts.seal_pk.data, sizeof seal_pk) != 0)
        err = QK_ERR_CORRUPT; /* both are public */
    if (err == QK_OK) {
        context = context_make(cluster, slot->id, mk_version, seal_pk, parts.ephemeral_pk.data);
        err = open_parts(&parts, &context, own, ret_mk);
    }
    secret_free(own);
    return err;
}

enum qk_err keyslot_rewrap(const struct deal_keyslot *old,
                           const uint8_t cluster[static CLUSTER_ID_BYTES], uint32_t mk_version,
                           const struct secret *mk, struct buf *blob)
{
    uint8_t seal_pk[X25519_BYTES];
    uint32_t old_version;
    enum qk_err err;

    if (old->type != DEAL_KEYSLOT_RECOVERY)
        return QK_ERR_UNSUPPORTED;
    err = keyslot_recovery_read(old->blob, &old_version, seal_pk);
    if (err != QK_OK)
        return err;
    return keyslot_recovery_seal(seal_pk, old->id, cluster, mk_version, mk, blob);
}

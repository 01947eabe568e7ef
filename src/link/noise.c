#include "link/noise.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "secret/crypto.h"
#include "secret/secret.h"

_Static_assert(NOISE_KEY_BYTES == X25519_BYTES, "one key size");
_Static_assert(NOISE_HASH_BYTES == HASH512_BYTES, "HASHLEN of BLAKE2b");
_Static_assert(NOISE_TAG_BYTES == AEAD_TAG_BYTES, "one tag size");

/* Members: mutual authentication in one round trip, the initiator's identity hidden from all but
 * the responder, the cluster's psk as a hedge against a break of X25519. */
const struct noise_pattern noise_ikpsk2 = {
    .name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
    .responder_s_known = true,
    .psk = true,
    .messages_n = 2,
    .tokens = {{NOISE_E, NOISE_ES, NOISE_S, NOISE_SS}, {NOISE_E, NOISE_EE, NOISE_SE, NOISE_PSK}},
};

/* Joins: the psk of the token is needed for message 3 only, so that the responder can look it up
 * by the token id that message 1 carries. */
const struct noise_pattern noise_xkpsk3 = {
    .name = "Noise_XKpsk3_25519_ChaChaPoly_BLAKE2b",
    .responder_s_known = true,
    .psk = true,
    .messages_n = 3,
    .tokens = {{NOISE_E, NOISE_ES}, {NOISE_E, NOISE_EE}, {NOISE_S, NOISE_SE, NOISE_PSK}},
};

static void mix_hash(struct noise *noise, struct bytes data)
{
    const struct bytes parts[] = {bytes_of(noise->hash, sizeof noise->hash), data};
    uint8_t hash[NOISE_HASH_BYTES];

    hash512_compute(parts, 2, hash);
    memcpy(noise->hash, hash, sizeof hash);
}

static void key_replace(struct secret **at, struct secret *key)
{
    secret_free(*at);
    *at = key;
}

static enum qk_err mix_key(struct noise *noise, struct bytes material)
{
    struct secret *outputs[2];
    enum qk_err err = noise_hkdf(noise->chaining_key, material, 2, outputs);

    if (err != QK_OK)
        return err;
    key_replace(&noise->chaining_key, outputs[0]);
    key_replace(&noise->key, outputs[1]);
    noise->nonce = 0;
    return QK_OK;
}

static enum qk_err mix_key_and_hash(struct noise *noise, const struct secret *psk)
{
    struct secret *outputs[3];
    const uint8_t *key;
    enum qk_err err;

    if (psk == NULL || secret_len(psk) != NOISE_KEY_BYTES)
        return QK_ERR_INVALID;
    if (secret_is_wiped(psk))
        return QK_ERR_SEALED;
    key = secret_borrow(psk);
    err = noise_hkdf(noise->chaining_key, bytes_of(key, NOISE_KEY_BYTES), 3, outputs);
    secret_return(psk);
    if (err != QK_OK)
        return err;
    key_replace(&noise->chaining_key, outputs[0]);
    mix_hash(noise, bytes_of(secret_borrow(outputs[1]), NOISE_HASH_BYTES));
    secret_return(outputs[1]);
    secret_free(outputs[1]);
    key_replace(&noise->key, outputs[2]);
    noise->nonce = 0;
    return QK_OK;
}

static enum qk_err mix_dh(struct noise *noise, const struct secret *own, const uint8_t *remote)
{
    struct secret *shared;
    const uint8_t *bytes;
    enum qk_err err;

    if (own == NULL)
        return QK_ERR_INVALID;
    err = x25519_shared(own, remote, &shared);
    if (err != QK_OK)
        return err;
    bytes = secret_borrow(shared);
    err = mix_key(noise, bytes_of(bytes, NOISE_KEY_BYTES));
    secret_return(shared);
    secret_free(shared);
    return err;
}

/* ENCRYPTANDHASH: `out` grows by the ciphertext, or by the plaintext before there is a key. */
static enum qk_err encrypt_and_hash(struct noise *noise, struct bytes plain, struct buf *out)
{
    size_t start = out->len;
    enum qk_err err;

    if (noise->key == NULL)
        buf_put_bytes(out, plain);
    else {
        err = noise_seal(noise->key, noise->nonce, bytes_of(noise->hash, sizeof noise->hash), plain,
                         out);
        if (err != QK_OK)
            return err;
        noise->nonce++;
    }
    if (buf_error(out) != QK_OK)
        return buf_error(out);
    mix_hash(noise, bytes_slice(buf_bytes(out), start, out->len - start));
    return QK_OK;
}

static enum qk_err decrypt_and_hash(struct noise *noise, struct bytes sealed, struct buf *out)
{
    enum qk_err err;

    if (noise->key == NULL)
        buf_put_bytes(out, sealed);
    else {
        err = noise_open(noise->key, noise->nonce, bytes_of(noise->hash, sizeof noise->hash),
                         sealed, out);
        if (err != QK_OK)
            return err;
        noise->nonce++;
    }
    if (buf_error(out) != QK_OK)
        return buf_error(out);
    mix_hash(noise, sealed);
    return QK_OK;
}

/* Pre-messages are hashed in the order initiator's, responder's. */
static void mix_pre_messages(struct noise *noise)
{
    const uint8_t *initiator_pk = noise->initiator ? noise->static_pk : noise->remote_pk;
    const uint8_t *responder_pk = noise->initiator ? noise->remote_pk : noise->static_pk;

    if (noise->pattern->initiator_s_known)
        mix_hash(noise, bytes_of(initiator_pk, NOISE_KEY_BYTES));
    if (noise->pattern->responder_s_known)
        mix_hash(noise, bytes_of(responder_pk, NOISE_KEY_BYTES));
}

enum qk_err noise_init(struct noise *noise, struct noise_config *config)
{
    struct bytes name = bytes_str(config->pattern->name);

    assert(name.len <= NOISE_HASH_BYTES); /* a longer name would have to be hashed */
    assert((config->static_key == NULL) == (config->static_pk == NULL));
    *noise = (struct noise){.pattern = config->pattern,
                            .initiator = config->initiator,
                            .static_key = config->static_key,
                            .psk = config->psk,
                            .ephemeral = config->ephemeral};
    config->ephemeral = NULL;
    if (config->static_pk != NULL)
        memcpy(noise->static_pk, config->static_pk, NOISE_KEY_BYTES);
    if (config->remote_pk != NULL) {
        memcpy(noise->remote_pk, config->remote_pk, NOISE_KEY_BYTES);
        noise->has_remote_pk = true;
    }
    memcpy(noise->hash, name.data, name.len);
    /* The first chaining key is the padded protocol name: public. */
    if (secret_new_copy(noise->hash, NOISE_HASH_BYTES, &noise->chaining_key) != QK_OK) {
        noise->failed = true;
        return QK_ERR_NOMEM;
    }
    mix_hash(noise, config->prologue);
    mix_pre_messages(noise);
    return QK_OK;
}

void noise_fini(struct noise *noise)
{
    secret_free(noise->chaining_key);
    secret_free(noise->key);
    secret_free(noise->ephemeral);
    *noise = (struct noise){.failed = true};
}

void noise_set_psk(struct noise *noise, const struct secret *psk)
{
    noise->psk = psk;
}

bool noise_is_open(const struct noise *noise)
{
    return !noise->failed && noise->message_n < noise->pattern->messages_n;
}

bool noise_writes_next(const struct noise *noise)
{
    return noise_is_open(noise) && (noise->message_n % 2 == 0) == noise->initiator;
}

/* The Diffie-Hellman tokens name the initiator's key first. */
static enum qk_err token_dh(struct noise *noise, enum noise_token token)
{
    bool own_static = noise->initiator ? token == NOISE_SE || token == NOISE_SS
                                       : token == NOISE_ES || token == NOISE_SS;
    bool remote_static = noise->initiator ? token == NOISE_ES || token == NOISE_SS
                                          : token == NOISE_SE || token == NOISE_SS;

    return mix_dh(noise, own_static ? noise->static_key : noise->ephemeral,
                  remote_static ? noise->remote_pk : noise->remote_ephemeral);
}

static enum qk_err mix_ephemeral(struct noise *noise, const uint8_t *pk)
{
    mix_hash(noise, bytes_of(pk, NOISE_KEY_BYTES));
    return noise->pattern->psk ? mix_key(noise, bytes_of(pk, NOISE_KEY_BYTES)) : QK_OK;
}

static enum qk_err write_ephemeral(struct noise *noise, struct buf *out)
{
    uint8_t pk[NOISE_KEY_BYTES];
    enum qk_err err;

    if (noise->ephemeral == NULL)
        err = x25519_keypair(&noise->ephemeral, pk);
    else
        err = x25519_public(noise->ephemeral, pk);
    if (err != QK_OK)
        return err;
    buf_put(out, pk, sizeof pk);
    return mix_ephemeral(noise, pk);
}

static enum qk_err write_token(struct noise *noise, enum noise_token token, struct buf *out)
{
    switch (token) {
    case NOISE_E:
        return write_ephemeral(noise, out);
    case NOISE_S:
        return encrypt_and_hash(noise, bytes_of(noise->static_pk, NOISE_KEY_BYTES), out);
    case NOISE_PSK:
        return mix_key_and_hash(noise, noise->psk);
    case NOISE_EE:
    case NOISE_ES:
    case NOISE_SE:
    case NOISE_SS:
        return token_dh(noise, token);
    case NOISE_END:
        break;
    }
    return QK_ERR_INVALID;
}

enum qk_err noise_write(struct noise *noise, struct bytes payload, struct buf *out)
{
    const enum noise_token *tokens = noise->pattern->tokens[noise->message_n];
    size_t start = out->len;
    enum qk_err err = QK_OK;

    assert(noise_writes_next(noise));
    for (unsigned i = 0; i < NOISE_TOKENS_MAX && tokens[i] != NOISE_END && err == QK_OK; i++)
        err = write_token(noise, tokens[i], out);
    if (err == QK_OK)
        err = encrypt_and_hash(noise, payload, out);
    if (err == QK_OK && out->len - start > NOISE_MESSAGE_BYTES_MAX)
        err = QK_ERR_TOO_BIG;
    noise->failed = err != QK_OK;
    noise->message_n++;
    return err;
}

static enum qk_err read_static(struct noise *noise, struct reader *reader)
{
    size_t len = NOISE_KEY_BYTES + (noise->key != NULL ? NOISE_TAG_BYTES : 0);
    struct buf plain = BUF_SECRET_INIT(NOISE_KEY_BYTES);
    struct bytes sealed = reader_bytes(reader, len);
    enum qk_err err = reader_error(reader);

    if (err == QK_OK)
        err = decrypt_and_hash(noise, sealed, &plain);
    if (err == QK_OK) {
        memcpy(noise->remote_pk, plain.data, NOISE_KEY_BYTES);
        noise->has_remote_pk = true;
    }
    buf_fini(&plain);
    return err;
}

static enum qk_err read_token(struct noise *noise, enum noise_token token, struct reader *reader)
{
    switch (token) {
    case NOISE_E:
        reader_copy(reader, noise->remote_ephemeral, NOISE_KEY_BYTES);
        if (reader_error(reader) != QK_OK)
            return reader_error(reader);
        return mix_ephemeral(noise, noise->remote_ephemeral);
    case NOISE_S:
        return read_static(noise, reader);
    case NOISE_PSK:
        return mix_key_and_hash(noise, noise->psk);
    case NOISE_EE:
    case NOISE_ES:
    case NOISE_SE:
    case NOISE_SS:
        return token_dh(noise, token);
    case NOISE_END:
        break;
    }
    return QK_ERR_INVALID;
}

enum qk_err noise_read(struct noise *noise, struct bytes message, struct buf *payload)
{
    const enum noise_token *tokens = noise->pattern->tokens[noise->message_n];
    struct reader reader = reader_of(message);
    enum qk_err err = message.len > NOISE_MESSAGE_BYTES_MAX ? QK_ERR_CORRUPT : QK_OK;

    assert(noise_is_open(noise) && !noise_writes_next(noise));
    for (unsigned i = 0; i < NOISE_TOKENS_MAX && tokens[i] != NOISE_END && err == QK_OK; i++)
        err = read_token(noise, tokens[i], &reader);
    if (err == QK_OK)
        err = decrypt_and_hash(noise, reader_rest(&reader), payload);
    noise->failed = err != QK_OK;
    noise->message_n++;
    /* A peer learns, and the caller is told, that it failed, never at which step. */
    return err == QK_OK || err == QK_ERR_NOMEM || err == QK_ERR_SEALED ? err : QK_ERR_CORRUPT;
}

const uint8_t *noise_remote_pk(const struct noise *noise)
{
    return noise->has_remote_pk && !noise->failed ? noise->remote_pk : NULL;
}

enum qk_err noise_split(struct noise *noise, struct secret **ret_from_initiator,
                        struct secret **ret_from_responder)
{
    struct secret *outputs[2];
    enum qk_err err;

    assert(!noise->failed && noise->message_n == noise->pattern->messages_n);
    err = noise_hkdf(noise->chaining_key, BYTES_NONE, 2, outputs);
    if (err != QK_OK)
        return err;
    *ret_from_initiator = outputs[0];
    *ret_from_responder = outputs[1];
    return QK_OK;
}

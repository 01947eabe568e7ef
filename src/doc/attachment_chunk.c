#include "doc/attachment_chunk.h"

#include <assert.h>
#include <string.h>

#include "secret/crypto.h"

#define AAD_BYTES (CLUSTER_ID_BYTES + DATABASE_ID_BYTES + ATTACHMENT_ID_BYTES + 4)

_Static_assert(ATTACHMENT_SEALED_BYTES_MAX == ATTACHMENT_CHUNK_BYTES + AEAD_TAG_BYTES,
               "a chunk and its tag");
_Static_assert(ATTACHMENT_KEY_BYTES == KEY_BYTES, "a key of the AEAD");

uint64_t attachment_chunks_n(uint64_t length)
{
    return length == 0 ? 1 : (length - 1) / ATTACHMENT_CHUNK_BYTES + 1;
}

size_t attachment_chunk_len(uint64_t length, uint64_t at)
{
    uint64_t rest = length - at * ATTACHMENT_CHUNK_BYTES;

    assert(at < attachment_chunks_n(length));
    return rest < ATTACHMENT_CHUNK_BYTES ? (size_t)rest : ATTACHMENT_CHUNK_BYTES;
}

/* The nonce is a counter: the key is this content's alone, and seals each chunk once. */
static void chunk_nonce(uint32_t at, bool last, uint8_t ret_nonce[static AEAD_NONCE_BYTES])
{
    memset(ret_nonce, 0, AEAD_NONCE_BYTES);
    put_u32(ret_nonce + AEAD_NONCE_BYTES - 5, at);
    ret_nonce[AEAD_NONCE_BYTES - 1] = last ? 1 : 0;
}

static bool is_last(uint64_t length, uint32_t at)
{
    return at + 1 == attachment_chunks_n(length);
}

static void chunk_aad(const struct attachment_place *place, uint32_t at,
                      uint8_t ret_aad[static AAD_BYTES])
{
    memcpy(ret_aad, place->cluster, CLUSTER_ID_BYTES);
    memcpy(ret_aad + CLUSTER_ID_BYTES, place->database, DATABASE_ID_BYTES);
    memcpy(ret_aad + CLUSTER_ID_BYTES + DATABASE_ID_BYTES, place->id, ATTACHMENT_ID_BYTES);
    put_u32(ret_aad + AAD_BYTES - 4, at);
}

enum qk_err attachment_part_seal(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                 const struct attachment_place *place, struct bytes part,
                                 uint32_t at, bool last, struct buf *out)
{
    uint8_t nonce[AEAD_NONCE_BYTES], aad[AAD_BYTES];
    struct secret *secret;
    enum qk_err err;

    assert(part.len == ATTACHMENT_CHUNK_BYTES || (last && part.len < ATTACHMENT_CHUNK_BYTES));

    err = secret_new_copy(key, ATTACHMENT_KEY_BYTES, &secret);
    if (err != QK_OK)
        return err;
    chunk_nonce(at, last, nonce);
    chunk_aad(place, at, aad);
    err = aead_seal(secret, nonce, bytes_of(aad, sizeof aad), part, out);
    secret_free(secret);
    return err;
}

enum qk_err attachment_chunk_seal(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                  const struct attachment_place *place, struct bytes content,
                                  uint32_t at, struct buf *out)
{
    struct bytes part =
        bytes_slice(content, at * ATTACHMENT_CHUNK_BYTES, attachment_chunk_len(content.len, at));

    return attachment_part_seal(key, place, part, at, is_last(content.len, at), out);
}

enum qk_err attachment_chunk_open(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                  const struct attachment_place *place, uint64_t length,
                                  uint32_t at, struct bytes sealed, struct buf *out)
{
    uint8_t nonce[AEAD_NONCE_BYTES], aad[AAD_BYTES];
    struct secret *secret;
    enum qk_err err;

    if (at >= attachment_chunks_n(length) ||
        sealed.len != attachment_chunk_len(length, at) + AEAD_TAG_BYTES)
        return QK_ERR_CORRUPT;
    err = secret_new_copy(key, ATTACHMENT_KEY_BYTES, &secret);
    if (err != QK_OK)
        return err;
    chunk_nonce(at, is_last(length, at), nonce);
    chunk_aad(place, at, aad);
    err = aead_open(secret, nonce, bytes_of(aad, sizeof aad), sealed, out);
    secret_free(secret);
    return err;
}

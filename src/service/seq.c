#include "service/seq.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "service/params.h"

#define SEQ_MARK_BYTES 8

void seq_format(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                char ret_text[static SEQ_TEXT_BYTES_MAX + 1])
{
    int len = snprintf(ret_text, SEQ_TEXT_BYTES_MAX + 1, "%" PRIu64 "-", seq);

    assert(len > 1 && len <= 21);
    hex_encode(database, SEQ_MARK_BYTES, ret_text + len);
}

static struct bytes without_quotes(struct bytes text)
{
    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"')
        return bytes_slice(text, 1, text.len - 2);
    return text;
}

enum qk_err seq_parse(const uint8_t database[static DATABASE_ID_BYTES], struct bytes text,
                      uint64_t *ret_seq)
{
    uint8_t mark[SEQ_MARK_BYTES];
    const uint8_t *dash;
    struct bytes digits;
    uint64_t seq;

    assert(ret_seq != NULL);

    text = without_quotes(text);
    dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    digits = dash == NULL ? text : bytes_slice(text, 0, (size_t)(dash - text.data));
    if (!parse_u64(digits, &seq))
        return QK_ERR_INVALID;
    if (dash != NULL) {
        text = bytes_slice(text, digits.len + 1, text.len);
        if (hex_decode(text, mark, sizeof(mark)) != QK_OK)
            return QK_ERR_INVALID;
        if (memcmp(mark, database, sizeof(mark)) != 0)
            seq = 0;
    }
    *ret_seq = seq;
    return QK_OK;
}

enum qk_err seq_key_derive(const struct secret *index_key,
                           const uint8_t database[static DATABASE_ID_BYTES],
                           struct secret **ret_key)
{
    return kdf_derive(index_key, "sequences", bytes_of(database, DATABASE_ID_BYTES), ret_key);
}

enum qk_err seq_format_sealed(const struct secret *key,
                              const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                              char ret_text[static SEQ_TEXT_BYTES_MAX + 1])
{
    struct buf sealed = BUF_INIT(SEQ_SEALED_BYTES);
    uint8_t nonce[AEAD_NONCE_BYTES], plain[8];
    enum qk_err err;

    random_fill(nonce, sizeof(nonce));
    put_u64(plain, seq);
    buf_put(&sealed, nonce, sizeof(nonce));
    err = aead_seal(key, nonce, bytes_of(database, DATABASE_ID_BYTES),
                    bytes_of(plain, sizeof(plain)), &sealed);
    if (err == QK_OK) {
        ret_text[0] = '0';
        ret_text[1] = '-';
        hex_encode(sealed.data, SEQ_SEALED_BYTES, ret_text + 2);
    }
    buf_fini(&sealed);
    return err;
}

enum qk_err seq_parse_sealed(const struct secret *key,
                             const uint8_t database[static DATABASE_ID_BYTES], struct bytes text,
                             uint64_t *ret_seq)
{
    struct buf plain = BUF_SECRET_INIT(8);
    uint8_t sealed[SEQ_SEALED_BYTES];
    enum qk_err err;

    text = without_quotes(text);
    *ret_seq = 0;
    if (bytes_equal(text, bytes_str("0")))
        return QK_OK;
    if (!bytes_starts_with(text, bytes_str("0-")) ||
        hex_decode(bytes_slice(text, 2, text.len), sealed, sizeof(sealed)) != QK_OK)
        return QK_ERR_INVALID;
    err =
        aead_open(key, sealed, bytes_of(database, DATABASE_ID_BYTES),
                  bytes_of(sealed + AEAD_NONCE_BYTES, SEQ_SEALED_BYTES - AEAD_NONCE_BYTES), &plain);
    if (err == QK_OK)
        *ret_seq = get_u64(plain.data);
    buf_fini(&plain);
    return err == QK_ERR_CORRUPT ? QK_OK : err;
}

#include "doc/revision.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"

/* The digits before the first '-'; QK_ERR_NOT_FOUND for a number that no generation here has. */
static enum qk_err parse_generation(struct bytes digits, uint32_t *ret_generation)
{
    uint64_t value = 0;
    size_t i;

    if (digits.len == 0)
        return QK_ERR_INVALID;
    for (i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return QK_ERR_INVALID;
        if (value <= UINT32_MAX)
            value = value * 10 + (digits.data[i] - '0');
    }
    if (value == 0 || value > UINT32_MAX)
        return QK_ERR_NOT_FOUND;
    *ret_generation = (uint32_t)value;
    return QK_OK;
}

/* It is shown between quotes, in JSON and as an ETag, without an escape. */
static bool is_word_byte(uint8_t byte)
{
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\';
}

/* The length of the text that `hash` is; 0: it is none. */
static size_t word_len(const uint8_t *hash)
{
    size_t len = 0, i;

    while (len < REVISION_HASH_BYTES && is_word_byte(hash[len]))
        len++;
    for (i = len; i < REVISION_HASH_BYTES; i++) {
        if (hash[i] != 0)
            return 0;
    }
    return len <= REVISION_WORD_BYTES_MAX ? len : 0;
}

enum qk_err revision_hash_parse(struct bytes text, uint8_t ret_hash[static REVISION_HASH_BYTES])
{
    uint8_t word[REVISION_HASH_BYTES] = {0};

    if (text.len == REVISION_HASH_TEXT_BYTES)
        return hex_decode(text, ret_hash, REVISION_HASH_BYTES);
    if (text.len == 0 || text.len > REVISION_WORD_BYTES_MAX)
        return QK_ERR_INVALID;
    memcpy(word, text.data, text.len);
    if (word_len(word) != text.len)
        return QK_ERR_INVALID;
    memcpy(ret_hash, word, sizeof(word));
    return QK_OK;
}

void revision_hash_format(const uint8_t hash[static REVISION_HASH_BYTES],
                          char ret_text[static REVISION_HASH_TEXT_BYTES + 1])
{
    size_t len = word_len(hash);

    if (len == 0) {
        hex_encode(hash, REVISION_HASH_BYTES, ret_text);
        return;
    }
    memcpy(ret_text, hash, len);
    ret_text[len] = '\0';
}

enum qk_err revision_parse(struct bytes text, struct revision *ret_revision)
{
    struct revision revision = REVISION_NONE;
    const uint8_t *dash;
    size_t digits_n;
    enum qk_err err;

    assert(ret_revision != NULL);

    dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    if (dash == NULL)
        return QK_ERR_INVALID;
    digits_n = (size_t)(dash - text.data);
    err = parse_generation(bytes_slice(text, 0, digits_n), &revision.generation);
    if (err != QK_OK)
        return err;
    text = bytes_slice(text, digits_n + 1, text.len);
    if (revision_hash_parse(text, revision.hash) != QK_OK)
        return QK_ERR_NOT_FOUND; /* CouchDB allows any text there; this store never kept it */
    *ret_revision = revision;
    return QK_OK;
}

void revision_parse_local(struct bytes text, uint32_t *ret_number)
{
    if (bytes_starts_with(text, bytes_str("0-")))
        (void)parse_generation(bytes_slice(text, 2, text.len), ret_number);
}

void revision_format(const struct revision *revision,
                     char ret_text[static REVISION_TEXT_BYTES_MAX + 1])
{
    size_t len;

    assert(revision != NULL);

    len = decimal_encode(revision->generation, ret_text); /* 10 digits at the most */
    ret_text[len++] = '-';
    revision_hash_format(revision->hash, ret_text + len);
}

void revision_encode(const struct revision *revision, uint8_t ret_bytes[static REVISION_BYTES])
{
    put_u32(ret_bytes, revision->generation);
    memcpy(ret_bytes + 4, revision->hash, REVISION_HASH_BYTES);
}

bool revision_equal(const struct revision *a, const struct revision *b)
{
    return revision_compare(a, b) == 0;
}

int revision_compare(const struct revision *a, const struct revision *b)
{
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    return memcmp(a->hash, b->hash, REVISION_HASH_BYTES);
}

enum qk_err revision_compute(const struct secret *key, const struct revision_input *input,
                             struct revision *ret_revision)
{
    uint8_t parent[REVISION_BYTES], id_len[4], mac[HASH_BYTES];
    uint8_t deleted = input->deleted ? 1 : 0;
    enum qk_err err;

    assert(key != NULL && ret_revision != NULL);

    if (input->parent.generation == UINT32_MAX)
        return QK_ERR_TOO_BIG;
    revision_encode(&input->parent, parent);
    put_u32(id_len, (uint32_t)input->document_id.len);
    const struct bytes parts[] = {
        bytes_of(input->database, DATABASE_ID_BYTES),
        bytes_of(id_len, sizeof(id_len)),
        input->document_id,
        bytes_of(parent, sizeof(parent)),
        bytes_of(&deleted, 1),
        input->content,
    };
    err = mac_compute(key, "revision", parts, sizeof(parts) / sizeof(parts[0]), mac);
    if (err != QK_OK)
        return err;
    ret_revision->generation = input->parent.generation + 1;
    memcpy(ret_revision->hash, mac, REVISION_HASH_BYTES);
    return QK_OK;
}

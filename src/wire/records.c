#include "wire/records.h"

#include <assert.h>
#include <string.h>

#define MEMBER_PREFIX "member/"
#define TOKEN_PREFIX "token/"
#define DATA_KEY_PREFIX "key/"
#define DEAL_PART_PREFIX "dp/"
#define CHUNK_PREFIX                                                                               \
    "\xff"                                                                                         \
    "a" /* no UTF-8 text begins so: never a document */
#define CHUNK_PREFIX_BYTES 2
#define UNNAMED_PREFIX                                                                             \
    "\xff"                                                                                         \
    "u"
#define UNNAMED_PREFIX_BYTES 2

struct bytes record_key_bytes(const struct record_key *key)
{
    return bytes_of(key->data, key->len);
}

void record_space_id(enum record_space space, uint8_t ret_id[static DATABASE_ID_BYTES])
{
    memset(ret_id, 0, DATABASE_ID_BYTES);
    ret_id[DATABASE_ID_BYTES - 1] = (uint8_t)space;
}

bool record_key_space(struct bytes key, enum record_space *ret_space)
{
    static const uint8_t zeros[DATABASE_ID_BYTES - 1];
    uint8_t number;

    if (key.len < DATABASE_ID_BYTES || memcmp(key.data, zeros, sizeof zeros) != 0)
        return false;
    number = key.data[DATABASE_ID_BYTES - 1];
    if (number < RECORD_SYS || number > RECORD_KEYRING)
        return false;
    *ret_space = (enum record_space)number;
    return true;
}

struct bytes record_key_name(struct bytes key)
{
    return bytes_slice(key, DATABASE_ID_BYTES, SIZE_MAX);
}

static void key_append(struct record_key *key, const void *data, size_t len)
{
    assert(len <= sizeof key->data - key->len);
    if (len > 0)
        memcpy(key->data + key->len, data, len);
    key->len = (uint16_t)(key->len + len);
}

struct record_key record_document(const uint8_t database[static DATABASE_ID_BYTES],
                                  struct bytes name)
{
    struct record_key key = {.len = 0};

    key_append(&key, database, DATABASE_ID_BYTES);
    key_append(&key, name.data, name.len);
    return key;
}

struct record_key record_attachment(const uint8_t database[static DATABASE_ID_BYTES],
                                    const uint8_t id[static ATTACHMENT_ID_BYTES])
{
    struct record_key key = record_document(database, bytes_of(CHUNK_PREFIX, CHUNK_PREFIX_BYTES));

    key_append(&key, id, ATTACHMENT_ID_BYTES);
    return key;
}

struct record_key record_attachment_chunk(const uint8_t database[static DATABASE_ID_BYTES],
                                          const uint8_t id[static ATTACHMENT_ID_BYTES],
                                          uint32_t chunk)
{
    struct record_key key = record_attachment(database, id);
    uint8_t raw[4];

    put_u32(raw, chunk);
    key_append(&key, raw, sizeof raw);
    return key;
}

bool record_key_chunk(struct bytes key, uint8_t ret_id[static ATTACHMENT_ID_BYTES],
                      uint32_t *ret_chunk)
{
    struct bytes name = record_key_name(key);
    struct bytes prefix = bytes_of(CHUNK_PREFIX, CHUNK_PREFIX_BYTES);

    if (name.len != CHUNK_PREFIX_BYTES + ATTACHMENT_ID_BYTES + 4 ||
        !bytes_starts_with(name, prefix))
        return false;
    memcpy(ret_id, name.data + CHUNK_PREFIX_BYTES, ATTACHMENT_ID_BYTES);
    *ret_chunk = get_u32(name.data + CHUNK_PREFIX_BYTES + ATTACHMENT_ID_BYTES);
    return true;
}

struct record_key record_unnamed_prefix(const uint8_t database[static DATABASE_ID_BYTES])
{
    return record_document(database, bytes_of(UNNAMED_PREFIX, UNNAMED_PREFIX_BYTES));
}

struct record_key record_unnamed(const uint8_t database[static DATABASE_ID_BYTES],
                                 const uint8_t id[static ATTACHMENT_ID_BYTES])
{
    struct record_key key = record_unnamed_prefix(database);

    key_append(&key, id, ATTACHMENT_ID_BYTES);
    return key;
}

bool record_key_unnamed(struct bytes key, uint8_t ret_id[static ATTACHMENT_ID_BYTES])
{
    struct bytes name = record_key_name(key);
    struct bytes prefix = bytes_of(UNNAMED_PREFIX, UNNAMED_PREFIX_BYTES);

    if (name.len != UNNAMED_PREFIX_BYTES + ATTACHMENT_ID_BYTES || !bytes_starts_with(name, prefix))
        return false;
    memcpy(ret_id, name.data + UNNAMED_PREFIX_BYTES, ATTACHMENT_ID_BYTES);
    return true;
}

struct record_key record_system(enum record_space space, const char *name)
{
    uint8_t id[DATABASE_ID_BYTES];

    record_space_id(space, id);
    return record_document(id, bytes_str(name));
}

static struct record_key key_with_id(enum record_space space, const char *prefix, const uint8_t *id,
                                     size_t len)
{
    struct record_key key = record_system(space, prefix);

    key_append(&key, id, len);
    return key;
}

struct record_key record_member(const uint8_t node[static NODE_ID_BYTES])
{
    return key_with_id(RECORD_SYS, MEMBER_PREFIX, node, NODE_ID_BYTES);
}

struct record_key record_token(const uint8_t token[static TOKEN_ID_BYTES])
{
    return key_with_id(RECORD_SYS, TOKEN_PREFIX, token, TOKEN_ID_BYTES);
}

struct record_key record_catalog(const uint8_t name[static CATALOG_NAME_BYTES])
{
    return key_with_id(RECORD_CATALOG, "", name, CATALOG_NAME_BYTES);
}

struct record_key record_data_key(const uint8_t key_id[static KEY_ID_BYTES])
{
    return key_with_id(RECORD_KEYRING, DATA_KEY_PREFIX, key_id, KEY_ID_BYTES);
}

struct record_key record_data_key_version(const uint8_t key_id[static KEY_ID_BYTES],
                                          uint32_t version)
{
    struct record_key key = record_data_key(key_id);
    uint8_t raw[4];

    put_u32(raw, version);
    key_append(&key, raw, sizeof raw);
    return key;
}

struct record_key record_deal_part(const uint8_t node[static NODE_ID_BYTES], uint64_t generation)
{
    struct record_key key = record_deal_parts_prefix(node);
    uint8_t raw[8];

    put_u64(raw, generation);
    key_append(&key, raw, sizeof raw);
    return key;
}

struct record_key record_members_prefix(void)
{
    return record_system(RECORD_SYS, MEMBER_PREFIX);
}

struct record_key record_tokens_prefix(void)
{
    return record_system(RECORD_SYS, TOKEN_PREFIX);
}

struct record_key record_data_keys_prefix(void)
{
    return record_system(RECORD_KEYRING, DATA_KEY_PREFIX);
}

struct record_key record_deal_parts_prefix(const uint8_t node[static NODE_ID_BYTES])
{
    return key_with_id(RECORD_KEYRING, DEAL_PART_PREFIX, node, NODE_ID_BYTES);
}

enum qk_err record_member_id(struct bytes key, uint8_t ret_node[static NODE_ID_BYTES])
{
    struct record_key prefix = record_members_prefix();

    if (key.len != prefix.len + (size_t)NODE_ID_BYTES ||
        !bytes_starts_with(key, record_key_bytes(&prefix)))
        return QK_ERR_INVALID;
    memcpy(ret_node, key.data + prefix.len, NODE_ID_BYTES);
    return QK_OK;
}

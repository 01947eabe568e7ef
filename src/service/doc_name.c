#include "service/doc_name.h"

#include <assert.h>

#define NAME_RESERVED 0xff

enum qk_err doc_name_of_id(const struct service *service,
                           const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                           struct bytes id, struct record_key *ret_key)
{
    (void)service;
    if (hidden)
        return QK_ERR_UNSUPPORTED;
    if (id.len > RECORD_NAME_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    *ret_key = record_document(database, id);
    return QK_OK;
}

enum qk_err doc_name_to_id(const struct service *service,
                           const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                           struct bytes name, struct buf *scratch, struct bytes *ret_id)
{
    (void)service;
    (void)database;
    assert(scratch->secret);

    if (hidden)
        return QK_ERR_UNSUPPORTED;
    *ret_id = name;
    return QK_OK;
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

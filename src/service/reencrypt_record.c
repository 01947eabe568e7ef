#include "service/reencrypt_record.h"

#include <assert.h>
#include <string.h>

#include "store/store.h"
#include "wire/pack.h"

#define RECORD_VERSION 1
#define FIELDS_N 11
#define FIELDS_MAX 32

void reencrypt_record_encode(const struct reencrypt_record *record, struct buf *out)
{
    assert(record->cursor_len <= sizeof(record->cursor));

    pack_array(out, FIELDS_N);
    pack_u64(out, RECORD_VERSION);
    pack_u64(out, record->round);
    pack_u64(out, record->state);
    pack_bool(out, record->paused);
    pack_bin(out, bytes_of(record->cursor, record->cursor_len));
    pack_u64(out, record->old_n);
    pack_u64(out, record->done_n);
    pack_u64(out, record->damaged_n);
    pack_u64(out, record->began_s);
    pack_u64(out, record->ended_s);
    pack_u64(out, record->index);
}

static void decode_fields(struct unpack *in, struct reencrypt_record *record)
{
    struct bytes cursor;

    record->round = unpack_u64(in);
    record->state = (enum reencrypt_state)unpack_u64_max(in, REENCRYPT_DONE);
    record->paused = unpack_bool(in);
    cursor = unpack_bin(in, sizeof(record->cursor));
    record->cursor_len = cursor.len;
    if (cursor.len > 0)
        memcpy(record->cursor, cursor.data, cursor.len);
    record->old_n = unpack_u64(in);
    record->done_n = unpack_u64(in);
    record->damaged_n = unpack_u64(in);
    record->began_s = unpack_u64(in);
    record->ended_s = unpack_u64(in);
    record->index = unpack_u64(in);
}

enum qk_err reencrypt_record_decode(struct bytes in, struct reencrypt_record *ret_record)
{
    struct unpack unpack = unpack_of(in);
    struct reencrypt_record record = {0};
    uint32_t items_n = unpack_array(&unpack, FIELDS_MAX);

    if (unpack_u64(&unpack) != RECORD_VERSION || items_n < FIELDS_N)
        return QK_ERR_CORRUPT;
    decode_fields(&unpack, &record);
    for (uint32_t i = FIELDS_N; i < items_n; i++)
        unpack_skip(&unpack);
    if (unpack_end(&unpack) != QK_OK || record.state == REENCRYPT_NONE)
        return QK_ERR_CORRUPT;
    *ret_record = record;
    return QK_OK;
}

const char *reencrypt_state_text(enum reencrypt_state state)
{
    switch (state) {
    case REENCRYPT_NONE:
        return "none";
    case REENCRYPT_WANTED:
        return "running";
    case REENCRYPT_DECLINED:
        return "declined";
    case REENCRYPT_DONE:
        return "done";
    }
    return "unknown";
}

enum qk_err reencrypt_record_get(struct store *store, struct reencrypt_record *ret_record,
                                 uint64_t *ret_version)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct record record;
    enum qk_err err = store_get(store, record_key_bytes(&key), &record);

    memset(ret_record, 0, sizeof(*ret_record));
    *ret_version = err == QK_OK ? record.version : 0;
    if (err == QK_ERR_NOT_FOUND)
        return QK_OK;
    return err == QK_OK ? reencrypt_record_decode(record.value, ret_record) : err;
}

enum qk_err reencrypt_want(struct store *store, bool wanted, struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct buf value = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record, next = {0};
    uint64_t version;
    enum qk_err err = reencrypt_record_get(store, &record, &version);

    if (err != QK_OK)
        return err;
    next.round = record.round + 1;
    next.state = wanted ? REENCRYPT_WANTED : REENCRYPT_DECLINED;
    next.paused = wanted && record.state == REENCRYPT_WANTED && record.paused;
    reencrypt_record_encode(&next, &value);
    err = buf_error(&value);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), version + 1, 0, buf_bytes(&value));
    buf_fini(&value);
    return err;
}

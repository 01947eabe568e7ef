#include "service/reencrypt_record.h"

#include <assert.h>
#include <string.h>

#include "store/store.h"
#include "wire/pack.h"

#define RECORD_VERSION 1
#define FIELDS_N 12
#define FRESH_BYTES (KEY_ID_BYTES + 4)
#define FIELDS_MAX 32

void reencrypt_record_encode(const struct reencrypt_record *record, struct buf *out)
{
    uint8_t fresh[REENCRYPT_FRESH_MAX * FRESH_BYTES];

    assert(record->cursor_len <= sizeof(record->cursor));
    assert(record->fresh_n <= REENCRYPT_FRESH_MAX);

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
    for (unsigned i = 0; i < record->fresh_n; i++) {
        memcpy(fresh + i * FRESH_BYTES, record->fresh[i].key_id, KEY_ID_BYTES);
        put_u32(fresh + i * FRESH_BYTES + KEY_ID_BYTES, record->fresh[i].version);
    }
    pack_bin(out, bytes_of(fresh, record->fresh_n * (size_t)FRESH_BYTES));
}

static void decode_fields(struct unpack *in, struct reencrypt_record *record)
{
    struct bytes cursor, fresh;

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
    fresh = unpack_bin(in, sizeof(record->fresh));
    record->fresh_n = (unsigned)(fresh.len / FRESH_BYTES);
    if (fresh.len % FRESH_BYTES != 0 || record->fresh_n > REENCRYPT_FRESH_MAX) {
        in->failed = in->failed == QK_OK ? QK_ERR_INVALID : in->failed;
        record->fresh_n = 0;
    }
    for (unsigned i = 0; i < record->fresh_n; i++) {
        memcpy(record->fresh[i].key_id, fresh.data + i * FRESH_BYTES, KEY_ID_BYTES);
        record->fresh[i].version = get_u32(fresh.data + i * FRESH_BYTES + KEY_ID_BYTES);
    }
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

static enum qk_err record_put(const struct reencrypt_record *record, uint64_t version,
                              struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct buf value = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    enum qk_err err;

    reencrypt_record_encode(record, &value);
    err = buf_error(&value);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), version + 1, 0, buf_bytes(&value));
    buf_fini(&value);
    return err;
}

enum qk_err reencrypt_want(struct store *store, bool wanted, struct wire_command *command)
{
    struct reencrypt_record record, next = {0};
    uint64_t version;
    enum qk_err err = reencrypt_record_get(store, &record, &version);

    if (err != QK_OK)
        return err;
    next.round = record.round + 1;
    next.state = wanted ? REENCRYPT_WANTED : REENCRYPT_DECLINED;
    next.paused = wanted && record.state == REENCRYPT_WANTED && record.paused;
    return record_put(&next, version, command);
}

bool reencrypt_is_fresh(const struct reencrypt_record *record,
                        const uint8_t key_id[static KEY_ID_BYTES], uint32_t version)
{
    for (unsigned i = 0; i < record->fresh_n; i++)
        if (memcmp(record->fresh[i].key_id, key_id, KEY_ID_BYTES) == 0)
            return version >= record->fresh[i].version;
    return false;
}

/* A round that was done is done no longer: what stands under the version that was active stays
 * there until somebody wants otherwise. */
enum qk_err reencrypt_rotated(struct store *store, const uint8_t key_id[static KEY_ID_BYTES],
                              uint32_t version, struct wire_command *command)
{
    struct reencrypt_record record;
    uint64_t record_version;
    enum qk_err err = reencrypt_record_get(store, &record, &record_version);

    if (err != QK_OK || record.state == REENCRYPT_DECLINED)
        return err;
    if (record.state != REENCRYPT_WANTED)
        return reencrypt_want(store, false, command);
    if (reencrypt_is_fresh(&record, key_id, version) || record.fresh_n == REENCRYPT_FRESH_MAX)
        return QK_OK;
    memcpy(record.fresh[record.fresh_n].key_id, key_id, KEY_ID_BYTES);
    record.fresh[record.fresh_n++].version = version;
    return record_put(&record, record_version, command);
}

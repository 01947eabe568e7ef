#include "wire/command.h"

#include <assert.h>

#include "base/key_uses.h"
#include "wire/version.h"

/* Array heads whose count is known only later are written in the five-byte form and patched. */
#define ARRAY32_TAG 0xdd
#define ARRAY32_BYTES 5
/* [1, kind, ...: a fixarray head and two small integers stand before the batches' array head. */
#define BATCHES_AT 3

static size_t array_begin(struct buf *out)
{
    size_t at = out->len;

    buf_put_u8(out, ARRAY32_TAG);
    buf_put_u32(out, 0);
    return at;
}

static void array_patch(struct buf *out, size_t at, uint32_t items_n)
{
    if (buf_error(out) == QK_OK)
        put_u32(out->data + at + 1, items_n);
}

static void command_fail(struct wire_command *command, enum qk_err err)
{
    if (command->failed == QK_OK)
        command->failed = err;
}

void wire_command_begin(struct wire_command *command, enum wire_kind kind)
{
    *command = (struct wire_command){.buf = BUF_INIT(COMMAND_BYTES_MAX)};
    pack_array(&command->buf, 3);
    pack_u64(&command->buf, wire_kind_version(kind));
    pack_u64(&command->buf, (uint64_t)kind);
    assert(buf_error(&command->buf) != QK_OK || command->buf.len == BATCHES_AT);
    (void)array_begin(&command->buf);
}

/* Closes the open batch, if any: its counts are known now. */
static void batch_close(struct wire_command *command)
{
    if (command->batches_n == 0)
        return;
    array_patch(&command->buf, command->conds_at, command->conds_n);
    if (command->ops_n == 0) /* a batch of conditions alone still has its list of operations */
        command->ops_at = array_begin(&command->buf);
    array_patch(&command->buf, command->ops_at, command->ops_n);
}

void wire_command_batch(struct wire_command *command)
{
    batch_close(command);
    if (command->batches_n == WIRE_BATCHES_MAX)
        command_fail(command, QK_ERR_TOO_BIG);
    else
        command->batches_n++;
    pack_array(&command->buf, 2);
    command->conds_at = array_begin(&command->buf);
    command->conds_n = 0;
    command->ops_n = 0;
}

static void key_check(struct wire_command *command, struct bytes key)
{
    if (key.len < DATABASE_ID_BYTES)
        command_fail(command, QK_ERR_INVALID);
    if (key.len > RECORD_KEY_BYTES_MAX)
        command_fail(command, QK_ERR_TOO_BIG);
}

static void cond_begin(struct wire_command *command, uint32_t items_n, struct bytes key)
{
    assert(command->batches_n > 0);
    assert(command->ops_n == 0);
    key_check(command, key);
    if (++command->conds_n > WIRE_BATCH_ITEMS_MAX)
        command_fail(command, QK_ERR_TOO_BIG);
    pack_array(&command->buf, items_n);
    pack_bin(&command->buf, key);
}

void wire_command_cond(struct wire_command *command, struct bytes key, uint64_t version)
{
    cond_begin(command, 2, key);
    pack_u64(&command->buf, version);
}

void wire_command_limit(struct wire_command *command, const uint8_t tag[static WIRE_TAG_BYTES],
                        uint64_t sealed_max, uint64_t bytes_max)
{
    cond_begin(command, 3, bytes_of(tag, WIRE_TAG_BYTES));
    pack_u64(&command->buf, sealed_max);
    pack_u64(&command->buf, bytes_max);
}

/* A value that must begin with a list does. The id of sixteen zero bytes, under which no record
 * lies, is where the store keeps a key's sum over all databases. */
static bool keyed_good(struct bytes key, uint8_t flags, struct bytes value)
{
    static const uint8_t zeros[DATABASE_ID_BYTES];
    struct key_uses uses;

    return (flags & WIRE_KEYED) == 0 || (!bytes_starts_with(key, bytes_of(zeros, sizeof(zeros))) &&
                                         key_uses_open(value, &uses, NULL) == QK_OK);
}

/* WIRE_DELETED alone has no meaning and never had an effect; WIRE_SAME_SEQ alone would. */
static bool flags_good(uint8_t flags)
{
    return (flags & ~WIRE_FLAGS_ALL) == 0 &&
           ((flags & WIRE_SAME_SEQ) == 0 || (flags & WIRE_DOC) != 0);
}

static void op_begin(struct wire_command *command, enum wire_op_type type, uint32_t items_n,
                     struct bytes key)
{
    assert(command->batches_n > 0);
    key_check(command, key);
    if (command->ops_n++ == 0)
        command->ops_at = array_begin(&command->buf);
    if (++command->ops_total > WIRE_BATCH_ITEMS_MAX)
        command_fail(command, QK_ERR_TOO_BIG);
    pack_array(&command->buf, items_n);
    pack_u64(&command->buf, (uint64_t)type);
    pack_bin(&command->buf, key);
}

void wire_command_put(struct wire_command *command, struct bytes key, uint64_t version,
                      uint8_t flags, struct bytes value)
{
    assert(version > 0);
    assert(flags_good(flags));
    if (value.len > RECORD_VALUE_BYTES_MAX)
        command_fail(command, QK_ERR_TOO_BIG);
    if (!keyed_good(key, flags, value))
        command_fail(command, QK_ERR_INVALID);
    op_begin(command, WIRE_PUT, 5, key);
    pack_u64(&command->buf, version);
    pack_u64(&command->buf, flags);
    pack_bin(&command->buf, value);
}

void wire_command_delete(struct wire_command *command, struct bytes key)
{
    op_begin(command, WIRE_DELETE, 2, key);
}

void wire_command_delete_range(struct wire_command *command, struct bytes prefix)
{
    op_begin(command, WIRE_DELETE_RANGE, 2, prefix);
}

enum qk_err wire_command_end(struct wire_command *command, struct bytes *ret_bytes)
{
    assert(command->batches_n > 0);
    batch_close(command);
    array_patch(&command->buf, BATCHES_AT, command->batches_n);
    if (command->failed == QK_OK)
        command->failed = buf_error(&command->buf);
    if (command->failed == QK_OK)
        *ret_bytes = buf_bytes(&command->buf);
    return command->failed;
}

void wire_command_fini(struct wire_command *command)
{
    buf_fini(&command->buf);
}

size_t wire_command_size(const struct wire_command *command)
{
    return command->buf.len;
}

unsigned wire_command_version(struct bytes command)
{
    struct unpack in = unpack_of(command);
    uint64_t version;

    (void)unpack_array(&in, UINT32_MAX);
    version = unpack_u64(&in);
    return unpack_error(&in) == QK_OK && version <= WIRE_COMMAND_VERSION_MAX ? (unsigned)version
                                                                             : 0;
}

enum qk_err wire_reader_open(struct bytes command, struct wire_reader *ret_reader)
{
    struct wire_reader reader = {.in = unpack_of(command)};
    uint64_t version, kind;

    if (command.len > COMMAND_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    if (unpack_array(&reader.in, UINT32_MAX) == 0)
        return QK_ERR_INVALID;
    version = unpack_u64(&reader.in);
    kind = unpack_u64(&reader.in);
    if (unpack_error(&reader.in) != QK_OK)
        return unpack_error(&reader.in);
    if (wire_kind_version(kind) == 0 || version != wire_kind_version(kind))
        return QK_ERR_UNSUPPORTED;
    reader.in = unpack_of(command); /* once more: of this version it has three items */
    unpack_array_of(&reader.in, 3);
    (void)unpack_u64(&reader.in);
    reader.kind = (enum wire_kind)unpack_u64(&reader.in);
    reader.batches_left = unpack_array(&reader.in, WIRE_BATCHES_MAX);
    if (unpack_error(&reader.in) != QK_OK)
        return unpack_error(&reader.in);
    *ret_reader = reader;
    return QK_OK;
}

static void reader_fail(struct wire_reader *reader, enum qk_err err)
{
    if (reader->in.failed == QK_OK)
        reader->in.failed = err;
}

static struct bytes reader_key(struct wire_reader *reader)
{
    struct bytes key = unpack_bin(&reader->in, RECORD_KEY_BYTES_MAX);

    if (key.len < DATABASE_ID_BYTES)
        reader_fail(reader, QK_ERR_INVALID);
    return key;
}

bool wire_reader_cond(struct wire_reader *reader, struct wire_cond *ret_cond)
{
    struct wire_cond cond = {.is_limit = false};
    uint32_t items_n;

    if (reader->conds_left == 0 || unpack_error(&reader->in) != QK_OK)
        return false;
    reader->conds_left--;
    items_n = unpack_array(&reader->in, 3);
    cond.key = reader_key(reader);
    cond.is_limit = items_n == 3;
    if (cond.is_limit) {
        cond.sealed_max = unpack_u64(&reader->in);
        cond.bytes_max = unpack_u64(&reader->in);
    } else {
        cond.version = unpack_u64(&reader->in);
    }
    if (items_n < 2 || (cond.is_limit && cond.key.len != WIRE_TAG_BYTES))
        reader_fail(reader, QK_ERR_INVALID);
    if (unpack_error(&reader->in) != QK_OK)
        return false;
    *ret_cond = cond;
    return true;
}

/* The head of the operations, once the conditions are read. */
static void reader_enter_ops(struct wire_reader *reader)
{
    struct wire_cond cond;

    while (wire_reader_cond(reader, &cond))
        continue;
    reader->in_ops = true;
    reader->ops_left = unpack_array(&reader->in, WIRE_BATCH_ITEMS_MAX);
    reader->ops_total += reader->ops_left;
    if (reader->ops_total > WIRE_BATCH_ITEMS_MAX)
        reader_fail(reader, QK_ERR_TOO_BIG);
}

static void read_op(struct wire_reader *reader, struct wire_op *op)
{
    uint32_t items_n = unpack_array(&reader->in, 5);
    uint64_t type = unpack_u64(&reader->in);

    *op = (struct wire_op){.type = WIRE_PUT, .value = BYTES_NONE};
    if (type < WIRE_PUT || type > WIRE_DELETE_RANGE || items_n != (type == WIRE_PUT ? 5 : 2)) {
        reader_fail(reader, QK_ERR_INVALID);
        return;
    }
    op->type = (enum wire_op_type)type;
    op->key = reader_key(reader);
    if (op->type != WIRE_PUT)
        return;
    op->version = unpack_u64(&reader->in);
    op->flags = (uint8_t)unpack_u64_max(&reader->in, UINT8_MAX);
    op->value = unpack_bin(&reader->in, RECORD_VALUE_BYTES_MAX);
    if (op->version == 0 || !flags_good(op->flags) || !keyed_good(op->key, op->flags, op->value))
        reader_fail(reader, QK_ERR_INVALID);
}

bool wire_reader_op(struct wire_reader *reader, struct wire_op *ret_op)
{
    struct wire_op op;

    if (!reader->batch_open)
        return false;
    if (!reader->in_ops)
        reader_enter_ops(reader);
    if (reader->ops_left == 0 || unpack_error(&reader->in) != QK_OK)
        return false;
    reader->ops_left--;
    read_op(reader, &op);
    if (unpack_error(&reader->in) != QK_OK)
        return false;
    *ret_op = op;
    return true;
}

bool wire_reader_batch(struct wire_reader *reader)
{
    struct wire_op op;

    while (wire_reader_op(reader, &op))
        continue;
    if (unpack_error(&reader->in) != QK_OK)
        return false;
    reader->batch_open = false;
    reader->in_ops = false;
    if (reader->batches_left == 0)
        return false;
    reader->batches_left--;
    unpack_array_of(&reader->in, 2);
    reader->conds_left = unpack_array(&reader->in, WIRE_BATCH_ITEMS_MAX);
    reader->batch_open = unpack_error(&reader->in) == QK_OK;
    return reader->batch_open;
}

enum qk_err wire_reader_end(const struct wire_reader *reader)
{
    enum qk_err err = unpack_end(&reader->in);

    if (err == QK_OK && (reader->batch_open || reader->batches_left > 0))
        err = QK_ERR_INVALID;
    return err;
}

enum qk_err wire_command_check(struct bytes command, enum wire_kind *ret_kind)
{
    struct wire_reader reader;
    enum qk_err err = wire_reader_open(command, &reader);

    if (err != QK_OK)
        return err;
    while (wire_reader_batch(&reader))
        continue;
    err = wire_reader_end(&reader);
    if (err == QK_OK)
        *ret_kind = reader.kind;
    return err;
}

void wire_result_put(struct buf *out, const struct wire_result *result)
{
    buf_put_u8(out, result->ok ? 1 : 0);
    buf_put_u32(out, result->failed);
    buf_put_u64(out, result->seq);
}

size_t wire_results_count(struct bytes results)
{
    return results.len % WIRE_RESULT_BYTES == 0 ? results.len / WIRE_RESULT_BYTES : 0;
}

enum qk_err wire_result_get(struct bytes results, size_t at, struct wire_result *ret_result)
{
    struct reader reader;
    uint8_t ok;

    if (at >= wire_results_count(results))
        return QK_ERR_INVALID;
    reader = reader_of(bytes_slice(results, at * WIRE_RESULT_BYTES, WIRE_RESULT_BYTES));
    ok = reader_u8(&reader);
    if (ok > 1)
        return QK_ERR_INVALID;
    ret_result->ok = ok == 1;
    ret_result->failed = reader_u32(&reader);
    ret_result->seq = reader_u64(&reader);
    return reader_end(&reader);
}

enum qk_err wire_result_single(struct bytes results, uint64_t *ret_seq)
{
    struct wire_result result;

    if (wire_results_count(results) != 1 || wire_result_get(results, 0, &result) != QK_OK)
        return QK_ERR_INVALID;
    if (!result.ok)
        return QK_ERR_CONFLICT;
    if (ret_seq != NULL)
        *ret_seq = result.seq;
    return QK_OK;
}

/* Commands of the log (wire/command): what is well-formed can be walked, built again and is then
 * still well-formed, with as many parts. */
#include "base/key_uses.h"
#include "fuzz.h"
#include "wire/command.h"
#include "wire/records.h"

static void seed_batch(struct wire_command *command, uint8_t database)
{
    const uint8_t id[DATABASE_ID_BYTES] = {database};
    struct record_key a = record_document(id, bytes_str("a"));
    struct record_key b = record_document(id, bytes_str("b"));

    const struct key_use use = {.version = 1, .bodies = 1, .sealed = 1, .sealed_bytes = 9};
    struct buf keyed = BUF_INIT(KIB);

    key_uses_put(&use, 1, &keyed);
    wire_command_batch(command);
    wire_command_cond(command, record_key_bytes(&a), 3);
    wire_command_limit(command, (const uint8_t[WIRE_TAG_BYTES]){database}, 1000, 1u << 30);
    wire_command_put(command, record_key_bytes(&a), 4, WIRE_DOC, bytes_str("QKE1"));
    wire_command_put(command, record_key_bytes(&b), 1, WIRE_DOC | WIRE_DELETED | WIRE_KEYED,
                     buf_bytes(&keyed));
    buf_fini(&keyed);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    const uint8_t id[DATABASE_ID_BYTES] = {9};
    struct record_key key = record_document(id, bytes_str("c"));
    struct wire_command command;
    struct bytes bytes;

    if (number >= WIRE_DEAL_BEGIN)
        return false;
    wire_command_begin(&command, (enum wire_kind)(number + 1));
    for (unsigned i = 0; i <= number % 3; i++)
        seed_batch(&command, (uint8_t)(i + 1));
    wire_command_batch(&command);
    wire_command_delete(&command, record_key_bytes(&key));
    wire_command_delete_range(&command, bytes_of(id, sizeof id));
    fuzz_must(wire_command_end(&command, &bytes));
    buf_put_bytes(out, bytes);
    wire_command_fini(&command);
    return true;
}

static void copy_op(struct wire_command *to, const struct wire_op *op)
{
    fuzz_touch(op->key);
    switch (op->type) {
    case WIRE_PUT:
        fuzz_touch(op->value);
        wire_command_put(to, op->key, op->version, op->flags, op->value);
        break;
    case WIRE_DELETE:
        wire_command_delete(to, op->key);
        break;
    case WIRE_DELETE_RANGE:
        wire_command_delete_range(to, op->key);
        break;
    }
}

/* True if all of it is well-formed. Its parts are counted, and go to `to` unless it is NULL. */
static bool walk(struct bytes in, struct wire_command *to, size_t *ret_n)
{
    struct wire_reader reader;
    struct wire_cond cond;
    struct wire_op op;
    size_t n = 0;

    if (wire_reader_open(in, &reader) != QK_OK)
        return false;
    if (to != NULL)
        wire_command_begin(to, reader.kind);
    while (wire_reader_batch(&reader)) {
        n++;
        if (to != NULL)
            wire_command_batch(to);
        for (; wire_reader_cond(&reader, &cond); n++)
            if (to != NULL && cond.is_limit)
                wire_command_limit(to, cond.key.data, cond.sealed_max, cond.bytes_max);
            else if (to != NULL)
                wire_command_cond(to, cond.key, cond.version);
        for (; wire_reader_op(&reader, &op); n++)
            if (to != NULL)
                copy_op(to, &op);
    }
    *ret_n = n;
    return wire_reader_end(&reader) == QK_OK;
}

static void results(struct bytes in)
{
    struct wire_result result;
    uint64_t seq;
    size_t n = wire_results_count(in);

    for (size_t i = 0; i < n; i++)
        fuzz_any(wire_result_get(in, i, &result));
    fuzz_require(wire_result_get(in, n, &result) != QK_OK);
    fuzz_any(wire_result_single(in, &seq));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len), built;
    struct wire_command command;
    enum wire_kind kind, again;
    enum qk_err err = wire_command_check(in, &kind);
    size_t n = 0, again_n = 0;

    results(in);
    fuzz_require((err == QK_OK) == walk(in, NULL, &n));
    if (err != QK_OK || n == 0)
        return 0;
    fuzz_require(walk(in, &command, &n));
    fuzz_must(wire_command_end(&command, &built));
    fuzz_must(wire_command_check(built, &again));
    fuzz_require(kind == again && walk(built, NULL, &again_n) && n == again_n);
    wire_command_fini(&command);
    return 0;
}

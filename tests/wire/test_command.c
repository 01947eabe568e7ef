#include "wire/command.h"
#include "base/key_uses.h"
#include "wire/version.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char *const KEY = "0123456789abcdef/doc";
static const char *const OTHER = "0123456789abcdef/other";

static struct bytes sample(struct wire_command *command)
{
    struct bytes out = BYTES_NONE;

    wire_command_begin(command, WIRE_KEYRING);
    wire_command_batch(command);
    wire_command_cond(command, bytes_str(OTHER), 3);
    wire_command_cond(command, bytes_str(KEY), 0);
    wire_command_put(command, bytes_str(KEY), 1, WIRE_DOC, bytes_str("value"));
    wire_command_delete(command, bytes_str(OTHER));
    wire_command_batch(command);
    wire_command_delete_range(command, bytes_of(KEY, 16));
    wire_command_batch(command);
    wire_command_cond(command, bytes_str(KEY), 300);
    cr_assert_eq(wire_command_end(command, &out), QK_OK);
    return out;
}

Test(command, what_is_built_is_read_back)
{
    struct wire_command command;
    struct wire_reader reader;
    struct wire_cond cond;
    struct wire_op op;

    cr_assert_eq(wire_reader_open(sample(&command), &reader), QK_OK);
    cr_assert_eq(reader.kind, WIRE_KEYRING);
    cr_assert(wire_reader_batch(&reader));
    cr_assert(wire_reader_cond(&reader, &cond));
    cr_assert(bytes_equal(cond.key, bytes_str(OTHER)));
    cr_assert_eq(cond.version, 3);
    cr_assert(wire_reader_cond(&reader, &cond));
    cr_assert_eq(cond.version, 0);
    cr_assert_not(wire_reader_cond(&reader, &cond));
    cr_assert(wire_reader_op(&reader, &op));
    cr_assert_eq(op.type, WIRE_PUT);
    cr_assert_eq(op.version, 1);
    cr_assert_eq(op.flags, WIRE_DOC);
    cr_assert(bytes_equal(op.value, bytes_str("value")));
    cr_assert(wire_reader_op(&reader, &op));
    cr_assert_eq(op.type, WIRE_DELETE);
    cr_assert_not(wire_reader_op(&reader, &op));
    cr_assert(wire_reader_batch(&reader));
    cr_assert_not(wire_reader_cond(&reader, &cond));
    cr_assert(wire_reader_op(&reader, &op));
    cr_assert_eq(op.type, WIRE_DELETE_RANGE);
    cr_assert_eq(op.key.len, 16);
    cr_assert(wire_reader_batch(&reader));
    cr_assert_not(wire_reader_op(&reader, &op));
    cr_assert_not(wire_reader_batch(&reader));
    cr_assert_eq(wire_reader_end(&reader), QK_OK);
    wire_command_fini(&command);
}

Test(command, unread_parts_are_passed_over_and_checked)
{
    struct wire_command command;
    enum wire_kind kind;

    cr_assert_eq(wire_command_check(sample(&command), &kind), QK_OK);
    cr_assert_eq(kind, WIRE_KEYRING);
    wire_command_fini(&command);
}

Test(command, truncated_at_each_byte_is_an_error)
{
    struct wire_command command;
    struct bytes all = sample(&command);
    enum wire_kind kind;

    for (size_t len = 0; len < all.len; len++) {
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, all.data, len);
        cr_assert_neq(wire_command_check(bytes_of(copy, len), &kind), QK_OK, "at %zu", len);
        free(copy);
    }
    wire_command_fini(&command);
}

Test(command, trailing_bytes_are_an_error)
{
    struct wire_command command;
    struct buf out = BUF_INIT(KIB);
    enum wire_kind kind;

    buf_put_bytes(&out, sample(&command));
    buf_put_u8(&out, 0xc0);
    cr_assert_eq(wire_command_check(buf_bytes(&out), &kind), QK_ERR_INVALID);
    wire_command_fini(&command);
    buf_fini(&out);
}

Test(command, each_byte_changed_to_anything_never_crashes)
{
    struct wire_command command;
    struct bytes all = sample(&command);
    uint8_t *copy = malloc(all.len);
    enum wire_kind kind;
    size_t passed = 0;

    memcpy(copy, all.data, all.len);
    for (size_t at = 0; at < all.len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            copy[at] = (uint8_t)value;
            passed += wire_command_check(bytes_of(copy, all.len), &kind) == QK_OK;
        }
        copy[at] = all.data[at];
    }
    cr_assert_geq(passed, all.len); /* the unchanged byte is among the 256 */
    free(copy);
    wire_command_fini(&command);
}

Test(command, the_flag_of_the_same_sequence_belongs_to_documents)
{
    for (unsigned flags = 0; flags < 0x80; flags++) {
        static const unsigned good[] = {0, 1, 2, 3, 5, 7};
        struct wire_command command;
        struct bytes out;
        enum wire_kind kind;
        bool is_good = false;

        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
            is_good = is_good || good[i] == flags;
        wire_command_begin(&command, WIRE_WRITE);
        wire_command_batch(&command);
        wire_command_put(&command, bytes_str(KEY), 1, WIRE_DOC, BYTES_NONE);
        cr_assert_eq(wire_command_end(&command, &out), QK_OK);
        cr_assert_eq(command.buf.data[command.buf.len - 3], 1); /* flags, then an empty value */
        command.buf.data[command.buf.len - 3] = (uint8_t)flags; /* up to 0x7f it is one byte */
        cr_assert_eq(wire_command_check(out, &kind) == QK_OK, is_good, "flags %u", flags);
        wire_command_fini(&command);
    }
}

static void keyed_value(struct buf *out)
{
    const struct key_use use = {.version = 2, .bodies = 1, .sealed = 1, .sealed_bytes = 9};

    key_uses_put(&use, 1, out);
    buf_put_str(out, "rest");
}

Test(command, limits_and_keyed_values_are_read_back_and_cut_or_altered_ones_do_no_harm)
{
    static const uint8_t tag[WIRE_TAG_BYTES] = {1, 2, 3};
    struct buf value = BUF_INIT(KIB);
    struct wire_command command;
    struct wire_reader reader;
    struct wire_cond cond;
    enum wire_kind kind;
    struct bytes all;
    struct wire_op op;

    keyed_value(&value);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_cond(&command, bytes_str(OTHER), 3);
    wire_command_limit(&command, tag, 1000, UINT64_MAX);
    wire_command_put(&command, bytes_str(KEY), 1, WIRE_DOC | WIRE_KEYED, buf_bytes(&value));
    cr_assert_eq(wire_command_end(&command, &all), QK_OK);
    cr_assert_eq(wire_reader_open(all, &reader), QK_OK);
    cr_assert(wire_reader_batch(&reader));
    cr_assert(wire_reader_cond(&reader, &cond));
    cr_assert_not(cond.is_limit);
    cr_assert_eq(cond.version, 3);
    cr_assert(wire_reader_cond(&reader, &cond));
    cr_assert(cond.is_limit);
    cr_assert(bytes_equal(cond.key, bytes_of(tag, sizeof tag)));
    cr_assert_eq(cond.sealed_max, 1000);
    cr_assert_eq(cond.bytes_max, UINT64_MAX);
    cr_assert(wire_reader_op(&reader, &op));
    cr_assert_eq(op.flags, WIRE_DOC | WIRE_KEYED);
    for (size_t len = 0; len < all.len; len++)
        cr_assert_neq(wire_command_check(bytes_of(all.data, len), &kind), QK_OK);
    for (size_t at = 0; at < all.len; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t was = command.buf.data[at];

            command.buf.data[at] = (uint8_t)byte;
            (void)!wire_command_check(all, &kind);
            command.buf.data[at] = was;
        }
    wire_command_fini(&command);
    buf_fini(&value);
}

Test(command, a_keyed_value_without_its_list_or_in_no_database_is_no_command)
{
    static const uint8_t nowhere[DATABASE_ID_BYTES + 1];
    struct buf value = BUF_INIT(KIB);
    struct bytes keys[2] = {bytes_str(KEY), bytes_of(nowhere, sizeof nowhere)}, values[2], all;

    keyed_value(&value);
    values[0] = bytes_slice(buf_bytes(&value), 0, KEY_USE_BYTES);
    values[1] = buf_bytes(&value);
    for (size_t i = 0; i < 2; i++) {
        struct wire_command command;

        wire_command_begin(&command, WIRE_WRITE);
        wire_command_batch(&command);
        wire_command_put(&command, keys[i], 1, WIRE_KEYED, values[i]);
        cr_assert_eq(wire_command_end(&command, &all), QK_ERR_INVALID);
        wire_command_fini(&command);
    }
    buf_fini(&value);
}

Test(command, another_version_or_kind_is_unsupported_and_not_malformed)
{
    static const uint8_t version2[] = {0x94, 2, 1, 0x90, 0xc0};
    static const uint8_t kind99[] = {0x93, 1, 99, 0x90};
    static const uint8_t kind0[] = {0x93, 1, 0, 0x90};
    enum wire_kind kind;

    cr_assert_eq(wire_command_check(bytes_of(version2, sizeof version2), &kind),
                 QK_ERR_UNSUPPORTED);
    cr_assert_eq(wire_command_check(bytes_of(kind99, sizeof kind99), &kind), QK_ERR_UNSUPPORTED);
    cr_assert_eq(wire_command_check(bytes_of(kind0, sizeof kind0), &kind), QK_ERR_UNSUPPORTED);
}

Test(command, every_kind_is_read)
{
    for (unsigned number = WIRE_WRITE; number <= WIRE_DEAL_BEGIN; number++) {
        struct wire_command command;
        struct bytes out;
        enum wire_kind kind;

        wire_command_begin(&command, (enum wire_kind)number);
        wire_command_batch(&command);
        cr_assert_eq(wire_command_end(&command, &out), QK_OK);
        cr_assert_eq(wire_command_check(out, &kind), QK_OK);
        cr_assert_eq((unsigned)kind, number);
        wire_command_fini(&command);
    }
}

Test(command, keys_at_the_limit_pass_and_one_past_it_do_not)
{
    static uint8_t key[RECORD_KEY_BYTES_MAX + 1];
    struct wire_command command;
    struct bytes out;

    memset(key, 'k', sizeof key);
    for (size_t len = RECORD_KEY_BYTES_MAX; len <= sizeof key; len++) {
        wire_command_begin(&command, WIRE_WRITE);
        wire_command_batch(&command);
        wire_command_delete(&command, bytes_of(key, len));
        cr_assert_eq(wire_command_end(&command, &out),
                     len > RECORD_KEY_BYTES_MAX ? QK_ERR_TOO_BIG : QK_OK);
        wire_command_fini(&command);
    }
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, bytes_of(key, DATABASE_ID_BYTES - 1));
    cr_assert_eq(wire_command_end(&command, &out), QK_ERR_INVALID);
    wire_command_fini(&command);
}

Test(command, values_at_the_limit_pass_and_one_past_it_do_not)
{
    uint8_t *value = calloc(1, RECORD_VALUE_BYTES_MAX + 1);
    enum wire_kind kind;

    for (size_t len = RECORD_VALUE_BYTES_MAX; len <= RECORD_VALUE_BYTES_MAX + 1; len++) {
        struct wire_command command;
        struct bytes out = BYTES_NONE;
        enum qk_err err;

        wire_command_begin(&command, WIRE_WRITE);
        wire_command_batch(&command);
        wire_command_put(&command, bytes_str(KEY), 1, 0, bytes_of(value, len));
        err = wire_command_end(&command, &out);
        cr_assert_eq(err, len > RECORD_VALUE_BYTES_MAX ? QK_ERR_TOO_BIG : QK_OK);
        if (err == QK_OK)
            cr_assert_eq(wire_command_check(out, &kind), QK_OK);
        wire_command_fini(&command);
    }
    free(value);
}

Test(command, operations_at_the_limit_pass_and_one_past_it_do_not)
{
    for (uint32_t n = WIRE_BATCH_ITEMS_MAX; n <= WIRE_BATCH_ITEMS_MAX + 1; n++) {
        struct wire_command command;
        struct bytes out;
        enum wire_kind kind;
        enum qk_err err;

        wire_command_begin(&command, WIRE_WRITE);
        for (uint32_t i = 0; i < n; i++) {
            if (i % 1000 == 0)
                wire_command_batch(&command);
            wire_command_put(&command, bytes_str(KEY), 1, 0, BYTES_NONE);
        }
        err = wire_command_end(&command, &out);
        cr_assert_eq(err, n > WIRE_BATCH_ITEMS_MAX ? QK_ERR_TOO_BIG : QK_OK);
        if (err == QK_OK)
            cr_assert_eq(wire_command_check(out, &kind), QK_OK);
        wire_command_fini(&command);
    }
}

Test(command, a_command_over_its_limit_is_too_big)
{
    uint8_t *value = calloc(1, DOC_BYTES_MAX);
    struct wire_command command;
    struct bytes out;
    enum wire_kind kind;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    for (int i = 0; i < 5; i++)
        wire_command_put(&command, bytes_str(KEY), 1, 0, bytes_of(value, DOC_BYTES_MAX));
    cr_assert_eq(wire_command_end(&command, &out), QK_ERR_TOO_BIG);
    wire_command_fini(&command);
    free(value);
    value = calloc(1, COMMAND_BYTES_MAX + 1);
    cr_assert_eq(wire_command_check(bytes_of(value, COMMAND_BYTES_MAX + 1), &kind), QK_ERR_TOO_BIG);
    free(value);
}

Test(command, claimed_counts_cost_nothing)
{
    static const uint8_t huge[] = {0x93, 1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff};
    enum wire_kind kind;

    cr_assert_eq(wire_command_check(bytes_of(huge, sizeof huge), &kind), QK_ERR_TOO_BIG);
}

Test(command, results_are_read_back_and_bad_ones_refused)
{
    struct wire_result in = {true, 0, 77}, failed = {false, 3, 0}, out;
    struct buf buf = BUF_INIT(KIB);
    uint64_t seq = 0;

    cr_assert_eq(wire_result_single(BYTES_NONE, NULL), QK_ERR_INVALID);
    wire_result_put(&buf, &in);
    cr_assert_eq(wire_result_single(buf_bytes(&buf), &seq), QK_OK);
    cr_assert_eq(seq, 77);
    wire_result_put(&buf, &failed);
    cr_assert_eq(wire_results_count(buf_bytes(&buf)), 2);
    cr_assert_eq(wire_result_get(buf_bytes(&buf), 1, &out), QK_OK);
    cr_assert_not(out.ok);
    cr_assert_eq(out.failed, 3);
    cr_assert_eq(wire_result_get(buf_bytes(&buf), 2, &out), QK_ERR_INVALID);
    cr_assert_eq(wire_result_single(bytes_slice(buf_bytes(&buf), WIRE_RESULT_BYTES, 100), NULL),
                 QK_ERR_CONFLICT);
    for (size_t len = 0; len < buf.len; len++)
        cr_assert(len == WIRE_RESULT_BYTES ||
                  wire_result_single(bytes_slice(buf_bytes(&buf), 0, len), &seq) != QK_OK);
    buf.data[0] = 2;
    cr_assert_eq(wire_result_get(buf_bytes(&buf), 0, &out), QK_ERR_INVALID);
    buf_fini(&buf);
}

Test(command, its_head_says_which_version_it_needs)
{
    static const uint8_t newer[] = {0x93, 7, 99, 0x90};
    struct wire_command command;
    enum wire_kind kind;

    cr_assert_eq(wire_command_version(sample(&command)), 1);
    wire_command_fini(&command);
    cr_assert_eq(wire_command_check(bytes_of(newer, sizeof newer), &kind), QK_ERR_UNSUPPORTED);
    cr_assert_eq(wire_command_version(bytes_of(newer, sizeof newer)), 7);
    cr_assert_eq(wire_command_version(bytes_str("hello")), 0);
    cr_assert_eq(wire_command_version(BYTES_NONE), 0);
}

Test(command, no_kind_is_newer_than_the_program)
{
    unsigned known = 0;

    for (uint64_t number = 0; number < 256; number++) {
        cr_assert_leq(wire_kind_version(number), wire_version());
        known += wire_kind_version(number) > 0;
    }
    cr_assert_eq(known, WIRE_DEAL_BEGIN);
    cr_assert_eq(wire_kind_version(0), 0);
    cr_assert_eq(wire_kind_version(UINT64_MAX), 0);
}

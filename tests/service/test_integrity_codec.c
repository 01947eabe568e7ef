/* The sealed sum beside the records, and the rows that nodes tell each other. */
#include <criterion/criterion.h>
#include <string.h>

#include "service/integrity/integrity_root.h"
#include "service/integrity/integrity_rows.h"

static struct secret *key_new(void)
{
    struct secret *key;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    return key;
}

static const struct integrity_root root = {.index = 900,
                                           .term = 3,
                                           .stamp = 70000,
                                           .epoch = 4,
                                           .deal = {1, 2, 3},
                                           .standing = INTEGRITY_SOUND,
                                           .sum = {{1, 2, 3, 4}}};

Test(integrity_root, opens_as_it_was_sealed)
{
    struct secret *key = key_new();
    struct buf out = BUF_INIT(KIB);
    struct integrity_root again;

    cr_assert_eq(integrity_root_seal(key, &root, &out), QK_OK);
    cr_assert_eq(out.len, INTEGRITY_ROOT_BYTES);
    cr_assert_eq(integrity_root_open(key, buf_bytes(&out), &again), QK_OK);
    cr_assert(again.index == 900 && again.term == 3 && again.stamp == 70000 && again.epoch == 4);
    cr_assert(again.standing == INTEGRITY_SOUND && again.deal[2] == 3);
    cr_assert(multiset_equal(&again.sum, &root.sum));
    buf_fini(&out);
    secret_free(key);
    secret_arena_fini();
}

Test(integrity_root, no_cut_and_no_flipped_byte_opens)
{
    struct secret *key = key_new();
    struct buf out = BUF_INIT(KIB);
    struct integrity_root again;

    cr_assert_eq(integrity_root_seal(key, &root, &out), QK_OK);
    for (size_t len = 0; len < out.len; len++)
        cr_assert_neq(integrity_root_open(key, bytes_of(out.data, len), &again), QK_OK);
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 1;
        cr_assert_neq(integrity_root_open(key, buf_bytes(&out), &again), QK_OK, "byte %zu", i);
        out.data[i] ^= 1;
    }
    buf_put_u8(&out, 0);
    cr_assert_eq(integrity_root_open(key, buf_bytes(&out), &again), QK_ERR_CORRUPT);
    buf_fini(&out);
    secret_free(key);
    secret_arena_fini();
}

static struct integrity_row row_of(const char *name, uint64_t version, uint64_t stamp, uint8_t byte)
{
    struct integrity_row row = {.name = bytes_str(name), .version = version, .stamp = stamp};

    memset(row.digest, byte, sizeof row.digest);
    return row;
}

Test(integrity_rows, are_read_as_they_were_written)
{
    struct integrity_row a = row_of("ada", 3, 99, 1), b = row_of("", 1, 100, 2), got;
    struct buf out = BUF_INIT(KIB);
    struct reader reader;

    integrity_row_put(&a, &out);
    integrity_row_put(&b, &out);
    reader = reader_of(buf_bytes(&out));
    cr_assert_eq(integrity_row_read(&reader, &got), QK_OK);
    cr_assert(bytes_equal(got.name, a.name) && got.version == 3 && got.stamp == 99);
    cr_assert_eq(integrity_row_read(&reader, &got), QK_OK);
    cr_assert(got.name.len == 0 && got.digest[15] == 2);
    cr_assert_eq(integrity_row_read(&reader, &got), QK_ERR_NOT_FOUND);
    buf_fini(&out);
}

Test(integrity_rows, a_cut_row_and_a_name_that_is_too_long_are_invalid)
{
    struct integrity_row a = row_of("ada", 3, 99, 1), got;
    struct buf out = BUF_INIT(KIB);
    struct reader reader;

    integrity_row_put(&a, &out);
    for (size_t len = 1; len < out.len; len++) {
        reader = reader_of(bytes_of(out.data, len));
        cr_assert_eq(integrity_row_read(&reader, &got), QK_ERR_INVALID);
    }
    buf_reset(&out);
    buf_put_u16(&out, RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES + 1);
    while (out.len < 700)
        buf_put_u8(&out, 1);
    reader = reader_of(buf_bytes(&out));
    cr_assert_eq(integrity_row_read(&reader, &got), QK_ERR_INVALID);
    buf_fini(&out);
}

Test(integrity_rows, a_row_is_judged_by_its_stamp)
{
    struct integrity_row there = row_of("a", 4, 50, 1), here;

    cr_assert_eq(integrity_judge(NULL, &there, 60), INTEGRITY_ABSENT);
    here = there;
    cr_assert_eq(integrity_judge(&here, &there, 60), INTEGRITY_SAME);
    here = row_of("a", 5, 61, 9);
    cr_assert_eq(integrity_judge(&here, &there, 60), INTEGRITY_NEWER);
    here = row_of("a", 3, 40, 9); /* rolled back here */
    cr_assert_eq(integrity_judge(&here, &there, 60), INTEGRITY_DIFFERENT);
    here = row_of("a", 5, 55, 9); /* there */
    cr_assert_eq(integrity_judge(&here, &there, 60), INTEGRITY_DIFFERENT);
    here = row_of("a", 4, 50, 2); /* other bytes */
    cr_assert_eq(integrity_judge(&here, &there, 60), INTEGRITY_DIFFERENT);
}

Test(integrity_rows, the_harm_has_a_name)
{
    struct integrity_row old = row_of("a", 3, 40, 1), new = row_of("a", 4, 50, 1), none = {0};

    cr_assert_eq(integrity_harm(&old, &new), INTEGRITY_ROLLED_BACK);
    cr_assert_eq(integrity_harm(&none, &new), INTEGRITY_DELETED);
    cr_assert_eq(integrity_harm(&new, &none), INTEGRITY_INSERTED);
    cr_assert_eq(integrity_harm(&new, &new), INTEGRITY_CHANGED);
}

/* The rows of a design document's indexes in a file: what opens them, and what does not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "index/disk.h"
#include "secret/secret.h"
#include "store/index_file.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = {1}, database[DATABASE_ID_BYTES] = {2};
static const uint8_t signature[HASH_BYTES] = {3};
static struct secret *mk;
static struct keyring *keyring;
static char folder[128], path[160];
static uint8_t key_id[KEY_ID_BYTES];
static uint32_t key_version;

static void keyring_make(void)
{
    struct keyring_records records = {0};

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &keyring), QK_OK);
    keyring_records_fini(&records);
    cr_assert_eq(keyring_default(keyring, key_id, &key_version), QK_OK);
}

static void setup(void)
{
    const char *base = getenv("TMPDIR");

    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
    keyring_make();
    snprintf(folder, sizeof(folder), "%s/qk-disk-XXXXXX", base == NULL ? "/tmp" : base);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x.mdb", folder);
}

static void teardown(void)
{
    keyring_close(keyring);
    secret_free(mk);
    index_file_remove(path);
    (void)rmdir(folder);
    secret_arena_fini();
}

TestSuite(disk, .init = setup, .fini = teardown);

static struct index_disk *open_kind(bool blind)
{
    const struct index_disk_options options = {.path = path,
                                               .cluster = cluster,
                                               .database = database,
                                               .signature = signature,
                                               .blind = blind,
                                               .views_n = 2,
                                               .keyring = &keyring};
    struct index_disk *disk = NULL;

    cr_assert_eq(index_disk_open(&options, &disk), QK_OK);
    return disk;
}

static enum qk_err put(struct index_disk *disk, const char *name, const char *const *sorts,
                       size_t n)
{
    struct index_disk_row rows[16];
    const struct index_disk_doc doc = {bytes_str(name), bytes_str(name), 7, key_id, key_version};
    size_t i;

    for (i = 0; i < n; i++)
        rows[i] = (struct index_disk_row){
            0, {bytes_str(sorts[i]), bytes_str("\"key\""), bytes_str("\"canary\"")}};
    return index_disk_put(disk, &doc, rows, n);
}

static void put_one(struct index_disk *disk, const char *name, const char *sort)
{
    cr_assert_eq(put(disk, name, &sort, 1), QK_OK, "%s", name);
}

/* "sort:id" of all rows of view 0. */
static void rows_are(struct index_disk *disk, bool descending, const char *expected)
{
    struct index_cursor cursor;
    struct index_row row;
    char got[1024] = "";
    enum qk_err err = index_cursor_open(&cursor, index_disk_index(disk, 0), NULL, NULL, descending);

    while (err == QK_OK && (err = index_cursor_next(&cursor, &row)) == QK_OK)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%.*s:%.*s",
                 got[0] == '\0' ? "" : " ", (int)row.sort.len, (const char *)row.sort.data,
                 (int)row.id.len, (const char *)row.id.data);
    cr_assert_eq(err, QK_ERR_NOT_FOUND, "%s", qk_err_text(err));
    index_cursor_fini(&cursor);
    cr_expect_str_eq(got, expected);
}

static enum qk_err all_there(void *arg, struct bytes name, uint64_t seq)
{
    (void)arg;
    (void)name;
    return seq == 7 ? QK_OK : QK_ERR_CORRUPT;
}

static enum qk_err b_is_gone(void *arg, struct bytes name, uint64_t seq)
{
    (void)arg;
    (void)seq;
    return bytes_equal(name, bytes_str("b")) ? QK_ERR_NOT_FOUND : QK_OK;
}

static enum qk_err load(struct index_disk *disk,
                        enum qk_err (*check)(void *arg, struct bytes name, uint64_t seq))
{
    enum qk_err err = QK_OK;
    bool done = index_disk_is_loaded(disk);

    while (err == QK_OK && !done)
        err = index_disk_load(disk, 2, check, NULL, &done);
    return err;
}

Test(disk, rows_are_in_order_both_ways_and_follow_their_documents)
{
    static const char *const many[] = {"05", "01", "05"};
    struct index_disk *disk = open_kind(false);

    put_one(disk, "b", "03");
    put_one(disk, "a", "03");
    put_one(disk, "c", "02");
    cr_assert_eq(put(disk, "m", many, 3), QK_OK);
    rows_are(disk, false, "01:m 02:c 03:a 03:b 05:m 05:m");
    rows_are(disk, true, "05:m 05:m 03:b 03:a 02:c 01:m");
    put_one(disk, "m", "04");
    cr_assert_eq(index_disk_remove(disk, bytes_str("a")), QK_OK);
    cr_assert_eq(index_disk_remove(disk, bytes_str("nobody")), QK_OK);
    rows_are(disk, false, "02:c 03:b 04:m");
    cr_expect_eq(index_rows_n(index_disk_index(disk, 0)), 3);
    cr_expect_eq(index_slot_rows(index_disk_index(disk, 0), 0), 3);
    index_disk_close(disk, false);
    cr_expect_neq(access(path, F_OK), 0);
}

Test(disk, names_of_any_length_are_told_apart_and_in_order)
{
    char names[3][200];
    struct index_disk *disk = open_kind(false);
    size_t i;

    for (i = 0; i < 3; i++) {
        memset(names[i], 'n', 190);
        names[i][190] = '\0';
    }
    names[1][70] = 'o';
    names[2][180] = 'o'; /* behind the cut */
    for (i = 0; i < 3; i++)
        put_one(disk, names[i], "01");
    cr_expect_eq(index_rows_n(index_disk_index(disk, 0)), 3);
    for (i = 0; i < 3; i++) {
        cr_assert_eq(index_disk_remove(disk, bytes_str(names[i])), QK_OK);
        cr_expect_eq(index_rows_n(index_disk_index(disk, 0)), 2 - i);
    }
    index_disk_close(disk, false);
}

Test(disk, what_was_committed_goes_on_and_what_was_not_is_nowhere_half)
{
    struct index_disk *disk = open_kind(false);

    put_one(disk, "a", "01");
    put_one(disk, "b", "02");
    cr_assert_eq(index_disk_commit(disk, 7), QK_OK);
    index_disk_close(disk, true);
    disk = open_kind(false);
    cr_expect_eq(index_disk_seq(disk), 7);
    cr_assert_eq(load(disk, all_there), QK_OK);
    rows_are(disk, false, "01:a 02:b");
    index_disk_close(disk, true);
    disk = open_kind(false);
    cr_assert_eq(load(disk, b_is_gone), QK_OK);
    rows_are(disk, false, "01:a");
    index_disk_close(disk, true);
}

Test(disk, nothing_is_shown_before_it_was_looked_through)
{
    struct index_disk *disk = open_kind(false);
    struct index_cursor cursor;
    struct index_row row;

    put_one(disk, "a", "01");
    index_disk_close(disk, true);
    disk = open_kind(false);
    cr_assert_eq(index_cursor_open(&cursor, index_disk_index(disk, 0), NULL, NULL, false), QK_OK);
    cr_expect_eq(index_cursor_next(&cursor, &row), QK_ERR_BUSY);
    cr_assert_eq(index_disk_remove(disk, bytes_str("a")), QK_OK); /* heard of meanwhile */
    cr_assert_eq(load(disk, all_there), QK_OK);
    cr_expect_eq(index_cursor_next(&cursor, &row), QK_ERR_NOT_FOUND);
    index_cursor_fini(&cursor);
    index_disk_close(disk, true);
}

/* A row is bound to its place, its index and its database; another cluster's keyring opens nothing:
 * all of it is begun anew. */
Test(disk, a_file_of_another_keyring_opens_for_nobody)
{
    struct index_disk *disk = open_kind(true);
    struct keyring *old = keyring;

    put_one(disk, "a", "01");
    index_disk_close(disk, true);
    keyring_make();
    disk = open_kind(true);
    cr_expect_eq(index_disk_seq(disk), 0);
    cr_assert_eq(load(disk, all_there), QK_OK);
    rows_are(disk, false, "");
    index_disk_close(disk, true);
    keyring_close(keyring);
    keyring = old;
}

/* A keyring as of now, that gets the records of a deal which made new versions (a removal). */
static enum qk_err add_record(void *arg, const struct keyring_record *record)
{
    return keyring_add(arg, bytes_of(record->name, record->name_len), buf_bytes(&record->value));
}

static void renew(struct keyring **ret_new, struct secret **ret_mk)
{
    cr_assert_eq(secret_new_random(KEY_BYTES, ret_mk), QK_OK);
    cr_assert_eq(keyring_open(cluster, *ret_mk, 2, ret_new), QK_OK);
    cr_assert_eq(keyring_rewrap(keyring, *ret_mk, 2, true, 2000, add_record, *ret_new), QK_OK);
}

/* docs/indexes.md: whoever holds the keys of before a removal and a disk of later opens no row,
 * finds no hash of a guess. The old keys are all that `old` holds. */
Test(disk, old_keys_open_nothing_of_a_later_file)
{
    struct keyring *old = keyring, *renewed;
    struct secret *mk2;
    struct index_disk *disk;
    char copy[200];

    renew(&renewed, &mk2);
    keyring = renewed;
    cr_assert_eq(keyring_default(keyring, key_id, &key_version), QK_OK);
    cr_assert_eq(key_version, 2);
    disk = open_kind(true);
    put_one(disk, "a", "01");
    index_disk_close(disk, true);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    cr_assert_eq(link(path, copy), 0); /* the thief's: path is removed below, not written to */
    keyring = old;
    disk = open_kind(true);
    cr_expect_eq(index_disk_seq(disk), 0, "nothing of it opened, so it was begun anew");
    rows_are(disk, false, "");
    index_disk_close(disk, true);
    cr_assert_eq(rename(copy, path), 0);
    keyring = renewed;
    disk = open_kind(true);
    cr_assert_eq(load(disk, all_there), QK_OK, "the members go on with theirs");
    rows_are(disk, false, "01:a");
    index_disk_close(disk, true);
    keyring = old;
    keyring_close(renewed);
    secret_free(mk2);
}

Test(disk, rows_under_a_version_that_is_gone_cost_the_file)
{
    struct keyring *old = keyring, *renewed;
    struct secret *mk2;
    struct index_disk *disk;

    renew(&renewed, &mk2);
    keyring = renewed;
    disk = open_kind(false);
    put_one(disk, "a", "01");
    cr_expect_not(index_disk_has_destroyed(disk));
    key_version = 9; /* there is none of that number */
    cr_expect_neq(put(disk, "b", (const char *const[]){"02"}, 1), QK_OK);
    index_disk_close(disk, false);
    keyring = old;
    keyring_close(renewed);
    secret_free(mk2);
}

/* Flips a byte of the entry that begins with `prefix`; false: it is not so long. */
static bool flip(uint8_t prefix, size_t at)
{
    struct buf key = BUF_INIT(1024), value = BUF_INIT(4096);
    struct index_file *file;
    struct bytes k, v;
    bool is_there;

    cr_assert_eq(index_file_open(path, &file), QK_OK);
    cr_assert_eq(index_file_seek(file, bytes_of(&prefix, 1), false, &k, &v), QK_OK);
    buf_put_bytes(&key, k);
    buf_put_bytes(&value, v);
    is_there = at < value.len;
    if (is_there) {
        value.data[at] ^= 0x10;
        cr_assert_eq(index_file_put(file, buf_bytes(&key), buf_bytes(&value)), QK_OK);
    }
    index_file_close(file, true);
    buf_fini(&key);
    buf_fini(&value);
    return is_there;
}

/* It is found as it is opened, and all is begun anew, or by the look through. */
Test(disk, no_byte_can_be_altered_unnoticed)
{
    static const char prefixes[] = {'d', 'h', 'm', 'r'};
    struct index_disk *disk;
    size_t i, at;
    bool more;

    for (i = 0; i < sizeof(prefixes); i++) {
        for (at = 0, more = true; more; at += 3) {
            index_file_remove(path);
            disk = open_kind(false);
            put_one(disk, "a", "01");
            index_disk_close(disk, true);
            more = flip((uint8_t)prefixes[i], at);
            disk = open_kind(false);
            if (!more)
                cr_assert_eq(load(disk, all_there), QK_OK);
            else if (index_disk_is_loaded(disk))
                rows_are(disk, false, "");
            else
                cr_expect_neq(load(disk, all_there), QK_OK, "%c byte %zu", prefixes[i], at);
            index_disk_close(disk, false);
        }
    }
}

/* --- the file under it -------------------------------------------------------------------------
 */

Test(disk, a_file_seeks_both_ways_and_sees_what_is_not_committed)
{
    struct index_file *file;
    struct bytes k, v;

    cr_assert_eq(index_file_open(path, &file), QK_OK);
    cr_expect_eq(index_file_seek(file, bytes_str("a"), false, &k, &v), QK_ERR_NOT_FOUND);
    cr_expect_eq(index_file_seek(file, bytes_str("a"), true, &k, &v), QK_ERR_NOT_FOUND);
    cr_assert_eq(index_file_put(file, bytes_str("b"), bytes_str("1")), QK_OK);
    cr_assert_eq(index_file_put(file, bytes_str("d"), bytes_str("2")), QK_OK);
    cr_assert_eq(index_file_seek(file, bytes_str("c"), false, &k, &v), QK_OK);
    cr_expect(bytes_equal(k, bytes_str("d")));
    cr_assert_eq(index_file_seek(file, bytes_str("d"), true, &k, &v), QK_OK);
    cr_expect(bytes_equal(k, bytes_str("b")));
    cr_assert_eq(index_file_commit(file), QK_OK);
    cr_assert_eq(index_file_seek(file, bytes_str("z"), true, &k, &v), QK_OK);
    cr_expect(bytes_equal(k, bytes_str("d")));
    cr_assert_eq(index_file_put(file, bytes_str("e"), bytes_str("3")), QK_OK);
    cr_assert_eq(index_file_delete(file, bytes_str("b")), QK_OK);
    cr_expect_eq(index_file_get(file, bytes_str("b"), &v), QK_ERR_NOT_FOUND);
    index_file_close(file, true);
    cr_assert_eq(index_file_open(path, &file), QK_OK);
    cr_assert_eq(index_file_get(file, bytes_str("e"), &v), QK_OK);
    cr_expect(bytes_equal(v, bytes_str("3")));
    index_file_close(file, false);
}

#include "fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOP_MS_MAX 200000 /* a hang is what it is for, under slow tools too */

static void on_fatal(void *arg, enum qk_err err, const char *what)
{
    struct fixture *fixture = arg;

    fixture->fatal = err;
    (void)snprintf(fixture->fatal_what, sizeof fixture->fatal_what, "%s", what);
}

static void on_full(void *arg, bool full)
{
    struct fixture *fixture = arg;

    fixture->full_told += full;
    fixture->room_told += !full;
}

static void folder_make(struct fixture *fixture)
{
    const char *base = getenv("TMPDIR");

    fixture->options.reserve_bytes = 1;
    (void)snprintf(fixture->folder, sizeof fixture->folder, "%s/qk-store-XXXXXX",
                   base == NULL ? "/tmp" : base);
    cr_assert_not_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/store.mdb", fixture->folder);
    cr_assert_eq(fixture_open(fixture), QK_OK);
}

void fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    cr_assert_eq(uv_loop_init(&fixture->loop), 0);
    fixture->runs_in = &fixture->loop;
    folder_make(fixture);
}

void fixture_init_in(struct fixture *fixture, struct fixture *other)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->runs_in = &other->loop;
    folder_make(fixture);
}

enum qk_err fixture_open(struct fixture *fixture)
{
    struct store_callbacks callbacks = {.arg = fixture, .fatal = on_fatal, .full = on_full};
    char what[500];

    return store_open(fixture->runs_in, fixture->path, &fixture->options, &callbacks,
                      &fixture->store, what, sizeof what);
}

static void on_flag(void *arg)
{
    *(bool *)arg = true;
}

static void on_done(void *arg, enum qk_err err)
{
    cr_assert_eq(err, QK_OK);
    *(bool *)arg = true;
}

void fixture_run_until(struct fixture *fixture, const bool *flag)
{
    uint64_t began = uv_hrtime();

    while (!*flag) {
        (void)uv_run(fixture->runs_in, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, LOOP_MS_MAX, "the loop went on too long");
    }
}

void fixture_close(struct fixture *fixture)
{
    bool closed = false;

    store_close(fixture->store, on_flag, &closed);
    fixture->store = NULL;
    fixture_run_until(fixture, &closed);
}

static void folder_remove(struct fixture *fixture)
{
    struct dirent *entry;
    DIR *dir = opendir(fixture->folder);

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(fixture->folder);
}

void fixture_fini(struct fixture *fixture)
{
    if (fixture->store != NULL)
        fixture_close(fixture);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&fixture->loop), 0);
    folder_remove(fixture);
}

void fixture_fini_in(struct fixture *fixture, struct fixture *other)
{
    cr_assert_eq(fixture->runs_in, &other->loop);
    if (fixture->store != NULL)
        fixture_close(fixture);
    folder_remove(fixture);
}

void fixture_flush(struct fixture *fixture)
{
    bool done = false;

    store_flush(fixture->store, on_done, &done);
    cr_assert_not(done, "called back from inside");
    fixture_run_until(fixture, &done);
}

void fixture_file(const struct fixture *fixture, const char *suffix, char ret_path[static 320])
{
    (void)snprintf(ret_path, 320, "%s%s", fixture->path, suffix);
}

struct bytes test_key(char database, const char *name, uint8_t ret[static RECORD_KEY_BYTES_MAX])
{
    int len = snprintf((char *)ret, RECORD_KEY_BYTES_MAX, "0123456789abcde%c%s", database, name);

    return bytes_of(ret, (size_t)len);
}

enum qk_err test_apply(struct fixture *fixture, struct wire_command *command, struct buf *result)
{
    struct bytes bytes;
    enum qk_err err = wire_command_end(command, &bytes);

    if (err == QK_OK)
        err =
            store_apply(fixture->store, store_applied(fixture->store) + 1, 1, true, bytes, result);
    wire_command_fini(command);
    return err;
}

static enum qk_err apply_single(struct fixture *fixture, struct wire_command *command)
{
    struct buf result = BUF_INIT(KIB);
    enum qk_err err = test_apply(fixture, command, &result);

    if (err == QK_OK)
        err = wire_result_single(buf_bytes(&result), NULL);
    buf_fini(&result);
    return err;
}

enum qk_err test_put(struct fixture *fixture, char database, const char *name, uint64_t version,
                     uint8_t flags, const char *value)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key(database, name, raw), version, flags, bytes_str(value));
    return apply_single(fixture, &command);
}

struct key_use test_use(char key, uint32_t version)
{
    struct key_use use = {.version = version, .bodies = 1, .sealed = 1, .sealed_bytes = 10};

    memset(use.key_id, key, sizeof use.key_id);
    return use;
}

enum qk_err test_put_keyed(struct fixture *fixture, char database, const char *name,
                           uint64_t version, uint8_t flags, struct key_use key)
{
    struct buf value = BUF_INIT(KIB);
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct wire_command command;

    key_uses_put(&key, 1, &value);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key(database, name, raw), version, flags | WIRE_KEYED,
                     buf_bytes(&value));
    buf_fini(&value);
    return apply_single(fixture, &command);
}

enum qk_err test_delete(struct fixture *fixture, char database, const char *name)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, test_key(database, name, raw));
    return apply_single(fixture, &command);
}

enum qk_err test_delete_range(struct fixture *fixture, char database, const char *name_prefix)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete_range(&command, test_key(database, name_prefix, raw));
    return apply_single(fixture, &command);
}

uint64_t test_version(struct fixture *fixture, char database, const char *name)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct record record;
    enum qk_err err = store_get(fixture->store, test_key(database, name, raw), &record);

    cr_assert(err == QK_OK || err == QK_ERR_NOT_FOUND, "%s", store_error(fixture->store));
    return err == QK_OK ? record.version : 0;
}

static void cursor_text(struct store_cursor *cursor, bool seqs, char *ret_text, size_t size)
{
    struct store_row row;
    enum qk_err err;
    size_t at = 0;

    ret_text[0] = '\0';
    while ((err = store_cursor_next(cursor, &row)) == QK_OK) {
        const char *comma = at == 0 ? "" : ",";

        at += (size_t)snprintf(ret_text + at, size - at, "%s%.*s", comma,
                               (int)(row.key.len - DATABASE_ID_BYTES),
                               (const char *)row.key.data + DATABASE_ID_BYTES);
        if (seqs)
            at += (size_t)snprintf(ret_text + at, size - at, "=%llu",
                                   (unsigned long long)row.record.seq);
        cr_assert_lt(at, size);
    }
    cr_assert_eq(err, QK_ERR_NOT_FOUND);
    store_cursor_close(cursor);
}

void test_scan(struct fixture *fixture, char database, bool descending, char *ret_text, size_t size)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct store_cursor *cursor;

    cr_assert_eq(
        store_cursor_open_prefix(fixture->store, test_key(database, "", raw), descending, &cursor),
        QK_OK);
    cursor_text(cursor, false, ret_text, size);
}

void test_changes(struct fixture *fixture, char database, uint64_t since, bool descending,
                  char *ret_text, size_t size)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct store_cursor *cursor;

    cr_assert_eq(store_changes_open(fixture->store, test_key(database, "", raw).data, since,
                                    descending, &cursor),
                 QK_OK);
    cursor_text(cursor, true, ret_text, size);
}

struct buf test_dump(struct fixture *fixture)
{
    struct buf out = BUF_INIT(512 * MIB);
    struct store_snapshot *snapshot;
    size_t before;

    cr_assert_eq(store_snapshot_open(fixture->store, &snapshot), QK_OK);
    do {
        before = out.len;
        cr_assert_eq(store_snapshot_read(snapshot, 1000, &out), QK_OK);
    } while (out.len > before);
    store_snapshot_close(snapshot);
    return out;
}

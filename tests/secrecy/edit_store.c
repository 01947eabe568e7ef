/* What one who can write to a node's disk can do to its store, by LMDB's own calls, every checksum
 * right:
 *
 *     edit_store FILE save NAME ROW        the record of that name, as it is now, into the file ROW
 *     edit_store FILE load ROW             and back again: rolled back
 *     edit_store FILE delete NAME          the record is gone
 *     edit_store FILE insert NAME OTHER    a copy of the record under another name
 *     edit_store FILE feed NAME            the record's row in its database's feed is gone
 *     edit_store FILE forget               the node-local fact "integrity" is gone
 *     edit_store FILE fact ROW | unfact ROW     that fact into a file, and back
 *
 * NAME is the record's name without the database, or chunk:N, the Nth chunk of all attachments. The
 * node must not run. */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/format.h"
#include "wire/records.h"

#define ROW_BYTES_MAX (1 << 20)

struct edit {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi records, changes, local;
};

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "edit_store: %s: %s\n", what, mdb_strerror(rc));
    exit(2);
}

static void edit_open(struct edit *edit, const char *path)
{
    check(mdb_env_create(&edit->env), "env");
    check(mdb_env_set_maxdbs(edit->env, 32), "maxdbs");
    check(mdb_env_set_mapsize(edit->env, (size_t)1 << 32), "mapsize");
    check(mdb_env_open(edit->env, path, MDB_NOSUBDIR, 0600), path);
    check(mdb_txn_begin(edit->env, NULL, 0, &edit->txn), "txn");
    check(mdb_dbi_open(edit->txn, "records", 0, &edit->records), "records");
    check(mdb_dbi_open(edit->txn, "changes", 0, &edit->changes), "changes");
    check(mdb_dbi_open(edit->txn, "local", 0, &edit->local), "local");
}

static void edit_close(struct edit *edit)
{
    check(mdb_txn_commit(edit->txn), "commit");
    mdb_env_close(edit->env);
}

/* `chunks` that were met before. */
static int is_it(const MDB_val *key, const char *name, unsigned *chunks)
{
    struct bytes bytes = bytes_of(key->mv_data, key->mv_size);
    uint8_t id[ATTACHMENT_ID_BYTES];
    uint32_t chunk;

    if (strncmp(name, "chunk:", 6) == 0)
        return record_key_chunk(bytes, id, &chunk) && (*chunks)++ == strtoul(name + 6, NULL, 10);
    return key->mv_size == DATABASE_ID_BYTES + strlen(name) &&
           memcmp((const char *)key->mv_data + DATABASE_ID_BYTES, name, strlen(name)) == 0;
}

/* The record of that name in whichever database. */
static void find(struct edit *edit, const char *name, MDB_val *key, MDB_val *row)
{
    MDB_cursor *cursor;
    unsigned chunks = 0;
    int rc;

    check(mdb_cursor_open(edit->txn, edit->records, &cursor), "cursor");
    while ((rc = mdb_cursor_get(cursor, key, row, MDB_NEXT)) == 0)
        if (is_it(key, name, &chunks))
            break;
    check(rc, name);
    mdb_cursor_close(cursor);
}

static void file_write(const char *path, const MDB_val *key, const MDB_val *row)
{
    FILE *file = fopen(path, "wb");
    uint32_t len = (uint32_t)key->mv_size;

    if (file == NULL || fwrite(&len, sizeof len, 1, file) != 1 ||
        fwrite(key->mv_data, key->mv_size, 1, file) != 1 ||
        fwrite(row->mv_data, row->mv_size, 1, file) != 1 || fclose(file) != 0)
        check(ENOENT, path);
}

static void file_read(const char *path, uint8_t *buf, MDB_val *key, MDB_val *row)
{
    FILE *file = fopen(path, "rb");
    size_t n = file == NULL ? 0 : fread(buf, 1, ROW_BYTES_MAX, file);
    uint32_t len;

    if (n < sizeof len)
        check(ENOENT, path);
    memcpy(&len, buf, sizeof len);
    *key = (MDB_val){len, buf + sizeof len};
    *row = (MDB_val){n - sizeof len - len, buf + sizeof len + len};
    (void)fclose(file);
}

static struct format_record record_of(const MDB_val *key, const MDB_val *row)
{
    struct format_record record;

    if (format_record_read(bytes_of(key->mv_data, key->mv_size),
                           bytes_of(row->mv_data, row->mv_size), &record) != QK_OK)
        check(MDB_CORRUPTED, "record");
    return record;
}

static void insert(struct edit *edit, const char *name, const char *other)
{
    static uint8_t out[ROW_BYTES_MAX];
    uint8_t to[RECORD_KEY_BYTES_MAX];
    size_t len = DATABASE_ID_BYTES + strlen(other);
    struct format_record record;
    MDB_val key, row;

    find(edit, name, &key, &row);
    record = record_of(&key, &row);
    memcpy(to, key.mv_data, DATABASE_ID_BYTES);
    memcpy(to + DATABASE_ID_BYTES, other, strlen(other));
    format_record_write(bytes_of(to, len), &record, out);
    row = (MDB_val){FORMAT_RECORD_HEAD_BYTES + record.value.len, out};
    key = (MDB_val){len, to};
    check(mdb_put(edit->txn, edit->records, &key, &row, 0), other);
}

static void feed(struct edit *edit, const char *name)
{
    uint8_t at[FORMAT_CHANGE_KEY_BYTES];
    struct format_record record;
    MDB_val key, row;

    find(edit, name, &key, &row);
    record = record_of(&key, &row);
    format_change_key(key.mv_data, record.seq, at);
    key = (MDB_val){sizeof at, at};
    check(mdb_del(edit->txn, edit->changes, &key, NULL), "the row of the feed");
}

static void run(struct edit *edit, const char *verb, const char *a, const char *b)
{
    static uint8_t buf[ROW_BYTES_MAX];
    MDB_val key = {strlen("integrity"), (void *)(uintptr_t) "integrity"}, row;

    if (strcmp(verb, "save") == 0) {
        find(edit, a, &key, &row);
        file_write(b, &key, &row);
    } else if (strcmp(verb, "load") == 0) {
        file_read(a, buf, &key, &row);
        check(mdb_put(edit->txn, edit->records, &key, &row, 0), a);
    } else if (strcmp(verb, "delete") == 0) {
        find(edit, a, &key, &row);
        check(mdb_del(edit->txn, edit->records, &key, NULL), a);
    } else if (strcmp(verb, "insert") == 0)
        insert(edit, a, b);
    else if (strcmp(verb, "feed") == 0)
        feed(edit, a);
    else if (strcmp(verb, "forget") == 0)
        check(mdb_del(edit->txn, edit->local, &key, NULL), "the fact");
    else if (strcmp(verb, "fact") == 0) {
        check(mdb_get(edit->txn, edit->local, &key, &row), "the fact");
        file_write(a, &key, &row);
    } else if (strcmp(verb, "unfact") == 0) {
        file_read(a, buf, &key, &row);
        check(mdb_put(edit->txn, edit->local, &key, &row, 0), a);
    } else
        check(EINVAL, verb);
}

int main(int argc, char **argv)
{
    struct edit edit;

    if (argc < 3) {
        fprintf(stderr, "usage: edit_store FILE VERB [NAME] [FILE]\n");
        return 2;
    }
    edit_open(&edit, argv[1]);
    run(&edit, argv[2], argc > 3 ? argv[3] : "", argc > 4 ? argv[4] : "");
    edit_close(&edit);
    return 0;
}

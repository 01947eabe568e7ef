/* bench-sqlcipher FILE put|get --size N --docs N --seconds N: the same documents in SQLCipher, in
 * this process: no network, no replication, one writer, a durable transaction for each write. What
 * an encrypted database of one machine costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SQLITE_HAS_CODEC
#include <sqlite3.h>

#include "cli/bench.h"
#include "cli/print.h"

static struct load_result result;

/* The key is no secret: the file holds made-up documents and is deleted with its folder. */
static const char setup[] =
    "PRAGMA key = \"x'2b7e151628aed2a6abf7158809cf4f3c2b7e151628aed2a6abf7158809cf4f3c'\";"
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "CREATE TABLE IF NOT EXISTS documents(id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;";

static bool one(sqlite3 *db, sqlite3_stmt *statement, uint64_t i, const struct buf *body,
                bool reads)
{
    char key[LOAD_KEY_BYTES];
    int rc;

    load_key(i, key);
    (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
    if (!reads)
        (void)sqlite3_bind_text(statement, 2, (const char *)body->data, (int)body->len,
                                SQLITE_STATIC);
    rc = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    (void)db;
    return rc == (reads ? SQLITE_ROW : SQLITE_DONE);
}

static bool fill(sqlite3 *db, sqlite3_stmt *insert, uint64_t docs, const struct buf *body)
{
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return false;
    for (uint64_t i = 0; i < docs; i++)
        if (!one(db, insert, i, body, false))
            return false;
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
}

static void run(sqlite3 *db, sqlite3_stmt *statement, const struct bench_wish *wish,
                const struct buf *body, bool reads)
{
    uint64_t begin = load_now_ns(), end = begin + (uint64_t)(wish->seconds * 1e9), now = begin;
    uint64_t cpu = load_own_cpu_ns(), next = begin;

    while (now < end) {
        uint64_t i = reads ? load_scatter(next) % wish->docs : next;
        bool good = one(db, statement, i, body, reads);
        uint64_t then = now;

        next++;
        now = load_now_ns();
        load_histogram_add(&result.latency, now - then);
        result.done += good ? 1 : 0;
        result.failed += good ? 0 : 1;
    }
    result.units = result.done;
    result.elapsed_ns = now - begin;
    result.servers_cpu_ns = load_own_cpu_ns() - cpu; /* it is its own server */
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct bench_wish wish = {0};
    struct buf message = BUF_INIT(1024);
    struct load_documents documents;
    json_t *rows = json_array();
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL, *select = NULL;
    bool reads, good;
    int code = CLI_ERROR;

    if (argc < 3 ||
        options_parse(argc - 3, argv + 3, "seconds size docs", &options, &message) != QK_OK ||
        bench_wish_parse(&options, &wish) != CLI_OK)
        return CLI_USAGE;
    reads = strcmp(argv[2], "get") == 0;
    good = load_documents_init(&documents, LOAD_PUT, "", wish.size) == QK_OK &&
           sqlite3_open(argv[1], &db) == SQLITE_OK &&
           sqlite3_exec(db, setup, NULL, NULL, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO documents VALUES(?,?)", -1, &insert,
                              NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(db, "SELECT body FROM documents WHERE id=?", -1, &select, NULL) ==
               SQLITE_OK &&
           fill(db, insert, wish.docs, &documents.value);
    if (good) {
        run(db, reads ? select : insert, &wish, &documents.value, reads);
        code = (int)bench_say(true, argv[2], 1, &wish, &result, rows);
        print_json(rows, 2);
    } else {
        fprintf(stderr, "bench-sqlcipher: %s\n", db == NULL ? "no memory" : sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(insert);
    (void)sqlite3_finalize(select);
    (void)sqlite3_close(db);
    load_documents_fini(&documents);
    json_decref(rows);
    buf_fini(&message);
    return code;
}

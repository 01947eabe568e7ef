/* Contents of attachments that are damaged, missing or left over, as a walk over a database's
 * records meets them; and none that it takes for one, whatever is written meanwhile. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "doc/attachment_chunk.h"
#include "service/catalog.h"
#include "service/integrity/verify_contents.h"
#include "service/read.h"

#define FOUND_MAX 8

static struct documents documents;
static struct verify_contents *check;
static struct {
    unsigned n;
    enum verify_harm harm[FOUND_MAX];
    struct record_key chunk[FOUND_MAX];
    char document[FOUND_MAX][64];
} found;

static void on_found(void *arg, enum verify_harm harm, struct bytes chunk, struct bytes document)
{
    struct bytes name = record_key_name(document);

    cr_assert_eq(arg, &found);
    cr_assert_lt(found.n, FOUND_MAX);
    found.harm[found.n] = harm;
    found.chunk[found.n].len = (uint16_t)chunk.len;
    memcpy(found.chunk[found.n].data, chunk.data, chunk.len);
    snprintf(found.document[found.n], sizeof(found.document[0]), "%.*s", (int)name.len,
             name.len == 0 ? "" : (const char *)name.data);
    found.n++;
}

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    check = verify_contents_new(&documents.service, on_found, &found);
    cr_assert_not_null(check);
}

static void teardown(void)
{
    verify_contents_free(check);
    documents_fini(&documents);
}

TestSuite(verify_contents, .init = setup, .fini = teardown);

static const uint8_t *database_id(void)
{
    return catalog_database_find(documents.service.catalog, bytes_str("db"))->id;
}

/* A content of that many bytes, in base64: all "A" is all zeros. */
static void put_content(const char *target, const char *rev, size_t groups, char ret_rev[64])
{
    size_t size = groups * 4 + 256;
    char *body = malloc(size);
    int at;

    cr_assert_not_null(body);
    at = snprintf(
        body, size, "{%s%s%s\"_attachments\":{\"x\":{\"content_type\":\"a/b\",\"data\":\"",
        rev == NULL ? "" : "\"_rev\":\"", rev == NULL ? "" : rev, rev == NULL ? "" : "\",");
    memset(body + at, 'A', groups * 4);
    snprintf(body + at + groups * 4, size - (size_t)at - groups * 4, "\"}}}");
    put_doc(&documents, target, body, ret_rev);
    free(body);
}

static enum qk_err row_next(struct bytes from, struct store_row *ret_row,
                            struct store_cursor **cursor)
{
    (void)documents_chunks_n(&documents, NULL); /* flushes */
    cr_assert_eq(store_cursor_open(documents.service.store, from, BYTES_NONE, false, cursor),
                 QK_OK);
    return store_cursor_next(*cursor, ret_row);
}

static void steps(void)
{
    while (verify_contents_is_busy(check))
        cr_assert_eq(verify_contents_step(check), QK_OK);
}

static void open_all(const struct store_row *row)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    struct bytes name = record_key_name(row->key);

    cr_assert_eq(stored_decode(&documents.service, database_id(), name, row->record.version,
                               row->record.value, &record),
                 QK_OK);
    verify_contents_document(check, row->key, &record);
    for (unsigned i = 0; i < record.leaves_n; i++) {
        struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
        struct document_parts parts;

        cr_assert_eq(
            stored_open(&documents.service, database_id(), name, &record.leaves[i], &plain, &parts),
            QK_OK);
        cr_assert_eq(verify_contents_leaf(check, parts.attachments), QK_OK);
        buf_fini(&plain);
    }
    doc_record_fini(&record);
}

/* As verify.c does; `between` is called when the documents have been walked over up to that one. */
static void walk(const char *until, void (*between)(void))
{
    struct record_key at = record_document(database_id(), BYTES_NONE);
    struct store_cursor *cursor;
    struct store_row row;

    found.n = 0;
    (void)documents_chunks_n(&documents, NULL); /* flushes, as the scan before it does */
    verify_contents_begin(check, database_id());
    steps();
    while (row_next(record_key_bytes(&at), &row, &cursor) == QK_OK &&
           memcmp(row.key.data, database_id(), DATABASE_ID_BYTES) == 0) {
        struct bytes name = record_key_name(row.key);
        bool stop = until != NULL && bytes_equal(name, bytes_str(until));

        if ((row.record.flags & WIRE_DOC) != 0)
            open_all(&row);
        at.len = (uint16_t)(row.key.len + 1);
        memcpy(at.data, row.key.data, row.key.len);
        at.data[row.key.len] = 0;
        store_cursor_close(cursor);
        if (stop)
            between();
        steps();
    }
    store_cursor_close(cursor);
    verify_contents_end(check);
}

/* The first chunk of the only content. */
static struct record_key some_chunk(uint32_t chunk)
{
    static const uint8_t zeros[ATTACHMENT_ID_BYTES];
    struct record_key from = record_attachment(database_id(), zeros);
    uint8_t id[ATTACHMENT_ID_BYTES];
    struct store_cursor *cursor;
    struct store_row row;
    uint32_t at;

    cr_assert_eq(row_next(record_key_bytes(&from), &row, &cursor), QK_OK);
    cr_assert(record_key_chunk(row.key, id, &at));
    store_cursor_close(cursor);
    return record_attachment_chunk(database_id(), id, chunk);
}

static void put_chunk(const struct record_key *key, uint64_t version, struct bytes value)
{
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    if (value.len > 0)
        wire_command_put(&command, record_key_bytes(key), version, 0, value);
    else
        wire_command_delete(&command, record_key_bytes(key));
    documents_apply(&documents, &command);
}

static void is_found(enum verify_harm harm, const struct record_key *chunk, const char *document)
{
    cr_assert_eq(found.n, 1, "%u", found.n);
    cr_assert_eq(found.harm[0], harm);
    cr_assert(bytes_equal(record_key_bytes(&found.chunk[0]), record_key_bytes(chunk)));
    cr_assert_str_eq(found.document[0], document);
}

Test(verify_contents, whole_ones_are_opened_chunk_by_chunk_and_none_is_found)
{
    char rev[64];

    put_content("/db/a", NULL, 200000, rev); /* three chunks */
    put_content("/db/b", NULL, 1, rev);
    put_doc(&documents, "/db/c", "{\"n\":1}", rev);
    walk(NULL, NULL);
    cr_assert_eq(found.n, 0);
    cr_assert_eq(verify_contents_chunks_n(check), 4);
}

Test(verify_contents, a_damaged_chunk_is_named_with_its_document)
{
    struct buf value = BUF_INIT(1 * MIB);
    struct record_key key;
    struct record record;
    char rev[64];

    put_content("/db/a", NULL, 200000, rev);
    key = some_chunk(1);
    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &record), QK_OK);
    buf_put_bytes(&value, record.value);
    value.data[1000] ^= 1;
    put_chunk(&key, record.version + 1, buf_bytes(&value));
    walk(NULL, NULL);
    is_found(VERIFY_DAMAGED, &key, "a");
    buf_fini(&value);
}

Test(verify_contents, a_missing_chunk_is_named_with_its_document)
{
    struct record_key key;
    char rev[64];

    put_content("/db/a", NULL, 200000, rev);
    key = some_chunk(2);
    put_chunk(&key, 0, BYTES_NONE);
    walk(NULL, NULL);
    is_found(VERIFY_MISSING, &key, "a");
}

Test(verify_contents, a_chunk_behind_the_last_is_found)
{
    struct record_key key;
    char rev[64];

    put_content("/db/a", NULL, 200000, rev);
    key = some_chunk(3);
    put_chunk(&key, 1, bytes_str("more"));
    walk(NULL, NULL);
    is_found(VERIFY_NAMELESS, &key, "a");
}

Test(verify_contents, a_content_that_nobody_names_is_found)
{
    uint8_t id[ATTACHMENT_ID_BYTES] = {7};
    struct record_key key = record_attachment_chunk(database_id(), id, 0);
    struct record_key unnamed = record_unnamed(database_id(), id);
    char rev[64];

    put_content("/db/a", NULL, 1, rev);
    put_chunk(&key, 1, bytes_str("left over"));
    walk(NULL, NULL);
    is_found(VERIFY_NAMELESS, &key, "");
    put_chunk(&unnamed, 1, bytes_str("an upload"));
    walk(NULL, NULL);
    cr_assert_eq(found.n, 0, "its record says that it is one that nobody names");
}

static char rev_a[64];

static void drop_a(void)
{
    put_content("/db/a", rev_a, 2, rev_a);
}

static void add_b(void)
{
    char rev[64];

    put_content("/db/aa", NULL, 3, rev);
}

/* The walk has met the document, and what it named is gone, or other, when it is looked at. */
Test(verify_contents, what_is_written_meanwhile_is_no_damage)
{
    put_content("/db/a", NULL, 200000, rev_a);
    walk("a", drop_a);
    cr_assert_eq(found.n, 0);
    put_content("/db/b", NULL, 200000, rev_a);
    walk("b", add_b);
    cr_assert_eq(found.n, 0);
}

/* All leaves of a conflict have theirs. */
Test(verify_contents, each_leaf_is_looked_at)
{
    static const char FIRST[] = "{\"_rev\":\"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"_attachments\":"
                                "{\"x\":{\"data\":\"AAAA\"}}}";
    static const char SECOND[] = "{\"_rev\":\"1-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",\"_"
                                 "attachments\":{\"x\":{\"data\":\"AAAB\"},"
                                 "\"y\":{\"data\":\"AAAC\"}}}";

    expect(&documents, METHOD_PUT, "/db/a?new_edits=false", FIRST, 201, NULL);
    expect(&documents, METHOD_PUT, "/db/a?new_edits=false", SECOND, 201, NULL);
    walk(NULL, NULL);
    cr_assert_eq(found.n, 0);
    cr_assert_eq(verify_contents_chunks_n(check), 3);
}

/* What a writer on the disk can do to a document's record: each is found and named, nothing wrong
 * is served. The records are changed as apply would, so that only the keyed checks can notice. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog.h"

static struct documents documents;

static void setup(void)
{
    char rev[64];

    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    put_doc(&documents, "/db/a", "{\"n\":1}", rev);
    put_doc(&documents, "/db/b", "{\"n\":2}", rev);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(damage, .init = setup, .fini = teardown);

static struct record_key key_of(const char *id)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str("db"));

    return record_document(database->id, bytes_str(id));
}

static struct buf value_of(const char *id)
{
    struct buf out = BUF_INIT(1 * MIB);
    struct record_key key = key_of(id);
    struct record record;

    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &record), QK_OK);
    buf_put_bytes(&out, record.value);
    return out;
}

static void replace(const char *id, uint64_t version, struct bytes value)
{
    struct record_key key = key_of(id);
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), version, WIRE_DOC, value);
    documents_apply(&documents, &command);
}

/* At the version that it has, so that its header stays good: deleted and put as if it were new. */
static void replace_in_place(const char *id, struct bytes value)
{
    struct record_key key = key_of(id);
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, record_key_bytes(&key));
    documents_apply(&documents, &command);
    replace(id, 1, value);
}

static void is_corrupt(const char *target)
{
    expect_error(&documents, METHOD_GET, target, NULL, 500, "corrupt",
                 "the stored record does not authenticate");
}

Test(damage, every_flipped_byte_of_a_record_is_found)
{
    struct buf value = value_of("a");
    uint64_t version = 1;
    size_t at;

    for (at = 0; at < value.len; at++) {
        value.data[at] ^= 0x01;
        replace("a", ++version, buf_bytes(&value));
        is_corrupt("/db/a");
        value.data[at] ^= 0x01;
    }
    buf_fini(&value);
}

Test(damage, flipped_byte_of_an_envelope_is_found_under_a_good_header)
{
    struct buf value = value_of("a");

    replace_in_place("a", buf_bytes(&value));
    expect(&documents, METHOD_GET, "/db/a?attachments=false", NULL, 200, NULL);
    value.data[value.len - 1] ^= 0x01;
    replace_in_place("a", buf_bytes(&value));
    is_corrupt("/db/a");
    buf_fini(&value);
}

Test(damage, feed_that_meets_damage_after_some_rows_cannot_be_taken_for_whole)
{
    struct buf body = BUF_INIT(128 * KIB);
    struct buf value = value_of("b");
    struct call *made;
    char rev[64];

    buf_put_str(&body, "{\"t\":\"");
    for (unsigned i = 0; i < 64 * KIB; i++)
        buf_put_u8(&body, 'x');
    buf_put_bytes(&body, bytes_of("\"}", 3));
    put_doc(&documents, "/db/large", (const char *)body.data, rev);
    value.data[value.len - 1] ^= 0x01;
    replace("b", 2, buf_bytes(&value));
    made = call(&documents, METHOD_GET, "/db/_changes?include_docs=true", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_null(json_loads(call_text(made), 0, NULL));
    cr_assert_not_null(strstr(call_text(made), "\"id\":\"large\""));
    cr_assert_not_null(strstr(call_text(made), "}\n{\"error\":\"internal_error\""));
    call_free(made);
    buf_fini(&value);
    buf_fini(&body);
}

Test(damage, record_of_another_document_is_found)
{
    struct buf value = value_of("b");

    replace("a", 2, buf_bytes(&value));
    is_corrupt("/db/a");
    expect(&documents, METHOD_GET, "/db/b", NULL, 200, NULL);
    buf_fini(&value);
}

Test(damage, list_names_the_damaged_row_and_feed_stops)
{
    struct buf value = value_of("b");
    struct call *made;

    value.data[30] ^= 0x01;
    replace("b", 2, buf_bytes(&value));
    made = call(&documents, METHOD_GET, "/db/_all_docs", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_not_null(strstr(call_text(made), "{\"id\":\"a\",\"key\":\"a\",\"value\""));
    cr_assert_not_null(
        strstr(call_text(made), "{\"id\":\"b\",\"key\":\"b\",\"error\":\"corrupt\""));
    call_free(made);
    is_corrupt("/db/_changes"); /* nothing was sent yet: a status of its own */
    expect(&documents, METHOD_PUT, "/db/b", "{}", 500, NULL);
    buf_fini(&value);
}

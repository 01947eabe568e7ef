#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/doc_name.h"
#include "service/documents/id_sort.h"

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db?ids=hidden", NULL, 201, NULL);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(hidden, .init = setup, .fini = teardown);

static const struct catalog_database *database_of(const char *name)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str(name));

    cr_assert_not_null(database);
    return database;
}

static void name_of(const char *id, size_t len, struct record_key *ret_key)
{
    cr_assert_eq(doc_name_of_id(&documents.service, database_of("db")->id, true,
                                bytes_of((const uint8_t *)id, len), ret_key),
                 QK_OK);
}

/* --- names --- */

Test(hidden, name_gives_the_id_back_and_nothing_away)
{
    struct buf scratch = BUF_SECRET_INIT(1024);
    char id[DOC_NAME_HIDDEN_ID_BYTES_MAX];
    struct record_key key;
    struct bytes back;

    for (size_t len = 1; len <= sizeof id; len++) {
        memset(id, 'x', sizeof id);
        name_of(id, len, &key);
        cr_assert(doc_name_is_document(record_key_name(record_key_bytes(&key))));
        if (len > 3)
            cr_assert_null(memmem(key.data, key.len, "xxxx", 4));
        cr_assert_eq(doc_name_to_id(&documents.service, database_of("db")->id, true,
                                    record_key_name(record_key_bytes(&key)), &scratch, &back),
                     QK_OK);
        cr_assert(bytes_equal(back, bytes_of((const uint8_t *)id, len)));
    }
    cr_assert_eq(doc_name_of_id(&documents.service, database_of("db")->id, true,
                                bytes_of((const uint8_t *)id, sizeof id + 1), &key),
                 QK_ERR_TOO_BIG);
    buf_fini(&scratch);
}

/* An id that ends like the padding is another id. */
Test(hidden, padding_is_never_taken_for_the_id)
{
    static const char with_end[] = "a\x80", with_zero[] = "a\0";
    struct record_key a, b, c;

    name_of("a", 1, &a);
    name_of(with_end, 2, &b);
    name_of(with_zero, 2, &c);
    cr_assert_eq(a.len, b.len);
    cr_assert(!bytes_equal(record_key_bytes(&a), record_key_bytes(&b)));
    cr_assert(!bytes_equal(record_key_bytes(&a), record_key_bytes(&c)));
    cr_assert(!bytes_equal(record_key_bytes(&b), record_key_bytes(&c)));
}

Test(hidden, lengths_are_rounded)
{
    struct record_key one, many, more;

    name_of("a", 1, &one);
    name_of("0123456789012345678901234567890", 31, &many);
    name_of("01234567890123456789012345678901", 32, &more);
    cr_assert_eq(one.len, many.len);
    cr_assert_eq(more.len, many.len + 32);
}

Test(hidden, same_id_has_another_name_in_another_database)
{
    struct record_key here, there;

    expect(&documents, METHOD_PUT, "/other?ids=hidden", NULL, 201, NULL);
    name_of("same", 4, &here);
    cr_assert_eq(doc_name_of_id(&documents.service, database_of("other")->id, true,
                                bytes_str("same"), &there),
                 QK_OK);
    cr_assert_neq(memcmp(here.data + 17, there.data + 17, here.len - 17), 0);
}

Test(hidden, altered_name_is_corrupt)
{
    const uint8_t *database = database_of("db")->id;
    struct buf scratch = BUF_SECRET_INIT(1024);
    struct record_key key;
    struct bytes name, id;

    name_of("altered", 7, &key);
    for (size_t i = DATABASE_ID_BYTES; i < key.len; i++) {
        name = bytes_slice(bytes_of(key.data, i), DATABASE_ID_BYTES, SIZE_MAX);
        cr_assert_eq(doc_name_to_id(&documents.service, database, true, name, &scratch, &id),
                     QK_ERR_CORRUPT);
        key.data[i] ^= 1;
        cr_assert_eq(doc_name_to_id(&documents.service, database, true,
                                    record_key_name(record_key_bytes(&key)), &scratch, &id),
                     QK_ERR_CORRUPT);
        key.data[i] ^= 1;
    }
    buf_fini(&scratch);
}

Test(hidden, name_of_a_local_document_lies_behind_all_documents)
{
    const uint8_t *database = database_of("db")->id;
    struct record_key end = doc_name_end(database), key;
    struct buf scratch = BUF_SECRET_INIT(1024);
    struct bytes name, id;

    for (int hidden = 0; hidden < 2; hidden++) {
        cr_assert_eq(doc_name_of_local(&documents.service, database, hidden == 1,
                                       bytes_str("checkpoint"), &key),
                     QK_OK);
        name = record_key_name(record_key_bytes(&key));
        cr_assert(!doc_name_is_document(name));
        cr_assert(bytes_compare(record_key_bytes(&key), record_key_bytes(&end)) > 0);
        cr_assert_eq(memmem(key.data, key.len, "checkpoint", 10) == NULL, hidden == 1);
        cr_assert_eq(
            doc_name_to_local(&documents.service, database, hidden == 1, name, &scratch, &id),
            QK_OK);
        cr_assert(bytes_equal(id, bytes_str("checkpoint")));
    }
    buf_fini(&scratch);
}

/* --- the interface --- */

/* Every command that is proposed goes to disk and to peers as it is. */
static bool seen_in_command;

static void look(struct documents *which, struct bytes command)
{
    (void)which;
    seen_in_command =
        seen_in_command || memmem(command.data, command.len, "canary", strlen("canary")) != NULL;
}

Test(hidden, documents_are_served_as_elsewhere_and_no_command_has_an_id)
{
    char rev[64], target[160];

    documents.submitted = look;
    put_doc(&documents, "/db/canary-one", "{\"n\":1}", rev);
    snprintf(target, sizeof target, "/db/canary-one?rev=%s", rev);
    put_doc(&documents, target, "{\"n\":2}", rev);
    expect_error(&documents, METHOD_PUT, "/db/canary-one", "{}", 409, "conflict",
                 "Document update conflict.");
    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           "{\"docs\":[{\"_id\":\"canary-two\"},{\"_id\":\"canary-3\"}]}", 201, NULL);
    expect(&documents, METHOD_GET, "/db/canary-two", NULL, 200, NULL);
    snprintf(target, sizeof target, "/db/canary-one?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    expect_error(&documents, METHOD_GET, "/db/canary-one", NULL, 404, "not_found", "deleted");
    cr_assert(!seen_in_command);
    documents_restart(&documents);
    expect(&documents, METHOD_GET, "/db/canary-two", NULL, 200, NULL);
}

Test(hidden, database_says_so_and_keeps_it)
{
    struct call *made;

    documents_restart(&documents);
    made = call(&documents, METHOD_GET, "/db", NULL);
    cr_assert_not_null(strstr(call_text(made), "\"ids\":\"hidden\""));
    call_free(made);
    expect(&documents, METHOD_PUT, "/clear", NULL, 201, NULL);
    made = call(&documents, METHOD_GET, "/clear", NULL);
    cr_assert_not_null(strstr(call_text(made), "\"ids\":\"clear\""));
    call_free(made);
    expect_error(&documents, METHOD_PUT, "/else?ids=secret", NULL, 400, "bad_request",
                 "ids must be clear or hidden");
}

static void ids_are(const char *target, const char *body, const char *expected)
{
    struct call *made = call(&documents, body == NULL ? METHOD_GET : METHOD_POST, target, body);
    char got[512] = "";
    json_t *json, *rows;

    cr_assert_eq(made->status, 200, "%s: %s", target, call_text(made));
    json = call_json(made);
    rows = json_object_get(json, "rows");
    if (rows == NULL)
        rows = json_object_get(json, "results");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(rows, i), "id"));

        strncat(got, id == NULL ? "?" : id, sizeof got - strlen(got) - 2);
        strncat(got, " ", 2);
    }
    cr_assert_str_eq(got, expected, "%s", target);
    json_decref(json);
    call_free(made);
}

static int64_t member(const char *target, const char *name)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);
    json_t *json = call_json(made);
    json_t *value = json_object_get(json, name);
    int64_t number = json_is_integer(value) ? json_integer_value(value) : -1;

    json_decref(json);
    call_free(made);
    return number;
}

Test(hidden, lists_are_in_order_with_ranges_as_elsewhere)
{
    char rev[64], target[128];

    for (const char *letter = "hcafgbed"; *letter != '\0'; letter++) {
        snprintf(target, sizeof target, "/db/%c", *letter);
        put_doc(&documents, target, "{}", rev);
    }
    snprintf(target, sizeof target, "/db/d?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    ids_are("/db/_all_docs", NULL, "a b c e f g h ");
    ids_are("/db/_all_docs?descending=true&limit=3", NULL, "h g f ");
    ids_are("/db/_all_docs?limit=2&skip=2", NULL, "c e ");
    ids_are("/db/_all_docs?startkey=\"b\"&endkey=\"f\"", NULL, "b c e f ");
    ids_are("/db/_all_docs?startkey=\"bb\"&endkey=\"f\"&inclusive_end=false", NULL, "c e ");
    ids_are("/db/_all_docs?startkey=\"f\"&endkey=\"b\"&descending=true", NULL, "f e c b ");
    ids_are("/db/_all_docs?key=\"c\"", NULL, "c ");
    ids_are("/db/_all_docs?include_docs=true&startkey=\"g\"", NULL, "g h ");
    ids_are("/db/_all_docs", "{\"keys\":[\"h\",\"nobody\",\"a\"]}", "h ? a ");
    ids_are("/db/_changes", NULL, "h c a f g b e d ");
    cr_assert_eq(member("/db/_all_docs?startkey=\"e\"", "offset"), 3);
    cr_assert_eq(member("/db/_all_docs?startkey=\"e\"&descending=true", "offset"), 3);
    cr_assert_eq(member("/db/_all_docs?skip=2", "offset"), 2);
    cr_assert_eq(member("/db/_all_docs", "total_rows"), 7);
}

/* Someone who writes on the disk moves a record to another name, or makes one up. */
Test(hidden, record_under_another_name_is_found_and_hides_no_other)
{
    const uint8_t *database = database_of("db")->id;
    struct record_key made_up = record_document(database, bytes_str("no sealed name")), from, to;
    struct wire_command command;
    struct record record;
    char rev[64];

    put_doc(&documents, "/db/a", "{}", rev);
    put_doc(&documents, "/db/b", "{}", rev);
    put_doc(&documents, "/db/c", "{}", rev);
    name_of("a", 1, &from);
    name_of("b", 1, &to);
    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&from), &record), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&to), 2, WIRE_DOC, record.value);
    wire_command_put(&command, record_key_bytes(&made_up), 1, WIRE_DOC, record.value);
    documents_apply(&documents, &command);
    expect_error(&documents, METHOD_GET, "/db/b", NULL, 500, "corrupt",
                 "the stored record does not authenticate");
    ids_are("/db/_all_docs", NULL, "a b c ");
    expect(&documents, METHOD_GET, "/db/c", NULL, 200, NULL);
}

Test(hidden, id_that_is_too_long_to_be_hidden_is_refused_and_nowhere_found)
{
    char target[DOC_NAME_HIDDEN_ID_BYTES_MAX + 16];

    memset(target, 'x', sizeof target);
    memcpy(target, "/db/", 4);
    target[4 + DOC_NAME_HIDDEN_ID_BYTES_MAX + 1] = '\0';
    expect(&documents, METHOD_PUT, target, "{}", 413, NULL);
    target[4 + DOC_NAME_HIDDEN_ID_BYTES_MAX] = '\0';
    expect(&documents, METHOD_PUT, target, "{}", 201, NULL);
    expect(&documents, METHOD_GET, target, NULL, 200, NULL);
}

/* --- sorting in bounded memory --- */

static void sort_all(size_t wanted, size_t bytes, bool descending)
{
    struct id_sort sort;
    unsigned next = 0, number = 0;
    char text[16];

    id_sort_init(&sort, descending, wanted, bytes);
    /* 7919 is prime: each number below 5000 comes once, in no order. */
    for (unsigned i = 0; i < 5000; i++) {
        number = (number + 7919) % 5000;
        snprintf(text, sizeof text, "%06u", number);
        cr_assert_eq(id_sort_add(&sort, bytes_str(text)), QK_OK);
        cr_assert_leq(sort.ids.len, bytes);
    }
    cr_assert_eq(id_sort_finish(&sort), QK_OK);
    cr_assert(sort.n >= (wanted < 200 ? wanted : 200));
    cr_assert_eq(sort.dropped, sort.n < 5000);
    for (; next < sort.n; next++) {
        snprintf(text, sizeof text, "%06u", descending ? 4999 - next : next);
        cr_assert(bytes_equal(id_sort_at(&sort, next), bytes_str(text)), "%zu %zu", wanted, bytes);
    }
    id_sort_fini(&sort);
}

Test(hidden, first_ids_are_kept_whatever_does_not_fit)
{
    for (int descending = 0; descending < 2; descending++) {
        sort_all(SIZE_MAX, 1 << 20, descending == 1);
        sort_all(SIZE_MAX, 4096, descending == 1);
        sort_all(1, 4096, descending == 1);
        sort_all(100, 1 << 20, descending == 1);
        sort_all(4000, 8192, descending == 1);
    }
}

Test(hidden, queries_find_in_the_order_of_ids_with_an_index_and_without)
{
    static const char *const queries[] = {
        "{\"selector\":{\"n\":{\"$gt\":1}},\"fields\":[\"_id\"]}",
        "{\"selector\":{\"_id\":{\"$gt\":\"a\",\"$lt\":\"d\"}},\"fields\":[\"_id\"]}",
    };
    char rev[64];

    put_doc(&documents, "/db/c", "{\"n\":2}", rev);
    put_doc(&documents, "/db/a", "{\"n\":1}", rev);
    put_doc(&documents, "/db/b", "{\"n\":3}", rev);
    for (size_t i = 0; i < 2; i++) {
        struct call *made = call(&documents, METHOD_POST, "/db/_find", queries[i]);

        cr_assert_eq(made->status, 200, "%s", call_text(made));
        cr_expect_not_null(strstr(call_text(made), "[\r\n{\"_id\":\"b\"},\r\n{\"_id\":\"c\"}\r\n]"),
                           "%s", call_text(made));
        call_free(made);
    }
    expect(&documents, METHOD_POST, "/db/_index",
           "{\"index\":{\"fields\":[\"n\"]},\"ddoc\":\"d\",\"name\":\"n\"}", 200, NULL);
    {
        struct call *made = call(&documents, METHOD_POST, "/db/_find", queries[0]);

        cr_assert_eq(made->status, 200, "%s", call_text(made));
        cr_expect_not_null(strstr(call_text(made), "[\r\n{\"_id\":\"c\"},\r\n{\"_id\":\"b\"}\r\n]"),
                           "%s", call_text(made));
        cr_expect_null(strstr(call_text(made), "warning"), "%s", call_text(made));
        call_free(made);
    }
}

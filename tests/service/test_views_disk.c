/* Views whose rows lie on the disk, by their handlers, over a real store: of kind plain they answer
 * as those in memory do, of kind blind for equality; what is on the disk tells no more than
 * docs/indexes.md says; whatever does not fit is thrown away and made anew. More than 500 lines
 * would be two files; this is one, since all of it looks at the same folder. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "documents_fixture.h"
#include "doc/json.h"
#include "audit/audit.h"
#include "service/keys/reencrypt.h"
#include "service/query/views_file.h"
#include "store/index_file.h"

static struct documents documents;

#define VIEWS                                                                                      \
    "\"views\":{\"n\":{\"map\":{\"fields\":\"n\",\"value\":\"secret\"}},"                          \
    "\"pair\":{\"map\":{\"fields\":[\"a\",\"b\"],\"value\":\"n\"},\"reduce\":\"_sum\"},"           \
    "\"a\":{\"map\":{\"fields\":\"a\",\"value\":\"n\"},\"reduce\":\"_stats\"}}}"

static void put_design(const char *path, const char *kind)
{
    char text[1024], rev[64];

    snprintf(text, sizeof(text), "{\"language\":\"query\",\"options\":{\"index\":\"%s\"}," VIEWS,
             kind);
    put_doc(&documents, path, text, rev);
}

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    put_design("/db/_design/memory", "memory");
    put_design("/db/_design/plain", "plain");
    put_design("/db/_design/blind", "blind");
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(views_disk, .init = setup, .fini = teardown);

static void put_numbered(const char *database, unsigned i)
{
    char target[64], body[160], rev[64];

    snprintf(target, sizeof(target), "/%s/canaryid%02u", database, i);
    snprintf(body, sizeof(body),
             "{\"n\":%u,\"a\":\"canarykey%u\",\"b\":\"%c\",\"secret\":\"canaryvalue%u\"}", i, i % 3,
             i % 4 == 0 ? 'x' : 'y', i);
    put_doc(&documents, target, body, rev);
}

static void put_numbers(const char *database, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++)
        put_numbered(database, i);
}

/* The rows, as text, for the caller's free(). */
static char *rows_of(const char *design, const char *query)
{
    char target[800];
    struct buf out = BUF_INIT(1 << 20);
    struct call *made;
    json_t *json;
    char *text;

    snprintf(target, sizeof(target), "/db/_design/%s/_view/%s", design, query);
    made = call(&documents, METHOD_GET, target, NULL);
    cr_assert_eq(made->status, 200, "%s: %d %s", target, made->status, call_text(made));
    json = call_json(made);
    cr_assert_eq(json_write(json_object_get(json, "rows"), &out), QK_OK);
    buf_put_u8(&out, '\0');
    text = strdup((const char *)out.data);
    buf_fini(&out);
    json_decref(json);
    call_free(made);
    return text;
}

static void same_as_memory(const char *design, const char *query)
{
    char *expected = rows_of("memory", query), *got = rows_of(design, query);

    cr_expect_str_eq(got, expected, "%s %s", design, query);
    free(expected);
    free(got);
}

static const char *const equalities[] = {
    "n?key=3",
    "n?keys=[5,1,99,5]",
    "n?key=3&include_docs=true",
    "a?key=%22canarykey1%22",
    "a?key=%22canarykey1%22&group=true",
    "a?reduce=false&key=%22canarykey2%22",
    "a?reduce=false&key=%22canarykey2%22&descending=true",
    "a?reduce=false&key=%22canarykey2%22&limit=2&skip=1",
    "pair?key=[%22canarykey1%22,%22x%22]",
    "pair?keys=[[%22canarykey1%22,%22x%22],[%22canarykey0%22,%22y%22]]&group=true",
    "n?keys=[]"};

static const char *const ranges[] = {
    "n",
    "n?descending=true",
    "n?limit=3&skip=2",
    "n?startkey=2&endkey=5",
    "n?startkey=5&endkey=2&descending=true",
    "n?startkey=2&endkey=5&inclusive_end=false",
    "n?startkey=5&endkey=2&inclusive_end=false&descending=true",
    "a?reduce=false",
    "a?reduce=false&descending=true",
    "a",
    "a?group=true",
    "pair?group_level=1",
    "pair?group=true",
    "pair?startkey=[%22canarykey1%22]&endkey=[%22canarykey1%22,{}]",
    "a?reduce=false&startkey=%22canarykey1%22&startkey_docid=canaryid04&endkey=%22canarykey1%22",
    "a?reduce=false&startkey=%22canarykey1%22&endkey=%22canarykey1%22&endkey_docid=canaryid07",
    "a?reduce=false&endkey=%22canarykey1%22&startkey=%22canarykey1%22&endkey_docid=canaryid04"
    "&descending=true"};

Test(views_disk, plain_and_blind_answer_as_memory_does)
{
    size_t i;

    put_numbers("db", 14);
    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        same_as_memory("plain", ranges[i]);
    for (i = 0; i < sizeof(equalities) / sizeof(equalities[0]); i++) {
        same_as_memory("plain", equalities[i]);
        same_as_memory("blind", equalities[i]);
    }
}

Test(views_disk, they_follow_what_is_written)
{
    char rev[64], path[128];
    size_t i;

    put_numbers("db", 6);
    same_as_memory("plain", "n");
    put_doc(&documents, "/db/new", "{\"n\":2,\"a\":\"canarykey1\"}", rev);
    same_as_memory("plain", "n");
    put_doc(&documents, "/db/extra", "{\"n\":[1,\"\xc3\xa9\",null],\"a\":{}}", rev);
    snprintf(path, sizeof(path), "/db/new?rev=%s", rev);
    snprintf(path, sizeof(path), "/db/extra?rev=%s", rev);
    same_as_memory("plain", "n");
    expect(&documents, METHOD_DELETE, path, NULL, 200, NULL);
    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        same_as_memory("plain", ranges[i]);
    same_as_memory("blind", "a?key=%22canarykey1%22");
}

static void refused(const char *query)
{
    char target[256];
    struct call *made;

    snprintf(target, sizeof(target), "/db/_design/blind/_view/%s", query);
    made = call(&documents, METHOD_GET, target, NULL);
    cr_expect_eq(made->status, 400, "%s", query);
    cr_expect_not_null(strstr(call_text(made), "query_parse_error"), "%s", query);
    call_free(made);
}

Test(views_disk, blind_is_asked_for_one_key_or_several_and_for_nothing_else)
{
    put_numbers("db", 3);
    refused("n");
    refused("a?group=true");
    refused("n?startkey=1");
    refused("n?endkey=1");
    refused("n?startkey=1&endkey=2");
    refused("n?startkey=1&endkey=1&inclusive_end=false");
    refused("a?reduce=false&key=%22canarykey1%22&startkey_docid=canaryid01");
    same_as_memory("blind", "n?startkey=1&endkey=1");
}

Test(views_disk, a_key_that_is_too_long_for_plain_is_named)
{
    char key[501] = "", body[600], rev[64];

    memset(key, 'k', 500);
    snprintf(body, sizeof(body), "{\"n\":\"%s\"}", key);
    put_doc(&documents, "/db/long", body, rev);
    expect_error(&documents, METHOD_GET, "/db/_design/plain/_view/n", NULL, 400, "key_too_long",
                 VIEWS_KEY_TOO_LONG);
    snprintf(body, sizeof(body), "n?key=%%22%s%%22", key);
    same_as_memory("blind", body);
}

/* --- what lies on the disk ---------------------------------------------------------------------
 */

/* The one file, or the first; false: none. */
static bool file_of(char *path, size_t size, ino_t *ret_inode)
{
    char folder[300];
    struct dirent *entry;
    struct stat st;
    bool found = false;
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/index", documents.folder);
    dir = opendir(folder);
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        found = strstr(entry->d_name, ".mdb") != NULL && strstr(entry->d_name, "-open") == NULL;
        snprintf(path, size, "%s/%s", folder, entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    if (found && ret_inode != NULL) {
        cr_assert_eq(stat(path, &st), 0);
        *ret_inode = st.st_ino;
    }
    return found;
}

static bool file_has(const char *path, const char *text)
{
    FILE *file = fopen(path, "rb");
    static char data[8 << 20];
    size_t n;

    cr_assert_not_null(file);
    n = fread(data, 1, sizeof(data), file);
    fclose(file);
    return memmem(data, n, text, strlen(text)) != NULL;
}

Test(views_disk, plain_shows_keys_and_ids_and_no_value)
{
    char path[700];
    char *rows;

    put_numbers("db", 8);
    rows = rows_of("plain", "a?reduce=false");
    free(rows);
    rows = rows_of("plain", "n");
    free(rows);
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), NULL));
    cr_expect(file_has(path, "canarykey1"));
    cr_expect(file_has(path, "canaryid01"));
    cr_expect_not(file_has(path, "canaryvalue"));
}

Test(views_disk, blind_shows_ids_and_no_key)
{
    char path[700];
    char *rows;

    put_numbers("db", 8);
    rows = rows_of("blind", "a?reduce=false&key=%22canarykey1%22");
    free(rows);
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), NULL));
    cr_expect(file_has(path, "canaryid01"));
    cr_expect_not(file_has(path, "canarykey"));
    cr_expect_not(file_has(path, "canaryvalue"));
}

Test(views_disk, hidden_ids_are_in_no_file)
{
    static const char *const kinds[] = {"plain", "blind"};
    char path[700], target[128], text[1024], rev[64];
    size_t i;

    for (i = 0; i < 2; i++) {
        snprintf(target, sizeof(target), "/hidden%zu?ids=hidden", i);
        expect(&documents, METHOD_PUT, target, NULL, 201, NULL);
        snprintf(target, sizeof(target), "/hidden%zu/_design/d", i);
        snprintf(text, sizeof(text),
                 "{\"language\":\"query\",\"options\":{\"index\":\"%s\"}," VIEWS, kinds[i]);
        put_doc(&documents, target, text, rev);
        snprintf(target, sizeof(target), "hidden%zu", i);
        put_numbers(target, 5);
        snprintf(target, sizeof(target), "/hidden%zu/_design/d/_view/n?key=3", i);
        expect(&documents, METHOD_GET, target, NULL, 200,
               i == 0 ? "{\"total_rows\":5,\"offset\":null,\"rows\":[\n{\"id\":\"canaryid03\","
                        "\"key\":3,\"value\":\"canaryvalue3\"}\n]}"
                      : NULL);
        snprintf(target, sizeof(target),
                 "/hidden%zu/_design/d/_view/a?reduce=false&key=%%22canarykey0%%22", i);
        expect(&documents, METHOD_GET, target, NULL, 200, NULL);
        documents_restart(&documents);
        cr_assert(file_of(path, sizeof(path), NULL));
        cr_expect_not(file_has(path, "canaryid"));
        cr_expect_not(file_has(path, "canaryvalue"));
        snprintf(target, sizeof(target), "/hidden%zu", i);
        expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
        cr_expect_not(file_of(path, sizeof(path), NULL), "a dropped database leaves no file");
    }
}

Test(views_disk, a_restart_goes_on_with_the_same_file)
{
    char path[700];
    ino_t before, after;
    char *rows;

    put_numbers("db", 10);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), &before));
    put_numbered("db", 11);
    same_as_memory("plain", "n");
    same_as_memory("plain", "a?group=true");
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), &after));
    cr_expect_eq(before, after);
    put_numbered("db", 12);
    rows = rows_of("plain", "n?update=false&startkey=10"); /* those that were there */
    cr_expect_str_eq(rows, "[{\"id\":\"canaryid11\",\"key\":11,\"value\":\"canaryvalue11\"}]");
    free(rows);
}

/* --- doubts ------------------------------------------------------------------------------------
 */

static void copy_out(struct bytes from, struct buf *to)
{
    buf_reset(to);
    buf_put_bytes(to, from);
}

/* One row of the file: its `at`th byte flipped, or with SIZE_MAX the row removed, or with
 * SIZE_MAX - 1 put a second time at another place. Returns its length. */
static size_t tamper(const char *path, char prefix, size_t at)
{
    struct buf key = BUF_INIT(1024), value = BUF_INIT(1 << 20);
    uint8_t place[1] = {(uint8_t)prefix};
    struct index_file *file;
    struct bytes k, v;
    size_t len;

    cr_assert_eq(index_file_open(path, &file), QK_OK);
    cr_assert_eq(index_file_seek(file, bytes_of(place, 1), false, &k, &v), QK_OK);
    copy_out(k, &key);
    copy_out(v, &value);
    len = value.len;
    if (at == SIZE_MAX) {
        cr_assert_eq(index_file_delete(file, buf_bytes(&key)), QK_OK);
    } else if (at == SIZE_MAX - 1) {
        key.data[key.len - 1] ^= 0x40;
        cr_assert_eq(index_file_put(file, buf_bytes(&key), buf_bytes(&value)), QK_OK);
    } else {
        value.data[at] ^= 1;
        cr_assert_eq(index_file_put(file, buf_bytes(&key), buf_bytes(&value)), QK_OK);
    }
    index_file_close(file, true);
    buf_fini(&key);
    buf_fini(&value);
    return len;
}

static void tampered_is_made_anew(char prefix, size_t at)
{
    char path[700];

    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), NULL));
    tamper(path, prefix, at);
    same_as_memory("plain", "n");
    same_as_memory("plain", "pair?group=true");
}

Test(views_disk, a_row_that_was_altered_is_found_and_the_index_made_anew)
{
    static const char prefixes[] = {'h', 'm', 'd', 'r'};
    char path[700];
    size_t len, at, i;

    put_numbers("db", 4);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), NULL));
    for (i = 0; i < sizeof(prefixes); i++) {
        len = tamper(path, prefixes[i], 0);
        for (at = 0; at < len; at += 7)
            tampered_is_made_anew(prefixes[i], at);
        tampered_is_made_anew(prefixes[i], SIZE_MAX);
        tampered_is_made_anew(prefixes[i], SIZE_MAX - 1);
        documents_restart(&documents);
    }
}

Test(views_disk, a_file_that_is_none_is_made_anew)
{
    char path[700];
    FILE *file;

    put_numbers("db", 4);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    cr_assert(file_of(path, sizeof(path), NULL));
    file = fopen(path, "wb");
    fputs("this is no index", file);
    fclose(file);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    file = fopen(path, "wb");
    fclose(file);
    same_as_memory("plain", "n");
}

/* Killed, not closed: the mark of this boot is there, and says how far it had come. */
Test(views_disk, a_mark_of_another_boot_or_of_a_check_that_did_not_end_costs_the_file)
{
    static const char *const marks[] = {"-", "00000000-0000-0000-0000-000000000000+", "", "+"};
    char path[700], mark[720];
    ino_t before, after;
    FILE *file;
    size_t i;

    put_numbers("db", 4);
    for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        same_as_memory("plain", "n");
        documents_restart(&documents);
        cr_assert(file_of(path, sizeof(path), &before));
        snprintf(mark, sizeof(mark), "%s-open", path);
        cr_assert_neq(access(mark, F_OK), 0, "closed in order");
        file = fopen(mark, "wb");
        fputs(marks[i], file);
        fclose(file);
        file = fopen(path, "r+b"); /* if it were opened, it would be of no use */
        fputs("zzzz", file);
        fclose(file);
        same_as_memory("plain", "n");
        cr_assert(file_of(path, sizeof(path), &after));
    }
}

Test(views_disk, what_was_purged_while_the_index_was_closed_is_not_in_it)
{
    char rev[64], body[128];

    put_doc(&documents, "/db/gone", "{\"n\":77,\"a\":\"canarykey1\"}", rev);
    put_numbers("db", 3);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    snprintf(body, sizeof(body), "{\"gone\":[\"%s\"]}", rev);
    expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
    same_as_memory("plain", "n");
    put_doc(&documents, "/db/gone2", "{\"n\":78,\"a\":\"canarykey1\"}", rev);
    same_as_memory("plain", "n");
    snprintf(body, sizeof(body), "{\"gone2\":[\"%s\"]}", rev);
    expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
    same_as_memory("plain", "n");
    documents_restart(&documents);
    same_as_memory("plain", "n");
}

Test(views_disk, what_a_destroyed_key_sealed_is_in_no_file)
{
    char rev[64], path[700];

    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    documents_watch_keyring(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"k\"}", 201, NULL);
    put_numbers("db", 2);
    put_doc(&documents, "/db/dark?key_id=k", "{\"n\":5}", rev);
    same_as_memory("plain", "n");
    cr_assert(file_of(path, sizeof(path), NULL));
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"shred\":true}", 200, NULL);
    cr_expect_not(file_of(path, sizeof(path), NULL));
    same_as_memory("plain", "n");
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
}

Test(views_disk, a_wipe_leaves_no_file_and_all_are_made_anew)
{
    char path[700];

    put_numbers("db", 3);
    same_as_memory("plain", "n");
    same_as_memory("blind", "n?key=1");
    views_file_wipe(&documents.service);
    cr_expect_not(file_of(path, sizeof(path), NULL));
    same_as_memory("plain", "n");
    same_as_memory("blind", "n?key=1");
    documents_restart(&documents);
    views_file_wipe(&documents.service);
    cr_expect_not(file_of(path, sizeof(path), NULL));
    same_as_memory("plain", "n");
}

Test(views_disk, a_cleanup_removes_files_that_nobody_uses)
{
    char path[700], rev[64];

    put_doc(&documents, "/db/_design/w",
            "{\"language\":\"query\",\"options\":{\"index\":\"plain\"},\"views\":{\"v\":{\"map\":{"
            "\"fields\":\"n\"}}}}",
            rev);
    put_numbers("db", 3);
    expect(&documents, METHOD_GET, "/db/_design/w/_view/v", NULL, 200, NULL);
    documents_restart(&documents);
    cr_expect(file_of(path, sizeof(path), NULL));
    expect(&documents, METHOD_POST, "/db/_view_cleanup", "{}", 202, NULL);
    cr_expect_not(file_of(path, sizeof(path), NULL));
    expect(&documents, METHOD_GET, "/db/_design/w/_view/v", NULL, 200, NULL);
    expect(&documents, METHOD_POST, "/db/_view_cleanup", "{}", 202, NULL);
    cr_expect(file_of(path, sizeof(path), NULL), "it is in use");
}

/* --- Mango -------------------------------------------------------------------------------------
 */

static void index_of_kind_is(const char *kind, const char *selector, const char *used)
{
    char body[256];
    struct call *made;
    json_t *json;

    snprintf(body, sizeof(body), "{\"selector\":%s}", selector);
    made = call(&documents, METHOD_POST, "/db/_explain", body);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(json, "index"), "name")),
                     used, "%s %s: %s", kind, selector, call_text(made));
    json_decref(json);
    call_free(made);
}

static size_t found_n(const char *selector)
{
    char body[256];
    struct call *made;
    json_t *json;
    size_t n;

    snprintf(body, sizeof(body), "{\"selector\":%s,\"limit\":2}", selector);
    n = 0;
    for (;;) { /* page by page: bookmarks name places on the disk */
        size_t got;

        made = call(&documents, METHOD_POST, "/db/_find", body);
        cr_assert_eq(made->status, 200, "%s", call_text(made));
        json = call_json(made);
        got = json_array_size(json_object_get(json, "docs"));
        n += got;
        snprintf(body, sizeof(body), "{\"selector\":%s,\"limit\":2,\"bookmark\":\"%s\"}", selector,
                 json_string_value(json_object_get(json, "bookmark")));
        json_decref(json);
        call_free(made);
        if (got == 0)
            return n;
    }
}

Test(views_disk, mango_uses_an_index_of_any_kind_for_what_it_can)
{
    static const char *const kinds[] = {"memory", "plain", "blind"};
    char body[256];
    struct call *made;
    size_t i;

    put_numbers("db", 12);
    for (i = 0; i < 3; i++) {
        bool blind = i == 2;

        snprintf(body, sizeof(body),
                 "{\"index\":{\"fields\":[\"a\",\"b\"]},\"name\":\"i%zu\",\"ddoc\":\"i%zu\","
                 "\"kind\":\"%s\"}",
                 i, i, kinds[i]);
        made = call(&documents, METHOD_POST, "/db/_index", body);
        cr_assert_eq(made->status, 200, "%s", call_text(made));
        cr_expect_eq(strstr(call_text(made), "at_rest") != NULL, i > 0, "%s", call_text(made));
        call_free(made);
        snprintf(body, sizeof(body), "i%zu", i);
        index_of_kind_is(kinds[i], "{\"a\":\"canarykey1\",\"b\":\"y\"}", body);
        index_of_kind_is(kinds[i], "{\"a\":\"canarykey1\",\"b\":{\"$gt\":null}}",
                         blind ? "_all_docs" : body);
        cr_expect_eq(found_n("{\"a\":\"canarykey1\",\"b\":\"y\"}"), 3, "%s", kinds[i]);
        cr_expect_eq(found_n("{\"a\":\"canarykey1\",\"b\":{\"$gt\":\"x\"}}"), 3, "%s", kinds[i]);
        cr_expect_eq(found_n("{\"a\":\"canarykey1\",\"b\":{\"$gt\":null}}"), 4, "%s", kinds[i]);
        snprintf(body, sizeof(body), "/db/_index/i%zu/json/i%zu", i, i);
        expect(&documents, METHOD_DELETE, body, NULL, 200, NULL);
    }
    expect_error(&documents, METHOD_POST, "/db/_index",
                 "{\"index\":{\"fields\":[\"a\"]},\"kind\":\"fast\"}", 400, "invalid_index_kind",
                 "`kind` must be memory, plain or blind.");
}

Test(views_disk, the_kinds_of_one_design_document_do_not_mix)
{
    expect(&documents, METHOD_POST, "/db/_index",
           "{\"index\":{\"fields\":[\"a\"]},\"ddoc\":\"m\",\"kind\":\"plain\"}", 200, NULL);
    expect_error(&documents, METHOD_POST, "/db/_index",
                 "{\"index\":{\"fields\":[\"b\"]},\"ddoc\":\"m\"}", 400, "invalid_index_kind",
                 "The indexes of this design document are of another kind: its `options.index` "
                 "says which.");
    expect(&documents, METHOD_POST, "/db/_index",
           "{\"index\":{\"fields\":[\"b\"]},\"ddoc\":\"m\",\"kind\":\"plain\"}", 200, NULL);
}

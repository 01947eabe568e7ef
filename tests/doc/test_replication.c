#include "doc/replication.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct buf out;

static void setup(void)
{
    out = BUF_SECRET_INIT(1 * MIB);
}

static void teardown(void)
{
    buf_fini(&out);
}

static void cr_out(const char *expected)
{
    buf_put_u8(&out, 0);
    cr_assert_str_eq((const char *)out.data, expected);
    buf_reset(&out);
}

TestSuite(replication, .init = setup, .fini = teardown);

static const char PAGE[] =
    "{\"results\":[{\"seq\":\"3-x\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"},{\"rev\":\"1-b\"}]}"
    ","
    "{\"seq\":\"4-y\",\"id\":\"b/c\",\"changes\":[{\"rev\":\"2-c\"}],\"deleted\":true},"
    "{\"seq\":\"5-y\",\"id\":\"a\",\"changes\":[{\"rev\":\"2-d\"}]}],\"last_seq\":\"5-y\","
    "\"pending\":7}";

Test(replication, a_page_of_changes_becomes_the_question_which_revisions_are_missing)
{
    struct replication_page page;

    cr_assert_eq(replication_read_changes(bytes_str(PAGE), &out, &page), QK_OK);
    cr_out("{\"a\":[\"1-a\",\"1-b\",\"2-d\"],\"b/c\":[\"2-c\"]}");
    cr_assert_eq(page.rows_n, 3);
    cr_assert_eq(page.revs_n, 4);
    cr_assert_eq(page.pending, 7);
    cr_assert_str_eq(json_string_value(page.last_seq), "5-y");
    json_decref(page.last_seq);
}

/* A feed that was cut anywhere must never pass for a whole one: its last sequence would be skipped.
 */
Test(replication, a_page_cut_anywhere_is_refused)
{
    struct replication_page page;

    for (size_t len = 0; len < sizeof PAGE - 1; len++) {
        cr_assert_neq(replication_read_changes(bytes_of(PAGE, len), &out, &page), QK_OK, "%zu",
                      len);
        buf_reset(&out);
        out.failed = QK_OK;
    }
}

Test(replication, pages_of_another_shape_are_refused)
{
    static const char *const TEXTS[] = {
        "[]",
        "{}",
        "{\"results\":[],\"last_seq\":null}",
        "{\"results\":{},\"last_seq\":1}",
        "{\"results\":[{\"changes\":[{\"rev\":\"1-a\"}]}],\"last_seq\":1}",
        "{\"results\":[{\"id\":\"\",\"changes\":[{\"rev\":\"1-a\"}]}],\"last_seq\":1}",
        "{\"results\":[{\"id\":\"a\",\"changes\":[]}],\"last_seq\":1}",
        "{\"results\":[{\"id\":\"a\",\"changes\":[{\"rev\":1}]}],\"last_seq\":1}",
        "{\"results\":[1],\"last_seq\":1}",
    };
    struct replication_page page;

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        cr_assert_eq(replication_read_changes(bytes_str(TEXTS[i]), &out, &page), QK_ERR_INVALID,
                     "%s", TEXTS[i]);
}

Test(replication, missing_revisions_are_asked_for_some_at_a_time)
{
    json_t *missing;

    cr_assert_eq(
        replication_read_diff(
            bytes_str("{\"a\":{\"missing\":[\"1-a\",\"2-d\"],\"possible_ancestors\":[\"1-z\"]},"
                      "\"b\":{\"missing\":[\"2-c\"]}}"),
            &missing),
        QK_OK);
    cr_assert_eq(json_array_size(missing), 3);
    cr_assert_eq(replication_write_bulk_get(missing, 1, 2, &out), QK_OK);
    cr_out("{\"docs\":[{\"id\":\"a\",\"rev\":\"2-d\"},{\"id\":\"b\",\"rev\":\"2-c\"}]}");
    json_decref(missing);
    cr_assert_eq(replication_read_diff(bytes_str("{}"), &missing), QK_OK);
    cr_assert_eq(json_array_size(missing), 0);
    json_decref(missing);
    cr_assert_eq(replication_read_diff(bytes_str("[]"), &missing), QK_ERR_INVALID);
    cr_assert_eq(replication_read_diff(bytes_str("{\"a\":{}}"), &missing), QK_ERR_INVALID);
    cr_assert_eq(replication_read_diff(bytes_str("{\"a\":{\"missing\":[1]}}"), &missing),
                 QK_ERR_INVALID);
}

static const char CAME[] =
    "{\"results\":[{\"id\":\"a\",\"docs\":[{\"ok\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"x\":1}},"
    "{\"error\":{\"id\":\"a\",\"rev\":\"2-b\",\"error\":\"not_found\"}}]},"
    "{\"id\":\"b\",\"docs\":[{\"ok\":{\"_id\":\"b\",\"_rev\":\"2-c\",\"_deleted\":true}}]}]}";

Test(replication, what_came_is_written_and_what_did_not_is_counted)
{
    struct replication_docs docs;

    cr_assert_eq(replication_read_bulk_get(bytes_str(CAME), &out, &docs), QK_OK);
    cr_out("{\"new_edits\":false,\"docs\":[{\"_id\":\"a\",\"_rev\":\"1-a\",\"x\":1},"
           "{\"_id\":\"b\",\"_rev\":\"2-c\",\"_deleted\":true}]}");
    cr_assert_eq(docs.docs_n, 2);
    cr_assert_eq(docs.failed_n, 1);
    cr_assert_eq(json_array_size(docs.brief) + json_array_size(docs.lengthy), 0);
    replication_docs_fini(&docs);
    for (size_t len = 0; len < sizeof CAME - 1; len++)
        cr_assert_neq(replication_read_bulk_get(bytes_of(CAME, len), &out, &docs), QK_OK);
    cr_assert_eq(replication_read_bulk_get(bytes_str("{\"results\":[{\"docs\":[{\"ok\":{}}]}]}"),
                                           &out, &docs),
                 QK_ERR_INVALID);
}

static void cr_list(const json_t *list, const char *expected)
{
    buf_reset(&out);
    cr_assert_eq(json_write(list, &out), QK_OK);
    cr_out(expected);
}

Test(replication, documents_with_attachments_are_told_apart_by_their_length)
{
    static const char REPLY[] =
        "{\"results\":[{\"docs\":["
        "{\"ok\":{\"_id\":\"inline\",\"_rev\":\"1-a\",\"_attachments\":{\"x\":{\"data\":\"YQ==\"}}}"
        "},"
        "{\"ok\":{\"_id\":\"brief\",\"_rev\":\"1-b\",\"_attachments\":{"
        "\"x\":{\"stub\":true,\"length\":262143},\"y\":{\"stub\":true,\"length\":1}}}},"
        "{\"ok\":{\"_id\":\"long\",\"_rev\":\"1-c\",\"_attachments\":{"
        "\"x\":{\"stub\":true,\"length\":262144},\"y\":{\"stub\":true,\"length\":1}}}},"
        "{\"ok\":{\"_id\":\"nobody said\",\"_rev\":\"1-d\",\"_attachments\":{"
        "\"x\":{\"stub\":true}}}},"
        "{\"ok\":{\"_id\":\"below none\",\"_rev\":\"1-e\",\"_attachments\":{"
        "\"x\":{\"stub\":true,\"length\":-1}}}},"
        "{\"ok\":{\"_id\":\"wraps\",\"_rev\":\"1-f\",\"_attachments\":{"
        "\"x\":{\"stub\":true,\"length\":9223372036854775807},"
        "\"y\":{\"stub\":true,\"length\":9223372036854775807},"
        "\"z\":{\"stub\":true,\"length\":2}}}}]}]}";
    struct replication_docs docs;

    cr_assert_eq(replication_read_bulk_get(bytes_str(REPLY), &out, &docs), QK_OK);
    cr_assert_eq(docs.docs_n, 1);
    cr_list(docs.brief, "[{\"id\":\"brief\",\"rev\":\"1-b\"}]");
    cr_list(docs.lengthy,
            "[{\"id\":\"long\",\"rev\":\"1-c\"},{\"id\":\"nobody said\",\"rev\":\"1-d\"},"
            "{\"id\":\"below none\",\"rev\":\"1-e\"},{\"id\":\"wraps\",\"rev\":\"1-f\"}]");
    replication_docs_fini(&docs);
}

Test(replication, an_id_is_one_segment_of_a_path_but_a_designs)
{
    static const struct {
        const char *id, *path;
    } CASES[] = {
        {"a", "/a"},
        {"a/b ?&=\xc3\xa9", "/a%2Fb%20%3F%26%3D%C3%A9"},
        {"_design/x/y", "/_design/x%2Fy"},
        {"../_users", "/..%2F_users"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_t *doc = json_pack("{s:s}", "id", CASES[i].id);

        replication_put_doc_path(doc, &out);
        cr_out(CASES[i].path);
        json_decref(doc);
    }
}

Test(replication, refused_documents_are_counted)
{
    size_t failed_n = 9;

    cr_assert_eq(replication_read_bulk_docs(bytes_str("[]"), &failed_n), QK_OK);
    cr_assert_eq(failed_n, 0);
    cr_assert_eq(
        replication_read_bulk_docs(
            bytes_str("[{\"ok\":true,\"id\":\"a\"},{\"id\":\"b\",\"error\":\"forbidden\"}]"),
            &failed_n),
        QK_OK);
    cr_assert_eq(failed_n, 1);
    cr_assert_eq(replication_read_bulk_docs(bytes_str("{}"), &failed_n), QK_ERR_INVALID);
}

static void common_is(const char *source, const char *target, const char *expected)
{
    json_t *a = json_loads(source, JSON_DECODE_ANY, NULL);
    json_t *b = json_loads(target, JSON_DECODE_ANY, NULL);
    const json_t *found = replication_common_seq(a, b);

    if (expected == NULL)
        cr_assert_null(found, "%s %s", source, target);
    else
        cr_assert_str_eq(json_string_value(found), expected, "%s %s", source, target);
    json_decref(a);
    json_decref(b);
}

/* The protocol's rule (docs.couchdb.org, "Compare Replication Logs"). */
Test(replication, begins_where_both_logs_agree)
{
    const char *ours = "{\"session_id\":\"s2\",\"source_last_seq\":\"20\",\"history\":["
                       "{\"session_id\":\"s2\",\"recorded_seq\":\"20\"},"
                       "{\"session_id\":\"s1\",\"recorded_seq\":\"10\"}]}";

    common_is(ours, ours, "20");
    common_is(ours,
              "{\"session_id\":\"s1\",\"source_last_seq\":\"9\",\"history\":["
              "{\"session_id\":\"s1\",\"recorded_seq\":\"9\"}]}",
              "9");
    common_is(ours, "{\"session_id\":\"s9\",\"history\":[{\"session_id\":\"s9\"}]}", NULL);
    common_is(ours, "null", NULL);
    common_is("null", ours, NULL);
    common_is("{\"history\":1}", "{\"session_id\":1}", NULL);
    common_is(ours, "{\"session_id\":\"s3\",\"history\":{\"session_id\":\"s1\"}}", NULL);
}

Test(replication, a_log_remembers_sessions_newest_first_and_no_more_than_fifty)
{
    json_t *seq = json_string("7-x"), *log = NULL;
    struct replication_session session = {.recorded_seq = seq, .counts = {1, 2, 3, 4, 5}};

    for (int i = 0; i < 60; i++) {
        snprintf(session.id, sizeof session.id, "session%d", i);
        buf_reset(&out);
        cr_assert_eq(replication_write_log(log, &session, &out), QK_OK);
        json_decref(log);
        log = json_loadb((const char *)out.data, out.len, 0, NULL);
        cr_assert_eq(json_object_set_new(log, "_rev", json_string("0-3")), 0);
    }
    cr_assert_eq(json_array_size(json_object_get(log, "history")), REPLICATION_HISTORY_MAX);
    cr_assert_str_eq(json_string_value(json_object_get(log, "session_id")), "session59");
    buf_reset(&out);
    cr_assert_eq(replication_write_log(log, &session, &out), QK_OK);
    json_decref(log);
    log = json_loadb((const char *)out.data, out.len, 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(log, "_rev")), "0-3");
    cr_assert_str_eq(json_string_value(json_object_get(
                         json_array_get(json_object_get(log, "history"), 1), "session_id")),
                     "session58", "the same session again takes its own place");
    json_decref(log);
    json_decref(seq);
}

Test(replication, a_sequence_of_any_kind_goes_into_a_query)
{
    json_t *list = json_pack("[i, s]", 3, "a b"), *text = json_string("12-a+/=");

    replication_put_since(list, &out);
    buf_put_u8(&out, ' ');
    replication_put_since(text, &out);
    cr_out("%5B3%2C%22a%20b%22%5D 12-a%2B%2F%3D");
    json_decref(list);
    json_decref(text);
}

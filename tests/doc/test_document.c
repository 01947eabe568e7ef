#include "doc/document.h"

#include <criterion/criterion.h>
#include <string.h>

#define REV "3-00112233445566778899aabbccddeeff"

static struct doc_problem problem;

static enum qk_err parse(const char *text, struct document *ret_document)
{
    json_t *json = NULL;
    enum qk_err err;

    memset(&problem, 0, sizeof(problem));
    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &json), QK_OK, "%s", text);
    err = document_from_json(json, ret_document, &problem);
    json_decref(json);
    return err;
}

static void refuses(const char *text, int status, const char *error, const char *reason)
{
    struct document document;

    cr_assert_eq(parse(text, &document), QK_ERR_INVALID, "%s", text);
    cr_assert_eq(problem.status, status);
    cr_assert_str_eq(problem.error, error);
    cr_assert_str_eq(problem.reason, reason);
    document_fini(&document);
}

Test(document, special_members_are_taken_and_the_rest_is_the_body)
{
    struct document document;
    struct document_parts parts;

    cr_assert_eq(parse("{\"b\":1,\"_id\":\"x\",\"_rev\":\"" REV "\",\"_deleted\":true,"
                       "\"_attachments\":{},\"_local_seq\":7,\"a\":{\"_c\":2}}",
                       &document),
                 QK_OK);
    cr_assert(bytes_equal(buf_bytes(&document.id), bytes_str("x")));
    cr_assert(document.has_revision && !document.revision_is_foreign && document.deleted);
    cr_assert_eq(document.revision.generation, 3);
    cr_assert_eq(document_plain_open(buf_bytes(&document.plain), &parts), QK_OK);
    cr_assert(bytes_equal(parts.body, bytes_str("{\"b\":1,\"a\":{\"_c\":2}}")));
    document_fini(&document);
}

Test(document, revisions_are_the_path)
{
    struct document document;

    cr_assert_eq(parse("{\"_rev\":\"1-x\",\"_revisions\":{\"start\":3,\"ids\":["
                       "\"00112233445566778899aabbccddeeff\",\"01000000000000000000000000000000\","
                       "\"02000000000000000000000000000000\"]}}",
                       &document),
                 QK_OK);
    cr_assert(document.has_revision && !document.revision_is_foreign);
    cr_assert_eq(document.revision.generation, 3);
    cr_assert_eq(document.revision.hash[15], 0xff);
    cr_assert_eq(document.revisions.len, 32);
    cr_assert_eq(document.revisions.data[0], 1);
    cr_assert_eq(document.revisions.data[16], 2);
    cr_assert_eq(document_check_replicated(&document, &problem), QK_OK);
    document_fini(&document);
    cr_assert_eq(parse("{\"_revisions\":{\"start\":1,\"ids\":[\"thirteenchars\"]}}", &document),
                 QK_OK);
    cr_assert(document.has_revision && document.revision_is_foreign);
    cr_assert_eq(document_check_replicated(&document, &problem), QK_ERR_INVALID);
    document_fini(&document);
    cr_assert_eq(parse("{}", &document), QK_OK);
    cr_assert_eq(document_check_replicated(&document, &problem), QK_ERR_INVALID);
    cr_assert_str_eq(problem.reason, "When `new_edits: false`, the document needs `_rev` or "
                                     "`_revisions` specified");
    document_fini(&document);
    refuses("{\"_revisions\":{\"ids\":[]}}", 400, "doc_validation",
            "_revisions.start isn't an integer.");
    refuses("{\"_revisions\":{\"start\":1}}", 400, "doc_validation",
            "_revisions.ids isn't a array.");
    refuses("{\"_revisions\":{\"start\":1,\"ids\":[1]}}", 400, "doc_validation",
            "RevId isn't a string");
    refuses("{\"_revisions\":{\"start\":1,\"ids\":[\"a\",\"b\"]}}", 400, "doc_validation",
            "_revisions.start is less than the revisions named.");
}

Test(document, wrong_documents_get_couchdbs_words)
{
    refuses("[]", 400, "bad_request", "Document must be a JSON object");
    refuses("\"x\"", 400, "bad_request", "Document must be a JSON object");
    refuses("{\"_id\":1}", 400, "illegal_docid", "Document id must be a string");
    refuses("{\"_id\":\"\"}", 400, "illegal_docid", "Document id must not be empty");
    refuses("{\"_rev\":1}", 400, "bad_request", "Invalid rev format");
    refuses("{\"_rev\":\"x\"}", 400, "bad_request", "Invalid rev format");
    refuses("{\"_deleted\":1}", 400, "doc_validation", "Bad special document member: _deleted");
    refuses("{\"_foo\":1}", 400, "doc_validation", "Bad special document member: _foo");
}

Test(document, foreign_revision_is_marked)
{
    struct document document;

    cr_assert_eq(parse("{\"_rev\":\"1-thirteenchars\"}", &document), QK_OK);
    cr_assert(document.has_revision && document.revision_is_foreign);
    document_fini(&document);
}

static enum qk_err parse_of_size(size_t body_len)
{
    size_t text_len = body_len - strlen("{\"a\":\"\"}");
    char *text = malloc(text_len + 1);
    struct document document;
    json_t *json;
    enum qk_err err;

    memset(text, 'x', text_len);
    json = json_object();
    json_object_set_new(json, "a", json_stringn(text, text_len));
    err = document_from_json(json, &document, &problem);
    document_fini(&document);
    json_decref(json);
    free(text);
    return err;
}

Test(document, sixteen_mebibytes_are_kept_and_one_byte_more_is_too_big)
{
    cr_assert_eq(parse_of_size(DOC_BYTES_MAX), QK_OK);
    cr_assert_eq(parse_of_size(DOC_BYTES_MAX + 1), QK_ERR_TOO_BIG);
}

Test(document, reply_puts_special_members_in_front)
{
    uint8_t path[REVISION_HASH_BYTES] = {0xaa};
    struct doc_leaf leaf = {.revision = {2, {0x01}}, .path = bytes_of(path, sizeof(path))};
    struct document_options options = {.revs = true, .revs_info = true};
    struct document_options none = {0};
    const struct document_parts x = {BYTES_NONE, bytes_str("{\"x\":1}")};
    const struct document_parts empty = {BYTES_NONE, bytes_str("{}")};
    struct buf out = BUF_SECRET_INIT(4 * KIB);

    document_write(bytes_str("a\"b"), &leaf, &x, &none, &out);
    buf_put_u8(&out, 0);
    cr_assert_str_eq((char *)out.data, "{\"_id\":\"a\\\"b\",\"_rev\":\"2-"
                                       "01000000000000000000000000000000\",\"x\":1}");
    buf_reset(&out);
    leaf.deleted = true;
    document_write(bytes_str("a"), &leaf, &empty, &options, &out);
    buf_put_u8(&out, 0);
    cr_assert_str_eq(
        (char *)out.data,
        "{\"_id\":\"a\",\"_rev\":\"2-01000000000000000000000000000000\",\"_deleted\":true,"
        "\"_revisions\":{\"start\":2,\"ids\":[\"01000000000000000000000000000000\","
        "\"aa000000000000000000000000000000\"]},"
        "\"_revs_info\":[{\"rev\":\"2-01000000000000000000000000000000\",\"status\":\"deleted\"},"
        "{\"rev\":\"1-aa000000000000000000000000000000\",\"status\":\"missing\"}]}");
    buf_fini(&out);
}

Test(document, plaintext_cut_or_changed_is_corrupt_or_a_body)
{
    struct document document;
    struct document_parts parts;
    struct bytes plain;
    size_t at;

    cr_assert_eq(parse("{\"a\":1}", &document), QK_OK);
    plain = buf_bytes(&document.plain);
    for (at = 0; at < plain.len; at++)
        cr_assert_eq(document_plain_open(bytes_of(plain.data, at), &parts), QK_ERR_CORRUPT);
    for (at = 0; at < 5; at++) {
        document.plain.data[at] ^= 0x80;
        cr_assert_eq(document_plain_open(plain, &parts), QK_ERR_CORRUPT);
        document.plain.data[at] ^= 0x80;
    }
    document_fini(&document);
}

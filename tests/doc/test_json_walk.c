/* The walk against json_parse and json_write: what it takes it writes as they do; what they refuse
 * it never takes; and what is ordinary it does take, else it would be of no use. */
#include "doc/json_walk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "doc/document.h"

static bool walked(struct bytes text, struct buf *out)
{
    struct json_walk walk = JSON_WALK(text);

    return json_walk_value(&walk, JSON_DEPTH_MAX, out) && json_walk_end(&walk);
}

/* Whether the walk takes it; if so, it is what the others make of it. */
static bool agrees(struct bytes text)
{
    struct buf out = BUF_SECRET_INIT(1 * MIB), expected = BUF_SECRET_INIT(1 * MIB);
    struct doc_problem problem;
    json_t *value = NULL;
    bool taken = walked(text, &out);

    if (taken) {
        cr_assert_eq(json_parse(text, JSON_DEPTH_MAX, &problem, &value), QK_OK, "%.*s",
                     (int)text.len, (const char *)text.data);
        cr_assert_eq(json_write(value, &expected), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&out), buf_bytes(&expected)), "%.*s became %.*s",
                  (int)text.len, (const char *)text.data, (int)out.len, (const char *)out.data);
    }
    json_decref(value);
    buf_fini(&out);
    buf_fini(&expected);
    return taken;
}

static void takes(const char *text)
{
    cr_assert(agrees(bytes_str(text)), "%s was left to others", text);
}

static void leaves(const char *text)
{
    cr_assert_not(agrees(bytes_str(text)), "%s was taken", text);
}

Test(json_walk, what_is_ordinary_is_taken_and_written_as_by_json_write)
{
    takes("{\"b\":1,\"a\":[true,false,null,\"x\",{}],\"c\":{\"d\":[]}}");
    takes(" { \"b\" : 1 ,\r\n\t\"a\":[ ] , \"\":\"\" } \n");
    takes("\"only\"");
    takes("[\"12345678\",\"1234567\",\"123456789\",\"a\xc3\xa4z\",\"12345678\xf0\x9f\x98\x80\"]");
    takes("\"\\u00e4\\u20ac\\ud83d\\ude00\\u001f\\b\\t\\n\\f\\r\\\"\\\\\\/\\u0022\\u005C\\u007f\"");
    takes("[0,1,-1,10,999999999999999999,-999999999999999999]");
    takes(
        "[0.5,-0.5,1.5,10.5,10.0,1.0,0.125,123456.789,1.50,0.05,0.00001,0.0001,1e5,1E-7,-2.5e+3]");
    takes("[99999999999999.5,1e14,1e15,1e16,123456789012345e0,0.100]");
}

Test(json_walk, what_is_rare_is_left_to_json_parse)
{
    leaves("\"\\u0000\"");
    leaves("[-0]");
    leaves("[0.0]");
    leaves("[9223372036854775807]");
    leaves("[0.1234567890123456]");
    leaves("[1e400]");
    leaves("[1e-400]");
}

Test(json_walk, what_json_parse_refuses_is_never_taken)
{
    static const char *const bad[] = {
        "",
        "{",
        "}",
        "[1,]",
        "{\"a\"}",
        "nul",
        "\"\\x\"",
        "01",
        "-01",
        "{a:1}",
        "[1] 2",
        "\"\n\"",
        "'a'",
        "{\"a\":1,}",
        "-",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        ".5",
        "+1",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "[1 2]",
        "[,1]",
        "{,}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{1:2}",
        "truex",
        "[}",
        "{]",
        "\"\\ud800x\"",
        "\"\\ud83d\\n\"",
        "\"\\",
        "\"\\u\"",
        "tru",
        "\xef\xbb\xbf{}",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "[1]]",
        "{}{}",
        "\"a",
        "\"\xf5\x80\x80\x80\"",
        "\"\xe2\x82\"",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"b\":{},\"b\":1}]",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        leaves(bad[i]);
    cr_assert_not(agrees(bytes_of("[1\0]", 4)));
    cr_assert_not(agrees(bytes_of("[1]\0", 4)));
}

/* A name counts for its own object alone. */
Test(json_walk, equal_names_in_different_objects_are_taken)
{
    takes("{\"a\":{\"a\":{\"a\":1},\"b\":2},\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":2}]}");
    leaves("{\"a\":{\"a\":{\"a\":1},\"b\":2},\"b\":{\"a\":1},\"a\":[{\"a\":1},{\"a\":2}]}");
}

Test(json_walk, depth_64_is_taken_and_65_left)
{
    char text[2 * 65 + 1];

    for (size_t depth = 64; depth <= 65; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        cr_assert_eq(agrees(bytes_str(text)), depth == 64);
    }
}

Test(json_walk, an_object_of_many_members_is_left)
{
    struct buf text = BUF_INIT(64 * KIB);

    for (unsigned n = JSON_NAMES_MAX; n <= JSON_NAMES_MAX + 1; n++) {
        buf_reset(&text);
        for (unsigned i = 0; i < n; i++)
            buf_printf(&text, "%s\"m%u\":%u", i == 0 ? "{" : ",", i, i);
        buf_put_u8(&text, '}');
        cr_assert_eq(agrees(buf_bytes(&text)), n == JSON_NAMES_MAX);
    }
    buf_fini(&text);
}

/* Behind the last comma that counts nothing is taken, not even a bracket. */
Test(json_walk, too_many_values_are_never_taken)
{
    size_t n = (size_t)JSON_VALUES_MAX + 2;
    struct buf out = BUF_INIT(16 * MIB);
    char *text = malloc(2 * n + 2);

    cr_assert_not_null(text);
    for (size_t i = 0; i < n; i++) {
        text[1 + 2 * i] = '1';
        text[2 + 2 * i] = ',';
    }
    text[0] = '[';
    text[2 * n] = ']';
    cr_assert_not(walked(bytes_of(text, 2 * n + 1), &out));
    /* As many commas as there may be and one more, then the end. */
    text[2 * (n - 1) + 1] = ']';
    cr_assert_not(walked(bytes_of(text, 2 * n), &out));
    free(text);
    buf_fini(&out);
}

static const char *const samples[] = {
    "{\"name\":\"s\\u00f6me "
    "\\\"one\\\"\xc3\xa4\",\"n\":[12345,-1.50,0.5e3],\"o\":{\"t\":true,\"u\":null}}",
    "{\"_id\":\"a\",\"_rev\":\"1-00112233445566778899aabbccddeeff\",\"b\":[1,2.5,-3e2,true,null]}",
    "[[],{},\"\\ud83d\\ude00\",{\"a\":{\"a\":1}},0.25,false]",
};

/* Cut at each byte, and each byte changed in each bit: taken only if the others take it. */
Test(json_walk, no_damage_is_taken_that_json_parse_refuses)
{
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        size_t len = strlen(samples[i]);
        uint8_t copy[200];

        takes(samples[i]);
        cr_assert(len <= sizeof(copy));
        for (size_t cut = 0; cut < len; cut++)
            (void)agrees(bytes_of(samples[i], cut));
        for (size_t at = 0; at < len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(copy, samples[i], len);
                copy[at] ^= (uint8_t)(1u << bit);
                (void)agrees(bytes_of(copy, len));
            }
        }
    }
}

Test(json_walk, what_has_no_room_is_not_taken)
{
    struct bytes text = bytes_str(samples[0]);

    for (size_t max = 0; max < 40; max++) {
        struct buf out = BUF_INIT(max);

        cr_assert_not(walked(text, &out));
        buf_fini(&out);
    }
}

/* --- documents --- */

static bool same_problem(const struct doc_problem *a, const struct doc_problem *b)
{
    return a->status == b->status && strcmp(a->error, b->error) == 0 &&
           strcmp(a->reason, b->reason) == 0;
}

/* The text as a document by either way. */
static enum qk_err by_tree(struct bytes text, struct document *ret_document,
                           struct doc_problem *problem)
{
    json_t *json = NULL;
    enum qk_err err;

    document_init(ret_document);
    err = json_parse(text, JSON_DEPTH_MAX, problem, &json);
    if (err == QK_OK)
        err = document_from_json(json, ret_document, problem);
    json_decref(json);
    return err;
}

static void same_document(const char *raw)
{
    struct doc_problem a_problem = {0, "", ""}, b_problem = {0, "", ""};
    struct bytes text = bytes_str(raw);
    struct document a, b;
    enum qk_err a_err = document_from_text(text, &a, &a_problem);
    enum qk_err b_err = by_tree(text, &b, &b_problem);

    cr_assert_eq(a_err, b_err, "%s", raw);
    cr_assert(same_problem(&a_problem, &b_problem), "%s: %s, %s", raw, a_problem.reason,
              b_problem.reason);
    if (a_err == QK_OK) {
        cr_assert(bytes_equal(buf_bytes(&a.plain), buf_bytes(&b.plain)), "%s", raw);
        cr_assert(bytes_equal(buf_bytes(&a.id), buf_bytes(&b.id)), "%s", raw);
        cr_assert(bytes_equal(buf_bytes(&a.key_name), buf_bytes(&b.key_name)), "%s", raw);
        cr_assert(bytes_equal(buf_bytes(&a.revisions), buf_bytes(&b.revisions)), "%s", raw);
        cr_assert_eq(a.deleted, b.deleted, "%s", raw);
        cr_assert_eq(a.has_revision, b.has_revision, "%s", raw);
        cr_assert_eq(a.revision_is_foreign, b.revision_is_foreign, "%s", raw);
        cr_assert_eq(a.local_revision, b.local_revision, "%s", raw);
        cr_assert(revision_equal(&a.revision, &b.revision), "%s", raw);
        cr_assert_eq(a.attachments.n, b.attachments.n, "%s", raw);
    }
    document_fini(&a);
    document_fini(&b);
}

Test(json_walk, a_document_from_text_is_the_one_from_a_tree)
{
    static const char *const texts[] = {
        "{}",
        " { } ",
        "{\"_id\":\"a\"}",
        "{\"a\":1,\"_id\":\"a\",\"b\":2}",
        "{\"_id\":\"a\",\"b\":2,\"_rev\":\"1-00112233445566778899aabbccddeeff\"}",
        "{\"\\u005fid\":\"esc\\u0061ped\",\"x\":{\"_id\":1,\"_foo\":2}}",
        "{\"_rev\":\"3-x\"}",
        "{\"_rev\":\"0-7\",\"_deleted\":true,\"_key_id\":\"k\"}",
        "{\"_revisions\":{\"start\":2,\"ids\":[\"00112233445566778899aabbccddeeff\","
        "\"ffeeddccbbaa99887766554433221100\"]},\"z\":[]}",
        "{\"_attachments\":{\"a\":{\"data\":\"QQ==\"}},\"x\":1}",
        "{\"_conflicts\":[1,2],\"_revs_info\":[],\"_local_seq\":3,\"x\":1}",
        "{\"_replication_state\":\"completed\",\"x\":1}",
        /* What is refused, with the same words. */
        "{\"_id\":1}",
        "{\"_id\":\"\"}",
        "{\"_foo\":1}",
        "{\"_foo\":1,\"_id\":2}",
        "{\"_deleted\":1,\"_id\":2}",
        "{\"_rev\":\"x\",\"_deleted\":1}",
        "{\"_id\":\"a\",\"_id\":\"b\"}",
        "{\"_id\":2} x",
        "{\"_id\":2",
        "{\"a\":1,\"a\":2}",
        "{\"a\":9223372036854775808}",
        "{\"_\":1}",
        "{\"_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}",
        "[]",
        "1",
        "",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        same_document(texts[i]);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        same_document(samples[i]);
}

static void nest(struct buf *text, unsigned depth)
{
    buf_reset(text);
    buf_put_str(text, "{\"x\":");
    for (unsigned i = 0; i < depth; i++)
        buf_put_u8(text, '[');
    for (unsigned i = 0; i < depth; i++)
        buf_put_u8(text, ']');
    buf_put(text, "}", 2);
}

Test(json_walk, documents_nest_as_deep_by_either_way)
{
    struct buf text = BUF_INIT(4 * KIB);

    for (unsigned depth = JSON_DEPTH_MAX - 2; depth <= JSON_DEPTH_MAX; depth++) {
        nest(&text, depth);
        same_document((const char *)text.data);
    }
    buf_fini(&text);
}

/* Of a body that is too large the id is known all the same: the answer names it. */
Test(json_walk, a_document_that_is_too_large_is_one_by_either_way)
{
    size_t len = DOC_BYTES_MAX;
    struct buf text = BUF_INIT(DOC_BYTES_MAX + 1 * KIB);
    struct doc_problem problem;
    struct document document;
    uint8_t *at;

    buf_put_str(&text, "{\"_id\":\"large\",\"x\":\"");
    at = buf_extend(&text, len);
    cr_assert_not_null(at);
    memset(at, 'x', len);
    buf_put_str(&text, "\"}");
    cr_assert_eq(document_from_text(buf_bytes(&text), &document, &problem), QK_ERR_TOO_BIG);
    cr_assert(bytes_equal(buf_bytes(&document.id), bytes_str("large")));
    document_fini(&document);
    buf_fini(&text);
}

/* JSON and documents. jansson is the oracle of our limits and of our writer: what json_parse takes,
 * jansson alone takes too and means the same; what json_write writes, jansson reads as the same
 * value. What the walk takes (doc/json_walk.h), json_parse takes, and json_write writes it byte for
 * byte the same; a document from text is the one from a tree, down to what is said of a wrong one.
 * An object is then taken apart as a document and put together as a reply. */
#include <string.h>

#include "doc/document.h"
#include "doc/json_walk.h"
#include "fuzz.h"

static const char *const seeds[] = {
    "{\"_id\":\"a\",\"_rev\":\"1-00112233445566778899aabbccddeeff\",\"b\":[1,2.5,-3e2,true,null]}",
    "{\"a\":\"\\u00e9\\ud83d\\ude00 \xc3\xa9\",\"n\":9223372036854775807}",
    "[[[[[[]]]]],{\"\":\"\"},0.1,1e308,-0.0]",
    "{\"_deleted\":true,\"_id\":\"x\",\"_key_id\":\"default\"}",
    "\"text\"",
    " { \"\\u005fid\" : \"a\" , "
    "\"b\":{\"c\":1,\"d\":[1.50,0.5,1e5,-0,\"\\n\\/\\u20ac\"]},\"_rev\":\"1-a\"}",
    "{\"_attachments\":{},\"x\":{\"y\":{\"z\":[]}}}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

/* jansson alone, strictly. */
static json_t *oracle(struct bytes text)
{
    return json_loadb((const char *)text.data, text.len,
                      JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

static void fuzz_document(json_t *object)
{
    const struct document_options options = {.revs = true};
    struct doc_leaf leaf;
    struct document document;
    struct doc_problem problem = {0};
    struct buf reply = BUF_SECRET_INIT(1 * MIB);
    struct document_parts parts;
    json_t *back;

    memset(&leaf, 0, sizeof leaf);
    leaf.revision.generation = 1;
    if (document_from_json(object, &document, &problem) == QK_OK) {
        fuzz_must(document_plain_open(buf_bytes(&document.plain), &parts));
        document_write(buf_bytes(&document.id), &leaf, &parts, &options, &reply);
        fuzz_must(buf_error(&reply));
        back = oracle(buf_bytes(&reply));
        fuzz_require(json_is_object(back));
        fuzz_require(json_is_string(json_object_get(back, "_rev")));
        json_decref(back);
    }
    document_fini(&document);
    buf_fini(&reply);
}

/* `value` is NULL where json_parse refuses the text. */
static void fuzz_walk(struct bytes text, const json_t *value)
{
    struct buf out = BUF_INIT(1 * MIB), expected = BUF_INIT(1 * MIB);
    struct json_walk walk = JSON_WALK(text);

    if (json_walk_value(&walk, JSON_DEPTH_MAX, &out) && json_walk_end(&walk)) {
        fuzz_require(value != NULL);
        fuzz_must(json_write(value, &expected));
        fuzz_require(bytes_equal(buf_bytes(&out), buf_bytes(&expected)));
    }
    buf_fini(&out);
    buf_fini(&expected);
}

static void fuzz_text(struct bytes text)
{
    struct doc_problem a_problem = {0, "", ""}, b_problem = {0, "", ""};
    struct document a, b;
    enum qk_err a_err = document_from_text(text, &a, &a_problem), b_err;
    json_t *json = NULL;

    document_init(&b);
    b_err = json_parse(text, JSON_DEPTH_MAX, &b_problem, &json);
    if (b_err == QK_OK)
        b_err = document_from_json(json, &b, &b_problem);
    json_decref(json);
    fuzz_require(a_err == b_err && a_problem.status == b_problem.status &&
                 strcmp(a_problem.reason, b_problem.reason) == 0);
    if (a_err == QK_OK)
        fuzz_require(bytes_equal(buf_bytes(&a.plain), buf_bytes(&b.plain)) &&
                     bytes_equal(buf_bytes(&a.id), buf_bytes(&b.id)) &&
                     bytes_equal(buf_bytes(&a.revisions), buf_bytes(&b.revisions)) &&
                     revision_equal(&a.revision, &b.revision) && a.deleted == b.deleted);
    document_fini(&a);
    document_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len);
    struct buf out = BUF_INIT(1 * MIB);
    struct doc_problem problem = {0};
    json_t *value = NULL, *other;

    fuzz_text(in);
    if (json_parse(in, JSON_DEPTH_MAX, &problem, &value) != QK_OK) {
        fuzz_require(problem.status >= 400 && problem.error != NULL);
        fuzz_walk(in, NULL);
        return 0;
    }
    other = oracle(in);
    fuzz_require(other != NULL && json_equal(value, other));
    json_decref(other);
    fuzz_must(json_write(value, &out));
    other = oracle(buf_bytes(&out));
    fuzz_require(other != NULL && json_equal(value, other));
    json_decref(other);
    buf_fini(&out);
    fuzz_walk(in, value);
    if (json_is_object(value))
        fuzz_document(value);
    json_decref(value);
    return 0;
}

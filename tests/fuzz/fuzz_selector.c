/* Selectors: two JSON texts, a selector and a document, with a zero byte between. What is parsed
 * has a normal form that parses again to itself; both match the same documents, at a bounded cost;
 * and the order of values is one: comparing two ways round gives opposite answers. */
#include <string.h>

#include "doc/compare.h"
#include "doc/selector.h"
#include "fuzz.h"

static const char *const seeds[][2] = {
    {"{\"a\":1,\"b.c\":{\"$gt\":null,\"$lt\":\"z\"}}", "{\"a\":1,\"b\":{\"c\":\"x\"}}"},
    {"{\"$or\":[{\"a\":{\"$in\":[1,[2],\"x\"]}},{\"$not\":{\"b\":{\"$regex\":\"^a.*(b|c)+$\"}}}]}",
     "{\"a\":[2,\"x\"],\"b\":\"abcbc\"}"},
    {"{\"$nor\":[{\"a\":{\"$elemMatch\":{\"b\":{\"$mod\":[3,1]},\"$not\":{\"c\":2}}}}]}",
     "{\"a\":[{\"b\":4},{\"b\":7,\"c\":2}]}"},
    {"{\"a\":{\"$allMatch\":{\"$beginsWith\":\"x\"}},\"b\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}",
     "{\"a\":[\"x\",\"xy\"],\"b\":{\"k\":1}}"},
    {"{\"a\":{\"$all\":[[1,2.0]],\"$size\":2,\"$type\":\"array\",\"$exists\":true}}",
     "{\"a\":[1,2.0]}"},
    {"{\"_id\":{\"$gte\":\"a\",\"$ne\":{}},\"x\\\\.y.0\":{\"$nin\":[]}}",
     "{\"_id\":\"b\",\"x.y\":[null]}"},
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number][0]);
    buf_put_u8(out, 0);
    buf_put_str(out, seeds[number][1]);
    return true;
}

static void fuzz_match(struct selector *selector, struct selector *other, const json_t *document)
{
    bool match = false, match_other = false;
    enum qk_err err = selector_match(selector, document, &match);

    fuzz_require(err == QK_OK || err == QK_ERR_TOO_BIG);
    fuzz_require(selector_match(other, document, &match_other) == err);
    fuzz_require(match == match_other);
}

static void fuzz_selector(json_t *json, const json_t *document)
{
    struct selector *selector, *other;
    struct doc_problem problem = {0};
    json_t *normal, *again;

    if (selector_parse(json, &problem, &selector) != QK_OK) {
        fuzz_require(problem.status == 400 && problem.error != NULL);
        return;
    }
    normal = selector_json(selector);
    fuzz_require(normal != NULL);
    if (selector_parse(normal, &problem, &other) == QK_OK) {
        again = selector_json(other);
        fuzz_require(json_equal(normal, again));
        if (document != NULL)
            fuzz_match(selector, other, document);
        json_decref(again);
        selector_free(other);
    }
    json_decref(normal);
    selector_free(selector);
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *zero = len == 0 ? NULL : memchr(data, 0, len);
    size_t first = zero == NULL ? len : (size_t)(zero - data);
    json_t *json = NULL, *document = NULL;
    struct doc_problem problem = {0};

    if (zero != NULL && json_parse(bytes_of(zero + 1, len - first - 1), JSON_DEPTH_MAX, &problem,
                                   &document) != QK_OK)
        document = NULL;
    if (json_parse(bytes_of(data, first), JSON_DEPTH_MAX, &problem, &json) == QK_OK) {
        if (document != NULL)
            fuzz_require(sign(json_compare(json, document, NULL)) ==
                         -sign(json_compare(document, json, NULL)));
        fuzz_selector(json, document);
        json_decref(json);
    }
    json_decref(document);
    return 0;
}

/* Sort keys and maps: two JSON values, a line each. Their sort keys must be in the order that a
 * direct comparison says, neither the beginning of the other; and what the first says as a design
 * document must parse or be refused, and map the second. */
#include <stdlib.h>
#include <string.h>

#include "doc/collate.h"
#include "doc/view.h"
#include "fuzz.h"

static int rank_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return 0;
    case JSON_FALSE:
        return 1;
    case JSON_TRUE:
        return 2;
    case JSON_INTEGER:
    case JSON_REAL:
        return 3;
    case JSON_STRING:
        return 4;
    case JSON_ARRAY:
        return 5;
    case JSON_OBJECT:
        return 6;
    }
    return 7;
}

static int numbers_compare(const json_t *a, const json_t *b)
{
    long double x =
        json_is_integer(a) ? (long double)json_integer_value(a) : (long double)json_real_value(a);
    long double y =
        json_is_integer(b) ? (long double)json_integer_value(b) : (long double)json_real_value(b);

    return (x > y) - (x < y);
}

static int compare(const json_t *a, const json_t *b);

static int arrays_compare(const json_t *a, const json_t *b)
{
    size_t n = json_array_size(a), m = json_array_size(b), i;
    int order = 0;

    for (i = 0; order == 0 && i < n && i < m; i++)
        order = compare(json_array_get(a, i), json_array_get(b, i));
    return order != 0 ? order : (n > m) - (n < m);
}

static int objects_compare(json_t *a, json_t *b)
{
    void *x = json_object_iter(a), *y = json_object_iter(b);
    int order = 0;

    while (order == 0 && x != NULL && y != NULL) {
        order = bytes_compare(bytes_of(json_object_iter_key(x), json_object_iter_key_len(x)),
                              bytes_of(json_object_iter_key(y), json_object_iter_key_len(y)));
        if (order == 0)
            order = compare(json_object_iter_value(x), json_object_iter_value(y));
        x = json_object_iter_next(a, x);
        y = json_object_iter_next(b, y);
    }
    return order != 0 ? order : (x != NULL) - (y != NULL);
}

/* As deep as the parser lets values be. */
static int compare(const json_t *a, const json_t *b)
{
    int order = rank_of(a) - rank_of(b);

    if (order != 0)
        return order;
    if (json_is_number(a))
        return numbers_compare(a, b);
    if (json_is_string(a))
        return bytes_compare(json_bytes(a), json_bytes(b));
    if (json_is_array(a))
        return arrays_compare(a, b);
    return json_is_object(a) ? objects_compare((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b) : 0;
}

static void check_order(const json_t *a, const json_t *b)
{
    struct buf x = BUF_SECRET_INIT(64 * MIB), y = BUF_SECRET_INIT(64 * MIB);
    int direct = compare(a, b), order;
    uint64_t levels;

    fuzz_require(collate_key(a, &x) == QK_OK && collate_key(b, &y) == QK_OK);
    order = bytes_compare(buf_bytes(&x), buf_bytes(&y));
    fuzz_require((order > 0) - (order < 0) == (direct > 0) - (direct < 0));
    fuzz_require(order == 0 || !bytes_starts_with(buf_bytes(&x), buf_bytes(&y)));
    fuzz_require(order == 0 || !bytes_starts_with(buf_bytes(&y), buf_bytes(&x)));
    for (levels = 0; levels < 5; levels++)
        fuzz_require(collate_prefix(buf_bytes(&x), levels) <= x.len);
    fuzz_require(!json_is_array(a) || collate_prefix(buf_bytes(&x), UINT64_MAX) == x.len);
    buf_fini(&x);
    buf_fini(&y);
}

static void check_map(json_t *json, const json_t *doc)
{
    struct view_rows rows = VIEW_ROWS_INIT;
    struct doc_problem problem = {0};
    struct view_design *design;
    enum qk_err err = view_design_parse(json, &problem, &design);

    fuzz_require(err == QK_OK || (err == QK_ERR_INVALID && problem.status >= 400));
    if (err != QK_OK)
        return;
    if (design->language == VIEW_QUERY)
        fuzz_require(view_map(design, doc, &rows) == QK_OK);
    view_rows_fini(&rows);
    view_design_free(design);
}

static const char *const seeds[] = {
    "{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":[\"a\",\"b.c\"],"
    "\"selector\":{\"a\":{\"$gt\":1}},\"value\":\"d\"},\"reduce\":\"_sum\"}}}\n"
    "{\"_id\":\"x\",\"a\":2,\"b\":{\"c\":[1]},\"d\":null}",
    "{\"views\":{\"v\":{\"map\":\"function (doc) {}\",\"reduce\":\"_count\"}}}\n{}",
    "[1,2.5,[\"a\\u0000\",{}],null]\n[1,2.5,[\"a\"],true]",
    "9007199254740993\n9007199254740992.0",
    "-9223372036854775808\n-9.2e18",
    "{\"a\":1,\"b\":2}\n{\"a\":1,\"c\":0}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_of(data, len);
    const uint8_t *end = len == 0 ? NULL : memchr(data, '\n', len);
    struct doc_problem problem;
    json_t *a = NULL, *b = NULL;
    size_t at = end == NULL ? len : (size_t)(end - data);

    if (json_parse(bytes_slice(input, 0, at), JSON_DEPTH_MAX, &problem, &a) == QK_OK &&
        json_parse(bytes_slice(input, at, len), JSON_DEPTH_MAX, &problem, &b) == QK_OK) {
        check_order(a, b);
        check_map(a, b);
    }
    json_decref(a);
    json_decref(b);
    return 0;
}

/* The splitter of replies and imports. What it hands out does not depend on how the text came in
 * pieces; of a text that jansson takes, it hands out what jansson finds. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "client/split.h"
#include "fuzz.h"

static const char *const seeds[] = {
    "\x03{\"docs\":[{\"a\":[1,{\"docs\":[2]}]},\"x,]\\\"\",3],\"b\":{}}",
    "\x02{\"a\":1}\n[{\"b\":2},{\"c\":\"}\"}]\n",
    "\x11{\"n\":2,\"docs\":[\n],\"bookmark\":\"nil\"}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

struct found {
    struct buf all;
    size_t n;
};

static bool on_element(void *arg, struct bytes json)
{
    struct found *found = arg;

    fuzz_touch(json);
    fuzz_require(json.len > 0);
    buf_put_blob(&found->all, json);
    found->n++;
    return true;
}

static enum qk_err take_apart(const char *name, struct bytes in, size_t piece, struct found *found)
{
    struct split split;
    enum qk_err err = QK_OK;

    split_init(&split, name, on_element, found);
    for (size_t at = 0; at < in.len && err == QK_OK; at += piece)
        err = split_feed(&split, bytes_slice(in, at, piece));
    if (err == QK_OK)
        err = split_end(&split);
    split_fini(&split);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t piece = len == 0 ? 1 : data[0] / 2 + 1;
    const char *name = len > 0 && data[0] % 2 == 1 ? "docs" : NULL;
    struct bytes in = bytes_slice(bytes_of(data, len), 1, SIZE_MAX);
    struct found whole = {.all = BUF_INIT(4 * MIB)}, pieces = {.all = BUF_INIT(4 * MIB)};
    enum qk_err err = take_apart(name, in, in.len + 1, &whole);
    json_t *json;

    fuzz_require(err == take_apart(name, in, piece, &pieces));
    fuzz_require(bytes_equal(buf_bytes(&whole.all), buf_bytes(&pieces.all)));
    json = json_loadb((const char *)in.data, in.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (name != NULL && json_is_array(json_object_get(json, name))) {
        fuzz_require(err == QK_OK || err == QK_ERR_INVALID); /* too deep; or the name escaped */
        if (err == QK_OK)
            fuzz_require(whole.n == json_array_size(json_object_get(json, name)));
    }
    json_decref(json);
    buf_fini(&whole.all);
    buf_fini(&pieces.all);
    return 0;
}

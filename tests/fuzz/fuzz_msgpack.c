/* MessagePack and JSON. What our reader turns into JSON, jansson reads, but for equal names in one
 * object; and the writer, in pieces of one byte and whole, makes bytes of it that mean the same
 * again. Fed the raw input, the writer only has to live. */
#include <string.h>

#include "doc/msgpack.h"
#include "fuzz.h"

static const char *const seeds[] = {
    "{\"_id\":\"a\",\"b\":[1,2.5,-3e2,true,null,\"\\u00e9\\n\"],\"c\":{\"d\":{}}}",
    "[[],{},0,-1,255,256,65536,4294967296,-129,-32769,-2147483649,0.1]",
    "\"text of more than thirty-one bytes, which needs a longer head\"",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct msgpack_encoder encoder;

    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    msgpack_encoder_init(&encoder, 1 * MIB);
    fuzz_must(msgpack_encoder_feed(&encoder, bytes_str(seeds[number])));
    fuzz_must(msgpack_encoder_end(&encoder));
    buf_put_bytes(out, msgpack_encoder_whole(&encoder));
    msgpack_encoder_fini(&encoder);
    return true;
}

static enum qk_err encode(struct bytes json, size_t piece, struct msgpack_encoder *encoder)
{
    enum qk_err err = QK_OK;

    msgpack_encoder_init(encoder, 4 * MIB);
    for (size_t at = 0; err == QK_OK && at < json.len; at += piece)
        err = msgpack_encoder_feed(encoder, bytes_slice(json, at, piece));
    return err == QK_OK ? msgpack_encoder_end(encoder) : err;
}

static void there_and_back(struct bytes json)
{
    struct msgpack_encoder whole, pieces;
    struct buf back = BUF_SECRET_INIT(4 * MIB);
    struct doc_problem problem = {0};

    fuzz_must(encode(json, json.len, &whole));
    fuzz_must(encode(json, 1, &pieces));
    fuzz_require(bytes_equal(msgpack_encoder_whole(&whole), msgpack_encoder_whole(&pieces)));
    fuzz_must(msgpack_to_json(msgpack_encoder_whole(&whole), JSON_DEPTH_MAX, &problem, &back));
    fuzz_require(bytes_equal(buf_bytes(&back), json));
    buf_fini(&back);
    msgpack_encoder_fini(&whole);
    msgpack_encoder_fini(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf json = BUF_SECRET_INIT(4 * MIB);
    struct doc_problem problem = {0};
    struct msgpack_encoder encoder;
    enum qk_err err;
    json_t *value;

    (void)encode(bytes_of(data, len), 3, &encoder);
    fuzz_touch(msgpack_encoder_whole(&encoder));
    msgpack_encoder_fini(&encoder);
    err = msgpack_to_json(bytes_of(data, len), JSON_DEPTH_MAX, &problem, &json);
    if (err == QK_OK) {
        value =
            json_loadb((const char *)json.data, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        /* jansson refuses \u0000 in names, and nothing else that we make. */
        fuzz_require(value != NULL || memmem(json.data, json.len, "\\u0000", 6) != NULL);
        json_decref(value);
        there_and_back(buf_bytes(&json));
    } else {
        fuzz_require(err == QK_ERR_TOO_BIG || problem.status >= 400);
    }
    buf_fini(&json);
    return 0;
}

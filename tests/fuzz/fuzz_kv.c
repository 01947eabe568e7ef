/* Secrets: what a request wants written, stored bodies, durations, merges. By the first byte: 0 to
 * 9 a request's body of that verb, 10 a stored secret, 11 a folder, 12 the settings, 13 a duration.
 */
#include "doc/json.h"
#include "fuzz.h"
#include "service/secrets/kv_meta.h"
#include "service/secrets/kv_wish.h"

#define MODES 14

static const char *const SEEDS[MODES] = {
    "{\"data\":{\"a\":{\"b\":1}},\"options\":{\"cas\":\"3\"}}",
    "{\"data\":{\"a\":{\"b\":null}},\"options\":{\"cas\":3}}",
    "{}",
    "{\"versions\":[1,\"2\"]}",
    "{\"versions\":\"1,2\"}",
    "{\"versions\":3}",
    "{\"max_versions\":\"5\",\"cas_required\":true,\"delete_version_after\":\"1h2m\","
    "\"custom_metadata\":{\"a\":\"b\",\"n\":3}}",
    "{\"custom_metadata\":{\"a\":null}}",
    "{}",
    "{\"max_versions\":5,\"delete_version_after\":\"-1s\"}",
    "{\"secret\":\"a/b\",\"current\":2,\"oldest\":1,\"created\":1,\"updated\":2,\"max_versions\":0,"
    "\"cas_required\":false,\"delete_after\":0,\"custom\":{\"a\":\"b\"},"
    "\"versions\":[[1,0,false,false],[2,9,true,false]]}",
    "{\"folder\":\"a/\",\"names\":3}",
    "{\"max_versions\":3,\"cas_required\":true,\"delete_after_off\":false,\"delete_after\":60}",
    "3h25m19.5s",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    buf_put_str(out, SEEDS[number]);
    return true;
}

/* What was merged has none of the patch's nulls, and merging again changes nothing. */
static void fuzz_merge(json_t *data)
{
    json_t *into = json_object(), *again;

    fuzz_must(kv_merge(into, data));
    again = json_deep_copy(into);
    fuzz_must(kv_merge(again, data));
    fuzz_require(json_equal(into, again));
    json_decref(into);
    json_decref(again);
}

static void fuzz_wish(enum kv_verb verb, struct bytes in)
{
    struct doc_problem problem = {0};
    struct kv_wish wish;
    enum qk_err err = kv_wish_parse(verb, in, &wish, &problem);

    if (err == QK_OK && wish.data != NULL)
        fuzz_merge(wish.data);
    fuzz_require(err != QK_ERR_INVALID || problem.status != 0);
    fuzz_require(wish.versions_n <= KV_VERSIONS_MAX);
    fuzz_require(err != QK_OK || json_object_size(wish.custom) <= KV_CUSTOM_MAX);
    kv_wish_fini(&wish);
}

/* What is read is written so that it is read the same. */
static void fuzz_meta(struct bytes in)
{
    struct buf out = BUF_INIT(4 * MIB), again = BUF_INIT(4 * MIB);
    struct bytes path = bytes_str("a/b");
    struct kv_meta meta, back;

    if (kv_meta_decode(in, path, &meta) == QK_OK && kv_meta_encode(&meta, path, &out) == QK_OK) {
        fuzz_must(kv_meta_decode(buf_bytes(&out), path, &back));
        fuzz_must(kv_meta_encode(&back, path, &again));
        fuzz_require(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
        kv_meta_fini(&back);
    }
    kv_meta_fini(&meta);
    buf_fini(&out);
    buf_fini(&again);
}

static void fuzz_duration(struct bytes in)
{
    char text[DURATION_TEXT_BYTES];
    int64_t seconds, back;

    if (duration_parse(in, &seconds) != QK_OK)
        return;
    duration_format(seconds, text);
    fuzz_must(duration_parse(bytes_str(text), &back));
    fuzz_require(back == seconds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    unsigned mode = len == 0 ? MODES : data[0] % MODES;
    struct buf path = BUF_INIT(KV_PATH_BYTES_MAX);
    struct kv_config config;
    uint64_t names_n;

    if (mode <= KV_CONFIG_PUT)
        fuzz_wish((enum kv_verb)mode, in);
    else if (mode == 10)
        fuzz_meta(in);
    else if (mode == 11 && kv_folder_decode(in, bytes_str("a/"), &names_n) == QK_OK)
        fuzz_require(kv_path_decode(in, &path) == QK_OK);
    else if (mode == 12 && kv_config_decode(in, &config) == QK_OK)
        fuzz_require(config.max_versions <= KV_VERSIONS_MAX);
    else if (mode == 13)
        fuzz_duration(in);
    buf_fini(&path);
    return 0;
}

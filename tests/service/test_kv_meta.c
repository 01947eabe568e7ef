#include <criterion/criterion.h>
#include <string.h>

#include "doc/json.h"
#include "service/secrets/kv_meta.h"
#include "service/secrets/kv_wish.h"

/* --- durations --- */

static int64_t seconds(const char *text)
{
    int64_t value = INT64_MIN;

    cr_assert_eq(duration_parse(bytes_str(text), &value), QK_OK, "%s", text);
    return value;
}

Test(kv_meta, durations_are_read_as_go_writes_them)
{
    cr_assert_eq(seconds("0s"), 0);
    cr_assert_eq(seconds("3h25m19s"), 3 * 3600 + 25 * 60 + 19);
    cr_assert_eq(seconds("1.5h"), 5400);
    cr_assert_eq(seconds("1500ms"), 1);
    cr_assert_eq(seconds("90"), 90);
    cr_assert_eq(seconds("-1s"), -1);
    cr_assert_eq(seconds("30d"), 30 * 24 * 3600);
}

Test(kv_meta, what_is_no_duration_is_refused)
{
    static const char *const bad[] = {"",    "s",     "-",  "h",    "1x",   "1h-1m", " 1s",
                                      "1s ", "1..5s", ".5", "1e3s", "1 2s", "--1s"};
    int64_t value;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(duration_parse(bytes_str(bad[i]), &value), QK_ERR_INVALID, "%s", bad[i]);
    cr_assert_eq(duration_parse(bytes_str("99999999999999999999h"), &value), QK_ERR_INVALID);
    cr_assert_eq(duration_parse(bytes_str("9223372036854775807"), &value), QK_ERR_INVALID);
}

Test(kv_meta, a_duration_has_a_limit_and_a_time_beyond_it_is_still_a_time)
{
    struct kv_config config = {.delete_after_s = KV_DURATION_S_MAX};
    struct buf out = BUF_INIT(KV_BODY_BYTES_MAX);
    struct kv_meta meta = {.delete_after_s = KV_DURATION_S_MAX}, back;
    char text[DURATION_TEXT_BYTES];
    uint64_t from, n;
    int64_t value;

    duration_format((int64_t)KV_DURATION_S_MAX, text);
    cr_assert_eq(seconds(text), (int64_t)KV_DURATION_S_MAX);
    duration_format((int64_t)KV_DURATION_S_MAX + 1, text);
    cr_assert_eq(duration_parse(bytes_str(text), &value), QK_ERR_INVALID);
    cr_assert_eq(kv_meta_add(&meta, &config, 4000000000, &from, &n), QK_OK);
    cr_assert_eq(kv_meta_encode(&meta, bytes_str("a"), &out), QK_OK);
    cr_assert_eq(kv_meta_decode(buf_bytes(&out), bytes_str("a"), &back), QK_OK);
    kv_meta_fini(&meta);
    kv_meta_fini(&back);
    buf_fini(&out);
}

Test(kv_meta, durations_are_written_as_go_writes_them)
{
    char text[DURATION_TEXT_BYTES];

    duration_format(0, text);
    cr_assert_str_eq(text, "0s");
    duration_format(3 * 3600 + 25 * 60 + 19, text);
    cr_assert_str_eq(text, "3h25m19s");
    duration_format(120, text);
    cr_assert_str_eq(text, "2m0s");
    duration_format(-1, text);
    cr_assert_str_eq(text, "-1s");
}

/* --- versions --- */

static void add(struct kv_meta *meta, const struct kv_config *config, uint64_t now_s,
                uint64_t gone_from, uint64_t gone_n)
{
    uint64_t from = 0, n = 0;

    cr_assert_eq(kv_meta_add(meta, config, now_s, &from, &n), QK_OK);
    cr_assert_eq(n, gone_n);
    if (n > 0)
        cr_assert_eq(from, gone_from);
}

Test(kv_meta, ten_versions_are_kept_unless_more_are_wanted)
{
    struct kv_config config = {0};
    struct kv_meta meta = {0};

    for (uint64_t i = 1; i <= 10; i++)
        add(&meta, &config, 100 + i, 0, 0);
    cr_assert_eq(meta.current, 10);
    add(&meta, &config, 200, 1, 1);
    cr_assert_eq(meta.oldest, 2);
    cr_assert_null(kv_meta_version(&meta, 1));
    cr_assert_not_null(kv_meta_version(&meta, 2));
    cr_assert_null(kv_meta_version(&meta, 12));
    config.max_versions = 3;
    add(&meta, &config, 201, 2, 8);
    cr_assert_eq(meta.oldest, 10);
    cr_assert_eq(meta.versions_n, 3);
    meta.max_versions = 5; /* the greater of both */
    add(&meta, &config, 202, 0, 0);
    cr_assert_eq(meta.versions_n, 4);
    kv_meta_fini(&meta);
}

Test(kv_meta, the_shorter_time_to_live_counts)
{
    struct kv_config config = {.delete_after_s = 100};
    struct kv_meta meta = {.delete_after_s = 50};

    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 1050);
    meta.delete_after_s = 200;
    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 1100);
    meta.delete_after_s = 0;
    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 1100);
    config.delete_after_s = 0;
    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 0);
    meta.delete_after_s = 7;
    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 1007);
    config.delete_after_off = true;
    cr_assert_eq(kv_deletion_s(&meta, &config, 1000), 0);
}

Test(kv_meta, deleted_by_somebody_is_gone_whatever_the_time)
{
    struct kv_version version = {.created_s = 10};

    cr_assert_not(kv_version_is_gone(&version, 1000));
    version.deletion_s = 1000;
    cr_assert_not(kv_version_is_gone(&version, 999));
    cr_assert(kv_version_is_gone(&version, 1000));
    version.deleted = true; /* a node whose time is a little behind shows nothing either */
    cr_assert(kv_version_is_gone(&version, 999));
}

/* --- bodies --- */

static void make(struct kv_meta *meta, struct buf *out)
{
    struct kv_config config = {.delete_after_s = 60};

    *meta = (struct kv_meta){.max_versions = 7, .cas_required = true, .delete_after_s = 30};
    meta->custom = json_pack("{s:s}", "owner", "a \"b\"");
    add(meta, &config, 1000, 0, 0);
    add(meta, &config, 2000, 0, 0);
    meta->versions[0].destroyed = true;
    cr_assert_eq(kv_meta_encode(meta, bytes_str("a/b"), out), QK_OK);
}

Test(kv_meta, a_body_comes_back_and_only_at_its_path)
{
    struct buf out = BUF_INIT(KV_BODY_BYTES_MAX);
    struct kv_meta meta, back;

    make(&meta, &out);
    cr_assert_eq(kv_meta_decode(buf_bytes(&out), bytes_str("a/b"), &back), QK_OK);
    cr_assert_eq(back.current, 2);
    cr_assert_eq(back.max_versions, 7);
    cr_assert(back.cas_required);
    cr_assert_eq(back.delete_after_s, 30);
    cr_assert(json_equal(back.custom, meta.custom));
    cr_assert_eq(back.versions_n, 2);
    cr_assert(back.versions[0].destroyed);
    cr_assert_eq(back.versions[1].deletion_s, 2030);
    kv_meta_fini(&back);
    cr_assert_eq(kv_meta_decode(buf_bytes(&out), bytes_str("a/c"), &back), QK_ERR_CORRUPT);
    kv_meta_fini(&back);
    kv_meta_fini(&meta);
    buf_fini(&out);
}

Test(kv_meta, a_body_cut_or_changed_is_survived)
{
    struct buf out = BUF_INIT(KV_BODY_BYTES_MAX);
    struct kv_meta meta, back;

    make(&meta, &out);
    for (size_t len = 0; len < out.len; len++) {
        cr_assert_eq(kv_meta_decode(bytes_of(out.data, len), bytes_str("a/b"), &back),
                     QK_ERR_CORRUPT);
        kv_meta_fini(&back);
    }
    for (size_t at = 0; at < out.len; at++) {
        uint8_t kept = out.data[at];

        for (unsigned bit = 0; bit < 8; bit++) {
            out.data[at] = (uint8_t)(kept ^ (1u << bit));
            if (kv_meta_decode(buf_bytes(&out), bytes_str("a/b"), &back) == QK_OK)
                cr_assert(back.versions_n <= back.current);
            kv_meta_fini(&back);
        }
        out.data[at] = kept;
    }
    kv_meta_fini(&meta);
    buf_fini(&out);
}

Test(kv_meta, folders_and_settings_come_back)
{
    struct kv_config config = {.max_versions = 3, .delete_after_off = true}, back;
    struct buf out = BUF_INIT(KV_BODY_BYTES_MAX);
    uint64_t names_n;

    cr_assert_eq(kv_config_encode(&config, &out), QK_OK);
    cr_assert_eq(kv_config_decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(back.max_versions, 3);
    cr_assert(back.delete_after_off);
    cr_assert_eq(kv_folder_decode(buf_bytes(&out), bytes_str("a/"), &names_n), QK_ERR_CORRUPT);
    buf_reset(&out);
    cr_assert_eq(kv_folder_encode(bytes_str("a/"), 5, &out), QK_OK);
    cr_assert_eq(kv_folder_decode(buf_bytes(&out), bytes_str("a/"), &names_n), QK_OK);
    cr_assert_eq(names_n, 5);
    cr_assert_eq(kv_folder_decode(buf_bytes(&out), bytes_str("b/"), &names_n), QK_ERR_CORRUPT);
    cr_assert_eq(kv_config_decode(buf_bytes(&out), &back), QK_ERR_CORRUPT);
    buf_fini(&out);
}

/* --- wishes --- */

static enum qk_err parse(enum kv_verb verb, const char *body, struct kv_wish *wish,
                         struct doc_problem *problem)
{
    *problem = (struct doc_problem){0};
    return kv_wish_parse(verb, bytes_str(body), wish, problem);
}

static void refused(enum kv_verb verb, const char *body)
{
    struct doc_problem problem;
    struct kv_wish wish;

    cr_assert_eq(parse(verb, body, &wish, &problem), QK_ERR_INVALID, "%s", body);
    cr_assert_neq(problem.status, 0, "%s", body);
    kv_wish_fini(&wish);
}

Test(kv_wish, texts_are_taken_for_numbers_as_vaults_clients_send_them)
{
    struct doc_problem problem;
    struct kv_wish wish;

    cr_assert_eq(parse(KV_PUT, "{\"data\":{\"a\":1},\"options\":{\"cas\":\"3\"}}", &wish, &problem),
                 QK_OK);
    cr_assert(wish.has_cas && wish.cas == 3);
    kv_wish_fini(&wish);
    cr_assert_eq(parse(KV_DESTROY, "{\"versions\":\"1,3\"}", &wish, &problem), QK_OK);
    cr_assert(wish.versions_n == 2 && wish.versions[1] == 3);
    kv_wish_fini(&wish);
    cr_assert_eq(parse(KV_META_PUT,
                       "{\"max_versions\":\"4\",\"cas_required\":\"true\","
                       "\"delete_version_after\":\"1m\",\"custom_metadata\":{\"n\":3}}",
                       &wish, &problem),
                 QK_OK);
    cr_assert(wish.max_versions == 4 && wish.cas_required && wish.delete_after_s == 60);
    cr_assert_str_eq(json_string_value(json_object_get(wish.custom, "n")), "3");
    kv_wish_fini(&wish);
}

Test(kv_wish, what_cannot_be_meant_is_refused)
{
    refused(KV_PUT, "{}");
    refused(KV_PUT, "[]");
    refused(KV_PUT, "{\"data\":null}");
    refused(KV_PUT, "{\"data\":[1]}");
    refused(KV_PUT, "{\"data\":{},\"options\":{\"cas\":-1}}");
    refused(KV_PUT, "{\"data\":{},\"options\":{\"cas\":null}}");
    refused(KV_PUT, "{\"data\":{},\"options\":3}");
    refused(KV_PUT, "{\"data\":{}");
    refused(KV_UNDELETE, "{}");
    refused(KV_UNDELETE, "{\"versions\":[]}");
    refused(KV_UNDELETE, "{\"versions\":\"\"}");
    refused(KV_UNDELETE, "{\"versions\":\"1,,2\"}");
    refused(KV_UNDELETE, "{\"versions\":[1.5]}");
    refused(KV_META_PUT, "{\"max_versions\":1001}");
    refused(KV_META_PUT, "{\"delete_version_after\":\"-1s\"}");
    refused(KV_META_PUT, "{\"custom_metadata\":{\"a\":null}}");
    refused(KV_META_PUT, "{\"custom_metadata\":{\"a\":\"\"}}");
    refused(KV_META_PUT, "{\"custom_metadata\":{\"a\":\"\\u0001\"}}");
    refused(KV_META_PUT, "{\"custom_metadata\":{\"\":\"a\"}}");
    refused(KV_META_PUT, "{\"custom_metadata\":[]}");
    refused(KV_CONFIG_PUT, "{\"cas_required\":\"maybe\"}");
}

Test(kv_wish, limits_hold_at_the_limit_and_one_past_it)
{
    struct buf body = BUF_INIT(1 * MIB);
    struct doc_problem problem;
    struct kv_wish wish;

    for (unsigned n = KV_CUSTOM_MAX; n <= KV_CUSTOM_MAX + 1; n++) {
        buf_put_str(&body, "{\"custom_metadata\":{");
        for (unsigned i = 0; i < n; i++)
            buf_printf(&body, "%s\"k%u\":\"v\"", i == 0 ? "" : ",", i);
        buf_put_str(&body, "}}");
        cr_assert_eq(kv_wish_parse(KV_META_PUT, buf_bytes(&body), &wish, &problem),
                     n == KV_CUSTOM_MAX ? QK_OK : QK_ERR_INVALID);
        kv_wish_fini(&wish);
        buf_reset(&body);
    }
    for (unsigned n = KV_VERSIONS_MAX; n <= KV_VERSIONS_MAX + 1; n++) {
        buf_put_str(&body, "{\"versions\":[1");
        for (unsigned i = 1; i < n; i++)
            buf_put_str(&body, ",1");
        buf_put_str(&body, "]}");
        cr_assert_eq(kv_wish_parse(KV_DESTROY, buf_bytes(&body), &wish, &problem),
                     n == KV_VERSIONS_MAX ? QK_OK : QK_ERR_INVALID);
        kv_wish_fini(&wish);
        buf_reset(&body);
    }
    buf_fini(&body);
}

/* RFC 7396, appendix A, those between objects. */
Test(kv_wish, a_merge_follows_rfc_7396)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *into = json_loads(cases[i][0], 0, NULL), *patch = json_loads(cases[i][1], 0, NULL);
        json_t *wanted = json_loads(cases[i][2], 0, NULL);

        cr_assert_eq(kv_merge(into, patch), QK_OK);
        cr_assert(json_equal(into, wanted), "%s + %s", cases[i][0], cases[i][1]);
        json_decref(into);
        json_decref(patch);
        json_decref(wanted);
    }
}

/* What requests wish for in JSON. By the first byte: 0 a user's record, 1 the same as CouchDB's
 * document, 2 a listing of documents by a body, 3 queries of several listings, 4 the attachments of
 * a document. What is refused has a problem to tell; what is taken is within its bounds. */
#include <string.h>

#include "access/access.h"
#include "doc/attachment_wish.h"
#include "fuzz.h"
#include "service/documents/all_docs.h"
#include "service/users/user_wish.h"

#define MODES 5

static const char *const seeds[MODES] = {
    "{\"name\":\"ada\",\"password\":\"x\",\"roles\":[\"staff\",\"night\"],\"admin\":false,"
    "\"key_creator\":true,\"disabled\":false}",
    "{\"_id\":\"org.couchdb.user:ada\",\"_rev\":\"1-00112233445566778899aabbccddeeff\","
    "\"type\":\"user\",\"name\":\"ada\",\"roles\":[],\"password\":\"x\"}",
    "{\"keys\":[\"a\",\"b\"],\"start_key\":\"a\",\"endkey\":\"z\",\"limit\":3,\"skip\":1,"
    "\"descending\":true,\"inclusive_end\":false,\"include_docs\":true}",
    "{\"queries\":[{\"key\":\"a\"},{\"keys\":[\"a\"],\"limit\":1}]}",
    "{\"a.txt\":{\"content_type\":\"text/plain\",\"data\":\"aGk=\",\"revpos\":1},"
    "\"b\":{\"follows\":true,\"length\":5,\"content_type\":\"a/b\"},"
    "\"c\":{\"stub\":true,\"digest\":\"md5-1B2M2Y8AsgTpgAmY7PhCfg==\",\"revpos\":1}}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    buf_put_str(out, seeds[number]);
    return true;
}

static void check(enum qk_err err, const struct doc_problem *problem)
{
    fuzz_require(err == QK_OK || (err == QK_ERR_INVALID && problem->status >= 400));
}

static void fuzz_user(struct bytes in, bool document)
{
    struct doc_problem problem = {0};
    struct user_wish wish;

    user_wish_init(&wish);
    check(user_wish_parse(in, document, &wish, &problem), &problem);
    fuzz_require(strlen(wish.name) < sizeof wish.name && strlen(wish.rev) < sizeof wish.rev);
    fuzz_require(problem.status != 0 || wish.roles.n <= USER_ROLES_MAX);
    user_wish_fini(&wish);
}

static void fuzz_listing(struct bytes in)
{
    struct request request = {.method = METHOD_POST, .body = in};
    struct doc_problem problem = {0};
    struct all_docs_wish wish;
    enum qk_err err = all_docs_wish_parse(&request, &wish, &problem);

    check(err, &problem);
    if (err == QK_OK) {
        fuzz_require(wish.keys == NULL || json_is_array(wish.keys));
        fuzz_touch(buf_bytes(&wish.start));
        fuzz_touch(buf_bytes(&wish.end));
        (void)all_docs_wish_place(&wish, bytes_str("m"));
    }
    all_docs_wish_fini(&wish);
}

static void fuzz_queries(struct bytes in)
{
    struct request request = {.method = METHOD_POST, .body = in, .segments_n = 3};
    struct doc_problem problem = {0};
    json_t *queries = NULL;
    enum qk_err err;

    request.segments[0] = bytes_str("db");
    request.segments[1] = bytes_str("_all_docs");
    request.segments[2] = bytes_str("queries");
    err = all_docs_queries_parse(&request, &queries, &problem);
    check(err, &problem);
    fuzz_require(err != QK_OK || queries == NULL || json_is_array(queries));
    json_decref(queries);
}

static void look_at(const struct attachment_wish *wish)
{
    fuzz_require(wish->name.len > 0 && wish->name.len <= ATTACHMENT_NAME_BYTES_MAX);
    fuzz_require(wish->content_type.len > 0 && wish->content_type.len <= ATTACHMENT_TYPE_BYTES_MAX);
    fuzz_require(wish->has_content == (wish->source == ATTACHMENT_DATA));
    fuzz_touch(wish->content);
}

static void fuzz_attachments(struct bytes in)
{
    struct attachment_wishes wishes;
    struct doc_problem problem = {0};
    json_t *json;
    enum qk_err err;

    if (json_parse(in, JSON_DEPTH_MAX, &problem, &json) != QK_OK)
        return;
    err = attachment_wishes_from_json(json, &wishes, &problem);
    check(err, &problem);
    for (unsigned i = 0; err == QK_OK && i < wishes.n; i++)
        look_at(&wishes.items[i]);
    attachment_wishes_fini(&wishes);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    switch (len == 0 ? MODES : data[0] % MODES) {
    case 0:
        fuzz_user(in, false);
        break;
    case 1:
        fuzz_user(in, true);
        break;
    case 2:
        fuzz_listing(in);
        break;
    case 3:
        fuzz_queries(in);
        break;
    case 4:
        fuzz_attachments(in);
        break;
    default:
        break;
    }
    return 0;
}

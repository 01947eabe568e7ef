#include "doc/attachment.h"

#include <criterion/criterion.h>
#include <string.h>

#include "doc/attachment_chunk.h"
#include "doc/attachment_wish.h"
#include "doc/json.h"
#include "secret/crypto.h"

static uint8_t cluster[CLUSTER_ID_BYTES] = {7}, database[DATABASE_ID_BYTES] = {9};
static uint8_t id[ATTACHMENT_ID_BYTES] = {3}, key[ATTACHMENT_KEY_BYTES] = {5};
static uint8_t md5[ATTACHMENT_MD5_BYTES] = {1, 2};
static const struct attachment_place place = {cluster, database, id};

static void setup(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
}

static void teardown(void)
{
    secret_arena_fini();
}

TestSuite(attachment, .init = setup, .fini = teardown);

/* --- the section --- */

static void put_two(struct buf *out)
{
    struct attachment one = {bytes_str("a/b.txt"), bytes_str("text/plain"), 5, md5, 1, id, key};

    attachments_put_head(2, out);
    attachment_put(&one, out);
    one.name = bytes_str("c");
    one.length = UINT64_C(1) << 40;
    one.revpos = UINT32_MAX;
    attachment_put(&one, out);
    cr_assert_eq(buf_error(out), QK_OK);
}

Test(attachment, section_comes_back_as_it_was_put)
{
    struct buf out = BUF_SECRET_INIT(4 * KIB);
    struct attachments list;
    struct attachment one;

    put_two(&out);
    cr_assert_eq(attachments_open(buf_bytes(&out), &list), QK_OK);
    cr_assert(attachments_find(list, bytes_str("c"), &one));
    cr_assert_eq(one.length, UINT64_C(1) << 40);
    cr_assert_eq(one.revpos, UINT32_MAX);
    cr_assert_not(attachments_find(list, bytes_str("d"), &one));
    cr_assert(attachments_next(&list, &one));
    cr_assert(bytes_equal(one.name, bytes_str("a/b.txt")));
    cr_assert(bytes_equal(one.content_type, bytes_str("text/plain")));
    cr_assert_eq(memcmp(one.md5, md5, sizeof(md5)), 0);
    cr_assert_eq(memcmp(one.id, id, sizeof(id)), 0);
    cr_assert_eq(memcmp(one.key, key, sizeof(key)), 0);
    cr_assert(attachments_next(&list, &one));
    cr_assert_not(attachments_next(&list, &one));
    cr_assert_eq(attachments_open(BYTES_NONE, &list), QK_OK);
    cr_assert_not(attachments_next(&list, &one));
    buf_fini(&out);
}

Test(attachment, section_cut_changed_or_longer_is_corrupt_or_a_list)
{
    struct buf out = BUF_SECRET_INIT(4 * KIB);
    struct attachments list;
    struct attachment one;

    put_two(&out);
    for (size_t at = 1; at < out.len; at++)
        cr_assert_eq(attachments_open(bytes_of(out.data, at), &list), QK_ERR_CORRUPT, "cut %zu",
                     at);
    for (size_t at = 0; at < 8 * out.len; at++) {
        out.data[at / 8] ^= (uint8_t)(1u << at % 8);
        if (attachments_open(buf_bytes(&out), &list) == QK_OK)
            while (attachments_next(&list, &one))
                cr_assert(one.name.len > 0 && one.name.len <= ATTACHMENT_NAME_BYTES_MAX);
        out.data[at / 8] ^= (uint8_t)(1u << at % 8);
    }
    buf_put_u8(&out, 0);
    cr_assert_eq(attachments_open(buf_bytes(&out), &list), QK_ERR_CORRUPT);
    buf_fini(&out);
}

/* --- digests: RFC 1321, A.5 --- */

Test(attachment, digest_is_md5_in_base64)
{
    uint8_t found[ATTACHMENT_MD5_BYTES], back[ATTACHMENT_MD5_BYTES];
    char text[ATTACHMENT_DIGEST_TEXT_BYTES + 1];

    cr_assert_eq(attachment_md5(BYTES_NONE, found), QK_OK);
    attachment_digest_format(found, text);
    cr_assert_str_eq(text, "md5-1B2M2Y8AsgTpgAmY7PhCfg=="); /* d41d8cd98f00b204e9800998ecf8427e */
    cr_assert_eq(attachment_md5(bytes_str("abc"), found), QK_OK);
    attachment_digest_format(found, text);
    cr_assert_str_eq(text, "md5-kAFQmDzST7DWlj99KOF/cg=="); /* 900150983cd24fb0d6963f7d28e17f72 */
    cr_assert_eq(attachment_digest_parse(bytes_str(text), back), QK_OK);
    cr_assert_eq(memcmp(found, back, sizeof(back)), 0);
    cr_assert_eq(attachment_digest_parse(bytes_str("md5-kAFQmDzST7DWlj99KOF/cg="), back),
                 QK_ERR_INVALID);
    cr_assert_eq(attachment_digest_parse(bytes_str("sha-kAFQmDzST7DWlj99KOF/cg=="), back),
                 QK_ERR_INVALID);
    cr_assert_eq(attachment_digest_parse(BYTES_NONE, back), QK_ERR_INVALID);
}

/* --- chunks --- */

static void seal(struct bytes content, uint32_t at, struct buf *out)
{
    cr_assert_eq(attachment_chunk_seal(key, &place, content, at, out), QK_OK);
}

static enum qk_err open_chunk(const struct attachment_place *where, uint64_t length, uint32_t at,
                              struct bytes sealed)
{
    struct buf out = BUF_SECRET_INIT(ATTACHMENT_SEALED_BYTES_MAX);
    enum qk_err err = attachment_chunk_open(key, where, length, at, sealed, &out);

    cr_assert(err == QK_OK || out.len == 0);
    buf_fini(&out);
    return err;
}

Test(attachment, chunks_have_the_lengths_of_their_content)
{
    cr_assert_eq(attachment_chunks_n(0), 1);
    cr_assert_eq(attachment_chunks_n(1), 1);
    cr_assert_eq(attachment_chunks_n(ATTACHMENT_CHUNK_BYTES), 1);
    cr_assert_eq(attachment_chunks_n(ATTACHMENT_CHUNK_BYTES + 1), 2);
    cr_assert_eq(attachment_chunk_len(0, 0), 0);
    cr_assert_eq(attachment_chunk_len(ATTACHMENT_CHUNK_BYTES, 0), ATTACHMENT_CHUNK_BYTES);
    cr_assert_eq(attachment_chunk_len(ATTACHMENT_CHUNK_BYTES + 7, 1), 7);
}

Test(attachment, chunk_opens_in_its_own_place_alone)
{
    static uint8_t content[2 * ATTACHMENT_CHUNK_BYTES + 9];
    struct bytes all = bytes_of(content, sizeof(content));
    struct buf first = BUF_INIT(ATTACHMENT_SEALED_BYTES_MAX);
    struct buf last = BUF_INIT(ATTACHMENT_SEALED_BYTES_MAX);
    uint8_t other[16] = {0xaa};
    const struct attachment_place elsewhere[] = {
        {other, database, id}, {cluster, other, id}, {cluster, database, other}};

    seal(all, 0, &first);
    seal(all, 2, &last);
    cr_assert_eq(open_chunk(&place, all.len, 0, buf_bytes(&first)), QK_OK);
    cr_assert_eq(open_chunk(&place, all.len, 2, buf_bytes(&last)), QK_OK);
    cr_assert_eq(open_chunk(&place, all.len, 1, buf_bytes(&first)), QK_ERR_CORRUPT, "moved");
    cr_assert_eq(open_chunk(&place, ATTACHMENT_CHUNK_BYTES, 0, buf_bytes(&first)), QK_ERR_CORRUPT,
                 "cut off behind it");
    cr_assert_eq(open_chunk(&place, all.len, 3, buf_bytes(&last)), QK_ERR_CORRUPT, "past the end");
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(open_chunk(&elsewhere[i], all.len, 2, buf_bytes(&last)), QK_ERR_CORRUPT);
    buf_fini(&first);
    buf_fini(&last);
}

Test(attachment, chunk_cut_or_flipped_anywhere_is_corrupt)
{
    struct buf sealed = BUF_INIT(ATTACHMENT_SEALED_BYTES_MAX);

    seal(bytes_str("content"), 0, &sealed);
    for (size_t at = 0; at < sealed.len; at++) {
        cr_assert_eq(open_chunk(&place, 7, 0, bytes_of(sealed.data, at)), QK_ERR_CORRUPT);
        sealed.data[at] ^= 1;
        cr_assert_eq(open_chunk(&place, 7, 0, buf_bytes(&sealed)), QK_ERR_CORRUPT);
        sealed.data[at] ^= 1;
    }
    cr_assert_eq(open_chunk(&place, 7, 0, buf_bytes(&sealed)), QK_OK);
    buf_reset(&sealed);
    seal(BYTES_NONE, 0, &sealed);
    cr_assert_eq(sealed.len, AEAD_TAG_BYTES);
    cr_assert_eq(open_chunk(&place, 0, 0, buf_bytes(&sealed)), QK_OK);
    buf_fini(&sealed);
}

/* --- what clients send --- */

static struct doc_problem problem;

static enum qk_err wishes_of(const char *text, struct attachment_wishes *ret_wishes)
{
    json_t *json = NULL;
    enum qk_err err;

    memset(&problem, 0, sizeof(problem));
    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &json), QK_OK, "%s", text);
    err = attachment_wishes_from_json(json, ret_wishes, &problem);
    json_decref(json);
    return err;
}

static void refuses(const char *text, int status, const char *error, const char *reason)
{
    struct attachment_wishes wishes;

    cr_assert_eq(wishes_of(text, &wishes), QK_ERR_INVALID, "%s", text);
    cr_assert_eq(problem.status, status, "%s", text);
    cr_assert_str_eq(problem.error, error);
    cr_assert_str_eq(problem.reason, reason);
    attachment_wishes_fini(&wishes);
}

Test(attachment, contents_stubs_and_what_follows_are_told_apart)
{
    struct attachment_wishes wishes;

    cr_assert_eq(wishes_of("{\"a\":{\"content_type\":\"text/plain\",\"data\":\"YWJj\"},"
                           "\"b\":{\"stub\":true,\"revpos\":3},"
                           "\"c\":{\"follows\":true,\"length\":2,\"content_type\":\"x/y\"},"
                           "\"d\":{\"data\":\"YW\\nJj \"},\"e\":{\"data\":\"\"}}",
                           &wishes),
                 QK_OK, "%s", problem.reason);
    cr_assert_eq(wishes.n, 5);
    cr_assert_eq(wishes.items[0].source, ATTACHMENT_DATA);
    cr_assert(bytes_equal(wishes.items[0].content, bytes_str("abc")));
    cr_assert_eq(wishes.items[0].md5[0], 0x90);
    cr_assert_eq(wishes.items[1].source, ATTACHMENT_STUB);
    cr_assert(wishes.items[1].has_revpos && wishes.items[1].revpos == 3);
    cr_assert_eq(attachment_wishes_awaited(&wishes), &wishes.items[2]);
    cr_assert_eq(attachment_wish_content(&wishes.items[2], bytes_str("xyz"), &problem),
                 QK_ERR_INVALID);
    cr_assert_eq(attachment_wish_content(&wishes.items[2], bytes_str("xy"), &problem), QK_OK);
    cr_assert_null(attachment_wishes_awaited(&wishes));
    cr_assert(bytes_equal(wishes.items[3].content, bytes_str("abc")));
    cr_assert(bytes_equal(buf_bytes(&wishes.items[3].content_type),
                          bytes_str("application/octet-stream")));
    cr_assert_eq(wishes.items[4].content.len, 0);
    attachment_wishes_fini(&wishes);
}

Test(attachment, wrong_attachments_get_couchdbs_words)
{
    refuses("[]", 400, "doc_validation", "Bad special document member: _attachments");
    refuses("{\"a\":{}}", 400, "bad_request", "Invalid attachment data for a");
    refuses("{\"a\":{\"data\":\"*\"}}", 400, "bad_request", "Invalid attachment data for a");
    refuses("{\"a\":{\"data\":7}}", 400, "bad_request", "Invalid attachment data for a");
    refuses("{\"a\":1}", 400, "bad_request", "Invalid attachment object for a");
    refuses("{\"_a\":{\"data\":\"\"}}", 400, "bad_request",
            "Attachment name '_a' starts with prohibited character '_'");
    refuses("{\"a\":{\"stub\":true,\"revpos\":-1}}", 400, "bad_request",
            "Invalid attachment revpos for a");
    refuses("{\"a\":{\"data\":\"\",\"content_type\":\"x\\r\\nSet-Cookie: y\"}}", 400, "bad_request",
            "Attachment content_type must be 1 to 255 printable ASCII bytes");
}

Test(attachment, content_with_another_digest_is_refused)
{
    struct attachment_wishes wishes;

    cr_assert_eq(wishes_of("{\"a\":{\"follows\":true,\"digest\":\"md5-kAFQmDzST7DWlj99KOF/cg==\"}}",
                           &wishes),
                 QK_OK);
    cr_assert_eq(attachment_wish_content(&wishes.items[0], bytes_str("abd"), &problem),
                 QK_ERR_INVALID);
    cr_assert_str_eq(problem.error, "content_md5_mismatch");
    attachment_wishes_fini(&wishes);
}

Test(attachment, names_are_bounded)
{
    char name[ATTACHMENT_NAME_BYTES_MAX + 2];

    memset(name, 'n', sizeof(name));
    cr_assert_eq(attachment_name_check(bytes_of(name, ATTACHMENT_NAME_BYTES_MAX), &problem), QK_OK);
    cr_assert_eq(attachment_name_check(bytes_of(name, ATTACHMENT_NAME_BYTES_MAX + 1), &problem),
                 QK_ERR_INVALID);
    cr_assert_eq(attachment_name_check(BYTES_NONE, &problem), QK_ERR_INVALID);
    cr_assert_eq(attachment_name_check(bytes_str("\xff"), &problem), QK_ERR_INVALID);
}

/* Records that lie in the store, and the file of the members. By the first byte: 0 grants on a key,
 * 1 the policy of keys, 2 <data>/members as it is, 3 the same with the right hash put at its end, 4
 * a document's list of attachments. What decodes is encoded again as the same, or decodes to the
 * same. */
#include <string.h>

#include "access/list.h"
#include "doc/attachment.h"
#include "fuzz.h"
#include "secret/crypto.h"
#include "service/catalog_record.h"
#include "service/cluster/members_file.h"
#include "wire/pack.h"

#define MODES 5

static void seed_grants(struct buf *out)
{
    const uint8_t key_id[KEY_ID_BYTES] = {1};
    struct access_list list = {NULL, 0};

    fuzz_must(access_list_add_role(&list, bytes_str("staff"), GRANT_DECRYPT));
    fuzz_must(access_list_add_user(&list, key_id, GRANT_ENCRYPT | GRANT_MANAGE));
    pack_map(out, 2);
    pack_text(out, "key");
    pack_bin(out, bytes_of(key_id, sizeof key_id));
    pack_text(out, "list");
    access_list_encode(&list, out);
    access_list_fini(&list);
}

static void seed_policy(struct buf *out)
{
    const uint8_t key_id[KEY_ID_BYTES] = {0};

    pack_map(out, 3);
    pack_text(out, "suites");
    pack_u64(out, 3);
    pack_text(out, "encrypt");
    pack_u64(out, 1);
    pack_text(out, "key");
    pack_bin(out, bytes_of(key_id, sizeof key_id));
}

static void seed_members(size_t cut, struct buf *out)
{
    static struct member_facts facts = {.n = 2};
    struct buf file = BUF_INIT(MEMBERS_FILE_BYTES_MAX);

    facts.list[1].node_id[0] = 1;
    members_file_encode(&facts, &file);
    fuzz_must(buf_error(&file));
    buf_put(out, file.data, file.len - cut);
    buf_fini(&file);
}

static void seed_attachments(struct buf *out)
{
    static const uint8_t some[ATTACHMENT_KEY_BYTES] = {9};
    const struct attachment one = {.name = bytes_str("a.txt"),
                                   .content_type = bytes_str("text/plain"),
                                   .length = 5,
                                   .md5 = some,
                                   .revpos = 1,
                                   .id = some,
                                   .key = some};

    attachments_put_head(2, out);
    attachment_put(&one, out);
    attachment_put(&one, out);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct buf body = BUF_SECRET_INIT(MEMBERS_FILE_BYTES_MAX);

    if (number >= MODES)
        return false;
    if (number == 0)
        seed_grants(&body);
    else if (number == 1)
        seed_policy(&body);
    else if (number == 4)
        seed_attachments(&body);
    else
        seed_members(number == 2 ? 0 : HASH_BYTES, &body);
    fuzz_must(buf_error(&body));
    buf_put_u8(out, (uint8_t)number);
    buf_put_bytes(out, buf_bytes(&body));
    buf_fini(&body);
    return true;
}

static void fuzz_grants(struct bytes in)
{
    struct catalog_grants grants = {.list = {NULL, 0}};
    struct buf first = BUF_INIT(CATALOG_VALUE_BYTES_MAX),
               second = BUF_INIT(CATALOG_VALUE_BYTES_MAX);
    struct access_list again = {NULL, 0};
    struct unpack unpack;

    if (catalog_grants_decode(in, &grants) == QK_OK) {
        access_list_encode(&grants.list, &first);
        unpack = unpack_of(buf_bytes(&first));
        access_list_decode(&unpack, &again);
        fuzz_must(unpack_end(&unpack));
        access_list_encode(&again, &second);
        fuzz_require(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    }
    access_list_fini(&again);
    access_list_fini(&grants.list);
    buf_fini(&first);
    buf_fini(&second);
}

static void fuzz_policy(struct bytes in)
{
    struct key_policy policy = {0};

    if (catalog_policy_decode(in, &policy) == QK_OK)
        fuzz_require(policy.suites != 0);
}

static void fuzz_members(struct bytes in)
{
    static struct member_facts facts, again;
    struct buf out = BUF_INIT(MEMBERS_FILE_BYTES_MAX);

    if (members_file_decode(in, &facts) == QK_OK) {
        fuzz_require(facts.n <= NODES_MAX);
        members_file_encode(&facts, &out);
        fuzz_must(buf_error(&out));
        fuzz_must(members_file_decode(buf_bytes(&out), &again));
        fuzz_require(again.n == facts.n);
    }
    buf_fini(&out);
}

static void fuzz_hashed(struct bytes in)
{
    struct buf file = BUF_INIT(MEMBERS_FILE_BYTES_MAX);
    uint8_t hash[HASH_BYTES];

    hash_compute(&in, 1, hash);
    buf_put_bytes(&file, in);
    buf_put(&file, hash, sizeof hash);
    if (buf_error(&file) == QK_OK)
        fuzz_members(buf_bytes(&file));
    buf_fini(&file);
}

static void fuzz_attachments(struct bytes in)
{
    struct buf out = BUF_SECRET_INIT(1 * MIB);
    struct attachments list;
    struct attachment one;

    if (attachments_open(in, &list) == QK_OK) {
        fuzz_require(list.left <= ATTACHMENTS_MAX);
        if (list.left > 0)
            attachments_put_head(list.left, &out);
        while (attachments_next(&list, &one))
            attachment_put(&one, &out);
        fuzz_require(bytes_equal(buf_bytes(&out), in));
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    switch (len == 0 ? MODES : data[0] % MODES) {
    case 0:
        fuzz_grants(in);
        break;
    case 1:
        fuzz_policy(in);
        break;
    case 2:
        fuzz_members(in);
        break;
    case 3:
        fuzz_hashed(in);
        break;
    case 4:
        fuzz_attachments(in);
        break;
    default:
        break;
    }
    return 0;
}

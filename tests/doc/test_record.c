#include "doc/record.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_uses.h"
#include "secret/crypto.h"

static struct secret *key;
static uint8_t cluster[CLUSTER_ID_BYTES] = {7}, database[DATABASE_ID_BYTES] = {9};
static struct doc_place place;
static uint8_t path[3 * REVISION_HASH_BYTES];

static void setup(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    place = (struct doc_place){cluster, database, bytes_str("doc"), 3};
    memset(path, 0x55, sizeof(path));
}

static void teardown(void)
{
    secret_free(key);
    secret_arena_fini();
}

TestSuite(record, .init = setup, .fini = teardown);

static struct doc_leaf leaf_of(uint32_t generation, bool deleted, const char *envelope)
{
    struct doc_leaf leaf = {.revision = {generation, {1, 2, 3}},
                            .deleted = deleted,
                            .key_version = 4,
                            .sealed_at = 3,
                            .body_bytes = 11,
                            .path = bytes_of(path, sizeof(path)),
                            .attachments = bytes_of(path, 2 * ATTACHMENT_ID_BYTES),
                            .envelope = bytes_str(envelope)};

    memset(leaf.key_id, 8, sizeof(leaf.key_id));
    return leaf;
}

static void encode(struct buf *out)
{
    struct doc_leaf leaves[] = {leaf_of(9, true, "tombstone"), leaf_of(4, false, "winner"),
                                leaf_of(3, false, "loser")};
    struct doc_record record = {leaves, 3};

    cr_assert_eq(doc_record_encode(key, &place, &record, out), QK_OK);
}

Test(record, leaves_come_back_winner_first)
{
    struct buf value = BUF_INIT(64 * KIB);
    struct doc_record record;
    struct doc_leaf winner;
    unsigned leaves_n;

    encode(&value);
    cr_assert_eq(doc_record_decode(key, &place, buf_bytes(&value), &record), QK_OK);
    cr_assert_eq(record.leaves_n, 3);
    cr_assert_eq(record.leaves[0].revision.generation, 4);
    cr_assert_eq(record.leaves[1].revision.generation, 3);
    cr_assert_eq(record.leaves[2].revision.generation, 9);
    cr_assert(record.leaves[2].deleted);
    cr_assert(bytes_equal(record.leaves[0].envelope, bytes_str("winner")));
    cr_assert(bytes_equal(record.leaves[2].envelope, bytes_str("tombstone")));
    cr_assert_eq(record.leaves[1].path.len, sizeof(path));
    cr_assert_eq(record.leaves[1].attachments.len, 2 * ATTACHMENT_ID_BYTES);
    cr_assert_eq(record.leaves[1].key_version, 4);
    cr_assert_eq(record.leaves[1].body_bytes, 11);
    cr_assert_eq(record.leaves[1].sealed_at, 3);
    cr_assert_eq(doc_record_decode_winner(key, &place, buf_bytes(&value), &winner, &leaves_n),
                 QK_OK);
    cr_assert_eq(leaves_n, 3);
    cr_assert(revision_equal(&winner.revision, &record.leaves[0].revision));
    cr_assert_eq(doc_record_find(&record, &record.leaves[1].revision), &record.leaves[1]);
    winner.revision.generation = 77;
    cr_assert_null(doc_record_find(&record, &winner.revision));
    doc_record_fini(&record);
    buf_fini(&value);
}

static bool decodes(struct bytes value)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    enum qk_err err = doc_record_decode(key, &place, value, &record);

    cr_assert(err == QK_OK || err == QK_ERR_CORRUPT);
    doc_record_fini(&record);
    return err == QK_OK;
}

Test(record, truncated_anywhere_is_corrupt)
{
    struct buf value = BUF_INIT(64 * KIB);
    size_t len;

    encode(&value);
    for (len = 0; len < value.len; len++)
        cr_assert_not(decodes(bytes_of(value.data, len)), "cut at %zu", len);
    buf_put_u8(&value, 0);
    cr_assert_not(decodes(buf_bytes(&value)));
    buf_fini(&value);
}

Test(record, flipped_header_bit_is_corrupt)
{
    struct buf value = BUF_INIT(64 * KIB);
    size_t at, header;
    unsigned bit;

    encode(&value);
    header = 1 + DOC_RECORD_MAC_BYTES + 4 + get_u32(value.data + 1 + DOC_RECORD_MAC_BYTES);
    for (at = 0; at < header; at++) {
        for (bit = 0; bit < 8; bit++) {
            value.data[at] ^= (uint8_t)(1u << bit);
            cr_assert_not(decodes(buf_bytes(&value)), "byte %zu bit %u", at, bit);
            value.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert(decodes(buf_bytes(&value)));
    buf_fini(&value);
}

Test(record, moved_to_another_place_is_corrupt)
{
    uint8_t other[16] = {1};
    struct buf value = BUF_INIT(64 * KIB);

    encode(&value);
    place.record_version = 4;
    cr_assert_not(decodes(buf_bytes(&value)));
    place.record_version = 3;
    place.document_id = bytes_str("dod");
    cr_assert_not(decodes(buf_bytes(&value)));
    place.document_id = bytes_str("doc");
    place.database = other;
    cr_assert_not(decodes(buf_bytes(&value)));
    place.database = database;
    place.cluster = other;
    cr_assert_not(decodes(buf_bytes(&value)));
    place.cluster = cluster;
    cr_assert(decodes(buf_bytes(&value)));
    buf_fini(&value);
}

Test(record, path_of_a_child_is_cut_at_the_limit)
{
    struct doc_leaf parent = leaf_of(4, false, "x");
    struct buf out = BUF_INIT(64 * KIB);

    doc_record_child_path(&parent, 1000, &out);
    cr_assert_eq(out.len, 4 * REVISION_HASH_BYTES);
    cr_assert_eq(memcmp(out.data, parent.revision.hash, REVISION_HASH_BYTES), 0);
    buf_reset(&out);
    doc_record_child_path(&parent, 2, &out);
    cr_assert_eq(out.len, 2 * REVISION_HASH_BYTES);
    buf_fini(&out);
}

Test(record, largest_path_and_most_leaves_fit)
{
    struct doc_leaf *leaves = calloc(DOC_RECORD_LEAVES_MAX, sizeof(*leaves));
    struct doc_record record = {leaves, DOC_RECORD_LEAVES_MAX}, back;
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t *long_path = calloc(DOC_RECORD_PATH_MAX, REVISION_HASH_BYTES);
    unsigned i;

    for (i = 0; i < DOC_RECORD_LEAVES_MAX; i++) {
        leaves[i] = leaf_of(i + 1, false, "e");
        leaves[i].path = BYTES_NONE;
    }
    leaves[5].path = bytes_of(long_path, (size_t)DOC_RECORD_PATH_MAX * REVISION_HASH_BYTES);
    cr_assert_eq(doc_record_encode(key, &place, &record, &value), QK_OK);
    cr_assert_eq(doc_record_decode(key, &place, buf_bytes(&value), &back), QK_OK);
    cr_assert_eq(back.leaves_n, DOC_RECORD_LEAVES_MAX);
    cr_assert_eq(back.leaves[0].revision.generation, DOC_RECORD_LEAVES_MAX);
    doc_record_fini(&back);
    buf_fini(&value);
    free(long_path);
    free(leaves);
}

/* Two keys in three leaves, of which two were sealed for this version of the record. */
Test(record, the_list_of_keys_says_what_stands_under_which_and_what_was_sealed_now)
{
    struct doc_leaf leaves[] = {leaf_of(9, true, "tombstone"), leaf_of(4, false, "winner"),
                                leaf_of(3, false, "loser")};
    struct doc_record record = {leaves, 3}, again;
    struct buf value = BUF_INIT(64 * KIB);
    struct key_uses uses;
    struct key_use use;

    leaves[0].key_version = 5;
    leaves[1].key_version = 5;
    leaves[1].sealed_at = 2;
    cr_assert_eq(doc_record_encode(key, &place, &record, &value), QK_OK);
    cr_assert_eq(key_uses_open(buf_bytes(&value), &uses, NULL), QK_OK);
    cr_assert(key_uses_next(&uses, &use));
    cr_assert_eq(use.version, 5, "the winner's");
    cr_assert_eq(use.bodies, 2);
    cr_assert_eq(use.sealed, 1);
    cr_assert_eq(use.sealed_bytes, 11);
    cr_assert(key_uses_next(&uses, &use));
    cr_assert_eq(use.version, 4);
    cr_assert_eq(use.bodies, 1);
    cr_assert_eq(use.sealed, 1);
    cr_assert_not(key_uses_next(&uses, &use));
    cr_assert_eq(doc_record_decode(key, &place, buf_bytes(&value), &again), QK_OK);
    cr_assert_eq(again.leaves[0].key_version, 5);
    cr_assert_eq(again.leaves[1].key_version, 4);
    cr_assert_eq(again.leaves[2].key_version, 5);
    doc_record_fini(&again);
    buf_fini(&value);
}

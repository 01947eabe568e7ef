/* Building a deal record. What is written is read back before anybody sees it: a record that the
 * members cannot open would lock the cluster out at its next restart. */
#include "seal/deal_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "seal/deal_private.h"

/* A deal under construction. */
struct build {
    const struct deal_input *input;
    const struct deal_party *parties[NODES_MAX]; /* ascending x */
    size_t n;
    uint32_t x[NODES_MAX];
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES];
    struct secret *s;
    struct secret *shares[NODES_MAX];
    struct deal_record header; /* its public fields alone, for contexts */
    struct buf out;
};

static bool is_stale(const struct build *build, size_t i)
{
    return build->parties[i]->absent && (build->input->fresh_mk || build->parties[i]->stale);
}

static bool build_has_slot(const struct build *build, size_t i, size_t j)
{
    return i != j && !(is_stale(build, i) && is_stale(build, j));
}

/* Insertion sort: at most 64. */
static void sort_parties(struct build *build)
{
    for (size_t i = 0; i < build->n; i++) {
        const struct deal_party *party = &build->input->parties[i];
        size_t at = i;

        for (; at > 0 && build->parties[at - 1]->member.x > party->member.x; at--)
            build->parties[at] = build->parties[at - 1];
        build->parties[at] = party;
    }
    for (size_t i = 0; i < build->n; i++)
        build->x[i] = build->parties[i]->member.x;
}

/* Everything that the parser would refuse besides is found when the record is read back. */
static bool input_is_valid(const struct deal_input *input)
{
    size_t present_n = 0;

    if (input->parties_n < 2 || input->parties_n > NODES_MAX || input->t < 2 ||
        input->t > THRESHOLD_MAX || input->t > input->parties_n ||
        input->keyslots_n >= DEAL_KEYSLOTS_MAX || secret_len(input->mk) != DEAL_MK_BYTES)
        return false;
    for (size_t i = 0; i < input->parties_n; i++) {
        present_n += !input->parties[i].absent;
        if (secret_len(input->parties[i].d) != KEY_BYTES ||
            secret_len(input->parties[i].p) != KEY_BYTES)
            return false;
    }
    for (size_t i = 0; i < input->keyslots_n; i++)
        if (input->keyslots[i].type == DEAL_KEYSLOT_CLUSTER ||
            input->keyslots[i].blob.len > DEAL_KEYSLOT_BLOB_BYTES_MAX)
            return false;
    return present_n > 0; /* a slot that could open needs one who is there */
}

static void put_header(struct build *build)
{
    const struct deal_input *input = build->input;
    struct buf *out = &build->out;

    buf_put_str(out, DEAL_MAGIC);
    buf_put_u16(out, DEAL_VERSION);
    buf_put_u8(out, DEAL_SUITE);
    buf_put_u8(out, DEAL_VSS);
    buf_put(out, input->cluster, sizeof input->cluster);
    buf_put(out, input->deal, sizeof input->deal);
    buf_put(out, input->prev_deal, sizeof input->prev_deal);
    buf_put_u64(out, input->epoch);
    buf_put_u32(out, input->mk_version);
    buf_put_u16(out, (uint16_t)input->t);
    buf_put_u16(out, (uint16_t)build->n);
    buf_put_u32(out, input->dealer_x);
    for (size_t i = 0; i < input->t; i++)
        buf_put(out, build->commitments[i], SHARE_POINT_BYTES);
    for (size_t i = 0; i < build->n; i++) {
        const struct deal_member *member = &build->parties[i]->member;

        buf_put(out, member->node, sizeof member->node);
        buf_put_u32(out, member->x);
        buf_put_u64(out, member->gen);
        buf_put(out, member->noise_pk, sizeof member->noise_pk);
    }
}

/* What contexts are made of, once the header stands. */
static void note_header(struct build *build)
{
    struct bytes header = buf_bytes(&build->out);
    struct deal_record *record = &build->header;

    memcpy(record->cluster, build->input->cluster, sizeof record->cluster);
    memcpy(record->deal, build->input->deal, sizeof record->deal);
    record->epoch = build->input->epoch;
    record->mk_version = build->input->mk_version;
    record->n = build->n;
    for (size_t i = 0; i < build->n; i++)
        record->members[i] = build->parties[i]->member;
    hash_compute(&header, 1, record->header_hash);
}

static void put_slotmap(struct build *build)
{
    size_t len = deal_slotmap_bytes(build->n);
    uint8_t *map = buf_extend(&build->out, len);

    if (map == NULL)
        return;
    memset(map, 0, len);
    for (size_t i = 0; i < build->n; i++)
        for (size_t j = 0; j < build->n; j++) {
            size_t bit = i * build->n + j;

            if (build_has_slot(build, i, j))
                map[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        }
}

/* The zero nonce: the key holds deal id and both generations, it encrypts this once. */
static enum qk_err put_slot(struct build *build, size_t i, size_t j)
{
    struct secret *release, *key;
    enum qk_err err = deal_release(&build->header, build->parties[j]->p, i, j, &release);

    if (err != QK_OK)
        return err;
    err = deal_slot_key(&build->header, build->parties[i]->d, release, i, j, &key);
    secret_free(release);
    if (err != QK_OK)
        return err;
    err = aead_seal_secret(key, NULL, BYTES_NONE, build->shares[i], &build->out);
    secret_free(key);
    return err;
}

static enum qk_err put_slots(struct build *build)
{
    enum qk_err err = QK_OK;

    put_slotmap(build);
    for (size_t i = 0; i < build->n && err == QK_OK; i++)
        for (size_t j = 0; j < build->n && err == QK_OK; j++)
            if (build_has_slot(build, i, j))
                err = put_slot(build, i, j);
    return err;
}

static void put_keyslot(struct buf *out, const struct deal_keyslot *slot)
{
    buf_put_u8(out, slot->type);
    buf_put(out, slot->id, sizeof slot->id);
    buf_put_u16(out, (uint16_t)slot->blob.len);
    buf_put_bytes(out, slot->blob);
}

/* MK under KEK = KDF(S, "kek", deal): the zero nonce again, S is fresh in each deal. */
static enum qk_err put_keyslots(struct build *build)
{
    const struct deal_input *input = build->input;
    struct buf blob = BUF_INIT(DEAL_MK_BYTES + AEAD_TAG_BYTES);
    struct deal_keyslot own = {.type = DEAL_KEYSLOT_CLUSTER};
    struct secret *kek;
    enum qk_err err = kdf_derive(build->s, "kek", bytes_of(input->deal, DEAL_ID_BYTES), &kek);

    if (err != QK_OK)
        return err;
    err = aead_seal_secret(kek, NULL, bytes_of(build->header.header_hash, HASH_BYTES), input->mk,
                           &blob);
    secret_free(kek);
    if (err != QK_OK)
        goto out;
    memcpy(own.id, input->deal, sizeof own.id);
    own.blob = buf_bytes(&blob);
    buf_put_u8(&build->out, (uint8_t)(input->keyslots_n + 1));
    put_keyslot(&build->out, &own);
    for (size_t i = 0; i < input->keyslots_n; i++)
        put_keyslot(&build->out, &input->keyslots[i]);

out:
    buf_fini(&blob);
    return err;
}

static enum qk_err put_mac(struct build *build)
{
    uint8_t mac[HASH_BYTES];
    enum qk_err err = buf_error(&build->out);

    if (err == QK_OK)
        err = deal_mac(build->input->deal, build->s, buf_bytes(&build->out), mac);
    if (err == QK_OK)
        buf_put(&build->out, mac, sizeof mac);
    return err == QK_OK ? buf_error(&build->out) : err;
}

static enum qk_err write_record(struct build *build, struct random_source random)
{
    enum qk_err err = share_secret_random(random, &build->s);

    if (err == QK_OK)
        err = share_deal(build->s, build->n, build->input->t, build->x, random, build->shares,
                         build->commitments);
    if (err != QK_OK)
        return err;
    put_header(build);
    err = buf_error(&build->out);
    if (err != QK_OK)
        return err;
    note_header(build);
    err = put_slots(build);
    if (err == QK_OK)
        err = put_keyslots(build);
    if (err == QK_OK)
        err = put_mac(build);
    return err;
}

/* --- reading back --- */

/* Opens slot[i][j] as member i will, with what j will release, and compares. */
static enum qk_err check_slot(const struct build *build, const struct deal_record *record, size_t i,
                              size_t j)
{
    struct secret *release, *share;
    enum qk_err err = deal_release(record, build->parties[j]->p, i, j, &release);

    if (err != QK_OK)
        return err;
    err = deal_open_slot(record, build->parties[i]->d, release, i, j, &share);
    secret_free(release);
    if (err != QK_OK)
        return err;
    err = secret_equal(share, build->shares[i]) ? QK_OK : QK_ERR_CORRUPT;
    secret_free(share);
    return err;
}

static enum qk_err check_slots(const struct build *build, const struct deal_record *record)
{
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < build->n && err == QK_OK; i++) {
        err = deal_verify_share(record, i, build->shares[i]);
        for (size_t j = 0; j < build->n && err == QK_OK; j++) {
            if (deal_record_has_slot(record, i, j) != build_has_slot(build, i, j))
                err = QK_ERR_CORRUPT;
            else if (build_has_slot(build, i, j))
                err = check_slot(build, record, i, j);
        }
    }
    return err;
}

/* The last t members, so that not only the first ones are ever combined. */
static enum qk_err check_combine(const struct build *build, const struct deal_record *record)
{
    size_t from = build->n - build->input->t;
    struct share_bad bad;
    struct secret *mk;
    enum qk_err err = deal_open(record, (const struct secret *const *)build->shares + from,
                                build->x + from, build->input->t, &mk, &bad);

    if (err != QK_OK)
        return err;
    err = secret_equal(mk, build->input->mk) ? QK_OK : QK_ERR_CORRUPT;
    secret_free(mk);
    return err;
}

static enum qk_err check_record(const struct build *build)
{
    struct deal_record *record;
    enum qk_err err = deal_record_parse(buf_bytes(&build->out), &record);

    if (err == QK_ERR_CORRUPT)
        return QK_ERR_INVALID; /* equal x, ids or keys, no dealer: the input's fault */
    if (err != QK_OK)
        return err;
    err = check_slots(build, record);
    if (err == QK_OK)
        err = check_combine(build, record);
    deal_record_free(record);
    return err;
}

static enum qk_err take_dealer_share(struct build *build, struct secret **ret_dealer_share)
{
    if (ret_dealer_share == NULL)
        return QK_OK;
    for (size_t i = 0; i < build->n; i++)
        if (build->x[i] == build->input->dealer_x) {
            *ret_dealer_share = build->shares[i];
            build->shares[i] = NULL;
            return QK_OK;
        }
    return QK_ERR_INVALID;
}

enum qk_err deal_record_build(const struct deal_input *input, struct random_source random,
                              struct buf *out, struct secret **ret_dealer_share)
{
    struct build *build;
    enum qk_err err;

    assert(input != NULL && input->mk != NULL && out != NULL);
    if (!input_is_valid(input))
        return QK_ERR_INVALID;
    build = calloc(1, sizeof *build);
    if (build == NULL)
        return QK_ERR_NOMEM;
    build->input = input;
    build->n = input->parties_n;
    build->out = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    sort_parties(build);
    err = write_record(build, random);
    if (err == QK_OK)
        err = check_record(build);
    if (err == QK_OK)
        err = buf_reserve(out, build->out.len);
    if (err == QK_OK)
        err = take_dealer_share(build, ret_dealer_share);
    if (err == QK_OK)
        buf_put_bytes(out, buf_bytes(&build->out));
    for (size_t i = 0; i < build->n; i++)
        secret_free(build->shares[i]);
    secret_free(build->s);
    buf_fini(&build->out);
    free(build);
    return err;
}

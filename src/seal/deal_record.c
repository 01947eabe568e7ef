#include "seal/deal_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "seal/deal_private.h"

#define FIXED_BYTES 76 /* magic to dealer_x */
#define MEMBER_BYTES (NODE_ID_BYTES + 4 + 8 + X25519_BYTES)

/* --- parsing --- */

static enum qk_err parse_fixed(struct reader *reader, struct deal_record *record)
{
    struct bytes magic = reader_bytes(reader, 4);
    uint16_t version = reader_u16(reader);
    uint8_t suite = reader_u8(reader), vss = reader_u8(reader);

    if (!bytes_equal(magic, bytes_str(DEAL_MAGIC)))
        return QK_ERR_CORRUPT;
    if (version != DEAL_VERSION || suite != DEAL_SUITE || vss != DEAL_VSS)
        return reader_error(reader) == QK_OK ? QK_ERR_UNSUPPORTED : QK_ERR_CORRUPT;
    reader_copy(reader, record->cluster, sizeof record->cluster);
    reader_copy(reader, record->deal, sizeof record->deal);
    reader_copy(reader, record->prev_deal, sizeof record->prev_deal);
    record->epoch = reader_u64(reader);
    record->mk_version = reader_u32(reader);
    record->t = reader_u16(reader);
    record->n = reader_u16(reader);
    record->dealer_x = reader_u32(reader);
    if (record->t < 2 || record->t > THRESHOLD_MAX || record->t > record->n ||
        record->n > NODES_MAX)
        return QK_ERR_CORRUPT;
    return reader_error(reader) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

/* Ascending x, so that a set of members has one encoding; node ids and keys are distinct. */
static bool members_are_valid(const struct deal_record *record)
{
    size_t dealer;

    for (size_t i = 0; i < record->n; i++) {
        const struct deal_member *member = &record->members[i];

        if (member->x == 0 || member->gen == 0)
            return false;
        if (i > 0 && record->members[i - 1].x >= member->x)
            return false;
        for (size_t j = 0; j < i; j++)
            if (memcmp(record->members[j].node, member->node, NODE_ID_BYTES) == 0 ||
                memcmp(record->members[j].noise_pk, member->noise_pk, X25519_BYTES) == 0)
                return false;
    }
    return deal_record_find_x(record, record->dealer_x, &dealer) == QK_OK;
}

static enum qk_err parse_members(struct reader *reader, struct deal_record *record)
{
    struct bytes header;

    for (size_t i = 0; i < record->t; i++)
        reader_copy(reader, record->commitments[i], SHARE_POINT_BYTES);
    for (size_t i = 0; i < record->n; i++) {
        struct deal_member *member = &record->members[i];

        reader_copy(reader, member->node, sizeof member->node);
        member->x = reader_u32(reader);
        member->gen = reader_u64(reader);
        reader_copy(reader, member->noise_pk, sizeof member->noise_pk);
    }
    if (reader_error(reader) != QK_OK || !members_are_valid(record))
        return QK_ERR_CORRUPT;
    header = bytes_slice(reader->in, 0, reader->at);
    hash_compute(&header, 1, record->header_hash);
    return QK_OK;
}

/* No slot for a member from itself, no stray bit at the end; each other set bit is a slot. */
static enum qk_err parse_slots(struct reader *reader, struct deal_record *record)
{
    size_t bits = record->n * record->n, slots_n = 0;
    struct bytes map;

    record->slotmap_at = reader->at;
    map = reader_bytes(reader, deal_slotmap_bytes(record->n));
    if (reader_error(reader) != QK_OK)
        return QK_ERR_CORRUPT;
    for (size_t bit = 0; bit < 8 * map.len; bit++) {
        if ((map.data[bit / 8] >> (7 - bit % 8) & 1) == 0)
            continue;
        if (bit >= bits || bit / record->n == bit % record->n)
            return QK_ERR_CORRUPT;
        slots_n++;
    }
    record->slots_at = reader->at;
    (void)reader_bytes(reader, slots_n * DEAL_SLOT_BYTES);
    return reader_error(reader) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

static enum qk_err parse_keyslots(struct reader *reader, struct deal_record *record)
{
    size_t cluster_n = 0;

    record->keyslots_n = reader_u8(reader);
    if (record->keyslots_n > DEAL_KEYSLOTS_MAX)
        return QK_ERR_CORRUPT;
    for (size_t i = 0; i < record->keyslots_n; i++) {
        struct deal_keyslot *slot = &record->keyslots[i];
        size_t len;

        slot->type = reader_u8(reader);
        reader_copy(reader, slot->id, sizeof slot->id);
        len = reader_u16(reader);
        if (len > DEAL_KEYSLOT_BLOB_BYTES_MAX)
            return QK_ERR_CORRUPT;
        slot->blob = reader_bytes(reader, len);
        cluster_n += slot->type == DEAL_KEYSLOT_CLUSTER;
    }
    (void)reader_bytes(reader, HASH_BYTES);
    return reader_end(reader) == QK_OK && cluster_n == 1 ? QK_OK : QK_ERR_CORRUPT;
}

static enum qk_err parse(struct deal_record *record)
{
    struct reader reader = reader_of(buf_bytes(&record->raw));
    enum qk_err err = parse_fixed(&reader, record);

    if (err == QK_OK)
        err = parse_members(&reader, record);
    if (err == QK_OK)
        err = parse_slots(&reader, record);
    if (err == QK_OK)
        err = parse_keyslots(&reader, record);
    return err;
}

enum qk_err deal_record_parse(struct bytes bytes, struct deal_record **ret_record)
{
    struct deal_record *record;
    enum qk_err err;

    if (bytes.len < FIXED_BYTES || bytes.len > DEAL_RECORD_BYTES_MAX)
        return QK_ERR_CORRUPT;
    record = calloc(1, sizeof *record);
    if (record == NULL)
        return QK_ERR_NOMEM;
    record->raw = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    buf_put_bytes(&record->raw, bytes);
    err = buf_error(&record->raw);
    if (err == QK_OK)
        err = parse(record);
    if (err != QK_OK) {
        deal_record_free(record);
        return err;
    }
    *ret_record = record;
    return QK_OK;
}

void deal_record_free(struct deal_record *record)
{
    if (record == NULL)
        return;
    buf_fini(&record->raw);
    free(record);
}

struct bytes deal_record_bytes(const struct deal_record *record)
{
    return buf_bytes(&record->raw);
}

/* --- finding --- */

enum qk_err deal_record_find(const struct deal_record *record,
                             const uint8_t node[static NODE_ID_BYTES], size_t *ret_i)
{
    for (size_t i = 0; i < record->n; i++)
        if (memcmp(record->members[i].node, node, NODE_ID_BYTES) == 0) {
            *ret_i = i;
            return QK_OK;
        }
    return QK_ERR_NOT_FOUND;
}

enum qk_err deal_record_find_x(const struct deal_record *record, uint32_t x, size_t *ret_i)
{
    for (size_t i = 0; i < record->n; i++)
        if (record->members[i].x == x) {
            *ret_i = i;
            return QK_OK;
        }
    return QK_ERR_NOT_FOUND;
}

enum qk_err deal_record_find_noise(const struct deal_record *record,
                                   const uint8_t noise_pk[static X25519_BYTES], size_t *ret_i)
{
    for (size_t i = 0; i < record->n; i++)
        if (memcmp(record->members[i].noise_pk, noise_pk, X25519_BYTES) == 0) {
            *ret_i = i;
            return QK_OK;
        }
    return QK_ERR_NOT_FOUND;
}

static bool slot_bit(const struct deal_record *record, size_t bit)
{
    return record->raw.data[record->slotmap_at + bit / 8] >> (7 - bit % 8) & 1;
}

bool deal_record_has_slot(const struct deal_record *record, size_t i, size_t j)
{
    assert(i < record->n && j < record->n);
    return slot_bit(record, i * record->n + j);
}

/* Slots stand in the order of their bits. */
static struct bytes slot_bytes(const struct deal_record *record, size_t i, size_t j)
{
    size_t before = 0;

    for (size_t bit = 0; bit < i * record->n + j; bit++)
        before += slot_bit(record, bit);
    return bytes_slice(buf_bytes(&record->raw), record->slots_at + before * DEAL_SLOT_BYTES,
                       DEAL_SLOT_BYTES);
}

/* --- opening --- */

/* c = cluster ‖ deal ‖ epoch ‖ mk version ‖ x_i ‖ x_j ‖ gen_i ‖ gen_j ‖ hash(header) */
static void context(const struct deal_record *record, size_t i, size_t j,
                    uint8_t ret_c[static DEAL_CONTEXT_BYTES])
{
    uint8_t *at = ret_c;

    memcpy(at, record->cluster, 16);
    memcpy(at + 16, record->deal, 16);
    put_u64(at + 32, record->epoch);
    put_u32(at + 40, record->mk_version);
    put_u32(at + 44, record->members[i].x);
    put_u32(at + 48, record->members[j].x);
    put_u64(at + 52, record->members[i].gen);
    put_u64(at + 60, record->members[j].gen);
    memcpy(at + 68, record->header_hash, HASH_BYTES);
}

enum qk_err deal_release(const struct deal_record *record, const struct secret *p_j, size_t i,
                         size_t j, struct secret **ret_release)
{
    uint8_t c[DEAL_CONTEXT_BYTES];

    assert(i < record->n && j < record->n && i != j);
    context(record, i, j, c);
    return kdf_derive(p_j, "release", bytes_of(c, sizeof c), ret_release);
}

enum qk_err deal_slot_key(const struct deal_record *record, const struct secret *d_i,
                          const struct secret *release, size_t i, size_t j, struct secret **ret_key)
{
    uint8_t c[DEAL_CONTEXT_BYTES];
    struct bytes parts[2];
    enum qk_err err;

    if (secret_is_wiped(release))
        return QK_ERR_SEALED;
    context(record, i, j, c);
    parts[0] = bytes_of(secret_borrow(release), secret_len(release));
    parts[1] = bytes_of(c, sizeof c);
    err = kdf_derive_parts(d_i, "slot", parts, 2, ret_key);
    secret_return(release);
    return err;
}

enum qk_err deal_open_slot(const struct deal_record *record, const struct secret *d_i,
                           const struct secret *release, size_t i, size_t j,
                           struct secret **ret_share)
{
    struct secret *key;
    enum qk_err err;

    assert(i < record->n && j < record->n && i != j);
    if (!deal_record_has_slot(record, i, j))
        return QK_ERR_NOT_FOUND;
    if (secret_len(release) != KEY_BYTES)
        return QK_ERR_CORRUPT;
    err = deal_slot_key(record, d_i, release, i, j, &key);
    if (err != QK_OK)
        return err;
    err = aead_open_secret(key, NULL, BYTES_NONE, slot_bytes(record, i, j), ret_share);
    secret_free(key);
    return err;
}

static const uint8_t (*commitments(const struct deal_record *record))[SHARE_POINT_BYTES]
{
    return (const uint8_t(*)[SHARE_POINT_BYTES])record->commitments;
}

enum qk_err deal_verify_share(const struct deal_record *record, size_t i,
                              const struct secret *share)
{
    enum qk_err err;

    assert(i < record->n);
    if (secret_len(share) != SHARE_BYTES)
        return QK_ERR_CORRUPT;
    err = share_verify(share, record->members[i].x, commitments(record), record->t);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT
                                 : err; /* the record's points, not our arguments */
}

enum qk_err deal_combine(const struct deal_record *record, const struct secret *const *shares,
                         const uint32_t *x, size_t n, struct secret **ret_s,
                         struct share_bad *ret_bad)
{
    size_t member;

    ret_bad->n = 0;
    for (size_t i = 0; i < n; i++) {
        enum qk_err err = deal_record_find_x(record, x[i], &member);

        if (err != QK_OK)
            return QK_ERR_INVALID;
    }
    return share_combine(shares, x, n, commitments(record), record->t, ret_s, NULL, ret_bad);
}

enum qk_err deal_mac(const uint8_t *deal, const struct secret *s, struct bytes body,
                     uint8_t ret_mac[static HASH_BYTES])
{
    struct secret *key;
    enum qk_err err = kdf_derive(s, "deal-mac-key", bytes_of(deal, DEAL_ID_BYTES), &key);

    if (err != QK_OK)
        return err;
    err = mac_compute(key, "deal-mac", &body, 1, ret_mac);
    secret_free(key);
    return err;
}

enum qk_err deal_check_mac(const struct deal_record *record, const struct secret *s)
{
    struct bytes all = buf_bytes(&record->raw);
    size_t body_len = all.len - HASH_BYTES;
    uint8_t mac[HASH_BYTES];
    enum qk_err err = deal_mac(record->deal, s, bytes_slice(all, 0, body_len), mac);

    if (err != QK_OK)
        return err;
    return sodium_memcmp(mac, all.data + body_len, sizeof mac) == 0 ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err deal_open_mk(const struct deal_record *record, const struct secret *s,
                         struct secret **ret_mk)
{
    struct bytes blob = BYTES_NONE;
    struct secret *kek, *mk;
    enum qk_err err;

    for (size_t i = 0; i < record->keyslots_n; i++)
        if (record->keyslots[i].type == DEAL_KEYSLOT_CLUSTER)
            blob = record->keyslots[i].blob;
    err = kdf_derive(s, "kek", bytes_of(record->deal, DEAL_ID_BYTES), &kek);
    if (err != QK_OK)
        return err;
    err = aead_open_secret(kek, NULL, bytes_of(record->header_hash, HASH_BYTES), blob, &mk);
    secret_free(kek);
    if (err != QK_OK)
        return err;
    if (secret_len(mk) != DEAL_MK_BYTES) {
        secret_free(mk);
        return QK_ERR_CORRUPT;
    }
    *ret_mk = mk;
    return QK_OK;
}

enum qk_err deal_open(const struct deal_record *record, const struct secret *const *shares,
                      const uint32_t *x, size_t n, struct secret **ret_mk,
                      struct share_bad *ret_bad)
{
    struct secret *s;
    enum qk_err err = deal_combine(record, shares, x, n, &s, ret_bad);

    if (err != QK_OK)
        return err;
    err = deal_check_mac(record, s);
    if (err == QK_OK)
        err = deal_open_mk(record, s, ret_mk);
    secret_free(s);
    return err;
}

#include "keyslot/recovery.h"

#include <assert.h>
#include <string.h>

#include "wire/pack.h"

#define RECORD_VERSION 1
#define RECORD_FIELDS 12
#define RECORD_FIELDS_MAX 32 /* a newer version may append some */

bool recovery_counts_are_valid(unsigned n, unsigned t)
{
    return t >= 2 && t <= THRESHOLD_MAX && t <= n && n <= RECOVERY_SHARES_MAX;
}

/* --- the record ------------------------------------------------------------------------------ */

/* All but the mac: what the mac covers. */
static void encode_body(const struct recovery_set *set, struct buf *out)
{
    pack_array(out, RECORD_FIELDS);
    pack_u64(out, RECORD_VERSION);
    pack_bin(out, bytes_of(set->id, sizeof set->id));
    pack_u64(out, set->number);
    pack_u64(out, set->created_s);
    pack_u64(out, set->t);
    pack_u64(out, set->n);
    pack_bin(out, bytes_of(set->commitments, set->t * SHARE_POINT_BYTES));
    pack_bin(out, bytes_of(set->public.seal_pk, sizeof set->public.seal_pk));
    pack_bin(out, bytes_of(set->public.sign_pk, sizeof set->public.sign_pk));
    pack_u64(out, set->mk_version);
    pack_bin(out, bytes_of(set->blob, sizeof set->blob));
}

void recovery_set_encode(const struct recovery_set *set, struct buf *out)
{
    encode_body(set, out);
    pack_bin(out, bytes_of(set->mac, sizeof set->mac));
}

static void decode_fields(struct unpack *in, struct recovery_set *set)
{
    struct bytes commitments;

    unpack_bin_copy(in, set->id, sizeof set->id);
    set->number = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    set->created_s = unpack_u64(in);
    set->t = (unsigned)unpack_u64_max(in, THRESHOLD_MAX);
    set->n = (unsigned)unpack_u64_max(in, RECOVERY_SHARES_MAX);
    commitments = unpack_bin(in, sizeof set->commitments);
    if (commitments.len == set->t * SHARE_POINT_BYTES && commitments.len > 0)
        memcpy(set->commitments, commitments.data, commitments.len);
    else
        set->t = 0; /* refused below */
    unpack_bin_copy(in, set->public.seal_pk, sizeof set->public.seal_pk);
    unpack_bin_copy(in, set->public.sign_pk, sizeof set->public.sign_pk);
    set->mk_version = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    unpack_bin_copy(in, set->blob, sizeof set->blob);
    unpack_bin_copy(in, set->mac, sizeof set->mac);
}

enum qk_err recovery_set_decode(struct bytes in, struct recovery_set *ret_set)
{
    struct unpack unpack = unpack_of(in);
    struct recovery_set set;
    uint32_t fields_n = unpack_array(&unpack, RECORD_FIELDS_MAX);
    uint64_t version = unpack_u64(&unpack);

    memset(&set, 0, sizeof set);
    if (unpack_error(&unpack) != QK_OK || fields_n < RECORD_FIELDS)
        return QK_ERR_CORRUPT;
    if (version != RECORD_VERSION)
        return QK_ERR_UNSUPPORTED;
    decode_fields(&unpack, &set);
    for (uint32_t i = RECORD_FIELDS; i < fields_n; i++)
        unpack_skip(&unpack);
    if (unpack_end(&unpack) != QK_OK || !recovery_counts_are_valid(set.n, set.t) ||
        set.mk_version == 0)
        return QK_ERR_CORRUPT;
    *ret_set = set;
    return QK_OK;
}

static enum qk_err mac_over(const struct recovery_set *set, const uint8_t *cluster,
                            const struct secret *mk, const uint8_t *verify, uint8_t *ret_mac)
{
    struct buf body = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);
    struct bytes parts[2];
    enum qk_err err;

    encode_body(set, &body);
    err = buf_error(&body);
    parts[0] = bytes_of(cluster, CLUSTER_ID_BYTES);
    parts[1] = buf_bytes(&body);
    if (err == QK_OK && verify != NULL)
        err = mac_verify(mk, "recovery set", parts, 2, verify);
    else if (err == QK_OK)
        err = mac_compute(mk, "recovery set", parts, 2, ret_mac);
    buf_fini(&body);
    return err;
}

enum qk_err recovery_set_check(const struct recovery_set *set,
                               const uint8_t cluster[static CLUSTER_ID_BYTES],
                               const struct secret *mk)
{
    return mac_over(set, cluster, mk, set->mac, NULL);
}

/* --- making ---------------------------------------------------------------------------------- */

static enum qk_err wrap(struct recovery_set *set, const uint8_t *cluster, uint32_t mk_version,
                        const struct secret *mk)
{
    struct buf blob = BUF_INIT(KEYSLOT_RECOVERY_BLOB_BYTES);
    enum qk_err err =
        keyslot_recovery_seal(set->public.seal_pk, set->id, cluster, mk_version, mk, &blob);

    if (err == QK_OK) {
        assert(blob.len == sizeof set->blob);
        memcpy(set->blob, blob.data, sizeof set->blob);
        set->mk_version = mk_version;
        err = mac_over(set, cluster, mk, NULL, set->mac);
    }
    buf_fini(&blob);
    return err;
}

/* The system's randomness for a_1..a_{t-1}, zeros for b_0..b_{t-1}: share_deal says in which order
 * it draws. */
struct feldman {
    struct random_source random;
    unsigned draws_left;
};

static void feldman_fill(void *arg, uint8_t *ret_out, size_t len)
{
    struct feldman *feldman = arg;

    if (feldman->draws_left == 0) {
        memset(ret_out, 0, len);
        return;
    }
    feldman->draws_left--;
    feldman->random.fill(feldman->random.arg, ret_out, len);
}

static enum qk_err put_texts(const struct recovery_set *set, const uint8_t *cluster,
                             struct secret *const *shares, struct buf *out)
{
    enum qk_err err = QK_OK;

    for (unsigned i = 0; i < set->n && err == QK_OK; i++) {
        struct recovery_share share = {.x = i + 1, .t = set->t, .n = set->n, .share = shares[i]};

        memcpy(share.cluster_tag, cluster, RECOVERY_TAG_BYTES);
        memcpy(share.set_tag, set->id, RECOVERY_TAG_BYTES);
        err = recovery_share_encode(&share, out);
        buf_put_u8(out, '\n');
    }
    return err != QK_OK ? err : buf_error(out);
}

static enum qk_err deal(struct recovery_set *set, const uint8_t *cluster,
                        const struct secret *secret, struct buf *out)
{
    struct feldman feldman = {random_system(), set->t - 1};
    struct random_source random = {feldman_fill, &feldman};
    struct secret *shares[RECOVERY_SHARES_MAX] = {NULL};
    uint32_t x[RECOVERY_SHARES_MAX];
    enum qk_err err;

    for (unsigned i = 0; i < set->n; i++)
        x[i] = i + 1;
    err = share_deal(secret, set->n, set->t, x, random, shares, set->commitments);
    if (err == QK_OK)
        err = put_texts(set, cluster, shares, out);
    for (unsigned i = 0; i < set->n; i++)
        secret_free(shares[i]);
    return err;
}

enum qk_err recovery_set_make(const uint8_t cluster[static CLUSTER_ID_BYTES], uint32_t number,
                              uint64_t created_s, unsigned n, unsigned t, uint32_t mk_version,
                              const struct secret *mk, struct recovery_set *ret_set,
                              struct buf *out)
{
    struct recovery_set set = {.number = number, .created_s = created_s, .t = t, .n = n};
    struct secret *secret = NULL;
    enum qk_err err;

    assert(out->secret);
    if (!recovery_counts_are_valid(n, t))
        return QK_ERR_INVALID;
    random_fill(set.id, sizeof set.id);
    err = share_secret_random(random_system(), &secret);
    if (err == QK_OK)
        err = keyslot_recovery_derive(secret, &set.public);
    if (err == QK_OK)
        err = deal(&set, cluster, secret, out);
    if (err == QK_OK)
        err = wrap(&set, cluster, mk_version, mk);
    secret_free(secret);
    if (err == QK_OK)
        *ret_set = set;
    return err;
}

enum qk_err recovery_set_rewrap(const struct recovery_set *set,
                                const uint8_t cluster[static CLUSTER_ID_BYTES],
                                const struct secret *old_mk, uint32_t mk_version,
                                const struct secret *mk, struct recovery_set *ret_set)
{
    struct recovery_set again = *set;
    enum qk_err err = recovery_set_check(set, cluster, old_mk);

    if (err == QK_OK)
        err = wrap(&again, cluster, mk_version, mk);
    if (err == QK_OK)
        *ret_set = again;
    return err;
}

/* --- opening --------------------------------------------------------------------------------- */

enum qk_err recovery_share_check(const struct recovery_set *set,
                                 const uint8_t cluster[static CLUSTER_ID_BYTES],
                                 const struct recovery_share *share)
{
    enum qk_err err;

    if (memcmp(share->cluster_tag, cluster, RECOVERY_TAG_BYTES) != 0)
        return QK_ERR_FOREIGN;
    if (memcmp(share->set_tag, set->id, RECOVERY_TAG_BYTES) != 0)
        return QK_ERR_STALE;
    if (share->t != set->t || share->n != set->n || share->x == 0 || share->x > set->n)
        return QK_ERR_CORRUPT;
    err = share_verify(share->share, share->x, set->commitments, set->t);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
}

enum qk_err recovery_combine(const struct recovery_set *set, const struct recovery_share *shares,
                             size_t n, struct secret **ret_secret)
{
    const struct secret *values[RECOVERY_SHARES_MAX];
    uint32_t x[RECOVERY_SHARES_MAX];
    struct share_bad bad = {0};

    if (n > RECOVERY_SHARES_MAX)
        return QK_ERR_INVALID;
    for (size_t i = 0; i < n; i++) {
        values[i] = shares[i].share;
        x[i] = shares[i].x;
    }
    return share_combine(values, x, n, set->commitments, set->t, ret_secret, NULL, &bad);
}

enum qk_err recovery_open(const struct recovery_set *set,
                          const uint8_t cluster[static CLUSTER_ID_BYTES],
                          const struct secret *secret, struct secret **ret_mk)
{
    struct deal_keyslot slot = {.type = DEAL_KEYSLOT_RECOVERY,
                                .blob = bytes_of(set->blob, sizeof set->blob)};
    struct secret *mk = NULL;
    enum qk_err err;

    memcpy(slot.id, set->id, sizeof slot.id);
    err = keyslot_recovery_open(&slot, cluster, set->mk_version, secret, &mk);
    if (err == QK_OK)
        err = recovery_set_check(set, cluster, mk);
    if (err != QK_OK) {
        secret_free(mk);
        return err;
    }
    *ret_mk = mk;
    return QK_OK;
}

/* The text of one recovery share. */
#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "keyslot/recovery.h"

#define SHARE_HRP "qkr"
#define SHARE_VERSION 1
#define SHARE_PAYLOAD_BYTES (1 + 2 * RECOVERY_TAG_BYTES + 3 + SHARE_SCALAR_BYTES)

_Static_assert(sizeof SHARE_HRP + (SHARE_PAYLOAD_BYTES * 8 + 4) / 5 + 6 == RECOVERY_TEXT_BYTES,
               "the text's length");
_Static_assert(RECOVERY_TEXT_BYTES <= 90, "BIP 350 finds up to four wrong characters up to here");

void recovery_share_fini(struct recovery_share *share)
{
    secret_free(share->share);
    share->share = NULL;
}

enum qk_err recovery_share_encode(const struct recovery_share *share, struct buf *out)
{
    struct buf raw = BUF_SECRET_INIT(SHARE_PAYLOAD_BYTES);
    enum qk_err err;

    assert(out->secret);
    assert(share->share != NULL && secret_len(share->share) == SHARE_BYTES);
    assert(share->x <= UINT8_MAX && share->t <= UINT8_MAX && share->n <= UINT8_MAX);
    buf_put_u8(&raw, SHARE_VERSION);
    buf_put(&raw, share->cluster_tag, RECOVERY_TAG_BYTES);
    buf_put(&raw, share->set_tag, RECOVERY_TAG_BYTES);
    buf_put_u8(&raw, (uint8_t)share->x);
    buf_put_u8(&raw, (uint8_t)share->t);
    buf_put_u8(&raw, (uint8_t)share->n);
    buf_put(&raw, secret_borrow(share->share), SHARE_SCALAR_BYTES);
    secret_return(share->share);
    err = buf_error(&raw);
    if (err == QK_OK)
        err = bech32m_encode(SHARE_HRP, buf_bytes(&raw), out);
    buf_fini(&raw);
    return err;
}

/* s ‖ 0: the blinding is zero in every set. */
static enum qk_err take_scalar(struct bytes scalar, struct secret **ret_share)
{
    struct secret *share;
    enum qk_err err = secret_new_zero(SHARE_BYTES, &share);

    if (err != QK_OK)
        return err;
    memcpy(secret_borrow_mut(share), scalar.data, SHARE_SCALAR_BYTES);
    secret_return_mut(share);
    *ret_share = share;
    return QK_OK;
}

static enum qk_err parse(struct bytes raw, struct recovery_share *share)
{
    struct reader reader = reader_of(raw);
    uint8_t version = reader_u8(&reader);
    struct bytes scalar;

    if (raw.len == 0)
        return QK_ERR_CORRUPT;
    if (version != SHARE_VERSION)
        return QK_ERR_UNSUPPORTED;
    reader_copy(&reader, share->cluster_tag, RECOVERY_TAG_BYTES);
    reader_copy(&reader, share->set_tag, RECOVERY_TAG_BYTES);
    share->x = reader_u8(&reader);
    share->t = reader_u8(&reader);
    share->n = reader_u8(&reader);
    scalar = reader_bytes(&reader, SHARE_SCALAR_BYTES);
    if (reader_end(&reader) != QK_OK || share->x == 0 || share->x > share->n ||
        !recovery_counts_are_valid(share->n, share->t))
        return QK_ERR_CORRUPT;
    return take_scalar(scalar, &share->share);
}

/* What people add when they write a share down in groups goes; capitals become small letters unless
 * both occur, which is no Bech32m. */
static enum qk_err plain_text(struct bytes text, struct buf *out)
{
    bool upper = false, lower = false;

    if (text.len > RECOVERY_TEXT_BYTES_MAX)
        return QK_ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '-')
            continue;
        upper |= c >= 'A' && c <= 'Z';
        lower |= c >= 'a' && c <= 'z';
        buf_put_u8(out, c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c);
    }
    if (out->len < 4 || memcmp(out->data, SHARE_HRP "1", 4) != 0)
        return QK_ERR_INVALID;
    return upper && lower ? QK_ERR_CORRUPT : buf_error(out);
}

enum qk_err recovery_share_decode(struct bytes text, struct recovery_share *ret_share)
{
    struct buf plain = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct buf raw = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share = {.x = 0};
    enum qk_err err = plain_text(text, &plain);

    if (err == QK_OK && bech32m_decode(SHARE_HRP, buf_bytes(&plain), &raw) != QK_OK)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK)
        err = parse(buf_bytes(&raw), &share);
    buf_fini(&plain);
    buf_fini(&raw);
    if (err == QK_OK)
        *ret_share = share;
    else
        recovery_share_fini(&share);
    return err;
}

static void tell_unread(enum qk_err err, struct buf *problem)
{
    buf_put_str(problem, err == QK_ERR_CORRUPT ? "the share is mistyped: its checksum is wrong"
                         : err == QK_ERR_UNSUPPORTED
                             ? "the share is of another version of this program"
                         : err == QK_ERR_INVALID ? "this is no recovery share: one begins with qkr1"
                                                 : qk_err_text(err));
}

static void tell_unfit(enum qk_err err, const struct recovery_set *set,
                       const struct recovery_share *share, struct buf *problem)
{
    char of[2 * RECOVERY_TAG_BYTES + 1], live[2 * RECOVERY_TAG_BYTES + 1];

    buf_printf(problem, "share %u of %u ", share->x, share->n);
    if (err == QK_ERR_FOREIGN)
        buf_put_str(problem, "is of another cluster");
    else if (err == QK_ERR_STALE) {
        hex_encode(share->set_tag, RECOVERY_TAG_BYTES, of);
        hex_encode(set->id, RECOVERY_TAG_BYTES, live);
        buf_printf(problem,
                   "is of the set %s, not of the live set %s (number %u): that was replaced, or "
                   "never confirmed",
                   of, live, (unsigned)set->number);
    } else if (err == QK_ERR_CORRUPT)
        buf_put_str(problem, "was altered: it does not fit its set");
    else
        buf_printf(problem, "could not be checked: %s", qk_err_text(err));
}

enum qk_err recovery_share_take(const struct recovery_set *set,
                                const uint8_t cluster[static CLUSTER_ID_BYTES], struct bytes text,
                                struct recovery_share *ret_share, struct buf *problem)
{
    struct recovery_share share;
    enum qk_err err = recovery_share_decode(text, &share);

    if (err != QK_OK) {
        tell_unread(err, problem);
        return err;
    }
    err = recovery_share_check(set, cluster, &share);
    if (err == QK_OK) {
        *ret_share = share;
        return err;
    }
    tell_unfit(err, set, &share, problem);
    recovery_share_fini(&share);
    return err;
}

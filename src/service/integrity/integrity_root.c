#include "service/integrity/integrity_root.h"

#include <string.h>

#define VERSION 1

_Static_assert(INTEGRITY_ROOT_PLAIN_BYTES == 4 * 8 + DEAL_ID_BYTES + 1 + MULTISET_BYTES, "plain");

static const uint8_t aad[] = {'q', 'k', '.', 'r', 'o', 'o', 't', '.', 'v', '1', VERSION};

enum qk_err integrity_root_seal(const struct secret *key, const struct integrity_root *root,
                                struct buf *out)
{
    uint8_t nonce[AEAD_NONCE_BYTES], plain[INTEGRITY_ROOT_PLAIN_BYTES];
    enum qk_err err;

    put_u64(plain, root->index);
    put_u64(plain + 8, root->term);
    put_u64(plain + 16, root->stamp);
    put_u64(plain + 24, root->epoch);
    memcpy(plain + 32, root->deal, DEAL_ID_BYTES);
    plain[32 + DEAL_ID_BYTES] = (uint8_t)root->standing;
    multiset_encode(&root->sum, plain + 33 + DEAL_ID_BYTES);
    random_fill(nonce, sizeof(nonce)); /* fresh at each: the key seals one a commit for years */
    buf_put_u8(out, VERSION);
    buf_put(out, nonce, sizeof(nonce));
    err = buf_error(out);
    if (err == QK_OK)
        err =
            aead_seal(key, nonce, bytes_of(aad, sizeof(aad)), bytes_of(plain, sizeof(plain)), out);
    secret_wipe(plain, sizeof(plain));
    return err;
}

enum qk_err integrity_root_open(const struct secret *key, struct bytes in,
                                struct integrity_root *ret_root)
{
    struct buf plain = BUF_SECRET_INIT(INTEGRITY_ROOT_PLAIN_BYTES);
    struct integrity_root root = {0};
    enum qk_err err;

    if (in.len > 0 && in.data[0] != VERSION)
        return QK_ERR_UNSUPPORTED;
    if (in.len != INTEGRITY_ROOT_BYTES)
        return QK_ERR_CORRUPT;
    err = aead_open(key, in.data + 1, bytes_of(aad, sizeof(aad)),
                    bytes_slice(in, 1 + AEAD_NONCE_BYTES, SIZE_MAX), &plain);
    if (err == QK_OK) {
        root.index = get_u64(plain.data);
        root.term = get_u64(plain.data + 8);
        root.stamp = get_u64(plain.data + 16);
        root.epoch = get_u64(plain.data + 24);
        memcpy(root.deal, plain.data + 32, DEAL_ID_BYTES);
        if (plain.data[32 + DEAL_ID_BYTES] > INTEGRITY_DAMAGED)
            err = QK_ERR_CORRUPT;
        root.standing = (enum integrity_standing)plain.data[32 + DEAL_ID_BYTES];
        multiset_decode(plain.data + 33 + DEAL_ID_BYTES, &root.sum);
    }
    if (err == QK_OK)
        *ret_root = root;
    buf_fini(&plain);
    return err;
}

/* The catalog's one record of the policy of keys. */
#include <string.h>

#include "service/catalog_record.h"
#include "wire/pack.h"

enum qk_err catalog_policy_key(const struct service *service,
                               uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog key policy", BYTES_NONE, ret_key);
}

enum qk_err catalog_policy_seal(const struct service *service, const struct key_policy *policy,
                                uint64_t record_version, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_policy_key(service, key);

    if (err != QK_OK)
        return err;
    pack_map(&plain, 4);
    pack_text(&plain, "kind");
    pack_text(&plain, "policy");
    pack_text(&plain, "suites");
    pack_u64(&plain, policy->suites);
    pack_text(&plain, "encrypt");
    pack_u64(&plain, policy->encrypt_by_default ? 1 : 0);
    pack_text(&plain, "key");
    pack_bin(&plain, bytes_of(policy->default_key, KEY_ID_BYTES));
    return catalog_seal(service, key, record_version, &plain, out);
}

#define HAS_SUITES 0x01u
#define HAS_ENCRYPT 0x02u
#define HAS_KEY 0x04u
#define HAS_ALL 0x07u

static unsigned policy_decode_member(struct unpack *in, struct key_policy *policy)
{
    struct bytes name = unpack_str(in, 32);

    if (bytes_equal(name, bytes_str("suites"))) {
        policy->suites = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        return HAS_SUITES;
    }
    if (bytes_equal(name, bytes_str("encrypt"))) {
        policy->encrypt_by_default = unpack_u64_max(in, 1) != 0;
        return HAS_ENCRYPT;
    }
    if (bytes_equal(name, bytes_str("key"))) {
        unpack_bin_copy(in, policy->default_key, sizeof(policy->default_key));
        return HAS_KEY;
    }
    unpack_skip(in);
    return 0;
}

enum qk_err catalog_policy_decode(struct bytes plain, struct key_policy *ret_policy)
{
    struct unpack in = unpack_of(plain);
    unsigned has = 0;
    uint32_t n;

    for (n = unpack_map(&in, CATALOG_MEMBERS_MAX); n > 0 && unpack_error(&in) == QK_OK; n--)
        has |= policy_decode_member(&in, ret_policy);
    return unpack_end(&in) == QK_OK && has == HAS_ALL && ret_policy->suites != 0 ? QK_OK
                                                                                 : QK_ERR_CORRUPT;
}

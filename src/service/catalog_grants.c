/* The catalog's records of grants, one for each data key that anybody has a grant on. */
#include <assert.h>
#include <string.h>

#include "service/catalog_record.h"
#include "wire/pack.h"

enum qk_err catalog_grants_key(const struct service *service,
                               const uint8_t key_id[static KEY_ID_BYTES],
                               uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog grants", bytes_of(key_id, KEY_ID_BYTES), ret_key);
}

enum qk_err catalog_grants_seal(const struct service *service, const struct catalog_grants *grants,
                                uint64_t record_version, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_grants_key(service, grants->key_id, key);

    if (err != QK_OK)
        return err;
    pack_map(&plain, 3);
    pack_text(&plain, "kind");
    pack_text(&plain, "grants");
    pack_text(&plain, "key");
    pack_bin(&plain, bytes_of(grants->key_id, KEY_ID_BYTES));
    pack_text(&plain, "list");
    access_list_encode(&grants->list, &plain);
    return catalog_seal(service, key, record_version, &plain, out);
}

#define HAS_KEY 0x01u
#define HAS_LIST 0x02u
#define HAS_ALL 0x03u

static unsigned grants_decode_member(struct unpack *in, struct catalog_grants *grants)
{
    struct bytes name = unpack_str(in, 32);

    if (bytes_equal(name, bytes_str("key"))) {
        unpack_bin_copy(in, grants->key_id, sizeof(grants->key_id));
        return HAS_KEY;
    }
    if (bytes_equal(name, bytes_str("list"))) {
        access_list_fini(&grants->list); /* a member that comes twice must not leak */
        access_list_decode(in, &grants->list);
        return HAS_LIST;
    }
    unpack_skip(in);
    return 0;
}

/* What was allocated for a record that is refused belongs to the entry, which its owner frees. */
enum qk_err catalog_grants_decode(struct bytes plain, struct catalog_grants *ret_grants)
{
    struct unpack in = unpack_of(plain);
    unsigned has = 0;
    uint32_t n;

    for (n = unpack_map(&in, CATALOG_MEMBERS_MAX); n > 0 && unpack_error(&in) == QK_OK; n--)
        has |= grants_decode_member(&in, ret_grants);
    return unpack_end(&in) == QK_OK && has == HAS_ALL ? QK_OK : QK_ERR_CORRUPT;
}

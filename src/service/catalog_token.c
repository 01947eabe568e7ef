/* Login tokens in the catalog: each under the keyed hash of its id. */
#include <string.h>

#include "access/login_token.h"
#include "service/catalog_record.h"

enum qk_err catalog_token_key(const struct service *service,
                              const uint8_t id[static PRINCIPAL_TOKEN_BYTES],
                              uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog login token", bytes_of(id, PRINCIPAL_TOKEN_BYTES),
                       ret_key);
}

enum qk_err catalog_token_seal(const struct service *service, const struct login_token *token,
                               uint64_t record_version, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_token_key(service, token->id, key);

    if (err != QK_OK)
        return err;
    login_token_encode(token, &plain);
    return catalog_seal(service, key, record_version, &plain, out);
}

/* Who a client is: Basic credentials (RFC 7617), and their verified result kept for a connection,
 * so that argon2id runs once and not for each request. */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include "access/access.h"
#include "base/bytes.h"

struct secret;

/* The key under which credentials are remembered; random, of this process. */
struct auth {
    struct secret *key;
};

struct auth_cache {
    bool filled;
    uint8_t mac[32]; /* of the credentials, keyed */
    struct principal who;
};

MUST_USE enum qk_err auth_init(struct auth *auth);
void auth_fini(struct auth *auth);
/* Splits the value of `Authorization: Basic ...`; the decoded text is appended to `out`, an empty
 * secret buffer. QK_ERR_INVALID: another scheme, bad base64, no colon, a zero byte, too long. */
MUST_USE enum qk_err auth_parse_basic(struct bytes authorization, struct buf *out,
                                      struct bytes *ret_name, struct bytes *ret_password);
void auth_cache_put(const struct auth *auth, struct auth_cache *cache, struct bytes authorization,
                    const struct principal *who);
/* The principal remembered for exactly these credentials, or NULL. */
const struct principal *auth_cache_get(const struct auth *auth, const struct auth_cache *cache,
                                       struct bytes authorization);
void auth_cache_drop(struct auth_cache *cache);

#endif

#include "http/auth.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"
#include "secret/secret.h"

static const char SCHEME[] = "basic";
static const char CACHE_LABEL[] = "http credentials";

enum qk_err auth_init(struct auth *auth)
{
    return secret_new_random(KEY_BYTES, &auth->key);
}

void auth_fini(struct auth *auth)
{
    secret_free(auth->key);
    auth->key = NULL;
}

enum qk_err auth_parse_basic(struct bytes authorization, struct buf *out, struct bytes *ret_name,
                             struct bytes *ret_password)
{
    size_t at = sizeof SCHEME - 1;
    const uint8_t *colon;
    size_t name_len;
    enum qk_err err;

    assert(out->secret && out->len == 0);
    if (authorization.len <= at || authorization.data[at] != ' ' ||
        strncasecmp((const char *)authorization.data, SCHEME, at) != 0)
        return QK_ERR_INVALID;
    while (at < authorization.len && authorization.data[at] == ' ')
        at++;
    err = base64_decode(bytes_slice(authorization, at, authorization.len), out);
    if (err != QK_OK)
        return QK_ERR_INVALID;
    if (out->len == 0 || memchr(out->data, 0, out->len) != NULL)
        return QK_ERR_INVALID;
    colon = memchr(out->data, ':', out->len);
    if (colon == NULL)
        return QK_ERR_INVALID;
    name_len = (size_t)(colon - out->data);
    *ret_name = bytes_slice(buf_bytes(out), 0, name_len);
    *ret_password = bytes_slice(buf_bytes(out), name_len + 1, out->len);
    if (name_len == 0 || name_len > USER_NAME_BYTES_MAX || ret_password->len > PASSWORD_BYTES_MAX)
        return QK_ERR_INVALID;
    return QK_OK;
}

void auth_cache_put(const struct auth *auth, struct auth_cache *cache, struct bytes authorization,
                    const struct principal *who)
{
    auth_cache_drop(cache);
    if (mac_compute(auth->key, CACHE_LABEL, &authorization, 1, cache->mac) != QK_OK)
        return; /* not remembered: checked again at the next request */
    cache->who = *who;
    cache->filled = true;
}

const struct principal *auth_cache_get(const struct auth *auth, const struct auth_cache *cache,
                                       struct bytes authorization)
{
    if (!cache->filled ||
        mac_verify(auth->key, CACHE_LABEL, &authorization, 1, cache->mac) != QK_OK)
        return NULL;
    return &cache->who;
}

void auth_cache_drop(struct auth_cache *cache)
{
    secret_wipe(cache, sizeof *cache);
}

/* What a request brings to say who asks, besides a password in its head. Pure. */
#ifndef HTTP_CREDENTIALS_H
#define HTTP_CREDENTIALS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "service/exchange.h"

#define CREDENTIALS_COOKIE "AuthSession"

/* Fields of a head; each empty if absent. */
struct credentials {
    struct bytes authorization, vault_token, cookie, origin;
};

enum credentials_kind {
    CREDENTIALS_NONE,
    CREDENTIALS_BASIC,  /* of the Authorization field, or what is no scheme at all */
    CREDENTIALS_BEARER, /* a token: Authorization: Bearer, or X-Vault-Token */
    CREDENTIALS_COOKIE_TOKEN,
};

/* Which of them counts: Authorization, then X-Vault-Token, then the cookie; a field or cookie with
 * an empty value is as good as absent. `ret_token` is a token's text as it was shown. */
enum credentials_kind credentials_find(const struct credentials *credentials,
                                       struct bytes *ret_token);
/* The value of the first cookie of that name, without quotes. */
bool credentials_cookie(struct bytes field, const char *name, struct bytes *ret_value);

/* May a browser's cookie stand for this request? A page of another site can make a browser send
 * forms to here with the cookies of here; it can neither have it send JSON nor hide where it comes
 * from. Reading is fine: the page does not see the reply. */
bool credentials_cookie_may(const struct request *request, struct bytes origin);
/* The page with this Origin was got from the host that is asked now. */
bool credentials_is_same_origin(struct bytes origin, struct bytes host);

/* Name and password of a login route's body, as a form or as JSON; the name of Vault's is in the
 * path. Both are appended to secret buffers. QK_ERR_INVALID: it holds no such thing. */
MUST_USE enum qk_err credentials_read_login(const struct request *request, struct buf *ret_name,
                                            struct buf *ret_password);

#endif

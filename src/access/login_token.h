/* Login tokens: what a client shows instead of a password. One kind of record serves API tokens,
 * cookie sessions and Vault's tokens. Pure encoding; time is an argument.
 *
 * The text is `qkt1...`, Bech32m of id[16] ‖ secret[32]. The cluster keeps a keyed hash of it and
 * nothing else, so that no record, backup or log opens anything. The text exists in the reply that
 * made it and in the requests that show it. */
#ifndef ACCESS_LOGIN_TOKEN_H
#define ACCESS_LOGIN_TOKEN_H

#include "access/access.h"
#include "access/user.h"
#include "base/bytes.h"
#include "secret/crypto.h"

#define LOGIN_TOKEN_SECRET_BYTES 32
#define LOGIN_TOKEN_LABEL_BYTES_MAX 64
/* "qkt1", 48 bytes at 5 bits a character, 6 of checksum: under the 90 characters up to which
 * Bech32m finds four wrong ones for certain. */
#define LOGIN_TOKEN_TEXT_BYTES 87
#define LOGIN_TOKEN_PREFIX "qkt1"

enum login_token_kind {
    LOGIN_TOKEN_API = 1,     /* made by a person for a program */
    LOGIN_TOKEN_SESSION = 2, /* of a cookie: POST /_session */
    LOGIN_TOKEN_VAULT = 3,   /* of auth/userpass/login: may be renewed */
};

struct login_token {
    uint8_t id[PRINCIPAL_TOKEN_BYTES];
    uint8_t user_id[USER_ID_BYTES];
    char user_name[USER_NAME_BYTES_MAX + 1];
    uint64_t credential_version; /* of the user when it was made: a new password ends it */
    enum login_token_kind kind;
    char label[LOGIN_TOKEN_LABEL_BYTES_MAX + 1]; /* for people; may be empty */
    uint64_t created_s, expires_s;               /* cluster time */
    uint64_t limit_s;                            /* no renewal goes past it */
    uint8_t hash[HASH_BYTES];                    /* keyed, of id and secret */
};

/* "api", "session", "vault". */
const char *login_token_kind_text(enum login_token_kind kind);
/* Up to LOGIN_TOKEN_LABEL_BYTES_MAX bytes of UTF-8 without control characters. */
MUST_USE enum qk_err login_token_label_check(struct bytes label);

/* A new one: its id and hash under `key`, and its text appended to `out`, a secret buffer. */
MUST_USE enum qk_err login_token_make(const struct secret *key,
                                      uint8_t ret_id[static PRINCIPAL_TOKEN_BYTES],
                                      uint8_t ret_hash[static HASH_BYTES], struct buf *out);
/* Id and hash of the token that a client shows; the secret is wiped before this returns.
 * QK_ERR_INVALID: no token's text. */
MUST_USE enum qk_err login_token_read(const struct secret *key, struct bytes text,
                                      uint8_t ret_id[static PRINCIPAL_TOKEN_BYTES],
                                      uint8_t ret_hash[static HASH_BYTES]);

/* A MessagePack map, appended to `out`. */
void login_token_encode(const struct login_token *token, struct buf *out);
/* QK_ERR_CORRUPT unless it is what login_token_encode makes; unknown members are skipped. */
MUST_USE enum qk_err login_token_decode(struct bytes in, struct login_token *ret_token);

/* It is good at that time for that user as it is now; `user` NULL: there is none of that name. */
bool login_token_is_good(const struct login_token *token, const struct user *user, uint64_t now_s);
/* The principal of whoever has shown it. */
struct principal login_token_principal(const struct login_token *token, const struct user *user);

#endif

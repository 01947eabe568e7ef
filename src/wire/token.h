/* The join token `qkjoin1…` that `node invite` prints and `node join` takes: who invites whom to
 * which cluster, with the secret that proves it. One use; the psk must stay secret until then. */
#ifndef WIRE_TOKEN_H
#define WIRE_TOKEN_H

#include "base/bytes.h"
#include "base/limits.h"

struct secret;

#define TOKEN_ID_BYTES 16
#define TOKEN_PSK_BYTES 32
#define TOKEN_PK_BYTES 32
#define TOKEN_ADDRESSES_MAX 3
#define TOKEN_TEXT_BYTES_MAX 1600

struct token {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t token_id[TOKEN_ID_BYTES];
    uint8_t inviter_pk[TOKEN_PK_BYTES];
    uint64_t expiry_s;                                          /* Unix time */
    struct secret *psk;                                         /* owned: token_fini frees */
    char addresses[TOKEN_ADDRESSES_MAX][ADDRESS_BYTES_MAX + 1]; /* of the inviter, "host:port" */
    unsigned addresses_n;                                       /* 1 to TOKEN_ADDRESSES_MAX */
};

/* Frees and wipes what the token owns; zeroed tokens are fine. The caller keeps the struct. */
void token_fini(struct token *token);
/* Appends the text to `out`, which must be a secret buffer. QK_ERR_INVALID: an address that is
 * empty or not printable ASCII; QK_ERR_TOO_BIG; QK_ERR_NOMEM. */
MUST_USE enum qk_err token_encode(const struct token *token, struct buf *out);
/* Reads a token's text; white space around it is ignored. Strict: one text for one token. The
 * caller frees with token_fini. QK_ERR_INVALID: not a token, altered or cut; QK_ERR_UNSUPPORTED: of
 * another version; QK_ERR_NOMEM, QK_ERR_LOCKED_MEMORY. Expiry is the caller's to check. */
MUST_USE enum qk_err token_decode(struct bytes text, struct token *ret_token);

#endif

#include "access/login_token.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "wire/pack.h"

#define TOKEN_HRP "qkt"
#define TOKEN_RAW_BYTES (PRINCIPAL_TOKEN_BYTES + LOGIN_TOKEN_SECRET_BYTES)
#define TOKEN_MEMBERS_MAX 64

_Static_assert(sizeof TOKEN_HRP + (TOKEN_RAW_BYTES * 8 + 4) / 5 + 6 == LOGIN_TOKEN_TEXT_BYTES,
               "the length of a token's text");

static const char HASH_LABEL[] = "login token";

const char *login_token_kind_text(enum login_token_kind kind)
{
    switch (kind) {
    case LOGIN_TOKEN_API:
        return "api";
    case LOGIN_TOKEN_SESSION:
        return "session";
    case LOGIN_TOKEN_VAULT:
        return "vault";
    }
    return "unknown";
}

enum qk_err login_token_label_check(struct bytes label)
{
    if (label.len > LOGIN_TOKEN_LABEL_BYTES_MAX || !utf8_is_valid(label))
        return QK_ERR_INVALID;
    for (size_t i = 0; i < label.len; i++) {
        if (label.data[i] < 0x20 || label.data[i] == 0x7f)
            return QK_ERR_INVALID;
    }
    return QK_OK;
}

/* --- the text --- */

static enum qk_err raw_hash(const struct secret *key, const struct buf *raw,
                            uint8_t ret_id[static PRINCIPAL_TOKEN_BYTES],
                            uint8_t ret_hash[static HASH_BYTES])
{
    struct bytes all = buf_bytes(raw);
    enum qk_err err = buf_error(raw);

    if (err == QK_OK && all.len != TOKEN_RAW_BYTES)
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        err = mac_compute(key, HASH_LABEL, &all, 1, ret_hash);
    if (err == QK_OK)
        memcpy(ret_id, all.data, PRINCIPAL_TOKEN_BYTES);
    return err;
}

enum qk_err login_token_make(const struct secret *key, uint8_t ret_id[static PRINCIPAL_TOKEN_BYTES],
                             uint8_t ret_hash[static HASH_BYTES], struct buf *out)
{
    struct buf raw = BUF_SECRET_INIT(TOKEN_RAW_BYTES);
    struct secret *random = NULL;
    enum qk_err err = secret_new_random(TOKEN_RAW_BYTES, &random);

    assert(out->secret);

    if (err != QK_OK)
        return err;
    buf_put(&raw, secret_borrow(random), TOKEN_RAW_BYTES);
    secret_return(random);
    secret_free(random);
    err = raw_hash(key, &raw, ret_id, ret_hash);
    if (err == QK_OK)
        err = bech32m_encode(TOKEN_HRP, buf_bytes(&raw), out);
    buf_fini(&raw);
    secret_stack_burn();
    return err;
}

enum qk_err login_token_read(const struct secret *key, struct bytes text,
                             uint8_t ret_id[static PRINCIPAL_TOKEN_BYTES],
                             uint8_t ret_hash[static HASH_BYTES])
{
    struct buf raw = BUF_SECRET_INIT(BECH32M_BYTES_MAX);
    enum qk_err err = QK_ERR_INVALID;

    if (text.len == LOGIN_TOKEN_TEXT_BYTES)
        err = bech32m_decode(TOKEN_HRP, text, &raw);
    if (err == QK_OK)
        err = raw_hash(key, &raw, ret_id, ret_hash);
    buf_fini(&raw);
    secret_stack_burn_symmetric();
    return err;
}

/* --- the record --- */

void login_token_encode(const struct login_token *token, struct buf *out)
{
    assert(token != NULL && out != NULL);

    pack_map(out, 11);
    pack_text(out, "kind");
    pack_text(out, "token");
    pack_text(out, "id");
    pack_bin(out, bytes_of(token->id, sizeof(token->id)));
    pack_text(out, "user");
    pack_bin(out, bytes_of(token->user_id, sizeof(token->user_id)));
    pack_text(out, "name");
    pack_text(out, token->user_name);
    pack_text(out, "credential");
    pack_u64(out, token->credential_version);
    pack_text(out, "type");
    pack_u64(out, token->kind);
    pack_text(out, "label");
    pack_text(out, token->label);
    pack_text(out, "created");
    pack_u64(out, token->created_s);
    pack_text(out, "expires");
    pack_u64(out, token->expires_s);
    pack_text(out, "limit");
    pack_u64(out, token->limit_s);
    pack_text(out, "hash");
    pack_bin(out, bytes_of(token->hash, sizeof(token->hash)));
}

/* Which members were there, so that one that is missing is noticed. */
enum {
    HAS_KIND = 0x001,
    HAS_ID = 0x002,
    HAS_USER = 0x004,
    HAS_NAME = 0x008,
    HAS_CREDENTIAL = 0x010,
    HAS_TYPE = 0x020,
    HAS_LABEL = 0x040,
    HAS_CREATED = 0x080,
    HAS_EXPIRES = 0x100,
    HAS_LIMIT = 0x200,
    HAS_HASH = 0x400,
    HAS_ALL = 0x7ff
};

static bool is_named(struct bytes name, const char *text)
{
    return bytes_equal(name, bytes_str(text));
}

static unsigned decode_times(struct unpack *in, struct bytes name, struct login_token *token)
{
    if (is_named(name, "created")) {
        token->created_s = unpack_u64(in);
        return HAS_CREATED;
    }
    if (is_named(name, "expires")) {
        token->expires_s = unpack_u64(in);
        return HAS_EXPIRES;
    }
    if (is_named(name, "limit")) {
        token->limit_s = unpack_u64(in);
        return HAS_LIMIT;
    }
    if (is_named(name, "hash")) {
        unpack_bin_copy(in, token->hash, sizeof(token->hash));
        return HAS_HASH;
    }
    unpack_skip(in);
    return 0;
}

static unsigned decode_member(struct unpack *in, struct login_token *token)
{
    struct bytes name = unpack_str(in, 32);

    if (is_named(name, "kind"))
        return is_named(unpack_str(in, 32), "token") ? HAS_KIND : 0;
    if (is_named(name, "id")) {
        unpack_bin_copy(in, token->id, sizeof(token->id));
        return HAS_ID;
    }
    if (is_named(name, "user")) {
        unpack_bin_copy(in, token->user_id, sizeof(token->user_id));
        return HAS_USER;
    }
    if (is_named(name, "name")) {
        unpack_str_copy(in, token->user_name, sizeof(token->user_name));
        return HAS_NAME;
    }
    if (is_named(name, "credential")) {
        token->credential_version = unpack_u64(in);
        return HAS_CREDENTIAL;
    }
    if (is_named(name, "type")) {
        token->kind = (enum login_token_kind)unpack_u64_max(in, LOGIN_TOKEN_VAULT);
        return HAS_TYPE;
    }
    if (is_named(name, "label")) {
        unpack_str_copy(in, token->label, sizeof(token->label));
        return HAS_LABEL;
    }
    return decode_times(in, name, token);
}

enum qk_err login_token_decode(struct bytes in, struct login_token *ret_token)
{
    struct unpack unpack = unpack_of(in);
    struct login_token token = {0};
    unsigned has = 0;
    uint32_t n;

    assert(ret_token != NULL);

    for (n = unpack_map(&unpack, TOKEN_MEMBERS_MAX); n > 0 && unpack_error(&unpack) == QK_OK; n--)
        has |= decode_member(&unpack, &token);
    if (unpack_end(&unpack) != QK_OK || has != HAS_ALL || token.kind < LOGIN_TOKEN_API)
        return QK_ERR_CORRUPT;
    if (user_name_check(bytes_str(token.user_name)) != QK_OK ||
        login_token_label_check(bytes_str(token.label)) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_token = token;
    return QK_OK;
}

/* --- its use --- */

bool login_token_is_good(const struct login_token *token, const struct user *user, uint64_t now_s)
{
    return user != NULL && !user->disabled &&
           memcmp(user->id, token->user_id, USER_ID_BYTES) == 0 &&
           user->credential_version == token->credential_version && now_s < token->expires_s;
}

struct principal login_token_principal(const struct login_token *token, const struct user *user)
{
    struct principal who = user_principal(user);

    memcpy(who.token_id, token->id, sizeof(who.token_id));
    return who;
}

/* login_check: limit -> count the try -> copy of name, password and stored hash -> argon2id on the
 * pool -> compare -> forgive the try if it was right. A name that does not exist costs the same
 * work, against a hash of nothing, so that time does not tell which names there are. */
#include "service/login.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "access/throttle.h"
#include "access/user.h"
#include "base/encode.h"
#include "base/log.h"
#include "secret/crypto.h"
#include "service/catalog.h"

/* Each takes 64 MiB while it runs; the pool runs four. */
#define LOGIN_WAITING_MAX 256
#define LOGIN_ADDRESS_BYTES 64

struct login_try {
    uv_work_t work;
    struct login *login;
    login_cb cb;
    void *arg;
    struct buf password; /* secret */
    char name[USER_NAME_BYTES_MAX + 1];
    char address[LOGIN_ADDRESS_BYTES];
    char hash[PASSWORD_HASH_BYTES];
    bool exists;
    enum qk_err err;
};

struct login {
    struct service *service;
    struct throttle throttle;
    unsigned tries_n;
    bool closing;
    char nobody[PASSWORD_HASH_BYTES]; /* what unknown names are checked against */
    bool has_nobody;
};

enum qk_err login_new(struct service *service, struct login **ret_login)
{
    struct login *login = calloc(1, sizeof(*login));
    uint8_t seed[THROTTLE_SEED_BYTES];

    assert(service != NULL && ret_login != NULL);

    if (login == NULL)
        return QK_ERR_NOMEM;
    login->service = service;
    random_fill(seed, sizeof(seed));
    throttle_init(&login->throttle, seed);
    *ret_login = login;
    return QK_OK;
}

static void login_release(struct login *login)
{
    if (!login->closing || login->tries_n > 0)
        return;
    secret_wipe(login, sizeof(*login));
    free(login);
}

void login_free(struct login *login)
{
    if (login == NULL)
        return;
    login->closing = true;
    login_release(login);
}

/* --- on the pool --- */

static void login_work(uv_work_t *work)
{
    struct login_try *try = work->data;
    struct bytes password = try->password.len == 0 ? bytes_str("") : buf_bytes(&try->password);

    if (try->hash[0] == '\0') /* the first unknown name: a hash to compare the next ones with */
        try->err = password_hash(password, try->hash);
    else
        try->err = password_verify(password, try->hash);
}

/* --- back on the loop --- */

/* The user may have gone or changed while the worker ran. */
static enum qk_err login_judge(const struct login_try *try, struct principal *ret_who)
{
    const struct service *service = try->login->service;
    const struct user *user;

    if (try->login->closing)
        return QK_ERR_CLOSED;
    if (service->catalog == NULL)
        return QK_ERR_SEALED;
    if (!try->exists)
        return try->err == QK_OK ? QK_ERR_UNAUTHENTICATED : try->err;
    if (try->err != QK_OK)
        return try->err;
    user = catalog_user_find(service->catalog, bytes_str(try->name));
    if (user == NULL || strcmp(user->password_hash, try->hash) != 0)
        return QK_ERR_UNAUTHENTICATED;
    *ret_who = user_principal(user);
    return QK_OK;
}

static void login_keep_nobody(struct login *login, const struct login_try *try)
{
    if (try->exists || login->has_nobody || try->err != QK_OK)
        return;
    memcpy(login->nobody, try->hash, sizeof(login->nobody));
    login->has_nobody = true;
}

static void login_after(uv_work_t *work, int status)
{
    struct login_try *try = work->data;
    struct login *login = try->login;
    struct principal who = {0};
    enum qk_err err;

    if (status != 0)
        try->err = QK_ERR_CLOSED;
    login_keep_nobody(login, try);
    err = login_judge(try, &who);
    /* Only a wrong password is the client's fault. */
    if (err != QK_ERR_UNAUTHENTICATED)
        throttle_forgive(&login->throttle, bytes_str(try->name), bytes_str(try->address),
                         uv_now(login->service->loop));
    else
        log_info("login", "wrong name or password from %s", try->address);
    try->cb(try->arg, err, err == QK_OK ? &who : NULL, 0);
    login->tries_n--;
    buf_fini(&try->password);
    secret_wipe(try, sizeof(*try));
    free(try);
    login_release(login);
}

/* --- starting --- */

static enum qk_err login_copy(struct login *login, struct login_try *try, struct bytes name,
                              struct bytes password, const char *address)
{
    const struct user *user;

    buf_put_bytes(&try->password, password);
    memcpy(try->name, name.data, name.len);
    strncpy(try->address, address, sizeof(try->address) - 1);
    user = catalog_user_find(login->service->catalog, name);
    try->exists = user != NULL && user->password_hash[0] != '\0';
    memcpy(try->hash, try->exists ? user->password_hash : login->nobody, sizeof(try->hash));
    return buf_error(&try->password);
}

static enum qk_err login_admit(struct login *login, struct bytes name, const char *address)
{
    uint64_t retry_ms;

    if (login->closing)
        return QK_ERR_CLOSED;
    if (login->service->catalog == NULL)
        return QK_ERR_SEALED;
    if (login->tries_n >= LOGIN_WAITING_MAX)
        return QK_ERR_BUSY;
    return throttle_check(&login->throttle, name, bytes_str(address), uv_now(login->service->loop),
                          &retry_ms);
}

enum qk_err login_check(struct login *login, struct bytes name, struct bytes password,
                        const char *address, login_cb cb, void *arg)
{
    struct login_try *try;
    enum qk_err err;

    assert(login != NULL && address != NULL && cb != NULL);

    if (name.len > USER_NAME_BYTES_MAX || password.len > PASSWORD_BYTES_MAX)
        return QK_ERR_UNAUTHENTICATED;
    err = login_admit(login, name, address);
    if (err != QK_OK)
        return err;
    try = calloc(1, sizeof(*try));
    if (try == NULL)
        return QK_ERR_NOMEM;
    try->login = login;
    try->cb = cb;
    try->arg = arg;
    try->work.data = try;
    try->password = BUF_SECRET_INIT(PASSWORD_BYTES_MAX);
    err = login_copy(login, try, name, password, address);
    if (err == QK_OK && uv_queue_work(login->service->loop, &try->work, login_work, login_after))
        err = QK_ERR_NOMEM;
    if (err != QK_OK) {
        buf_fini(&try->password);
        secret_wipe(try, sizeof(*try));
        free(try);
        return err;
    }
    login->tries_n++;
    throttle_count(&login->throttle, name, bytes_str(address), uv_now(login->service->loop));
    return QK_OK;
}

unsigned login_retry_after_s(const struct login *login, struct bytes name, const char *address)
{
    uint64_t retry_ms = 0;

    if (throttle_check(&login->throttle, name, bytes_str(address), uv_now(login->service->loop),
                       &retry_ms) == QK_OK)
        return 1;
    return (unsigned)((retry_ms + 999) / 1000);
}

enum qk_err login_parse_basic(struct bytes authorization, struct buf *out, struct bytes *ret_name,
                              struct bytes *ret_password)
{
    const char scheme[] = "Basic ";
    size_t start = out->len, len = strlen(scheme);
    const uint8_t *colon;
    struct bytes text;

    assert(out->secret);

    if (authorization.len <= len || strncasecmp((const char *)authorization.data, scheme, len) != 0)
        return QK_ERR_INVALID;
    if (base64_decode(bytes_slice(authorization, len, authorization.len), out) != QK_OK)
        return QK_ERR_INVALID;
    text = bytes_slice(buf_bytes(out), start, out->len);
    colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);
    if (colon == NULL)
        return QK_ERR_INVALID;
    *ret_name = bytes_slice(text, 0, (size_t)(colon - text.data));
    *ret_password = bytes_slice(text, ret_name->len + 1, text.len);
    return QK_OK;
}

bool login_is_current(const struct service *service, const struct principal *who)
{
    const struct user *user;

    if (who->kind != PRINCIPAL_USER || service->catalog == NULL)
        return who->kind == PRINCIPAL_CONTROL;
    user = catalog_user_find(service->catalog, bytes_str(who->name));
    return user != NULL && memcmp(user->id, who->user_id, USER_ID_BYTES) == 0 &&
           user->credential_version == who->credential_version;
}

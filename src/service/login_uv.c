/* login_check: limit -> count the try -> copy of name, password and stored hash -> argon2id on the
 * pool -> compare -> forgive the try if it was right. A name that does not exist costs the same
 * work, against a hash of nothing, so that time does not tell which names there are.
 *
 * This node may be a little behind: who was made, or got a new password, by an answer of another
 * node would be refused here. So what is not right is looked at again after a read point
 * (login_catch_up), and if the record is another one then, the try is made once more. Where no read
 * point is to be had the refusal stands, and counts.
 *
 * Who comes with the same name and password while a try is under way waits for its outcome: a
 * client that opens many connections at once costs one argon2id and counts as one try, and nobody
 * learns more from it than from one.
 *
 * It is a little over 500 lines: all of it is the life of a try, which a cut would only hide. */
#include "service/login.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "access/throttle.h"
#include "access/user.h"
#include "base/log.h"
#include "secret/crypto.h"
#include "service/audit_use.h"
#include "service/catalog.h"

#define LOGIN_TRIES_MAX 256
#define LOGIN_WAITERS_MAX 10000
#define LOGIN_ADDRESS_BYTES 64
/* Second looks at once: without a majority they wait, in a place each. */
#define LOGIN_LOOKS_MAX 32

struct login_waiter {
    struct login_waiter *next;
    login_cb cb;
    void *arg;
};

struct login_try {
    uv_work_t work;
    struct login *login;
    struct login_try *next;       /* under way */
    struct login_waiter *waiters; /* at least one */
    struct buf password;          /* secret */
    char name[USER_NAME_BYTES_MAX + 1];
    char address[LOGIN_ADDRESS_BYTES];
    char hash[PASSWORD_HASH_BYTES];
    bool exists;
    bool running;       /* or waiting for the read point */
    bool again;         /* it has been looked at twice */
    unsigned slot;      /* while it runs */
    unsigned suspicion; /* how many tries of its account and address counted when it came */
    enum qk_err err;
};

struct login {
    struct service *service;
    struct throttle throttle;
    struct login_try *tries;
    unsigned tries_n, running_n, waiters_n, looks_n;
    bool slots[LOGIN_RUNNING_MAX]; /* in use */
    unsigned slots_n;
    struct login_hasher hasher;
    bool closing;
    char nobody[PASSWORD_HASH_BYTES]; /* what unknown names are checked against */
    bool has_nobody;
};

unsigned login_running_max(void)
{
    unsigned n = uv_available_parallelism() / 2;

    return n < 1 ? 1 : n > LOGIN_RUNNING_MAX ? LOGIN_RUNNING_MAX : n;
}

void login_use_hasher(struct login *login, const struct login_hasher *hasher)
{
    assert(login->tries_n == 0);
    login->hasher = *hasher;
}

enum qk_err login_new(struct service *service, struct login **ret_login)
{
    struct login *login = calloc(1, sizeof(*login));
    uint8_t seed[THROTTLE_SEED_BYTES];

    assert(service != NULL && ret_login != NULL);

    if (login == NULL)
        return QK_ERR_NOMEM;
    login->service = service;
    login->slots_n = login_running_max();
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

enum qk_err login_password_check(struct bytes password, char *hash)
{
    return hash[0] == '\0' ? password_hash(password, hash) : password_verify(password, hash);
}

static void login_work(uv_work_t *work)
{
    struct login_try *try = work->data;
    struct bytes password = try->password.len == 0 ? bytes_str("") : buf_bytes(&try->password);

    /* An empty hash: the first unknown name makes one to compare the next ones with. */
    if (try->login->hasher.check != NULL)
        try->err = try->login->hasher.check(try->login->hasher.arg, try->slot, password, try->hash);
    else
        try->err = login_password_check(password, try->hash);
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
    if (user == NULL || user->disabled || strcmp(user->password_hash, try->hash) != 0)
        return QK_ERR_UNAUTHENTICATED;
    *ret_who = user_principal(user);
    return audit_login(service, ret_who, try->address);
}

static void login_keep_nobody(struct login *login, const struct login_try *try)
{
    if (try->exists || login->has_nobody || try->err != QK_OK)
        return;
    memcpy(login->nobody, try->hash, sizeof(login->nobody));
    login->has_nobody = true;
}

static void login_unlink(struct login_try *try)
{
    struct login_try **at = &try->login->tries;

    while (*at != try)
        at = &(*at)->next;
    *at = try->next;
}

static void login_tell(struct login_try *try, enum qk_err err, const struct principal *who)
{
    struct login_waiter *waiter;

    while ((waiter = try->waiters) != NULL) {
        try->waiters = waiter->next;
        try->login->waiters_n--;
        waiter->cb(waiter->arg, err, err == QK_OK ? who : NULL, 0);
        free(waiter);
    }
}

static void try_free(struct login_try *try)
{
    while (try->waiters != NULL) {
        struct login_waiter *waiter = try->waiters;

        try->waiters = waiter->next;
        free(waiter);
    }
    buf_fini(&try->password);
    secret_wipe(try, sizeof(*try));
    free(try);
}

static void login_after(uv_work_t *work, int status);

/* Who is least suspect goes first, so that those who guess make each other wait; among equals the
 * newest (the first in the list): addresses that guess are beyond suspicion but once, and what they
 * have piled up then is not waited for. Found by a storm from 250 addresses, in which a right
 * password waited for half a minute. */
static struct login_try *login_next(const struct login *login)
{
    struct login_try *best = NULL;

    for (struct login_try *try = login->tries; try != NULL; try = try->next) {
        if (!try->running && (best == NULL || try->suspicion < best->suspicion))
            best = try;
    }
    return best;
}

/* One that has not begun, and never will. */
static void login_drop(struct login_try *try, enum qk_err err)
{
    struct login *login = try->login;

    assert(!try->running);
    login_unlink(try);
    login_tell(try, err, NULL);
    login->tries_n--;
    try_free(try);
}

static unsigned slot_take(struct login *login)
{
    unsigned slot = 0;

    while (login->slots[slot])
        slot++;
    assert(slot < login->slots_n);
    login->slots[slot] = true;
    return slot;
}

static void login_run(struct login *login)
{
    struct login_try *try;

    while (login->closing && (try = login_next(login)) != NULL)
        login_drop(try, QK_ERR_CLOSED);
    while (login->running_n < login->slots_n && (try = login_next(login)) != NULL) {
        int rc;

        try->slot = slot_take(login);
        rc = uv_queue_work(login->service->loop, &try->work, login_work, login_after);
        assert(rc == 0); /* it fails for a missing callback alone */
        (void)rc;
        try->running = true;
        login->running_n++;
    }
}

/* A name is never written: it may be a password, typed into the wrong field. */
static void login_record_failure(const struct login_try *try)
{
    const struct service *service = try->login->service;
    const struct user *user =
        service->catalog == NULL ? NULL : catalog_user_find(service->catalog, bytes_str(try->name));

    audit_login_failed(service, user == NULL ? NULL : user->id, try->address);
    log_info("login", "wrong name or password from %s", try->address);
}

static void login_finish(struct login_try *try, enum qk_err err, const struct principal *who)
{
    struct login *login = try->login;

    /* Only a wrong password is the client's fault. */
    if (err != QK_ERR_UNAUTHENTICATED)
        throttle_forgive(&login->throttle, bytes_str(try->name), bytes_str(try->address),
                         uv_now(login->service->loop));
    else
        login_record_failure(try);
    login_unlink(try);
    login_tell(try, err, who);
    login->tries_n--;
    try_free(try);
    login_run(login);
    login_release(login);
}

/* What the try is compared with, as the catalog has it now; whether that is another than before. */
static bool login_take_hash(struct login_try *try)
{
    const struct user *user = catalog_user_find(try->login->service->catalog, bytes_str(try->name));
    bool exists = user != NULL && user->password_hash[0] != '\0';
    bool other = exists && (!try->exists || strcmp(try->hash, user->password_hash) != 0);

    try->exists = exists;
    memcpy(try->hash, exists ? user->password_hash : try->login->nobody, sizeof(try->hash));
    return other;
}

static void login_caught_up(void *arg, enum qk_err err)
{
    struct login_try *try = arg;

    try->login->looks_n--;
    if (try->login->closing || try->login->service->catalog == NULL) {
        login_finish(try, try->login->closing ? QK_ERR_CLOSED : QK_ERR_SEALED, NULL);
    } else if (err != QK_OK || !login_take_hash(try)) {
        login_finish(try, QK_ERR_UNAUTHENTICATED, NULL);
    } else {
        try->running = false;
        login_run(try->login);
    }
}

static bool login_look_again(struct login_try *try)
{
    struct login *login = try->login;

    if (try->again || login->looks_n == LOGIN_LOOKS_MAX ||
        login_catch_up(login->service, login_caught_up, try) != QK_OK)
        return false;
    try->again = true;
    login->looks_n++;
    return true;
}

static void login_after(uv_work_t *work, int status)
{
    struct login_try *try = work->data;
    struct login *login = try->login;
    struct principal who = {0};
    enum qk_err err;

    login->running_n--;
    login->slots[try->slot] = false;
    if (status != 0)
        try->err = QK_ERR_CLOSED;
    login_keep_nobody(login, try);
    err = login_judge(try, &who);
    if (err == QK_ERR_UNAUTHENTICATED && login_look_again(try))
        login_run(login);
    else
        login_finish(try, err, &who);
}

/* --- starting --- */

static enum qk_err login_copy(struct login *login, struct login_try *try, struct bytes name,
                              struct bytes password, const char *address)
{
    buf_put_bytes(&try->password, password);
    memcpy(try->name, name.data, name.len);
    strncpy(try->address, address, sizeof(try->address) - 1);
    try->suspicion = throttle_suspicion(&login->throttle, name, bytes_str(address),
                                        uv_now(login->service->loop));
    (void)login_take_hash(try);
    return buf_error(&try->password);
}

static enum qk_err login_admit(struct login *login, struct bytes name, const char *address)
{
    uint64_t retry_ms;

    if (login->waiters_n >= LOGIN_WAITERS_MAX)
        return QK_ERR_BUSY;
    return throttle_check(&login->throttle, name, bytes_str(address), uv_now(login->service->loop),
                          &retry_ms);
}

/* In constant time for passwords of one length. */
static bool same_password(struct bytes a, struct bytes b)
{
    volatile uint8_t differ = a.len == b.len ? 0 : 1;

    for (size_t i = 0; i < a.len && i < b.len; i++)
        differ |= (uint8_t)(a.data[i] ^ b.data[i]);
    return differ == 0;
}

/* The last of those under way with these very credentials, against the hash that the user has now
 * (a worker writes the hash of a name that does not exist: that one is not looked at). */
static struct login_try *login_find_same(const struct login *login, struct bytes name,
                                         struct bytes password)
{
    const struct user *user = catalog_user_find(login->service->catalog, name);
    bool exists = user != NULL && user->password_hash[0] != '\0';
    struct login_try *try;

    for (try = login->tries; try != NULL; try = try->next) {
        if (bytes_equal(bytes_str(try->name), name) && try->exists == exists &&
            (!exists || strcmp(try->hash, user->password_hash) == 0) &&
            same_password(buf_bytes(&try->password), password))
            return try;
    }
    return NULL;
}

static enum qk_err login_join(struct login_try *try, login_cb cb, void *arg)
{
    struct login_waiter *waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL)
        return QK_ERR_NOMEM;
    *waiter = (struct login_waiter){try->waiters, cb, arg};
    try->waiters = waiter;
    try->login->waiters_n++;
    return QK_OK;
}

/* The most suspect of those who wait, the oldest of equals (the list has the newest first), if a
 * newcomer of `suspicion` is no more so: of equals the newest are served first, so the oldest is
 * who would wait longest. A storm from more addresses than there are places, each beyond suspicion
 * once, would else close the door to everybody until all of them were served. */
static struct login_try *login_worst(const struct login *login, unsigned suspicion)
{
    struct login_try *worst = NULL;

    for (struct login_try *try = login->tries; try != NULL; try = try->next) {
        if (!try->running && try->suspicion >= (worst == NULL ? suspicion : worst->suspicion))
            worst = try;
    }
    return worst;
}

/* Room for one more try: where there is none, somebody makes way who is as suspect or more. */
static enum qk_err login_room(struct login *login, struct bytes name, const char *address)
{
    struct login_try *worst;

    if (login->tries_n < LOGIN_TRIES_MAX)
        return QK_OK;
    worst = login_worst(login, throttle_suspicion(&login->throttle, name, bytes_str(address),
                                                  uv_now(login->service->loop)));
    if (worst == NULL)
        return QK_ERR_BUSY;
    login_drop(worst, QK_ERR_BUSY);
    return QK_OK;
}

static enum qk_err login_begin(struct login *login, struct bytes name, struct bytes password,
                               const char *address, login_cb cb, void *arg)
{
    struct login_try *try = calloc(1, sizeof(*try));
    enum qk_err err;

    if (try == NULL)
        return QK_ERR_NOMEM;
    try->login = login;
    try->work.data = try;
    try->password = BUF_SECRET_INIT(PASSWORD_BYTES_MAX);
    err = login_copy(login, try, name, password, address);
    if (err == QK_OK)
        err = login_join(try, cb, arg);
    if (err != QK_OK) {
        try_free(try);
        return err;
    }
    try->next = login->tries;
    login->tries = try;
    login->tries_n++;
    login_run(login);
    return QK_OK;
}

enum qk_err login_check(struct login *login, struct bytes name, struct bytes password,
                        const char *address, login_cb cb, void *arg)
{
    struct login_try *same;
    enum qk_err err;

    assert(login != NULL && address != NULL && cb != NULL);

    if (name.len > USER_NAME_BYTES_MAX || password.len > PASSWORD_BYTES_MAX)
        return QK_ERR_UNAUTHENTICATED;
    if (login->closing)
        return QK_ERR_CLOSED;
    if (login->service->catalog == NULL)
        return QK_ERR_SEALED;
    /* The limit holds for those too who would wait for another's try: over it, being refused or not
     * would tell whether the password is the other's. */
    err = login_admit(login, name, address);
    if (err != QK_OK)
        return err;
    same = login_find_same(login, name, password);
    if (same != NULL)
        return login_join(same, cb, arg);
    err = login_room(login, name, address);
    if (err == QK_OK)
        err = login_begin(login, name, password, address, cb, arg);
    if (err != QK_OK)
        return err;
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

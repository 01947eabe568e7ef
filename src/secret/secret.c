#include "secret/secret.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "secret/arena.h"
#include "secret/crypto.h"

/* Deeper than any libsodium call that takes a key (X25519 and ristretto255 use about 5 KiB). */
#define STACK_BURN_BYTES (16 * 1024)

struct secret {
    uint32_t slot, len;
    _Atomic bool wiped;
    struct secret *prev, *next; /* the list of live ones, for secret_wipe_all */
};

static struct {
    pthread_mutex_t lock;
    struct secret *first;
    size_t n;
} live = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void live_add(struct secret *secret)
{
    (void)pthread_mutex_lock(&live.lock);
    secret->next = live.first;
    if (live.first != NULL)
        live.first->prev = secret;
    live.first = secret;
    live.n++;
    (void)pthread_mutex_unlock(&live.lock);
}

static void live_remove(struct secret *secret)
{
    (void)pthread_mutex_lock(&live.lock);
    if (secret->prev != NULL)
        secret->prev->next = secret->next;
    else
        live.first = secret->next;
    if (secret->next != NULL)
        secret->next->prev = secret->prev;
    live.n--;
    (void)pthread_mutex_unlock(&live.lock);
}

static enum qk_err secret_new(size_t len, bool passing, struct secret **ret_secret)
{
    struct secret *secret;
    enum qk_err err;

    assert(ret_secret != NULL);
    assert(len > 0 && len <= SECRET_BYTES_MAX);
    secret = calloc(1, sizeof *secret);
    if (secret == NULL)
        return QK_ERR_NOMEM;
    secret->len = (uint32_t)len;
    err = arena_take(len, passing, &secret->slot);
    if (err != QK_OK) {
        free(secret);
        return err;
    }
    live_add(secret);
    *ret_secret = secret;
    return QK_OK;
}

enum qk_err secret_new_zero(size_t len, struct secret **ret_secret)
{
    return secret_new(len, false, ret_secret);
}

enum qk_err secret_new_passing(size_t len, struct secret **ret_secret)
{
    return secret_new(len, true, ret_secret);
}

enum qk_err secret_new_random(size_t len, struct secret **ret_secret)
{
    struct random_source random = random_system();
    struct secret *secret;
    enum qk_err err = secret_new_zero(len, &secret);

    if (err != QK_OK)
        return err;
    random.fill(random.arg, secret_borrow_mut(secret), len);
    secret_return_mut(secret);
    *ret_secret = secret;
    return QK_OK;
}

enum qk_err secret_new_copy(const uint8_t *data, size_t len, struct secret **ret_secret)
{
    struct secret *secret;
    enum qk_err err;

    assert(data != NULL);
    err = secret_new_zero(len, &secret);
    if (err != QK_OK)
        return err;
    memcpy(secret_borrow_mut(secret), data, len);
    secret_return_mut(secret);
    *ret_secret = secret;
    return QK_OK;
}

enum qk_err secret_new_clone(const struct secret *secret, struct secret **ret_secret)
{
    enum qk_err err;

    if (secret->wiped)
        return QK_ERR_SEALED;
    err = secret_new_copy(secret_borrow(secret), secret->len, ret_secret);
    secret_return(secret);
    return err;
}

void secret_free(struct secret *secret)
{
    if (secret == NULL)
        return;
    live_remove(secret);
    if (arena_is_up())
        arena_give(secret->slot, secret->len);
    free(secret);
}

void secret_truncate(struct secret *secret, size_t len)
{
    arena_shrink(secret->slot, secret->len, len);
    secret->len = (uint32_t)len;
}

size_t secret_len(const struct secret *secret)
{
    return secret->len;
}

const uint8_t *secret_borrow(const struct secret *secret)
{
    assert(secret != NULL);
    assert(!secret->wiped);
    return arena_open(secret->slot, secret->len, false);
}

void secret_return(const struct secret *secret)
{
    arena_close(secret->slot, secret->len, false);
}

uint8_t *secret_borrow_mut(struct secret *secret)
{
    assert(secret != NULL);
    assert(!secret->wiped);
    return arena_open(secret->slot, secret->len, true);
}

void secret_return_mut(struct secret *secret)
{
    arena_close(secret->slot, secret->len, true);
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    bool equal;

    if (a->wiped || b->wiped || a->len != b->len)
        return false;
    equal = sodium_memcmp(secret_borrow(a), secret_borrow(b), a->len) == 0;
    secret_return(a);
    secret_return(b);
    return equal;
}

void secret_wipe_all(void)
{
    if (!arena_is_up())
        return;
    (void)pthread_mutex_lock(&live.lock);
    for (struct secret *secret = live.first; secret != NULL; secret = secret->next) {
        secret->wiped = true;
        sodium_memzero(arena_open(secret->slot, secret->len, true), secret->len);
        arena_close(secret->slot, secret->len, true);
    }
    (void)pthread_mutex_unlock(&live.lock);
}

bool secret_is_wiped(const struct secret *secret)
{
    return secret->wiped;
}

struct secret_stats secret_stats(void)
{
    struct secret_stats stats = {.kind = secret_arena_kind()};

    arena_usage(&stats.bytes_total, &stats.bytes_used);
    (void)pthread_mutex_lock(&live.lock);
    stats.secrets_n = live.n;
    (void)pthread_mutex_unlock(&live.lock);
    return stats;
}

void secret_wipe(void *data, size_t len)
{
    sodium_memzero(data, len);
}

/* Not inlined and not instrumented: under AddressSanitizer the array would live elsewhere. */
__attribute__((noinline, no_sanitize("address"))) void secret_stack_burn(void)
{
    uint8_t area[STACK_BURN_BYTES];

    explicit_bzero(area, sizeof area);
}

__attribute__((noinline, no_sanitize("address"))) void secret_stack_burn_symmetric(void)
{
    uint8_t area[SECRET_STACK_SYMMETRIC_BYTES];

    explicit_bzero(area, sizeof area);
}

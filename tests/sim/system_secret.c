/* Secrets on the heap and randomness from the seed, in the place of src/secret's arena: what the
 * locked memory costs in system calls would be most of a seed's time. */
#include "system.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secret/crypto.h"

struct secret {
    size_t len;
    uint8_t bytes[];
};

/* --- randomness ------------------------------------------------------------------------------ */

static uint64_t drawn = 1;

static void draw(void *arg, uint8_t *ret_out, size_t len)
{
    (void)arg;
    while (len > 0) {
        uint64_t value;
        size_t n = len < 8 ? len : 8;

        if (system_current != NULL) {
            value = sim_random(system_current->sys->w);
        } else {
            value = drawn++ * 0x9e3779b97f4a7c15u;
        }
        memcpy(ret_out, &value, n);
        ret_out += n;
        len -= n;
    }
}

struct random_source random_system(void)
{
    return (struct random_source){draw, NULL};
}

void random_fill(void *ret_out, size_t len)
{
    draw(NULL, ret_out, len);
}

static const char *sodium_name(void)
{
    return "seeded";
}

static uint32_t sodium_u32(void)
{
    uint32_t value;

    draw(NULL, (uint8_t *)&value, sizeof(value));
    return value;
}

static void sodium_fill(void *const out, const size_t len)
{
    draw(NULL, out, len);
}

static struct randombytes_implementation seeded = {
    .implementation_name = sodium_name, .random = sodium_u32, .buf = sodium_fill};

/* --- secret/secret.h ------------------------------------------------------------------------- */

enum qk_err secret_arena_init(enum secret_arena kind, size_t bytes)
{
    (void)kind;
    (void)bytes;
    randombytes_set_implementation(&seeded);
    return sodium_init() < 0 ? QK_ERR_IO : QK_OK;
}

enum qk_err secret_new_zero(size_t len, struct secret **ret_secret)
{
    struct secret *secret = calloc(1, sizeof(*secret) + len);

    assert(secret != NULL && len > 0);
    secret->len = len;
    *ret_secret = secret;
    return QK_OK;
}

enum qk_err secret_new_random(size_t len, struct secret **ret_secret)
{
    enum qk_err err = secret_new_zero(len, ret_secret);

    draw(NULL, (*ret_secret)->bytes, len);
    return err;
}

enum qk_err secret_new_copy(const uint8_t *data, size_t len, struct secret **ret_secret)
{
    enum qk_err err = secret_new_zero(len, ret_secret);

    memcpy((*ret_secret)->bytes, data, len);
    return err;
}

enum qk_err secret_new_clone(const struct secret *secret, struct secret **ret_secret)
{
    return secret_new_copy(secret->bytes, secret->len, ret_secret);
}

void secret_free(struct secret *secret)
{
    free(secret);
}

size_t secret_len(const struct secret *secret)
{
    return secret->len;
}

const uint8_t *secret_borrow(const struct secret *secret)
{
    return secret->bytes;
}

void secret_return(const struct secret *secret)
{
    (void)secret;
}

uint8_t *secret_borrow_mut(struct secret *secret)
{
    return secret->bytes;
}

void secret_return_mut(struct secret *secret)
{
    (void)secret;
}

void secret_scope_begin(void)
{
}

void secret_scope_end(void)
{
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool secret_is_wiped(const struct secret *secret)
{
    (void)secret;
    return false;
}

/* Declared by secret/arena.h, which is private to src/secret. */
void secret_truncate(struct secret *secret, size_t len);
void secret_truncate(struct secret *secret, size_t len)
{
    secret->len = len;
}

enum qk_err secret_new_passing(size_t len, struct secret **ret_secret);
enum qk_err secret_new_passing(size_t len, struct secret **ret_secret)
{
    return secret_new_zero(len, ret_secret);
}

void secret_stack_burn(void)
{
}

void secret_stack_burn_symmetric(void)
{
}

struct secret_stats secret_stats(void)
{
    return (struct secret_stats){0};
}

/* How deep libsodium's symmetric calls go: what secret_stack_burn_symmetric clears must be more. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#include "secret/secret.h"

#define STACK_BYTES ((size_t)256 * 1024)
#define PAINT 0xa5
#define DATA_BYTES ((size_t)64 * 1024)

static volatile int done;
static uint8_t key[64], nonce[24], data[DATA_BYTES], sealed[DATA_BYTES + 16];

static void act_hash(void)
{
    (void)crypto_generichash_blake2b_salt_personal(sealed, 64, data, sizeof data, key, 32, NULL,
                                                   nonce);
}

static void act_hash_streaming(void)
{
    crypto_generichash_blake2b_state state;

    (void)crypto_generichash_blake2b_init_salt_personal(&state, key, 64, 32, NULL, nonce);
    (void)crypto_generichash_blake2b_update(&state, data, 999);
    (void)crypto_generichash_blake2b_final(&state, sealed, 32);
}

static void act_xchacha(void)
{
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, data, sizeof data, data, 99,
                                                     NULL, nonce, key);
    done = crypto_aead_xchacha20poly1305_ietf_decrypt(data, NULL, NULL, sealed, sizeof sealed, data,
                                                      99, nonce, key);
}

static void act_chacha(void)
{
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, data, sizeof data, data, 99, NULL,
                                                    nonce, key);
    done = crypto_aead_chacha20poly1305_ietf_decrypt(data, NULL, NULL, sealed, sizeof sealed, data,
                                                     99, nonce, key);
}

static void act_aes(void)
{
    if (crypto_aead_aes256gcm_is_available() == 0)
        return;
    (void)crypto_aead_aes256gcm_encrypt(sealed, NULL, data, sizeof data, data, 99, NULL, nonce,
                                        key);
    done = crypto_aead_aes256gcm_decrypt(data, NULL, NULL, sealed, sizeof sealed, data, 99, nonce,
                                         key);
}

static void act_stream(void)
{
    (void)crypto_stream_xchacha20_xor(sealed, data, sizeof data, nonce, key);
}

struct painted {
    void (*act)(void);
    uint8_t *stack;
    size_t depth;
};

/* The thread's frame lies near the top of a stack that is painted below it. */
static void *run_painted(void *arg)
{
    struct painted *painted = arg;
    const uint8_t *frame = __builtin_frame_address(0);
    const uint8_t *at = painted->stack;

    painted->act();
    while (at < frame && *at == PAINT)
        at++;
    painted->depth = (size_t)(frame - at);
    return NULL;
}

static size_t depth_of(void (*act)(void))
{
    struct painted painted = {.act = act};
    pthread_attr_t attributes;
    pthread_t thread;

    act(); /* what the dynamic linker does at a first call is no part of it */
    painted.stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(painted.stack != MAP_FAILED);
    memset(painted.stack, PAINT, STACK_BYTES);
    cr_assert_eq(pthread_attr_init(&attributes), 0);
    cr_assert_eq(pthread_attr_setstack(&attributes, painted.stack, STACK_BYTES), 0);
    cr_assert_eq(pthread_create(&thread, &attributes, run_painted, &painted), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attributes);
    (void)munmap(painted.stack, STACK_BYTES);
    return painted.depth;
}

Test(stack, symmetric_calls_stay_within_what_is_burnt)
{
    static void (*const acts[])(void) = {act_hash, act_hash_streaming, act_xchacha, act_chacha,
                                         act_aes,  act_stream};

    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        size_t depth = depth_of(acts[i]);

        cr_assert_gt(depth, 64, "call %zu: the paint shows nothing", i);
        cr_assert_lt(depth, SECRET_STACK_SYMMETRIC_BYTES, "call %zu goes %zu deep", i, depth);
    }
}

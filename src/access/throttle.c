#include "access/throttle.h"

#include <assert.h>
#include <string.h>

#include "secret/crypto.h"

void throttle_init(struct throttle *throttle, const uint8_t seed[static THROTTLE_SEED_BYTES])
{
    memset(throttle, 0, sizeof(*throttle));
    memcpy(throttle->seed, seed, THROTTLE_SEED_BYTES);
}

static size_t throttle_index(const struct throttle *throttle, const char *kind, struct bytes name)
{
    const struct bytes parts[] = {bytes_of(throttle->seed, THROTTLE_SEED_BYTES), bytes_str(kind),
                                  name};
    uint8_t hash[HASH_BYTES];

    hash_compute(parts, 3, hash);
    return get_u32(hash) % THROTTLE_BUCKETS;
}

static uint64_t bucket_wait_ms(const struct throttle_bucket *bucket, unsigned burst,
                               uint64_t now_ms)
{
    /* One more failure must not lie further ahead than a full burst. */
    uint64_t full_at_ms = now_ms + (uint64_t)(burst - 1) * THROTTLE_FORGET_MS;

    return bucket->empty_at_ms > full_at_ms ? bucket->empty_at_ms - full_at_ms : 0;
}

static void bucket_add(struct throttle_bucket *bucket, uint64_t now_ms)
{
    if (bucket->empty_at_ms < now_ms)
        bucket->empty_at_ms = now_ms;
    bucket->empty_at_ms += THROTTLE_FORGET_MS;
}

static void bucket_remove(struct throttle_bucket *bucket, uint64_t now_ms)
{
    if (bucket->empty_at_ms >= now_ms + THROTTLE_FORGET_MS)
        bucket->empty_at_ms -= THROTTLE_FORGET_MS;
    else
        bucket->empty_at_ms = now_ms;
}

enum qk_err throttle_check(const struct throttle *throttle, struct bytes account,
                           struct bytes address, uint64_t now_ms, uint64_t *ret_retry_ms)
{
    uint64_t by_account, by_address;

    assert(throttle != NULL && ret_retry_ms != NULL);

    by_account = bucket_wait_ms(&throttle->buckets[throttle_index(throttle, "account", account)],
                                THROTTLE_ACCOUNT_BURST, now_ms);
    by_address = bucket_wait_ms(&throttle->buckets[throttle_index(throttle, "address", address)],
                                THROTTLE_ADDRESS_BURST, now_ms);
    *ret_retry_ms = by_account > by_address ? by_account : by_address;
    return *ret_retry_ms > 0 ? QK_ERR_BUSY : QK_OK;
}

static unsigned bucket_n(const struct throttle_bucket *bucket, uint64_t now_ms)
{
    uint64_t left_ms = bucket->empty_at_ms > now_ms ? bucket->empty_at_ms - now_ms : 0;

    return (unsigned)((left_ms + THROTTLE_FORGET_MS - 1) / THROTTLE_FORGET_MS);
}

unsigned throttle_suspicion(const struct throttle *throttle, struct bytes account,
                            struct bytes address, uint64_t now_ms)
{
    assert(throttle != NULL);

    return bucket_n(&throttle->buckets[throttle_index(throttle, "account", account)], now_ms) +
           bucket_n(&throttle->buckets[throttle_index(throttle, "address", address)], now_ms);
}

void throttle_count(struct throttle *throttle, struct bytes account, struct bytes address,
                    uint64_t now_ms)
{
    bucket_add(&throttle->buckets[throttle_index(throttle, "account", account)], now_ms);
    bucket_add(&throttle->buckets[throttle_index(throttle, "address", address)], now_ms);
}

void throttle_forgive(struct throttle *throttle, struct bytes account, struct bytes address,
                      uint64_t now_ms)
{
    bucket_remove(&throttle->buckets[throttle_index(throttle, "account", account)], now_ms);
    bucket_remove(&throttle->buckets[throttle_index(throttle, "address", address)], now_ms);
}

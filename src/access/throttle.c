#include "access/throttle.h"

#include <assert.h>
#include <string.h>

#include "secret/crypto.h"

void throttle_init(struct throttle *throttle, const uint8_t seed[static THROTTLE_SEED_BYTES])
{
    memset(throttle, 0, sizeof(*throttle));
    memcpy(throttle->seed, seed, THROTTLE_SEED_BYTES);
}

/* A key's bucket in each row. */
struct places {
    size_t at[THROTTLE_ROWS];
};

_Static_assert(4 * THROTTLE_ROWS <= HASH_BYTES, "four bytes of the hash for each row");

static struct places places_of(const struct throttle *throttle, const char *kind, struct bytes name)
{
    const struct bytes parts[] = {bytes_of(throttle->seed, THROTTLE_SEED_BYTES), bytes_str(kind),
                                  name};
    uint8_t hash[HASH_BYTES];
    struct places places;

    hash_compute(parts, 3, hash);
    for (size_t row = 0; row < THROTTLE_ROWS; row++)
        places.at[row] = get_u32(hash + 4 * row) % THROTTLE_BUCKETS;
    return places;
}

/* When the last failure of that key is forgotten: what its least shared bucket says. */
static uint64_t empty_at_ms(const struct throttle *throttle, const char *kind, struct bytes name)
{
    struct places places = places_of(throttle, kind, name);
    uint64_t least = UINT64_MAX;

    for (size_t row = 0; row < THROTTLE_ROWS; row++) {
        uint64_t at_ms = throttle->rows[row][places.at[row]].empty_at_ms;

        least = at_ms < least ? at_ms : least;
    }
    return least;
}

static uint64_t wait_ms(uint64_t empty_at, unsigned burst, uint64_t now_ms)
{
    /* One more failure must not lie further ahead than a full burst. */
    uint64_t full_at_ms = now_ms + (uint64_t)(burst - 1) * THROTTLE_FORGET_MS;

    return empty_at > full_at_ms ? empty_at - full_at_ms : 0;
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

static void key_change(struct throttle *throttle, const char *kind, struct bytes name,
                       void (*change)(struct throttle_bucket *bucket, uint64_t now_ms),
                       uint64_t now_ms)
{
    struct places places = places_of(throttle, kind, name);

    for (size_t row = 0; row < THROTTLE_ROWS; row++)
        change(&throttle->rows[row][places.at[row]], now_ms);
}

enum qk_err throttle_check(const struct throttle *throttle, struct bytes account,
                           struct bytes address, uint64_t now_ms, uint64_t *ret_retry_ms)
{
    uint64_t by_account, by_address;

    assert(throttle != NULL && ret_retry_ms != NULL);

    by_account = wait_ms(empty_at_ms(throttle, "account", account), THROTTLE_ACCOUNT_BURST, now_ms);
    by_address = wait_ms(empty_at_ms(throttle, "address", address), THROTTLE_ADDRESS_BURST, now_ms);
    *ret_retry_ms = by_account > by_address ? by_account : by_address;
    return *ret_retry_ms > 0 ? QK_ERR_BUSY : QK_OK;
}

static unsigned failures_n(uint64_t empty_at, uint64_t now_ms)
{
    uint64_t left_ms = empty_at > now_ms ? empty_at - now_ms : 0;

    return (unsigned)((left_ms + THROTTLE_FORGET_MS - 1) / THROTTLE_FORGET_MS);
}

unsigned throttle_suspicion(const struct throttle *throttle, struct bytes account,
                            struct bytes address, uint64_t now_ms)
{
    assert(throttle != NULL);

    return failures_n(empty_at_ms(throttle, "account", account), now_ms) +
           failures_n(empty_at_ms(throttle, "address", address), now_ms);
}

void throttle_count(struct throttle *throttle, struct bytes account, struct bytes address,
                    uint64_t now_ms)
{
    key_change(throttle, "account", account, bucket_add, now_ms);
    key_change(throttle, "address", address, bucket_add, now_ms);
}

void throttle_forgive(struct throttle *throttle, struct bytes account, struct bytes address,
                      uint64_t now_ms)
{
    key_change(throttle, "account", account, bucket_remove, now_ms);
    key_change(throttle, "address", address, bucket_remove, now_ms);
}

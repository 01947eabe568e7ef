#include "link/bucket.h"

#include <assert.h>
#include <string.h>

#define TOKEN 1000 /* millitokens */

void bucket_init(struct bucket_table *table, unsigned burst, unsigned per_sec)
{
    assert(burst > 0 && per_sec > 0);
    memset(table, 0, sizeof *table);
    table->burst = burst;
    table->per_sec = per_sec;
}

/* The bucket of `address`, new or taken from the address that was silent longest if need be. The
 * table is small and a connection is dear: a scan is fine. */
static struct bucket *bucket_find(struct bucket_table *table, const uint8_t *address,
                                  uint64_t now_ms)
{
    struct bucket *oldest = &table->buckets[0];

    for (unsigned i = 0; i < table->used_n; i++) {
        struct bucket *bucket = &table->buckets[i];

        if (memcmp(bucket->address, address, BUCKET_ADDRESS_BYTES) == 0)
            return bucket;
        if (bucket->at_ms < oldest->at_ms)
            oldest = bucket;
    }
    if (table->used_n < BUCKET_ADDRESSES_MAX)
        oldest = &table->buckets[table->used_n++];
    memcpy(oldest->address, address, BUCKET_ADDRESS_BYTES);
    oldest->millitokens = (uint64_t)table->burst * TOKEN;
    oldest->at_ms = now_ms;
    return oldest;
}

bool bucket_take(struct bucket_table *table, const uint8_t address[static BUCKET_ADDRESS_BYTES],
                 uint64_t now_ms)
{
    struct bucket *bucket = bucket_find(table, address, now_ms);
    uint64_t full = (uint64_t)table->burst * TOKEN;
    uint64_t elapsed_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;

    if (elapsed_ms > full) /* long enough to be full at any rate; keeps the product small */
        elapsed_ms = full;
    bucket->millitokens += elapsed_ms * table->per_sec;
    if (bucket->millitokens > full)
        bucket->millitokens = full;
    bucket->at_ms = now_ms;
    if (bucket->millitokens < TOKEN)
        return false;
    bucket->millitokens -= TOKEN;
    return true;
}

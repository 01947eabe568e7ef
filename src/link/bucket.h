/* A token bucket for each address that connects, so that one address cannot take all half-open
 * places. Pure; time is an argument. */
#ifndef LINK_BUCKET_H
#define LINK_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_ADDRESS_BYTES 16
#define BUCKET_ADDRESSES_MAX 256

struct bucket_table {
    unsigned burst, per_sec;
    unsigned used_n;
    struct bucket {
        uint8_t address[BUCKET_ADDRESS_BYTES];
        uint64_t millitokens;
        uint64_t at_ms;
    } buckets[BUCKET_ADDRESSES_MAX];
};

/* `burst` at once, then `per_sec` a second; both at least 1. */
void bucket_init(struct bucket_table *table, unsigned burst, unsigned per_sec);
/* Takes a token of `address` (IPv4 mapped into IPv6; IPv6 cut to its /64 by the caller). False: it
 * has none. A full table forgets the address that was silent longest. */
bool bucket_take(struct bucket_table *table, const uint8_t address[static BUCKET_ADDRESS_BYTES],
                 uint64_t now_ms);

#endif

/* How many wrong passwords an account and an address may try: pure, time is an argument.
 *
 * Each key (an account's name, a client's address) has a bucket of failures that drains with time.
 * Under the limit a login goes on at once; over it the caller says when to come back. Keys share a
 * table of fixed size by a keyed hash: a collision makes two keys share a limit, which a stranger
 * cannot aim at, since the key of the hash is random per process. */
#ifndef ACCESS_THROTTLE_H
#define ACCESS_THROTTLE_H

#include "base/bytes.h"
#include "base/err.h"

#define THROTTLE_BUCKETS 4096
#define THROTTLE_SEED_BYTES 16
/* Failures that may come in a burst, and how long one of them counts. */
#define THROTTLE_ACCOUNT_BURST 10
#define THROTTLE_ADDRESS_BURST 20
#define THROTTLE_FORGET_MS 6000

struct throttle_bucket {
    uint64_t empty_at_ms; /* when the last failure is forgotten; in the past: empty */
};

struct throttle {
    uint8_t seed[THROTTLE_SEED_BYTES];
    struct throttle_bucket buckets[THROTTLE_BUCKETS];
};

void throttle_init(struct throttle *throttle, const uint8_t seed[static THROTTLE_SEED_BYTES]);
/* QK_OK, or QK_ERR_BUSY and after how many milliseconds one more try is allowed. */
MUST_USE enum qk_err throttle_check(const struct throttle *throttle, struct bytes account,
                                    struct bytes address, uint64_t now_ms, uint64_t *ret_retry_ms);
/* How many tries of the account and of the address together still count: 0 is beyond suspicion. */
unsigned throttle_suspicion(const struct throttle *throttle, struct bytes account,
                            struct bytes address, uint64_t now_ms);
/* Counts a try, before its outcome is known: tries in parallel are all counted. */
void throttle_count(struct throttle *throttle, struct bytes account, struct bytes address,
                    uint64_t now_ms);
/* The try succeeded: takes back one count. */
void throttle_forgive(struct throttle *throttle, struct bytes account, struct bytes address,
                      uint64_t now_ms);

#endif

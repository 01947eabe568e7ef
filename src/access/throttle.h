/* How many wrong passwords an account and an address may try: pure, time is an argument.
 *
 * Each key (an account's name, a client's address) has a level of failures that drains with time.
 * Under the limit a login goes on at once; over it the caller says when to come back. The levels
 * stand in tables of fixed size, a count-min sketch (Cormode and Muthukrishnan, 2005): each failure
 * counts in one bucket of every row, by a hash keyed at random per process, and a key's level is
 * the lowest of its buckets. So a key shares a limit with others only if it meets one in every row,
 * which a stranger cannot aim at: with a thousand keys over their limit, one of 4,000 others. */
#ifndef ACCESS_THROTTLE_H
#define ACCESS_THROTTLE_H

#include "base/bytes.h"
#include "base/err.h"

#define THROTTLE_ROWS 4
#define THROTTLE_BUCKETS 8192 /* of a row */
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
    struct throttle_bucket rows[THROTTLE_ROWS][THROTTLE_BUCKETS];
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

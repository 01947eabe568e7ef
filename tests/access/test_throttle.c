#include "access/throttle.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct throttle throttle;
static const uint8_t seed[THROTTLE_SEED_BYTES] = {1, 2, 3};

static enum qk_err try_at(const char *account, const char *address, uint64_t now_ms,
                          uint64_t *ret_retry_ms)
{
    enum qk_err err =
        throttle_check(&throttle, bytes_str(account), bytes_str(address), now_ms, ret_retry_ms);

    if (err == QK_OK)
        throttle_count(&throttle, bytes_str(account), bytes_str(address), now_ms);
    return err;
}

Test(throttle, a_burst_is_allowed_then_one_try_each_period)
{
    uint64_t retry_ms;
    unsigned i;

    throttle_init(&throttle, seed);
    for (i = 0; i < THROTTLE_ACCOUNT_BURST; i++)
        cr_assert_eq(try_at("anna", "127.0.0.1", 1000, &retry_ms), QK_OK);
    cr_assert_eq(try_at("anna", "127.0.0.1", 1000, &retry_ms), QK_ERR_BUSY);
    cr_assert_eq(retry_ms, THROTTLE_FORGET_MS);
    cr_assert_eq(try_at("anna", "127.0.0.1", 1000 + retry_ms - 1, &retry_ms), QK_ERR_BUSY);
    cr_assert_eq(try_at("anna", "127.0.0.1", 1000 + THROTTLE_FORGET_MS, &retry_ms), QK_OK);
    cr_assert_eq(try_at("anna", "127.0.0.1", 1000 + THROTTLE_FORGET_MS, &retry_ms), QK_ERR_BUSY);
}

Test(throttle, an_account_is_limited_from_many_addresses_and_others_are_not)
{
    char address[32];
    uint64_t retry_ms;
    unsigned i;

    throttle_init(&throttle, seed);
    for (i = 0; i < THROTTLE_ACCOUNT_BURST; i++) {
        snprintf(address, sizeof(address), "10.0.0.%u", i);
        cr_assert_eq(try_at("anna", address, 0, &retry_ms), QK_OK);
    }
    cr_assert_eq(try_at("anna", "10.0.1.1", 0, &retry_ms), QK_ERR_BUSY);
    cr_assert_eq(try_at("bert", "10.0.1.1", 0, &retry_ms), QK_OK);
}

Test(throttle, an_address_is_limited_over_many_accounts)
{
    char account[32];
    uint64_t retry_ms;
    unsigned i;

    throttle_init(&throttle, seed);
    for (i = 0; i < THROTTLE_ADDRESS_BURST; i++) {
        snprintf(account, sizeof(account), "user%u", i);
        cr_assert_eq(try_at(account, "10.0.0.1", 0, &retry_ms), QK_OK);
    }
    cr_assert_eq(try_at("other", "10.0.0.1", 0, &retry_ms), QK_ERR_BUSY);
}

Test(throttle, right_passwords_are_never_limited)
{
    uint64_t retry_ms;
    unsigned i;

    throttle_init(&throttle, seed);
    for (i = 0; i < 1000; i++) {
        cr_assert_eq(try_at("anna", "10.0.0.1", i, &retry_ms), QK_OK);
        throttle_forgive(&throttle, bytes_str("anna"), bytes_str("10.0.0.1"), i);
    }
}

Test(throttle, suspicion_is_what_account_and_address_have_tried_and_is_forgotten)
{
    uint64_t retry_ms;
    unsigned i;

    throttle_init(&throttle, seed);
    cr_assert_eq(throttle_suspicion(&throttle, bytes_str("anna"), bytes_str("10.0.0.1"), 0), 0);
    for (i = 1; i <= 5; i++) {
        cr_assert_eq(try_at("anna", "10.0.0.1", 0, &retry_ms), QK_OK);
        cr_assert_eq(throttle_suspicion(&throttle, bytes_str("anna"), bytes_str("10.0.0.1"), 0),
                     2 * i);
        cr_assert_eq(throttle_suspicion(&throttle, bytes_str("bert"), bytes_str("10.0.0.1"), 0), i);
        cr_assert_eq(throttle_suspicion(&throttle, bytes_str("bert"), bytes_str("10.0.0.2"), 0), 0);
    }
    cr_assert_eq(throttle_suspicion(&throttle, bytes_str("anna"), bytes_str("10.0.0.1"),
                                    5 * THROTTLE_FORGET_MS),
                 0);
}

/* A storm at 997 names from 250 addresses, far over their limits: whoever is none of them logs in.
 */
Test(throttle, a_storm_at_some_keys_limits_no_others)
{
    char account[32], address[32];
    unsigned refused = 0;
    uint64_t retry_ms;

    throttle_init(&throttle, seed);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(account, sizeof(account), "u%u", i % 997);
        snprintf(address, sizeof(address), "127.1.%u.1", i % 250);
        throttle_count(&throttle, bytes_str(account), bytes_str(address), 1000);
    }
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(account, sizeof(account), "other%u", i);
        snprintf(address, sizeof(address), "10.%u.%u.1", i / 256, i % 256);
        refused += throttle_check(&throttle, bytes_str(account), bytes_str(address), 1000,
                                  &retry_ms) != QK_OK;
    }
    cr_assert_leq(refused, 10, "%u of 4000", refused);
}

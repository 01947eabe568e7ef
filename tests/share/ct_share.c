/* Constant time, checked by valgrind: every secret is marked undefined, so that a branch or an
 * address that depends on one is reported as a use of uninitialised memory. Run without valgrind it
 * shows only that the calls succeed. Exit status 0, or valgrind's. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "share/share.h"

#define PARTIES 4
#define THRESHOLD 3

/* Fixed bytes, then declared unknown. */
static void undefined_fill(void *arg, uint8_t *ret_out, size_t len)
{
    uint8_t *next = arg;

    for (size_t i = 0; i < len; i++)
        ret_out[i] = (uint8_t)(*next += 37);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(ret_out, len);
}

static int run(void)
{
    struct secret *secret = NULL, *back = NULL, *shares[PARTIES] = {NULL};
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES], next = 1;
    const uint32_t x[PARTIES] = {1, 2, 5, 9};
    struct random_source random = {undefined_fill, &next};
    struct share_bad bad;
    int failed = 1;

    if (share_secret_random(random, &secret) != QK_OK ||
        share_deal(secret, PARTIES, THRESHOLD, x, random, shares, commitments) != QK_OK)
        goto out;
    (void)VALGRIND_MAKE_MEM_DEFINED(commitments, sizeof commitments); /* published */
    for (size_t i = 0; i < PARTIES; i++)
        if (share_verify(shares[i], x[i], (const uint8_t(*)[SHARE_POINT_BYTES])commitments,
                         THRESHOLD) != QK_OK)
            goto out;
    if (share_combine((const struct secret *const *)shares, x, PARTIES,
                      (const uint8_t(*)[SHARE_POINT_BYTES])commitments, THRESHOLD, &back, NULL,
                      &bad) != QK_OK)
        goto out;
    failed = 0;

out:
    secret_free(secret);
    secret_free(back);
    for (size_t i = 0; i < PARTIES; i++)
        secret_free(shares[i]);
    return failed;
}

int main(void)
{
    int failed;

    if (secret_arena_init(SECRET_ARENA_MLOCK, 64 * KIB) != QK_OK)
        return 2;
    failed = run();
    secret_arena_fini();
    (void)printf("%s\n", failed ? "failed" : "ok");
    return failed;
}

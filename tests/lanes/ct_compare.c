/* The comparison of secrets with both marked undefined for valgrind: run under it, any branch or
 * index that depends on one is an error. Only whether the two are equal is declared public, at the
 * end. */
#include <stdio.h>
#include <valgrind/memcheck.h>

#include "secret/crypto.h"

static void hide(struct secret *secret)
{
    uint8_t *bytes = secret_borrow_mut(secret);

    (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, secret_len(secret));
    secret_return_mut(secret);
}

/* The answer, made public. */
static bool answer(bool equal)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof equal);
    return equal;
}

static int compare(void)
{
    struct secret *a, *same, *other;
    int failed;

    if (secret_new_random(32, &a) != QK_OK || secret_new_clone(a, &same) != QK_OK ||
        secret_new_random(32, &other) != QK_OK)
        return 1;
    hide(a);
    hide(same);
    hide(other);
    failed = !answer(secret_equal(a, same)) || answer(secret_equal(a, other));
    secret_free(a);
    secret_free(same);
    secret_free(other);
    return failed;
}

int main(void)
{
    int failed;

    if (secret_arena_init(SECRET_ARENA_MLOCK, 64 * KIB) != QK_OK)
        return 2;
    failed = compare();
    secret_arena_fini();
    (void)printf("%s\n", failed ? "failed" : "ok");
    return failed;
}

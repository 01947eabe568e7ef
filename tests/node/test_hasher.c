#include "node/hasher.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret/crypto.h"

static struct hasher hasher;

static void setup(void)
{
    cr_assert_eq(crypto_start(), QK_OK);
    hasher_start(&hasher);
}

static void teardown(void)
{
    hasher_end(&hasher);
}

TestSuite(hasher, .init = setup, .fini = teardown, .timeout = 60);

static void check_all(const char *why)
{
    char hash[PASSWORD_HASH_BYTES] = "", made[PASSWORD_HASH_BYTES];

    cr_assert_eq(hasher_check(&hasher, 0, bytes_str("se:cret"), hash), QK_OK, "%s", why);
    memcpy(made, hash, sizeof made);
    cr_assert_eq(password_verify(bytes_str("se:cret"), hash), QK_OK, "%s", why);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_str("se:cret"), hash), QK_OK, "%s", why);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_str("wrong"), hash), QK_ERR_UNAUTHENTICATED, "%s",
                 why);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_str(""), hash), QK_ERR_UNAUTHENTICATED, "%s", why);
    cr_assert_arr_eq(hash, made, sizeof made);
}

Test(hasher, answers_as_the_function_does)
{
    char longest[PASSWORD_BYTES_MAX + 1], hash[PASSWORD_HASH_BYTES] = "";

    cr_assert_eq(hasher.n, login_running_max());
    check_all("alive");
    memset(longest, 'x', sizeof longest);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_of(longest, PASSWORD_BYTES_MAX), hash), QK_OK);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_of(longest, PASSWORD_BYTES_MAX), hash), QK_OK);
    cr_assert_eq(hasher_check(&hasher, 0, bytes_of(longest, sizeof longest), hash),
                 QK_ERR_UNAUTHENTICATED);
}

Test(hasher, one_that_was_killed_is_done_without)
{
    cr_assert_eq(kill(hasher.processes[0].pid, SIGKILL), 0);
    check_all("killed");
    cr_assert_eq(hasher.processes[0].fd, -1);
    check_all("lost");
}

Test(hasher, ends_when_the_node_s_end_does)
{
    cr_assert_eq(close(hasher.processes[0].fd), 0);
    cr_assert_eq(waitpid(hasher.processes[0].pid, NULL, 0), hasher.processes[0].pid);
    hasher.processes[0].fd = -1;
}

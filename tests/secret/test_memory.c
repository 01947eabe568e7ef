#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_search.h"
#include "secret/crypto.h"
#include "secret/memory.h"

static void invert(const struct secret *secret, uint8_t *ret_inverted)
{
    const uint8_t *at = secret_borrow(secret);

    for (size_t i = 0; i < secret_len(secret); i++)
        ret_inverted[i] = at[i] ^ 0xff;
    secret_return(secret);
}

/* Uses `key` in every wrapper that takes one of 32 bytes. */
static void use_everywhere(const struct secret *key)
{
    struct buf sealed = BUF_INIT(1024), noise = BUF_INIT(1024), plain = BUF_SECRET_INIT(1024);
    struct bytes part = bytes_str("context");
    struct secret *out, *outs[3];
    uint8_t raw[64];

    cr_assert_eq(kdf_derive(key, "label", part, &out), QK_OK);
    secret_free(out);
    cr_assert_eq(kdf_derive_pair(key, "qk.record.v1", part, &out, raw), QK_OK);
    secret_free(out);
    cr_assert_eq(mac_compute(key, "mac", &part, 1, raw), QK_OK);
    cr_assert_eq(mac_verify(key, "mac", &part, 1, raw), QK_OK);
    cr_assert_eq(hmac512_compute(key, &part, 1, &out), QK_OK);
    secret_free(out);
    cr_assert_eq(noise_hkdf(key, part, 3, outs), QK_OK);
    for (size_t i = 0; i < 3; i++)
        secret_free(outs[i]);
    cr_assert_eq(aead_seal(key, NULL, part, part, &sealed), QK_OK);
    cr_assert_eq(aead_open(key, NULL, part, buf_bytes(&sealed), &plain), QK_OK);
    cr_assert_eq(noise_seal(key, 1, part, part, &noise), QK_OK);
    cr_assert_eq(noise_open(key, 1, part, buf_bytes(&noise), &plain), QK_OK);
    cr_assert_eq(x25519_public(key, raw), QK_OK);
    cr_assert_eq(x25519_shared(key, raw, &out), QK_OK);
    secret_free(out);
    buf_fini(&sealed);
    buf_fini(&noise);
    buf_fini(&plain);
}

/* With mlock the search must find the key in the arena: so it would find a copy elsewhere too. */
Test(memory, a_used_key_is_only_in_the_arena_and_nowhere_after_wipe)
{
    struct memory_hit hits[MEMORY_SEARCH_HITS_MAX];
    uint8_t inverted[32];
    struct secret *key;

    if (!MEMORY_SEARCH_POSSIBLE)
        cr_skip_test("not under AddressSanitizer");
    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    invert(key, inverted);
    use_everywhere(key);
    cr_assert_eq(memory_search(inverted, 32, hits), 1);
    cr_assert_eq(hits[0].at, (uintptr_t)secret_borrow(key));
    secret_return(key);
    cr_assert(hits[0].locked && hits[0].no_dump);
    /* Half a key would do an attacker nearly as well. */
    cr_assert_eq(memory_search(inverted, 16, hits), 1);
    cr_assert_eq(memory_search(inverted + 16, 16, hits), 1);
    secret_free(key);
    cr_assert_eq(memory_search(inverted, 16, hits), 0);
    cr_assert_eq(memory_search(inverted + 16, 16, hits), 0);
    secret_arena_fini();
}

Test(memory, wipe_all_leaves_nothing)
{
    struct memory_hit hits[MEMORY_SEARCH_HITS_MAX];
    uint8_t inverted[32];
    struct secret *key, *out;

    if (!MEMORY_SEARCH_POSSIBLE)
        cr_skip_test("not under AddressSanitizer");
    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    invert(key, inverted);
    use_everywhere(key);
    secret_wipe_all();
    cr_assert_eq(memory_search(inverted, 16, hits), 0);
    cr_assert_eq(kdf_derive(key, "label", BYTES_NONE, &out), QK_ERR_SEALED);
    secret_free(key);
    secret_arena_fini();
}

Test(memory, memfd_secret_is_invisible_at_any_time)
{
    struct memory_hit hits[MEMORY_SEARCH_HITS_MAX];
    uint8_t inverted[32];
    struct secret *key;

    if (!MEMORY_SEARCH_POSSIBLE)
        cr_skip_test("not under AddressSanitizer");
    if (secret_arena_init(SECRET_ARENA_MEMFD, 256 * KIB) == QK_ERR_UNSUPPORTED)
        cr_skip_test("this kernel has no memfd_secret");
    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    invert(key, inverted);
    use_everywhere(key);
    cr_assert_eq(memory_search(inverted, 16, hits), 0);
    (void)secret_borrow(key);
    cr_assert_eq(memory_search(inverted, 16, hits), 0);
    secret_return(key);
    secret_free(key);
    secret_arena_fini();
}

#ifdef QK_COVERAGE
extern void __gcov_dump(void);
#endif

static int run_child(int (*act)(void))
{
    int status = 0;
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        int result = act();

#ifdef QK_COVERAGE
        __gcov_dump(); /* _exit would lose what was covered */
#endif
        _exit(result);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int act_harden(void)
{
    struct rlimit core;
    int fd = open("/dev/null", O_RDONLY);

    if (fd < 3)
        fd = fcntl(fd, F_DUPFD, 10);
    if (process_harden() != QK_OK)
        return 1;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
        return 3;
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
        return 4;
    return fcntl(2, F_GETFD) == -1 ? 5 : 0;
}

Test(memory, a_hardened_process_dumps_nothing_and_inherits_nothing)
{
    cr_assert_eq(run_child(act_harden), 0);
}

static int act_confine(void)
{
    char *const args[] = {(char[]){"true"}, NULL};
    char byte;
    struct iovec own = {&byte, 1};

    if (process_confine() != QK_OK)
        return 1;
    if (execve("/bin/true", args, NULL) != -1 || errno != EPERM)
        return 2;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != -1 || errno != EPERM)
        return 3;
    if (process_vm_readv(getpid(), &own, 1, &own, 1, 0) != -1 || errno != EPERM)
        return 4;
    return open("/dev/null", O_RDONLY) < 0 ? 5 : 0;
}

Test(memory, a_confined_process_executes_and_traces_nothing)
{
    cr_assert_eq(run_child(act_confine), 0);
}

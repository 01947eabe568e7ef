/* The locked memory and the hardening of the process when the kernel refuses any one of the calls
 * that they consist of. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "secret/arena.h"
#include "secret/crypto.h"
#include "secret/memory.h"

#ifdef QK_COVERAGE
extern void __gcov_dump(void);
#endif

#define CALLS_MAX 64

/* Every single call of an initialisation fails once; afterwards there is no arena, and the next
 * attempt succeeds. AUTO may fall back to the other kind of memory. */
static void every_call_fails(enum secret_arena kind, int error)
{
    unsigned n = 0, silent = 0;
    enum qk_err err;

    for (;; n++) {
        bool fired;

        cr_assert_lt(n, CALLS_MAX);
        faults_arm(n, error);
        err = secret_arena_init(kind, 64 * KIB);
        fired = faults_disarm();
        if (err == QK_OK)
            secret_arena_fini();
        cr_assert_not(arena_is_up());
        if (!fired)
            break;
        silent += err == QK_OK;
    }
    cr_assert_eq(err, QK_OK);
    cr_assert_gt(n, 3);
    /* The descriptor behind memfd_secret is not needed once it is mapped. */
    if (kind != SECRET_ARENA_AUTO)
        cr_assert_leq(silent, kind == SECRET_ARENA_MEMFD ? 1 : 0);
}

Test(faults, an_arena_that_cannot_be_made_is_told_and_leaves_nothing)
{
    static const int errors[] = {ENOMEM, EPERM, EAGAIN};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        every_call_fails(SECRET_ARENA_MLOCK, errors[i]);
        every_call_fails(SECRET_ARENA_AUTO, errors[i]);
    }
    if (secret_arena_init(SECRET_ARENA_MEMFD, 64 * KIB) == QK_OK) {
        secret_arena_fini();
        for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
            every_call_fails(SECRET_ARENA_MEMFD, errors[i]);
    }
}

Test(faults, a_limit_on_locked_memory_is_told_as_such)
{
    unsigned told = 0;

    for (unsigned n = 0; n < CALLS_MAX; n++) {
        enum qk_err err;

        faults_arm(n, ENOMEM);
        err = secret_arena_init(SECRET_ARENA_MLOCK, 64 * KIB);
        told += err == QK_ERR_LOCKED_MEMORY;
        if (!faults_disarm())
            n = CALLS_MAX;
        if (err == QK_OK)
            secret_arena_fini();
    }
    cr_assert_geq(told, 2, "mlock and what keeps it out of dumps");
}

Test(faults, randomness_that_comes_in_pieces_or_is_interrupted_is_whole)
{
    uint8_t bytes[256];
    size_t zeros = 0;

    for (unsigned n = 0; n < 3; n++) {
        memset(bytes, 0, sizeof bytes);
        faults_arm_short(n);
        random_system().fill(NULL, bytes, sizeof bytes);
        (void)faults_disarm();
        faults_arm_interrupt(n);
        random_system().fill(NULL, bytes, sizeof bytes);
        (void)faults_disarm();
        for (size_t i = 0; i < sizeof bytes; i++)
            zeros += bytes[i] == 0;
    }
    cr_assert_lt(zeros, 32);
}

static unsigned call_n;
static int call_error;

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

enum child_end { CHILD_OK, CHILD_REFUSED, CHILD_UNTOUCHED };

static int end_of(enum qk_err err)
{
    if (!faults_disarm())
        return err == QK_OK ? CHILD_UNTOUCHED : 99;
    return err == QK_OK ? CHILD_OK : CHILD_REFUSED;
}

static int act_harden(void)
{
    faults_arm(call_n, call_error);
    return end_of(process_harden());
}

static int act_confine(void)
{
    faults_arm(call_n, call_error);
    return end_of(process_confine());
}

/* How many calls there are; each of them that fails is told. */
static unsigned each_is_told(int (*act)(void), unsigned may_go_on)
{
    unsigned n = 0;
    int end;

    call_error = EPERM;
    for (;; n++) {
        cr_assert_lt(n, CALLS_MAX);
        call_n = n;
        end = run_child(act);
        if (end == CHILD_UNTOUCHED)
            return n;
        if (end == CHILD_OK)
            cr_assert_gt(may_go_on--, 0, "call %u failed in silence", n);
        else
            cr_assert_eq(end, CHILD_REFUSED, "call %u: %d", n, end);
    }
}

Test(faults, hardening_and_confining_are_whole_or_told)
{
    cr_assert_geq(each_is_told(act_harden, 0), 4);
    cr_assert_geq(each_is_told(act_confine, 0), 8);
}

static int act_old_kernel(void)
{
    int fd = dup(1);
    enum qk_err err;

    faults_arm(call_n, ENOSYS); /* close_range(2) */
    err = process_harden();
    (void)faults_disarm();
    if (err != QK_OK)
        return 1;
    return write(fd, "", 0) == -1 && errno == EBADF ? 0 : 2;
}

Test(faults, on_an_older_kernel_descriptors_are_closed_one_by_one, .timeout = 60)
{
    call_n = 3; /* after two of prctl(2) and one of setrlimit(2) */
    cr_assert_eq(run_child(act_old_kernel), 0);
}

static int act_confine_launcher(void)
{
    char *const args[] = {(char[]){"true"}, NULL};

    if (process_harden() != QK_OK || process_confine_launcher() != QK_OK)
        return 1;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != -1 || errno != EPERM)
        return 2;
#ifdef QK_COVERAGE
    __gcov_dump();
#endif
    (void)execve("/bin/true", args, NULL);
    return 3;
}

Test(faults, the_launcher_may_execute_and_not_trace)
{
    cr_assert_eq(run_child(act_confine_launcher), 0);
}

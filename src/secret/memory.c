#include "secret/memory.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* close_range(2) came with Linux 5.9; before it, the descriptors up to the limit, one by one. */
static enum qk_err close_inherited(void)
{
    struct rlimit limit;

    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
        return QK_OK;
    if (errno != ENOSYS || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return QK_ERR_IO;
    for (rlim_t fd = 3; fd < limit.rlim_cur && fd < 1048576; fd++)
        (void)close((int)fd);
    return QK_OK;
}

enum qk_err process_harden(void)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return QK_ERR_IO;
    return close_inherited();
}

static enum qk_err forbid(const int *calls, size_t calls_n)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    enum qk_err err = QK_ERR_UNSUPPORTED;

    if (filter == NULL)
        return QK_ERR_NOMEM;
    if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0)
        goto out;
    for (size_t i = 0; i < calls_n; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0) != 0)
            goto out;
    if (seccomp_load(filter) == 0)
        err = QK_OK;

out:
    seccomp_release(filter);
    return err;
}

/* What the launcher needs comes last. */
static const int forbidden[] = {
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(execve), SCMP_SYS(execveat),
};

#define FORBIDDEN_N (sizeof forbidden / sizeof *forbidden)
#define FORBIDDEN_LAUNCHER_N (FORBIDDEN_N - 2) /* all but execve and execveat */

enum qk_err process_confine(void)
{
    return forbid(forbidden, FORBIDDEN_N);
}

enum qk_err process_confine_launcher(void)
{
    return forbid(forbidden, FORBIDDEN_LAUNCHER_N);
}

/* sigaltstack: AddressSanitizer asks for it at each longjmp, so at each exception of a script. */
static const int allowed[] = {
    SCMP_SYS(sigaltstack),  SCMP_SYS(read),      SCMP_SYS(write),         SCMP_SYS(brk),
    SCMP_SYS(mmap),         SCMP_SYS(munmap),    SCMP_SYS(mremap),        SCMP_SYS(madvise),
    SCMP_SYS(futex),        SCMP_SYS(setitimer), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(getrandom), SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

enum qk_err process_confine_worker(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    enum qk_err err = QK_ERR_UNSUPPORTED;

    if (filter == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) != 0)
            goto out;
    if (seccomp_load(filter) == 0)
        err = QK_OK;

out:
    seccomp_release(filter);
    return err;
}

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { NONE, FAIL, SHORT, INTERRUPT };

static struct {
    bool files_only;
    enum mode mode;
    unsigned left;
    int error;
    bool fired;
} armed;

static void arm(enum mode mode, unsigned n, int error)
{
    armed.mode = mode;
    armed.left = n;
    armed.error = error;
    armed.fired = false;
}

void faults_arm(unsigned n, int error)
{
    arm(FAIL, n, error);
}

void faults_arm_short(unsigned n)
{
    arm(SHORT, n, 0);
}

void faults_arm_interrupt(unsigned n)
{
    arm(INTERRUPT, n, EINTR);
}

void faults_files_only(void)
{
    armed.files_only = true;
}

bool faults_disarm(void)
{
    armed.mode = NONE;
    return armed.fired;
}

/* Is it this call's turn? */
static bool due(enum mode mode)
{
    if (armed.mode != mode || armed.fired || armed.left-- > 0)
        return false;
    armed.fired = true;
    errno = armed.error;
    return true;
}

/* `result` is what the real function returns when it fails. */
#define WRAP(type, name, params, args, result)                                                     \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return due(FAIL) ? (result) : __real_##name args;                                          \
    }

/* The same for what the locked memory lives by. */
#define WRAP_MEMORY(type, name, params, args, result)                                              \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return !armed.files_only && due(FAIL) ? (result) : __real_##name args;                     \
    }

/* The same for what moves `len` bytes. */
#define WRAP_MOVE(name, fails, params, args, args_short, len)                                      \
    ssize_t __real_##name params;                                                                  \
    ssize_t __wrap_##name params;                                                                  \
    ssize_t __wrap_##name params                                                                   \
    {                                                                                              \
        if ((fails && due(FAIL)) || due(INTERRUPT))                                                \
            return -1;                                                                             \
        return (len) > 1 && due(SHORT) ? __real_##name args_short : __real_##name args;            \
    }

WRAP_MOVE(pread64, true, (int fd, void *buf, size_t len, off64_t at), (fd, buf, len, at),
          (fd, buf, 1, at), len)
WRAP_MOVE(pwrite64, true, (int fd, const void *buf, size_t len, off64_t at), (fd, buf, len, at),
          (fd, buf, 1, at), len)
/* The kernel's generator does not fail once it is seeded, and the product ends if it does. */
WRAP_MOVE(getrandom, false, (void *buf, size_t len, unsigned flags), (buf, len, flags),
          (buf, 1, flags), len)
WRAP(int, fsync, (int fd), (fd), -1)
WRAP(int, link, (const char *from, const char *to), (from, to), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1)
WRAP(int, unlink, (const char *path), (path), -1)
WRAP(int, fstat64, (int fd, struct stat64 *stat), (fd, stat), -1)
WRAP(int, ftruncate64, (int fd, off64_t len), (fd, len), -1)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP_MEMORY(void *, mmap64, (void *at, size_t len, int prot, int flags, int fd, off64_t offset),
            (at, len, prot, flags, fd, offset), MAP_FAILED)
WRAP_MEMORY(int, madvise, (void *at, size_t len, int advice), (at, len, advice), -1)
WRAP_MEMORY(int, mprotect, (void *at, size_t len, int prot), (at, len, prot), -1)
WRAP(int, setrlimit64, (int what, const struct rlimit64 *limit), (what, limit), -1)
WRAP_MEMORY(long, syscall, (long number, long a, long b, long c, long d, long e, long f),
            (number, a, b, c, d, e, f), -1)
WRAP(int, prctl, (int what, long a, long b, long c, long d), (what, a, b, c, d), -1)
WRAP(scmp_filter_ctx, seccomp_init, (uint32_t action), (action), NULL)
WRAP(int, seccomp_attr_set, (scmp_filter_ctx filter, enum scmp_filter_attr attr, uint32_t value),
     (filter, attr, value), -EINVAL)
WRAP(int, seccomp_rule_add, (scmp_filter_ctx filter, uint32_t action, int call, unsigned n),
     (filter, action, call, n), -EINVAL)
WRAP(int, seccomp_load, (scmp_filter_ctx filter), (filter), -EINVAL)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    va_start(args, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(args, mode_t);
    va_end(args);
    return due(FAIL) ? -1 : __real_open64(path, flags, mode);
}

/* A descriptor is closed also when close(2) fails. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    if (!due(FAIL))
        return __real_close(fd);
    (void)__real_close(fd);
    errno = armed.error;
    return -1;
}

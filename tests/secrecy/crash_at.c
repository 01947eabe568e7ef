/* Preloaded into a daemon: ends it by SIGKILL at the Nth fsync, fdatasync or msync after it was
 * armed. QK_CRASH_FILE names a file of two 64-bit numbers, in the machine's order, which the test
 * writes: N (0: only count) and the count so far. What goes to audit.log is not counted: it is
 * synced by a clock. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct crash {
    _Atomic uint64_t at, count;
};

static struct crash *crash;

__attribute__((constructor)) static void crash_begin(void)
{
    const char *path = getenv("QK_CRASH_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof(*crash), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (at != MAP_FAILED)
        crash = at;
}

static int is_audit(int fd)
{
    char link[64], target[512];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, target, sizeof target - 1);
    if (len < 0)
        return 0;
    target[len] = '\0';
    return strstr(target, "audit.log") != NULL;
}

static void crash_point(void)
{
    uint64_t now;

    if (crash == NULL)
        return;
    now = atomic_fetch_add(&crash->count, 1) + 1;
    if (now == atomic_load(&crash->at))
        (void)kill(getpid(), SIGKILL);
}

int fsync(int fd);
int fdatasync(int fd);
int msync(void *addr, size_t len, int flags);

int fsync(int fd)
{
    static int (*real)(int);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    if (!is_audit(fd))
        crash_point();
    return real(fd);
}

int fdatasync(int fd)
{
    static int (*real)(int);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    if (!is_audit(fd))
        crash_point();
    return real(fd);
}

int msync(void *addr, size_t len, int flags)
{
    static int (*real)(void *, size_t, int);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "msync");
    crash_point();
    return real(addr, len, flags);
}

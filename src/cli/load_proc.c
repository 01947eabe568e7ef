#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/load.h"

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t load_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t load_own_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* The first number of /proc/PID/task/TID/schedstat is the thread's time on a processor in ns;
 * /proc/PID/stat counts in ticks of 10 ms, too coarse for a second's run. */
static uint64_t thread_ns(long pid, const char *thread)
{
    char path[96];
    uint64_t ns = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/task/%.20s/schedstat", pid, thread);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%" SCNu64, &ns) != 1)
        ns = 0;
    (void)fclose(file);
    return ns;
}

uint64_t load_cpu_ns(long pid)
{
    char path[64];
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    dir = opendir(path);
    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            sum += thread_ns(pid, entry->d_name);
    (void)closedir(dir);
    return sum;
}

uint64_t load_rss_bytes(long pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            break;
    (void)fclose(file);
    return kib * 1024;
}

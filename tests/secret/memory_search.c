#include "memory_search.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define CHUNK_BYTES 65536
#define OVERLAP_BYTES 128

/* Read memory lands here, so this place itself is not searched. */
static uint8_t chunk[CHUNK_BYTES + OVERLAP_BYTES];

static bool matches(const volatile uint8_t *at, const uint8_t *inverted, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((at[i] ^ inverted[i]) != 0xff)
            return false;
    return true;
}

static size_t search_range(int mem, uintptr_t from, uintptr_t to, const uint8_t *inverted,
                           size_t len, struct memory_hit *hits, size_t hits_n, size_t *first_new)
{
    uintptr_t skip_from = (uintptr_t)chunk, skip_to = skip_from + sizeof chunk;

    *first_new = hits_n;
    for (uintptr_t at = from; at < to; at += CHUNK_BYTES) {
        size_t want = to - at < sizeof chunk ? to - at : sizeof chunk;
        ssize_t got = pread(mem, chunk, want, (off_t)at);

        for (size_t i = 0; got > 0 && i + len <= (size_t)got && i < CHUNK_BYTES; i++) {
            uintptr_t hit = at + i;

            if (hit + len > skip_from && hit < skip_to)
                continue;
            if (!matches(chunk + i, inverted, len))
                continue;
            if (hits_n < MEMORY_SEARCH_HITS_MAX)
                hits[hits_n] = (struct memory_hit){.at = hit};
            hits_n++;
        }
    }
    explicit_bzero(chunk, sizeof chunk);
    return hits_n;
}

size_t memory_search(const uint8_t *inverted, size_t len,
                     struct memory_hit ret_hits[static MEMORY_SEARCH_HITS_MAX])
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    size_t hits_n = 0, first_new = 0;
    char line[512];

    cr_assert(maps != NULL && mem >= 0 && len <= OVERLAP_BYTES);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx %*4s", &from, &to) == 2 && strstr(line, "[v") == NULL)
            hits_n = search_range(mem, from, to, inverted, len, ret_hits, hits_n, &first_new);
        else if (strncmp(line, "VmFlags:", 8) == 0)
            for (size_t i = first_new; i < hits_n && i < MEMORY_SEARCH_HITS_MAX; i++) {
                ret_hits[i].locked = strstr(line, " lo") != NULL;
                ret_hits[i].no_dump = strstr(line, " dd") != NULL;
            }
    }
    (void)fclose(maps);
    (void)close(mem);
    return hits_n;
}

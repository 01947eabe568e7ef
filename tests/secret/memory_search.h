/* Looks for a byte string in all memory of this process, through /proc/self/mem. */
#ifndef TESTS_MEMORY_SEARCH_H
#define TESTS_MEMORY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_SEARCH_HITS_MAX 16

/* AddressSanitizer's shadow maps terabytes and its quarantine keeps what was freed: the search is
 * for builds without it, which is what runs in production. */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_SEARCH_POSSIBLE false
#else
#define MEMORY_SEARCH_POSSIBLE true
#endif

/* One place where the needle was found. */
struct memory_hit {
    uintptr_t at;
    bool locked, no_dump; /* the mapping's smaps flags: lo, dd */
};

/* `inverted` is the needle with every bit flipped, so that looking leaves no copy to be found.
 * Returns how many hits there were (only the first ones are kept in `ret_hits`). */
size_t memory_search(const uint8_t *inverted, size_t len,
                     struct memory_hit ret_hits[static MEMORY_SEARCH_HITS_MAX]);

#endif

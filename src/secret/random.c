#include "secret/crypto.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <sodium.h>

#define POOL_BYTES 4096
#define POOL_REQUEST_BYTES_MAX 64

/* One system call fills the pool for about 170 salts. It lies in a page that the kernel zeroes in a
 * forked child (MADV_WIPEONFORK), where `left` is then 0: no two processes ever draw the same. */
struct random_pool {
    size_t left;
    uint8_t bytes[POOL_BYTES - sizeof(size_t)];
};

static struct {
    pthread_mutex_t lock;
    struct random_pool *pool;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The kernel's generator cannot fail once it is seeded; without randomness nothing may go on. */
static void random_kernel(void *arg, uint8_t *ret_out, size_t len)
{
    (void)arg;
    while (len > 0) {
        ssize_t got = getrandom(ret_out, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        ret_out += got;
        len -= (size_t)got;
    }
}

struct random_source random_system(void)
{
    return (struct random_source){random_kernel, NULL};
}

static struct random_pool *pool_new(void)
{
    void *at = mmap(NULL, sizeof(struct random_pool), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    if (madvise(at, sizeof(struct random_pool), MADV_WIPEONFORK) != 0) {
        (void)munmap(at, sizeof(struct random_pool));
        return NULL;
    }
    return at;
}

static bool pool_take(uint8_t *ret_out, size_t len)
{
    struct random_pool *pool;

    if (shared.pool == NULL)
        shared.pool = pool_new();
    pool = shared.pool;
    if (pool == NULL)
        return false;
    if (pool->left < len) {
        random_kernel(NULL, pool->bytes, sizeof pool->bytes);
        pool->left = sizeof pool->bytes;
    }
    pool->left -= len;
    memcpy(ret_out, pool->bytes + pool->left, len);
    sodium_memzero(pool->bytes + pool->left, len);
    return true;
}

/* The lock is only tried: a child forked while another thread held it must not wait for ever. */
void random_fill(void *ret_out, size_t len)
{
    bool done = false;

    assert(ret_out != NULL || len == 0);
    if (len <= POOL_REQUEST_BYTES_MAX && pthread_mutex_trylock(&shared.lock) == 0) {
        done = pool_take(ret_out, len);
        (void)pthread_mutex_unlock(&shared.lock);
    }
    if (!done)
        random_kernel(NULL, ret_out, len);
}

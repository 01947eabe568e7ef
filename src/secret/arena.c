#include "secret/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sodium.h>

#include "secret/crypto.h"

/* Not in the headers of Debian 12's glibc; the number is the same on every architecture that has
 * the call (x86, arm64, riscv). */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

#define ARENA_BYTES_MAX (256 * MIB)

/* How often a page is open, for whom: its protection follows from the two counts, at once or, when
 * less is needed within a scope, at the end of it. */
struct arena_page {
    uint32_t readers, writers;
    int protection; /* PROT_NONE < PROT_READ < PROT_READ | PROT_WRITE */
    bool pending;   /* in arena.pending */
};

#define ARENA_PENDING_MAX 64
/* Keys that live for one call lie at the arena's end, in pages of their own: they are written each
 * time, and a page that is open for writing shall hold no key that lasts. */
#define ARENA_PASSING_PAGES 4
#define ARENA_PASSING_SHARE 8 /* but never more than this part of a small arena */

/* Room for some thousand keys. */
#define ARENA_PRESENT_BYTES (512 * KIB)

static struct {
    pthread_mutex_t lock;
    enum secret_arena kind;
    uint8_t *region; /* a guard page, `bytes` of arena, a guard page */
    uint8_t *base;
    size_t bytes, page_bytes;
    size_t slots_n, slots_used, hint;
    size_t passing; /* the first slot of those for keys that live for one call */
    uint8_t *taken; /* one byte a slot */
    struct arena_page *pages;
    uint8_t canary[ARENA_CANARY_BYTES];
    size_t scopes; /* how many are open */
    size_t pending[ARENA_PENDING_MAX];
    size_t pending_n;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Of a thread that works in turns. */
static _Thread_local struct {
    bool on;         /* secret_turns_begin was called */
    bool open;       /* a page was opened in this turn: its scope is open */
    unsigned within; /* scopes begun since, which that one covers */
} turns;

static size_t run_slots(size_t len)
{
    return (len + ARENA_CANARY_BYTES + ARENA_SLOT_BYTES - 1) / ARENA_SLOT_BYTES;
}

bool arena_is_up(void)
{
    return arena.base != NULL;
}

/* Maps the secret descriptor over the reserved middle. The kernel locks such pages itself and
 * counts them against RLIMIT_MEMLOCK. */
static enum qk_err arena_map_memfd(void)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    enum qk_err err = QK_OK;
    void *at;

    if (fd < 0)
        return QK_ERR_UNSUPPORTED;
    if (ftruncate(fd, (off_t)arena.bytes) != 0) {
        err = QK_ERR_UNSUPPORTED;
        goto out;
    }
    at = mmap(arena.base, arena.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED)
        err = errno == EAGAIN || errno == ENOMEM ? QK_ERR_LOCKED_MEMORY : QK_ERR_UNSUPPORTED;

out:
    (void)close(fd);
    return err;
}

/* By system call: sanitizers replace mlock(3) by a function that says yes and locks nothing. */
static enum qk_err arena_map_private(bool locked)
{
    void *at = mmap(arena.base, arena.bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (at == MAP_FAILED)
        return QK_ERR_NOMEM;
    if (madvise(arena.base, arena.bytes, MADV_DONTDUMP) != 0)
        return QK_ERR_LOCKED_MEMORY;
    if (locked && syscall(SYS_mlock, arena.base, arena.bytes) != 0)
        return QK_ERR_LOCKED_MEMORY;
    return QK_OK;
}

static enum qk_err arena_map(enum secret_arena kind)
{
    enum qk_err err = QK_ERR_UNSUPPORTED;

    if (kind == SECRET_ARENA_AUTO || kind == SECRET_ARENA_MEMFD) {
        arena.kind = SECRET_ARENA_MEMFD;
        err = arena_map_memfd();
        if (err == QK_OK || kind == SECRET_ARENA_MEMFD)
            return err;
    }
    arena.kind = kind == SECRET_ARENA_UNLOCKED ? SECRET_ARENA_UNLOCKED : SECRET_ARENA_MLOCK;
    return arena_map_private(arena.kind == SECRET_ARENA_MLOCK);
}

static size_t passing_pages(void)
{
    size_t most = arena.bytes / arena.page_bytes / ARENA_PASSING_SHARE;

    return most < ARENA_PASSING_PAGES ? most : ARENA_PASSING_PAGES;
}

/* The whole region is reserved without access first, so that the guard pages are ours for good. */
static enum qk_err arena_reserve(size_t bytes)
{
    arena.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    arena.bytes = (bytes + arena.page_bytes - 1) / arena.page_bytes * arena.page_bytes;
    arena.region = mmap(NULL, arena.bytes + 2 * arena.page_bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena.region == MAP_FAILED) {
        arena.region = NULL;
        return QK_ERR_NOMEM;
    }
    arena.base = arena.region + arena.page_bytes;
    arena.slots_n = arena.bytes / ARENA_SLOT_BYTES;
    arena.passing = arena.slots_n - passing_pages() * arena.page_bytes / ARENA_SLOT_BYTES;
    arena.taken = calloc(arena.slots_n, 1);
    arena.pages = calloc(arena.bytes / arena.page_bytes, sizeof *arena.pages);
    return arena.taken == NULL || arena.pages == NULL ? QK_ERR_NOMEM : QK_OK;
}

static void arena_unmap(void)
{
    if (arena.region != NULL)
        (void)munmap(arena.region, arena.bytes + 2 * arena.page_bytes);
    free(arena.taken);
    free(arena.pages);
    arena.region = NULL;
    arena.base = NULL;
    arena.taken = NULL;
    arena.pages = NULL;
    arena.slots_used = 0;
    arena.hint = 0;
    arena.pending_n = 0;
}

/* What a node has in any case is present from here on. The rest was counted against the limit when
 * it was mapped, is locked by the kernel page by page as it is first used, and costs an idle node
 * nothing until then. */
static void arena_touch(void)
{
    size_t first = arena.bytes < ARENA_PRESENT_BYTES ? arena.bytes : ARENA_PRESENT_BYTES;
    size_t passing = arena.passing * ARENA_SLOT_BYTES;

    memset(arena.base, 0, first);
    memset(arena.base + passing, 0, arena.bytes - passing);
}

enum qk_err secret_arena_init(enum secret_arena kind, size_t bytes)
{
    enum qk_err err;

    if (arena.base != NULL)
        return QK_ERR_EXISTS;
    if (bytes == 0 || bytes > ARENA_BYTES_MAX)
        return QK_ERR_INVALID;
    err = crypto_start();
    if (err == QK_OK)
        err = arena_reserve(bytes);
    if (err == QK_OK)
        err = arena_map(kind);
    if (err != QK_OK)
        goto out;
    arena_touch();
    randombytes_buf(arena.canary, sizeof arena.canary);
    if (madvise(arena.base, arena.bytes, MADV_DONTFORK) != 0 ||
        mprotect(arena.base, arena.bytes, PROT_NONE) != 0)
        err = QK_ERR_LOCKED_MEMORY;

out:
    if (err != QK_OK)
        arena_unmap();
    return err;
}

void secret_arena_fini(void)
{
    if (arena.base == NULL)
        return;
    secret_turn_end();
    secret_wipe_all();
    if (mprotect(arena.base, arena.bytes, PROT_READ | PROT_WRITE) == 0)
        sodium_memzero(arena.base, arena.bytes);
    arena_unmap();
}

enum secret_arena secret_arena_kind(void)
{
    return arena.kind;
}

void arena_usage(size_t *ret_total, size_t *ret_used)
{
    (void)pthread_mutex_lock(&arena.lock);
    *ret_total = arena.bytes;
    *ret_used = arena.slots_used * ARENA_SLOT_BYTES;
    (void)pthread_mutex_unlock(&arena.lock);
}

/* A page that cannot be opened or closed leaves no way on: its caller holds the pointer already,
 * or believes that nobody does. */
static void page_protect(size_t page, int protection)
{
    if (mprotect(arena.base + page * arena.page_bytes, arena.page_bytes, protection) != 0)
        abort();
    arena.pages[page].protection = protection;
}

static int page_need(const struct arena_page *page)
{
    return page->writers > 0 ? PROT_READ | PROT_WRITE : page->readers > 0 ? PROT_READ : PROT_NONE;
}

static void page_update(size_t page)
{
    struct arena_page *at = &arena.pages[page];
    int need = page_need(at);

    if (need == at->protection)
        return;
    if (need > at->protection || arena.scopes == 0) {
        page_protect(page, need);
        return;
    }
    if (at->pending)
        return;
    if (arena.pending_n == ARENA_PENDING_MAX) {
        page_protect(page, need);
        return;
    }
    at->pending = true;
    arena.pending[arena.pending_n++] = page;
}

void secret_scope_begin(void)
{
    if (turns.open) {
        turns.within++;
        return;
    }
    (void)pthread_mutex_lock(&arena.lock);
    arena.scopes++;
    (void)pthread_mutex_unlock(&arena.lock);
}

void secret_turns_begin(void)
{
    turns.on = true;
}

void secret_turn_end(void)
{
    if (!turns.open)
        return;
    assert(turns.within == 0);
    turns.open = false;
    secret_scope_end();
}

void secret_scope_end(void)
{
    if (turns.within > 0) {
        turns.within--;
        return;
    }
    (void)pthread_mutex_lock(&arena.lock);
    assert(arena.scopes > 0);
    arena.scopes--;
    if (arena.scopes == 0) {
        for (size_t i = 0; i < arena.pending_n; i++) {
            arena.pages[arena.pending[i]].pending = false;
            page_update(arena.pending[i]);
        }
        arena.pending_n = 0;
    }
    (void)pthread_mutex_unlock(&arena.lock);
}

static size_t page_first(uint32_t slot)
{
    return (size_t)slot * ARENA_SLOT_BYTES / arena.page_bytes;
}

static size_t page_last(uint32_t slot, size_t len)
{
    return (((size_t)slot + run_slots(len)) * ARENA_SLOT_BYTES - 1) / arena.page_bytes;
}

static void arena_open_locked(uint32_t slot, size_t len, bool writing)
{
    if (turns.on && !turns.open) {
        turns.open = true;
        arena.scopes++;
    }
    for (size_t page = page_first(slot); page <= page_last(slot, len); page++) {
        uint32_t *count = writing ? &arena.pages[page].writers : &arena.pages[page].readers;

        ++*count;
        page_update(page);
    }
}

static void arena_close_locked(uint32_t slot, size_t len, bool writing)
{
    for (size_t page = page_first(slot); page <= page_last(slot, len); page++) {
        uint32_t *count = writing ? &arena.pages[page].writers : &arena.pages[page].readers;

        assert(*count > 0);
        --*count;
        page_update(page);
    }
}

uint8_t *arena_open(uint32_t slot, size_t len, bool writing)
{
    assert(arena.base != NULL);
    (void)pthread_mutex_lock(&arena.lock);
    arena_open_locked(slot, len, writing);
    (void)pthread_mutex_unlock(&arena.lock);
    return arena.base + (size_t)slot * ARENA_SLOT_BYTES;
}

void arena_close(uint32_t slot, size_t len, bool writing)
{
    const uint8_t *canary = arena.base + (size_t)slot * ARENA_SLOT_BYTES + len;

    if (writing) /* somebody wrote past the end of a key: go no further */
        assert(memcmp(canary, arena.canary, sizeof arena.canary) == 0);
    (void)pthread_mutex_lock(&arena.lock);
    arena_close_locked(slot, len, writing);
    (void)pthread_mutex_unlock(&arena.lock);
}

/* First fit from where the last search ended, then once more from the start. */
static bool run_find(size_t need, size_t from, size_t to, size_t *ret_slot)
{
    size_t run = 0;

    for (size_t slot = from; slot < to; slot++) {
        run = arena.taken[slot] ? 0 : run + 1;
        if (run == need) {
            *ret_slot = slot + 1 - need;
            return true;
        }
    }
    return false;
}

/* Whichever kind has no room left takes that of the other. */
static bool run_find_any(size_t need, bool passing, size_t *ret_slot)
{
    if (passing && run_find(need, arena.passing, arena.slots_n, ret_slot))
        return true;
    return run_find(need, arena.hint, arena.passing, ret_slot) ||
           run_find(need, 0, arena.slots_n, ret_slot);
}

enum qk_err arena_take(size_t len, bool passing, uint32_t *ret_slot)
{
    size_t need = run_slots(len), slot = 0;
    enum qk_err err = QK_OK;

    if (arena.base == NULL)
        return QK_ERR_LOCKED_MEMORY;
    (void)pthread_mutex_lock(&arena.lock);
    if (!run_find_any(need, passing, &slot)) {
        err = QK_ERR_NOMEM;
        goto out;
    }
    memset(arena.taken + slot, 1, need);
    arena.slots_used += need;
    if (slot < arena.passing)
        arena.hint = slot + need >= arena.passing ? 0 : slot + need;
    arena_open_locked((uint32_t)slot, len, true);
    memcpy(arena.base + slot * ARENA_SLOT_BYTES + len, arena.canary, sizeof arena.canary);
    arena_close_locked((uint32_t)slot, len, true);
    *ret_slot = (uint32_t)slot;

out:
    (void)pthread_mutex_unlock(&arena.lock);
    return err;
}

void arena_give(uint32_t slot, size_t len)
{
    uint8_t *at = arena.base + (size_t)slot * ARENA_SLOT_BYTES;
    size_t slots_n = run_slots(len);

    (void)pthread_mutex_lock(&arena.lock);
    arena_open_locked(slot, len, true);
    assert(memcmp(at + len, arena.canary, sizeof arena.canary) == 0);
    sodium_memzero(at, slots_n * ARENA_SLOT_BYTES);
    arena_close_locked(slot, len, true);
    memset(arena.taken + slot, 0, slots_n);
    arena.slots_used -= slots_n;
    if (slot < arena.hint) /* keep live secrets together: fewer pages are ever open */
        arena.hint = slot;
    (void)pthread_mutex_unlock(&arena.lock);
}

void arena_shrink(uint32_t slot, size_t from, size_t to)
{
    uint8_t *at = arena.base + (size_t)slot * ARENA_SLOT_BYTES;
    size_t before_n = run_slots(from), after_n = run_slots(to);

    assert(to <= from);
    (void)pthread_mutex_lock(&arena.lock);
    arena_open_locked(slot, from, true);
    assert(memcmp(at + from, arena.canary, sizeof arena.canary) == 0);
    sodium_memzero(at + to, before_n * ARENA_SLOT_BYTES - to);
    memcpy(at + to, arena.canary, sizeof arena.canary);
    arena_close_locked(slot, from, true);
    memset(arena.taken + slot + after_n, 0, before_n - after_n);
    arena.slots_used -= before_n - after_n;
    (void)pthread_mutex_unlock(&arena.lock);
}

/* All key memory of the process: one arena, locked, kept out of core dumps and of children, with
 * guard pages, and with no access at rest. Everyone else holds a handle (`struct secret`) in
 * ordinary memory and opens the bytes only between a borrow and its return.
 *
 *     const uint8_t *key = secret_borrow(data_key);
 *     int rc = use(key);
 *     secret_return(data_key);
 *
 * Borrows nest and may come from any thread. A handle itself has one owner at a time. */
#ifndef SECRET_SECRET_H
#define SECRET_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

enum secret_arena {
    SECRET_ARENA_AUTO,    /* memfd_secret if the kernel permits it, else mlock */
    SECRET_ARENA_MEMFD,   /* memfd_secret(2): not even the kernel maps it, /proc/PID/mem fails */
    SECRET_ARENA_MLOCK,   /* anonymous memory, mlock'ed and dump-proof */
    SECRET_ARENA_UNLOCKED /* may be swapped: --dev alone */
};

/* The default fits RLIMIT_MEMLOCK's usual 8 MiB with room for others, and the keyring of 10,000
 * data keys with three versions each, twice: while it is wrapped anew there are two. */
#define SECRET_ARENA_BYTES_DEFAULT (4 * MIB)
/* Longest secret: keys are 16 to 96 bytes, the rest is for locked temporaries. */
#define SECRET_BYTES_MAX (16 * KIB)

struct secret; /* opaque */

/* Maps and locks the arena; `bytes` is rounded up to whole pages. Once per process; a second call
 * without secret_arena_fini between is QK_ERR_EXISTS. QK_ERR_LOCKED_MEMORY when the memory cannot
 * be locked (RLIMIT_MEMLOCK), QK_ERR_UNSUPPORTED when MEMFD was demanded and the kernel has none.
 */
MUST_USE enum qk_err secret_arena_init(enum secret_arena kind, size_t bytes);
/* Zeroes and unmaps the arena. All handles must have been freed, else they are wiped and leak. */
void secret_arena_fini(void);
/* The kind in use (never AUTO). */
enum secret_arena secret_arena_kind(void);

/* New secrets, `len` 1..SECRET_BYTES_MAX. The caller owns the handle and frees it with secret_free.
 * QK_ERR_NOMEM when the arena is full. */
MUST_USE enum qk_err secret_new_random(size_t len, struct secret **ret_secret);
MUST_USE enum qk_err secret_new_zero(size_t len, struct secret **ret_secret);
/* Copies `data`; the caller wipes its own copy (secret_wipe). */
MUST_USE enum qk_err secret_new_copy(const uint8_t *data, size_t len, struct secret **ret_secret);
MUST_USE enum qk_err secret_new_clone(const struct secret *secret, struct secret **ret_secret);
/* Wipes and frees; NULL is fine. No borrow may be open. */
void secret_free(struct secret *secret);

size_t secret_len(const struct secret *secret);
/* Opens the bytes for reading until secret_return. Must not be wiped (secret_is_wiped). */
const uint8_t *secret_borrow(const struct secret *secret);
void secret_return(const struct secret *secret);
/* Opens the bytes for writing until secret_return_mut. */
uint8_t *secret_borrow_mut(struct secret *secret);
void secret_return_mut(struct secret *secret);
/* Between begin and end, pages that were opened stay open: closing them is a system call each, put
 * off to the end of the outermost scope. For a burst of operations on keys in one callback (a batch
 * of records, the frames of one read); never across a return to the loop. Nests. */
void secret_scope_begin(void);
void secret_scope_end(void);
/* The calling thread works in turns, as a loop does: from now on the first key that it opens in a
 * turn begins a scope, which secret_turn_end ends. That must be called before each wait, so that no
 * page is open while the thread rests. Why: two system calls for each key that is used cost more
 * than the encryption of a small document. */
void secret_turns_begin(void);
void secret_turn_end(void);
/* Constant time; false if lengths differ or either was wiped. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* Zeroes every live secret's bytes: for the way out of the process. Handles stay valid to free;
 * every wrapper in crypto.h returns QK_ERR_SEALED for a wiped one. */
void secret_wipe_all(void);
bool secret_is_wiped(const struct secret *secret);

/* Clears `len` bytes of ordinary memory so that the compiler cannot drop it. */
void secret_wipe(void *data, size_t len);
/* Clears the stack below the caller, where a callee that has returned may have left key bytes
 * (libsodium's BLAKE2b state holds the key block). Every wrapper in crypto.h does it itself. */
void secret_stack_burn(void);
/* The same after hashing and AEAD alone, whose frames in libsodium are smaller (a test paints the
 * stack to see): clearing 16 KiB costs more than such a call itself. */
#define SECRET_STACK_SYMMETRIC_BYTES ((size_t)4 * 1024)
void secret_stack_burn_symmetric(void);

struct secret_stats {
    enum secret_arena kind;
    size_t bytes_total, bytes_used; /* of the arena */
    size_t secrets_n;
};
struct secret_stats secret_stats(void);

#endif

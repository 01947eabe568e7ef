/* Private to secret/: the mapping, its slots and the opening of its pages. */
#ifndef SECRET_ARENA_H
#define SECRET_ARENA_H

#include "secret/secret.h"

#define ARENA_SLOT_BYTES 64 /* a key and its canary take 48 */
#define ARENA_CANARY_BYTES 16

bool arena_is_up(void);
/* Finds room for `len` bytes and a canary; the run is zeroed. `passing`: for one call, so apart
 * from the keys that last. QK_ERR_NOMEM, QK_ERR_LOCKED_MEMORY when there is no arena. */
MUST_USE enum qk_err arena_take(size_t len, bool passing, uint32_t *ret_slot);
/* Checks the canary, zeroes and gives back. */
void arena_give(uint32_t slot, size_t len);
/* Opens the pages of a run for reading, or also for writing; nests. */
uint8_t *arena_open(uint32_t slot, size_t len, bool writing);
void arena_close(uint32_t slot, size_t len, bool writing);

/* Keeps the first `to` bytes of a run, zeroes the rest and gives back the slots that this frees. No
 * borrow may be open. */
void arena_shrink(uint32_t slot, size_t from, size_t to);
void arena_usage(size_t *ret_total, size_t *ret_used);

/* The secret becomes its own first `len` bytes. */
void secret_truncate(struct secret *secret, size_t len);
/* As secret_new_zero, for what is freed before the caller returns to the loop. */
MUST_USE enum qk_err secret_new_passing(size_t len, struct secret **ret_secret);

#endif

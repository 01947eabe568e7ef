/* The locked arena may be full at any moment: whatever then fails says QK_ERR_NOMEM, gives back all
 * that it took, and works once there is room. */
#ifndef TESTS_SECRET_EXHAUST_H
#define TESTS_SECRET_EXHAUST_H

#include "secret/crypto.h"

/* For suites: an arena so small that it is filled in no time. `down` fails on a leak. */
void exhaust_arena_up(void);
void exhaust_arena_down(void);
/* Runs `work` with room for 0, 1, 2, ... more secrets until it is QK_OK, so that every place in it
 * that takes a secret fails once; anything but QK_ERR_NOMEM or a leak fails the test. How much room
 * was needed. */
size_t exhaust_with_little_room(enum qk_err (*work)(void));

#endif

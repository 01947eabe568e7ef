/* One-shot timers for use cases, which know no libuv, and the loop's clocks. */
#ifndef SERVICE_TIMER_UV_H
#define SERVICE_TIMER_UV_H

#include <stdint.h>

#include "base/err.h"

struct uv_loop_s;
struct timer;

typedef void (*timer_cb)(void *arg);

/* The caller gives it back with timer_free. */
MUST_USE enum qk_err timer_new(struct uv_loop_s *loop, timer_cb cb, void *arg,
                               struct timer **ret_timer);
/* Fires once, after `ms`, from the loop, never inside this call; replaces an earlier start. 0 from
 * the callback of a timer may fire in the same turn (libuv 1.44): who gives the loop back uses 1.
 */
void timer_start(struct timer *timer, uint64_t ms);
void timer_stop(struct timer *timer);
/* Never fires again. `closed` (may be NULL) runs from the loop when its memory is gone. NULL is
 * fine, and then calls nothing. */
void timer_free(struct timer *timer, timer_cb closed, void *arg);

/* Monotonic, milliseconds and microseconds. */
uint64_t timer_now_ms(struct uv_loop_s *loop);
uint64_t timer_now_us(void);

#endif

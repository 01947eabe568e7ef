#include "service/timer_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

struct timer {
    uv_timer_t handle;
    timer_cb cb;
    void *arg;
    timer_cb closed;
    void *closed_arg;
};

enum qk_err timer_new(struct uv_loop_s *loop, timer_cb cb, void *arg, struct timer **ret_timer)
{
    struct timer *timer;

    assert(loop != NULL && cb != NULL);

    timer = calloc(1, sizeof(*timer));
    if (timer == NULL)
        return QK_ERR_NOMEM;
    if (uv_timer_init(loop, &timer->handle) != 0) {
        free(timer);
        return QK_ERR_IO;
    }
    timer->handle.data = timer;
    timer->cb = cb;
    timer->arg = arg;
    *ret_timer = timer;
    return QK_OK;
}

static void fired(uv_timer_t *handle)
{
    struct timer *timer = handle->data;

    timer->cb(timer->arg);
}

void timer_start(struct timer *timer, uint64_t ms)
{
    int rc = uv_timer_start(&timer->handle, fired, ms, 0);

    assert(rc == 0); /* fails only for a closing handle */
    (void)rc;
}

void timer_stop(struct timer *timer)
{
    (void)uv_timer_stop(&timer->handle);
}

static void handle_closed(uv_handle_t *handle)
{
    struct timer *timer = handle->data;
    timer_cb closed = timer->closed;
    void *arg = timer->closed_arg;

    free(timer);
    if (closed != NULL)
        closed(arg);
}

void timer_free(struct timer *timer, timer_cb closed, void *arg)
{
    if (timer == NULL)
        return;
    timer->closed = closed;
    timer->closed_arg = arg;
    uv_close((uv_handle_t *)&timer->handle, handle_closed);
}

uint64_t timer_now_ms(struct uv_loop_s *loop)
{
    return uv_now(loop);
}

uint64_t timer_now_us(void)
{
    return uv_hrtime() / 1000;
}

/* Work that would keep the loop too long, such as parsing a large body: done on the pool, on data
 * that nobody else touches meanwhile. */
#ifndef SERVICE_OFFLOAD_UV_H
#define SERVICE_OFFLOAD_UV_H

#include <stddef.h>

#include "base/err.h"

struct service;

/* Parsing costs up to 40 ns a byte: less than this is not worth the way to another thread. */
#define OFFLOAD_BYTES_MIN (64 * 1024)

/* Runs `work` for a task of `bytes`, then `done` on the loop: at once for a small task, else from
 * the pool and later. `work` uses nothing but what `arg` owns or an exchange that is not answered
 * yet. `done` fires exactly once; QK_ERR_CLOSED: the node has ended, answer and free. */
void offload_run(struct service *service, size_t bytes, void (*work)(void *arg),
                 void (*done)(void *arg, enum qk_err err), void *arg);

#endif

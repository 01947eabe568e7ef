#include "service/offload_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#include "service/service.h"

struct offload {
    uv_work_t request;
    struct service *service;
    void (*work)(void *arg);
    void (*done)(void *arg, enum qk_err err);
    void *arg;
};

static void on_work(uv_work_t *request)
{
    struct offload *offload = request->data;

    offload->work(offload->arg);
}

/* The loop ends only when all work has come back, which may be after all else is gone. */
static void on_done(uv_work_t *request, int status)
{
    struct offload *offload = request->data;

    (void)status; /* never cancelled */
    offload->done(offload->arg, offload->service->submitter != NULL ? QK_OK : QK_ERR_CLOSED);
    free(offload);
}

static enum qk_err queue(const struct offload *wanted)
{
    struct offload *offload = malloc(sizeof(*offload));

    if (offload == NULL)
        return QK_ERR_NOMEM;
    *offload = *wanted;
    offload->request.data = offload;
    if (uv_queue_work(offload->service->loop, &offload->request, on_work, on_done) == 0)
        return QK_OK;
    free(offload);
    return QK_ERR_NOMEM;
}

void offload_run(struct service *service, size_t bytes, void (*work)(void *arg),
                 void (*done)(void *arg, enum qk_err err), void *arg)
{
    const struct offload wanted = {.service = service, .work = work, .done = done, .arg = arg};

    assert(service != NULL && work != NULL && done != NULL);

    if (bytes >= OFFLOAD_BYTES_MIN && queue(&wanted) == QK_OK)
        return;
    work(arg);
    done(arg, QK_OK);
}

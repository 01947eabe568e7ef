#include "service/inner.h"

enum qk_err inner_start(struct service *service, const struct inner_request *request, fetch_cb cb,
                        void *arg, struct inner_call **ret_call)
{
    const struct inner_hook *hook = service->inner;

    if (hook == NULL)
        return QK_ERR_CLOSED;
    return hook->start(hook->arg, request, cb, arg, ret_call);
}

void inner_cancel(struct service *service, struct inner_call *call)
{
    service->inner->cancel(call);
}

/* Orders are recorded before they are carried out; the rest is refused while the audit log fails
 * and the settings say so, since each document read or written may be the first use of a key. */
#include "http/audit_hooks.h"

#include "http/metrics.h"
#include "audit/audit.h"
#include "service/audit_use.h"

static bool is_read(enum method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_LIST;
}

/* Looking at the cluster, and closing it, go on where nothing can be recorded. */
enum qk_err audit_hook_record(void *arg, const struct exchange *exchange, const struct route *route,
                              uint64_t *ret_call)
{
    struct service *service = arg;
    enum method method = exchange->request.method;
    bool order = (route->class == ROUTE_CLASS_ADMIN || route->class == ROUTE_CLASS_DATABASE) &&
                 !is_read(method);
    enum qk_err err = QK_OK;

    if (route->class == ROUTE_CLASS_STATUS || service->audit == NULL ||
        (route->class == ROUTE_CLASS_ADMIN && is_read(method) && (route->flags & ROUTE_OPEN) == 0))
        return QK_OK;
    if (order)
        err = audit_call(service, exchange, route_method_name(method), route->pattern, ret_call);
    else if (audit_is_stopping(service->audit))
        err = QK_ERR_UNRECORDED;
    return (route->flags & ROUTE_SAFE) != 0 ? QK_OK : err;
}

void audit_hook_refused(void *arg, const struct exchange *exchange, const struct route *route,
                        int status, uint64_t call)
{
    if (call != 0)
        audit_call_failed(arg, call, status);
    else
        audit_refused(arg, exchange, route_method_name(exchange->request.method),
                      route == NULL ? "none" : route->pattern, status);
}

void audit_write_gauges(const struct service *service, struct buf *out)
{
    struct audit_figures figures;

    if (service->audit == NULL)
        return;
    audit_figures(service->audit, &figures);
    const struct {
        const char *name, *type, *help;
        double value;
    } gauges[] = {
        {"quorumkeep_audit_failing", "gauge",
         "1 while the audit log, or a place that its lines go to, takes none.", figures.failing},
        {"quorumkeep_audit_lines", "gauge", "Lines of the audit log, ever.", (double)figures.seq},
        {"quorumkeep_audit_lost_total", "counter",
         "Lines that were not taken everywhere, since the start.", (double)figures.lost_n},
        {"quorumkeep_audit_unmarked_lines", "gauge", "Lines since the last mark.",
         (double)figures.unmarked_n},
    };

    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        metrics_write_one(out, gauges[i].name, gauges[i].type, gauges[i].help, gauges[i].value);
}

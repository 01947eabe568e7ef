/* What http asks of the audit log: hooks of struct http_hooks, with the service as their argument.
 */
#ifndef HTTP_AUDIT_HOOKS_H
#define HTTP_AUDIT_HOOKS_H

#include "http/http.h"
#include "service/service.h"

enum qk_err audit_hook_record(void *arg, const struct exchange *exchange, const struct route *route,
                              uint64_t *ret_call);
void audit_hook_refused(void *arg, const struct exchange *exchange, const struct route *route,
                        int status, uint64_t call);
void audit_write_gauges(const struct service *service, struct buf *out);

#endif

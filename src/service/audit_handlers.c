#include "service/audit_handlers.h"

#include "service/audit.h"
#include "service/params.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000
#define REPLY_BYTES_MAX (2 * MIB)

/* Digits, or absent; anything else is answered here and false returned. */
static bool read_number(struct exchange *exchange, const char *name, uint64_t *ret_value)
{
    struct bytes text;

    if (!request_param(&exchange->request, name, &text) || parse_u64(text, ret_value))
        return true;
    exchange_reply_error(exchange, 400, "query_parse_error", "Invalid value for %s: a number",
                         name);
    return false;
}

void handle_audit(struct service *service, struct exchange *exchange)
{
    struct buf lines = BUF_INIT(REPLY_BYTES_MAX);
    uint64_t since = 0, limit = LIMIT_DEFAULT;
    enum qk_err err;

    if (!read_number(exchange, "since", &since) || !read_number(exchange, "limit", &limit))
        return;
    if (service->audit == NULL) {
        exchange_reply_error(exchange, 503, "unavailable", "this node has no audit log open");
        return;
    }
    err = audit_tail(service->audit, since, (unsigned)(limit < LIMIT_MAX ? limit : LIMIT_MAX),
                     &lines);
    if (err == QK_OK)
        exchange_reply_bytes(exchange, 200, "application/x-ndjson", buf_bytes(&lines));
    else
        exchange_reply_err(exchange, err);
    buf_fini(&lines);
}

/* Each member gets an exchange of its own, whose reply is collected here instead of going to a
 * client; it is forwarded as a client's would be. When the time is over, those that have not
 * answered look like clients that are gone, and the forwarding ends them. */
#include "http/fanout.h"

#include <stdlib.h>
#include <string.h>

#include "http/forward.h"
#include "service/audit_handlers.h"
#include "service/params.h"
#include "service/service.h"
#include "service/timer_uv.h"

struct part {
    struct http_exchange hx; /* first */
    struct fanout *fanout;
    struct fanout_reply reply;
    struct buf body;
    int status; /* of a reply that has begun */
};

struct fanout {
    struct timer *timer;
    struct fanout_ops ops;
    void *arg;
    unsigned waiting; /* parts without an end, and one for the start */
    unsigned parts_n;
    struct part parts[];
};

static struct part *part_of(struct exchange *exchange)
{
    return (struct part *)(void *)exchange;
}

static void finish(struct fanout *fanout)
{
    struct fanout_reply replies[NODES_MAX];

    if (--fanout->waiting > 0)
        return;
    for (unsigned i = 0; i < fanout->parts_n; i++) {
        struct part *part = &fanout->parts[i];

        part->reply.body = buf_bytes(&part->body);
        replies[i] = part->reply;
    }
    timer_free(fanout->timer, NULL, NULL);
    fanout->ops.done(fanout->arg, QK_OK, replies, fanout->parts_n);
    for (unsigned i = 0; i < fanout->parts_n; i++)
        buf_fini(&fanout->parts[i].body);
    free(fanout);
}

/* --- the exchange of one member -------------------------------------------------------------- */

static void part_start(struct exchange *exchange, int status, const char *content_type,
                       const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct part *part = part_of(exchange);

    (void)content_type;
    (void)length;
    part->status = status;
    for (unsigned i = 0; i < fields_n; i++)
        if (strcmp(fields[i].name, AUDIT_LAST_FIELD) == 0)
            (void)parse_u64(bytes_str(fields[i].value), &part->reply.last);
}

static void part_write(struct exchange *exchange, struct bytes body)
{
    struct part *part = part_of(exchange);

    buf_put_bytes(&part->body, body); /* too much of it sticks, see part_end */
}

static void part_end(struct exchange *exchange)
{
    struct part *part = part_of(exchange);

    if (buf_error(&part->body) == QK_OK && !part->hx.broken)
        part->reply.status = part->status;
    http_exchange_fini(&part->hx);
    finish(part->fanout);
}

static size_t part_queued(const struct exchange *exchange)
{
    (void)exchange;
    return 0;
}

static void part_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    http_exchange_wait(&part_of(exchange)->hx, true, drained, arg);
}

static const struct exchange_ops PART_OPS = {part_start,  part_write,    part_end,
                                             part_queued, part_on_drain, NULL};

/* --- start ----------------------------------------------------------------------------------- */

static void on_timer(void *arg)
{
    struct fanout *fanout = arg;

    for (unsigned i = 0; i < fanout->parts_n; i++)
        if (fanout->parts[i].hx.http != NULL)
            fanout->parts[i].hx.base.closed = true;
}

static void ask(struct fanout *fanout, struct http *http, struct part *part)
{
    struct request *request = &part->hx.base.request;

    http_exchange_init(&part->hx, http, &PART_OPS);
    fanout->ops.target(fanout->arg, &part->reply.peer, &part->hx.head);
    fanout->waiting++;
    if (buf_error(&part->hx.head) != QK_OK) {
        part->hx.broken = true;
        part_end(&part->hx.base);
        return;
    }
    request->method = METHOD_GET;
    request->target = buf_bytes(&part->hx.head);
    request->who = principal_control();
    forward_send(http->forward, part->reply.peer.node_id, &part->hx);
}

static void fail(const struct fanout_ops *ops, void *arg)
{
    ops->done(arg, QK_ERR_NOMEM, NULL, 0);
}

void fanout_start(struct http *http, const struct cluster_peer *peers, unsigned n,
                  const struct fanout_ops *ops, void *arg)
{
    struct fanout *fanout = calloc(1, sizeof *fanout + n * sizeof fanout->parts[0]);

    if (fanout == NULL) {
        fail(ops, arg);
        return;
    }
    fanout->ops = *ops;
    fanout->arg = arg;
    fanout->parts_n = n;
    fanout->waiting = 1;
    for (unsigned i = 0; i < n; i++) {
        fanout->parts[i].fanout = fanout;
        fanout->parts[i].reply.peer = peers[i];
        fanout->parts[i].body = BUF_INIT(FANOUT_REPLY_BYTES_MAX);
    }
    if (timer_new(http->config.loop, on_timer, fanout, &fanout->timer) != QK_OK) {
        free(fanout);
        fail(ops, arg);
        return;
    }
    timer_start(fanout->timer, FANOUT_MS);
    for (unsigned i = 0; i < n; i++)
        if (peers[i].connected)
            ask(fanout, http, &fanout->parts[i]);
    finish(fanout);
}

#include "http/connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/packed.h"
#include "http/parse.h"
#include "http/reply.h"
#include "secret/secret.h"
#include "service/vault.h"

static struct socket_exchange *sx_of(struct exchange *exchange)
{
    return (struct socket_exchange *)(void *)exchange;
}

static void sx_free(struct socket_exchange *sx)
{
    packed_reply_free(sx->packed);
    http_exchange_fini(&sx->hx);
    secret_wipe(sx, sizeof *sx); /* a cookie among the fields of the reply */
    free(sx);
}

static void socket_start(struct exchange *exchange, int status, const char *content_type,
                         const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct socket_exchange *sx = sx_of(exchange);
    struct reply_head head = {.status = status,
                              .content_type = content_type,
                              .fields = fields,
                              .fields_n = fields_n,
                              .length = length,
                              .now = time(NULL)};

    sx->hx.status = status;
    if (sx->connection == NULL)
        return;
    sx->bodyless = exchange->request.method == METHOD_HEAD || reply_is_bodyless(status);
    sx->length = length;
    head.chunked = sx->chunked = length == SIZE_MAX && !sx->minor_0;
    if (sx->unread || sx->hx.http->draining || (length == SIZE_MAX && sx->minor_0 && !sx->bodyless))
        sx->keep_alive = false;
    head.close = !sx->keep_alive;
    head.keep_alive = sx->keep_alive && sx->minor_0;
    reply_write_head(&head, connection_out(sx->connection));
}

static void socket_write(struct exchange *exchange, struct bytes body)
{
    struct socket_exchange *sx = sx_of(exchange);

    sx->written += body.len;
    if (sx->connection == NULL || sx->bodyless)
        return;
    if (sx->chunked)
        reply_write_chunk(body, connection_out(sx->connection));
    else
        buf_put_bytes(connection_out(sx->connection), body);
    connection_flush(sx->connection);
}

static const struct exchange_ops SOCKET_WAY = {.start = socket_start, .write = socket_write};

/* Without memory for the encoder the client gets JSON, which says so. */
static void sx_start(struct exchange *exchange, int status, const char *content_type,
                     const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct socket_exchange *sx = sx_of(exchange);
    bool json = content_type != NULL && strcmp(content_type, "application/json") == 0;

    sx->hx.base.started = true; /* also when no one called exchange_start, see forward_out.c */
    if (sx->wants_packed && sx->connection != NULL)
        sx->packed = packed_reply_new(sx->hx.http, &SOCKET_WAY);
    if (sx->packed != NULL)
        packed_reply_start(sx->packed, exchange, status, content_type, fields, fields_n, length);
    else
        socket_start(exchange, status,
                     json && sx->shuns_json ? "text/plain; charset=utf-8" : content_type, fields,
                     fields_n, length);
}

static void sx_write(struct exchange *exchange, struct bytes body)
{
    struct socket_exchange *sx = sx_of(exchange);

    if (sx->packed != NULL)
        packed_reply_write(sx->packed, exchange, body);
    else
        socket_write(exchange, body);
}

static void sx_end(struct exchange *exchange)
{
    struct socket_exchange *sx = sx_of(exchange);
    struct connection *connection = sx->connection;
    bool reusable;

    assert(exchange->started);
    if (sx->packed != NULL && !packed_reply_end(sx->packed, exchange))
        sx->hx.broken = true;
    reusable = sx->keep_alive && !sx->unread;
    sx->running = false;
    if (connection != NULL) {
        if (sx->chunked && !sx->bodyless && !sx->hx.broken)
            reply_write_last_chunk(connection_out(connection));
        /* Less than was announced: the client would take the next reply for the rest of this. */
        if (sx->hx.broken || (!sx->bodyless && sx->length != SIZE_MAX && sx->written != sx->length))
            reusable = false;
        sx->connection = NULL;
        connection_request_ended(connection, reusable);
    }
    sx_free(sx);
}

static size_t sx_queued(const struct exchange *exchange)
{
    const struct socket_exchange *sx = (const struct socket_exchange *)(const void *)exchange;

    return sx->connection == NULL ? 0 : connection_queued(sx->connection);
}

static void sx_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    struct socket_exchange *sx = sx_of(exchange);

    http_exchange_wait(&sx->hx, sx_queued(exchange) < HTTP_DRAINED_BYTES, drained, arg);
}

static void sx_body(struct exchange *exchange)
{
    struct socket_exchange *sx = sx_of(exchange);

    if (sx->connection != NULL)
        connection_resume(sx->connection);
    http_body_came(&sx->hx);
}

static const struct exchange_ops SOCKET_OPS = {
    .start = sx_start,
    .write = sx_write,
    .end = sx_end,
    .queued = sx_queued,
    .on_drain = sx_on_drain,
    .body = sx_body,
};

/* An entity tag, or a list of them as it is, without quotes and without the mark of a weak one. */
static struct bytes unquoted(struct bytes tag)
{
    if (bytes_starts_with(tag, bytes_str("W/")))
        tag = bytes_slice(tag, 2, tag.len);
    if (tag.len >= 2 && tag.data[0] == '"' && tag.data[tag.len - 1] == '"')
        tag = bytes_slice(tag, 1, tag.len - 2);
    return tag;
}

/* Moves the head's bytes over; views into them stay valid, since the memory stays where it is. */
static void take_head(struct socket_exchange *sx, struct parse *parse)
{
    struct request *request = &sx->hx.base.request;

    request->method = parse->method;
    request->target = parse_target(parse);
    (void)parse_field(parse, "if-match", &request->if_match);
    (void)parse_field(parse, "if-none-match", &request->if_none_match);
    (void)parse_field(parse, "destination", &request->destination);
    (void)parse_field(parse, "last-event-id", &request->last_event_id);
    (void)parse_field(parse, "content-type", &request->content_type);
    (void)parse_field(parse, "accept", &request->accept);
    (void)parse_field(parse, "host", &request->host);
    (void)parse_field(parse, "range", &request->range);
    (void)parse_field(parse, "content-md5", &request->content_md5);
    (void)parse_field(parse, "authorization", &sx->admission.shown.authorization);
    (void)parse_field(parse, "x-vault-token", &sx->admission.shown.vault_token);
    (void)parse_field(parse, "cookie", &sx->admission.shown.cookie);
    (void)parse_field(parse, "origin", &sx->admission.shown.origin);
    sx->hx.origin = sx->admission.shown.origin;
    (void)parse_field(parse, "content-encoding", &sx->admission.content_coding);
    sx->wants_packed = packed_is_wanted(request->accept);
    sx->shuns_json = !packed_accepts_json(request->accept) && !vault_is_request(request);
    sx->hx.packed = packed_is_type(request->content_type);
    if (sx->hx.packed) /* what it will be when anybody looks at it */
        request->content_type = bytes_str("application/json");
    request->if_match = unquoted(request->if_match);
    request->if_none_match = unquoted(request->if_none_match);
    sx->admission.method_known = parse->method_known;
    sx->keep_alive = parse->keep_alive;
    sx->minor_0 = parse->minor_0;
    sx->unread = parse->has_body;
    sx->hx.head = parse->head;
    parse->head = BUF_SECRET_INIT(0);
}

struct socket_exchange *socket_exchange_new(struct http *http, struct connection *connection,
                                            struct parse *parse, const char *from)
{
    struct socket_exchange *sx = calloc(1, sizeof *sx);

    if (sx == NULL)
        return NULL;
    http_exchange_init(&sx->hx, http, &SOCKET_OPS);
    (void)snprintf(sx->hx.base.from, sizeof sx->hx.base.from, "%s", from);
    sx->connection = connection;
    sx->admission.hx = &sx->hx;
    take_head(sx, parse);
    return sx;
}

void socket_exchange_orphan(struct socket_exchange *sx)
{
    sx->connection = NULL;
    sx->hx.base.closed = true;
    sx->admission.cache = NULL;
    if (sx->running)
        http_exchange_wake(&sx->hx);
    else if (!sx->waiting_login)
        sx_free(sx);
}

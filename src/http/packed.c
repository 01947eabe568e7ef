#include "http/packed.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/reply.h"
#include "secret/secret.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/vault.h"

/* --- what the headers say --- */

static struct bytes trimmed(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_slice(text, 1, SIZE_MAX);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Cuts off what stands before the first `byte`. */
static struct bytes take_until(struct bytes *rest, uint8_t byte)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, byte, rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->data);
    struct bytes taken = bytes_slice(*rest, 0, len);

    *rest = bytes_slice(*rest, end == NULL ? len : len + 1, SIZE_MAX);
    return trimmed(taken);
}

static bool is_text(struct bytes text, const char *wanted)
{
    return text.len == strlen(wanted) &&
           strncasecmp((const char *)text.data, wanted, text.len) == 0;
}

static bool is_packed_name(struct bytes type)
{
    return is_text(type, PACKED_TYPE) || is_text(type, "application/x-msgpack") ||
           is_text(type, "application/vnd.msgpack");
}

bool packed_is_type(struct bytes content_type)
{
    return is_packed_name(take_until(&content_type, ';'));
}

/* In thousandths; a wrong one counts as 1, as most servers have it. */
static unsigned quality_of(struct bytes params)
{
    while (params.len > 0) {
        struct bytes param = take_until(&params, ';');
        unsigned value, weight = 100;

        if (param.len < 3 || (param.data[0] | 0x20) != 'q' || param.data[1] != '=')
            continue;
        if (param.data[2] != '0' && param.data[2] != '1')
            return 1000;
        value = param.data[2] == '1' ? 1000 : 0;
        for (size_t i = 4; i < param.len && i < 7; i++, weight /= 10) {
            if (param.data[i] < '0' || param.data[i] > '9')
                return 1000;
            value += weight * (unsigned)(param.data[i] - '0');
        }
        return value < 1000 ? value : 1000;
    }
    return 1000;
}

struct wish {
    bool has_packed, has_json; /* named */
    unsigned packed, json;
    unsigned range; /* of what JSON lies in */
};

static struct wish wish_of(struct bytes accept)
{
    struct wish wish = {.range = 0};

    while (accept.len > 0) {
        struct bytes params = take_until(&accept, ',');
        struct bytes type = take_until(&params, ';');
        unsigned quality = quality_of(params);

        if (is_packed_name(type)) {
            wish.has_packed = true;
            wish.packed = quality > wish.packed ? quality : wish.packed;
        } else if (is_text(type, "application/json")) {
            wish.has_json = true;
            wish.json = quality > wish.json ? quality : wish.json;
        } else if (is_text(type, "*/*") || is_text(type, "application/*")) {
            wish.range = quality > wish.range ? quality : wish.range;
        }
    }
    return wish;
}

bool packed_is_wanted(struct bytes accept)
{
    struct wish wish = wish_of(accept);

    return wish.has_packed && wish.packed > 0 && (!wish.has_json || wish.packed >= wish.json);
}

bool packed_accepts_json(struct bytes accept)
{
    struct wish wish = wish_of(accept);

    return accept.len == 0 || (wish.has_json ? wish.json > 0 : wish.range > 0);
}

/* --- the way in --- */

struct intake {
    struct http_exchange *hx;
    void (*next)(struct http_exchange *hx);
    struct buf json; /* secret */
    struct doc_problem problem;
    enum qk_err err;
};

/* On the pool, if the body is large. */
static void intake_work(void *arg)
{
    struct intake *intake = arg;

    intake->err = msgpack_to_json(buf_bytes(&intake->hx->body), JSON_DEPTH_MAX, &intake->problem,
                                  &intake->json);
}

static void intake_done(void *arg, enum qk_err err)
{
    struct intake *intake = arg;
    struct http_exchange *hx = intake->hx;
    void (*next)(struct http_exchange * hx) = intake->next;
    struct doc_problem problem = intake->problem;

    if (err == QK_OK)
        err = intake->err;
    if (err == QK_OK && intake->json.len > hx->counted)
        err = http_exchange_count_body(hx, intake->json.len);
    if (err == QK_OK) {
        buf_fini(&hx->body);
        hx->body = intake->json;
    } else {
        buf_fini(&intake->json);
    }
    free(intake);
    if (err == QK_OK)
        next(hx);
    else
        exchange_reply_problem_or(&hx->base, &problem, err);
}

void packed_take_body(struct http_exchange *hx, void (*next)(struct http_exchange *hx))
{
    struct intake *intake;

    if (hx->body.len == 0) {
        next(hx);
        return;
    }
    intake = calloc(1, sizeof *intake);
    if (intake == NULL) {
        exchange_reply_err(&hx->base, QK_ERR_NOMEM);
        return;
    }
    *intake =
        (struct intake){.hx = hx, .next = next, .json = BUF_SECRET_INIT(hx->route->body_bytes_max)};
    offload_run(hx->http->config.service, hx->body.len, intake_work, intake_done, intake);
}

/* --- the way out --- */

struct packed_reply *packed_reply_new(struct http *http, const struct exchange_ops *ops)
{
    struct packed_reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL)
        return NULL;
    reply->http = http;
    reply->ops = ops;
    msgpack_encoder_init(&reply->encoder, PACKED_REPLY_BYTES_MAX);
    return reply;
}

void packed_reply_free(struct packed_reply *reply)
{
    if (reply == NULL)
        return;
    reply->http->bodies_bytes -= reply->counted;
    msgpack_encoder_fini(&reply->encoder);
    secret_wipe(reply, sizeof *reply);
    free(reply);
}

static bool is_json_type(const char *content_type)
{
    return content_type != NULL && strncmp(content_type, "application/json", 16) == 0;
}

static void keep_fields(struct packed_reply *reply, const struct reply_field *fields, unsigned n)
{
    assert(n <= REPLY_FIELDS_MAX);

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(reply->names[i], sizeof reply->names[i], "%s", fields[i].name);
        reply->fields[i] = fields[i];
        reply->fields[i].name = reply->names[i];
    }
    reply->fields_n = n;
}

void packed_reply_start(struct packed_reply *reply, struct exchange *exchange, int status,
                        const char *content_type, const struct reply_field *fields,
                        unsigned fields_n, size_t length)
{
    bool bodyless = exchange->request.method == METHOD_HEAD || reply_is_bodyless(status);

    reply->packs = is_json_type(content_type);
    reply->streamed = length == SIZE_MAX;
    reply->status = status;
    keep_fields(reply, fields, fields_n);
    reply->held = reply->packs && !bodyless;
    if (reply->held)
        return;
    /* Of a body that is not made nobody knows the length in another format. */
    reply->ops->start(exchange, status, reply->packs ? PACKED_TYPE : content_type, fields, fields_n,
                      reply->packs ? SIZE_MAX : length);
}

static void send_head(struct packed_reply *reply, struct exchange *exchange, size_t length)
{
    reply->held = false;
    reply->ops->start(exchange, reply->status, PACKED_TYPE, reply->fields, reply->fields_n, length);
}

/* Of a stream whole values go out at once: those of a feed, one a line. */
static void send_whole(struct packed_reply *reply, struct exchange *exchange)
{
    struct bytes whole = msgpack_encoder_whole(&reply->encoder);

    if (whole.len == 0 || reply->encoder.depth > 0)
        return;
    if (reply->held)
        send_head(reply, exchange, SIZE_MAX);
    reply->ops->write(exchange, whole);
    msgpack_encoder_drop(&reply->encoder);
}

/* What is held counts as the bodies of requests do, against one limit for all. */
static enum qk_err count_held(struct packed_reply *reply)
{
    size_t held = reply->encoder.out.len;

    reply->http->bodies_bytes = reply->http->bodies_bytes - reply->counted + held;
    reply->counted = held;
    return reply->http->bodies_bytes > reply->http->config.bodies_bytes_max ? QK_ERR_BUSY : QK_OK;
}

void packed_reply_write(struct packed_reply *reply, struct exchange *exchange, struct bytes body)
{
    if (!reply->packs) {
        reply->ops->write(exchange, body);
        return;
    }
    if (reply->err == QK_OK)
        reply->err = msgpack_encoder_feed(&reply->encoder, body);
    if (reply->err == QK_OK && reply->streamed)
        send_whole(reply, exchange);
    if (reply->err == QK_OK)
        reply->err = count_held(reply);
}

/* {"error": ..., "reason": ...} in the place of a reply that cannot be given. */
static void send_error(struct packed_reply *reply, struct exchange *exchange)
{
    const char *text = "{\"error\":\"incomplete\",\"reason\":\"the reply ended before it was "
                       "whole: ask again, or for JSON to see why\"}";

    reply->status = 503;
    if (reply->err == QK_ERR_TOO_BIG) {
        reply->status = 406;
        text = "{\"error\":\"not_acceptable\",\"reason\":\"the reply is too large for "
               "MessagePack, which has its size in front: ask for fewer rows, or for JSON\"}";
    } else if (reply->err == QK_ERR_BUSY || reply->err == QK_ERR_NOMEM) {
        text = "{\"error\":\"busy\",\"reason\":\"too much is waiting; try again\"}";
    }
    msgpack_encoder_fini(&reply->encoder);
    msgpack_encoder_init(&reply->encoder, PACKED_REPLY_BYTES_MAX);
    if (msgpack_encoder_feed(&reply->encoder, bytes_str(text)) != QK_OK)
        reply->status = 500; /* no memory: the status must do */
    send_head(reply, exchange, msgpack_encoder_whole(&reply->encoder).len);
    reply->ops->write(exchange, msgpack_encoder_whole(&reply->encoder));
}

bool packed_reply_end(struct packed_reply *reply, struct exchange *exchange)
{
    struct bytes whole;

    if (!reply->packs || (exchange->request.method == METHOD_HEAD) ||
        reply_is_bodyless(reply->status))
        return true;
    if (reply->err == QK_OK)
        reply->err = msgpack_encoder_end(&reply->encoder);
    if (reply->err != QK_OK && reply->held) {
        send_error(reply, exchange);
        return true;
    }
    if (reply->err != QK_OK)
        return false;
    whole = msgpack_encoder_whole(&reply->encoder);
    if (reply->held)
        send_head(reply, exchange, whole.len);
    if (whole.len > 0)
        reply->ops->write(exchange, whole);
    return true;
}

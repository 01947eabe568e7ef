/* One request, to whichever node serves it. Nodes are asked in turn, beginning with the one that
 * answered last, over a connection that is kept. A node that refuses without having written
 * (client_judge), or cannot be reached, is passed over; after each round there is a pause, until
 * the patience is over. What was sent and not answered is sent again only if it is safe. */
#include "client/client.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 800

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void client_rest(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

void client_begin(struct quorumkeep *client)
{
    buf_reset(&client->message);
    client->status = 0;
}

enum quorumkeep_error client_fail(struct quorumkeep *client, enum quorumkeep_error error,
                                  const char *format, ...)
{
    char text[CLIENT_MESSAGE_BYTES_MAX / 2];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_fini(&client->message);
    buf_put_str(&client->message, text);
    buf_put_u8(&client->message, 0);
    return error;
}

static enum quorumkeep_error error_of(enum qk_err err)
{
    switch ((unsigned)err) {
    case QK_OK:
        return QUORUMKEEP_OK;
    case QK_ERR_NOMEM:
        return QUORUMKEEP_NOMEM;
    case QK_ERR_DENIED:
        return QUORUMKEEP_UNTRUSTED;
    case QK_ERR_TOO_BIG:
        return QUORUMKEEP_TOO_BIG;
    case QK_ERR_INVALID:
        return QUORUMKEEP_PROTOCOL;
    case QK_ERR_UNKNOWN_OUTCOME:
        return QUORUMKEEP_UNKNOWN_OUTCOME;
    default:
        return QUORUMKEEP_UNREACHABLE;
    }
}

static void turn(struct quorumkeep *client)
{
    client_channel_close(&client->channel);
    client->at = (client->at + 1) % client->targets_n;
}

/* A login crosses to another machine under TLS or by leave. */
static enum quorumkeep_error may_send(struct quorumkeep *client)
{
    const struct client_target *target = &client->targets[client->at];

    if (target->tls || client->clear_allowed || client_target_is_private(target))
        return QUORUMKEEP_OK;
    return client_fail(client, QUORUMKEEP_UNTRUSTED,
                       "%s is not this machine, and all would cross the network in clear: use "
                       "https:// or allow it",
                       target->text);
}

static enum quorumkeep_error reach(struct quorumkeep *client, struct buf *message)
{
    enum quorumkeep_error error = may_send(client);
    enum qk_err err;

    if (error != QUORUMKEEP_OK || client_channel_is_open(&client->channel))
        return error;
    client_channel_close(&client->channel);
    err = client_channel_open(&client->targets[client->at], client->timeout_ms, &client->channel,
                              message);
    if (err == QK_ERR_TIMEOUT)
        return QUORUMKEEP_UNREACHABLE;
    return err == QK_ERR_INVALID ? QUORUMKEEP_INVALID : error_of(err);
}

/* What has come of a streamed body, so that none of it is given twice. */
struct delivery {
    const struct client_order *order;
    bool begun;
};

static bool on_piece(void *arg, struct bytes piece)
{
    struct delivery *delivery = arg;

    delivery->begun = true;
    return delivery->order->on_body(delivery->order->arg, piece);
}

/* What was given cannot be given again. A request that did not go as a whole changes nothing. */
static enum quorumkeep_error judge_source(struct quorumkeep *client,
                                          const struct client_source *source,
                                          enum quorumkeep_error error, bool *ret_again)
{
    bool lost = error == QUORUMKEEP_UNKNOWN_OUTCOME || error == QUORUMKEEP_UNREACHABLE;

    if (!source->begun) {
        *ret_again = *ret_again || (lost && client->status == 0);
        return lost && client->status == 0 ? QUORUMKEEP_UNREACHABLE : error;
    }
    *ret_again = false;
    if (source->stopped)
        return client_fail(client, QUORUMKEEP_STOPPED,
                           "the content ended early, or was longer than announced");
    return lost && !source->ended ? QUORUMKEEP_UNREACHABLE : error;
}

/* One try at one node; `ret_again`: another may be asked. */
static enum quorumkeep_error try_once(struct quorumkeep *client, const struct client_order *order,
                                      struct client_reply *ret_reply, bool *ret_again)
{
    struct buf message = BUF_INIT(CLIENT_MESSAGE_BYTES_MAX);
    struct delivery delivery = {.order = order};
    struct client_request request = {
        .method = order->method,
        .target = buf_bytes(order->path),
        .body = order->body == NULL ? BYTES_NONE : bytes_str(order->body),
        .source = order->source,
        .authorization = buf_bytes(&client->authorization),
        .timeout_ms = order->timeout_ms == 0 ? client->timeout_ms : order->timeout_ms,
        .keep = true,
        .on_body = order->on_body == NULL ? NULL : on_piece,
        .arg = &delivery,
    };
    enum quorumkeep_error error = reach(client, &message);
    enum qk_err err;

    *ret_again = error != QUORUMKEEP_OK && error != QUORUMKEEP_INVALID;
    if (error != QUORUMKEEP_OK)
        goto out;
    client->node = client->targets[client->at].text;
    err = client_channel_call(&client->channel, &request, ret_reply, &message);
    error = err == QK_ERR_TIMEOUT ? QUORUMKEEP_UNKNOWN_OUTCOME : error_of(err);
    client->status = ret_reply->status;
    if (!ret_reply->kept)
        client_channel_close(&client->channel);
    *ret_again =
        error != QUORUMKEEP_OK && error != QUORUMKEEP_TOO_BIG && order->safe && !delivery.begun;
    if (error != QUORUMKEEP_OK && delivery.begun)
        error = order->safe ? QUORUMKEEP_CUT : QUORUMKEEP_UNKNOWN_OUTCOME;
    else if (error == QUORUMKEEP_UNKNOWN_OUTCOME && order->safe)
        error = QUORUMKEEP_UNREACHABLE;
    if (error == QUORUMKEEP_OK && ret_reply->status / 100 != 2)
        error = client_judge(client, ret_reply, ret_again);
    if (order->source != NULL)
        error = judge_source(client, order->source, error, ret_again);

out:
    if (error != QUORUMKEEP_OK && message.len > 0)
        (void)client_fail(client, error, "%.*s", (int)message.len, (const char *)message.data);
    buf_fini(&message);
    return error;
}

enum quorumkeep_error client_ask(struct quorumkeep *client, const struct client_order *order,
                                 struct client_reply *ret_reply)
{
    uint64_t end_ms = now_ms() + client->patience_ms;
    unsigned pause_ms = PAUSE_MIN_MS;
    enum quorumkeep_error error;
    bool again = false;

    *ret_reply = (struct client_reply){.body = BUF_SECRET_INIT(CLIENT_REPLY_BYTES_MAX)};
    if (buf_error(order->path) != QK_OK || order->path->len > HTTP_URI_BYTES_MAX)
        return client_fail(client, QUORUMKEEP_TOO_BIG, "names and options are too long");
    for (size_t tries = 1;; tries++) {
        client_reply_fini(ret_reply);
        error = try_once(client, order, ret_reply, &again);
        if (!again)
            break;
        turn(client);
        if (tries % client->targets_n != 0)
            continue;
        if (now_ms() + pause_ms > end_ms)
            break;
        client_rest(pause_ms);
        pause_ms = pause_ms >= PAUSE_MAX_MS / 2 ? PAUSE_MAX_MS : 2 * pause_ms;
    }
    if (error == QUORUMKEEP_OK)
        buf_reset(&client->message);
    return error;
}

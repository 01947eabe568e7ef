/* Replies whose body is an array within an object, read as they come. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/split.h"

#define AGAIN_MAX 3

/* A row for the callback stands in memory of its own, terminated. */
struct reading {
    const struct client_rows *rows;
    struct split split;
    bool given, stopped;
    enum qk_err err;
};

static bool on_element(void *arg, struct bytes json)
{
    struct reading *reading = arg;
    struct buf text = BUF_SECRET_INIT(json.len + 1);

    buf_put_bytes(&text, json);
    buf_put_u8(&text, 0);
    reading->given = true;
    reading->err = buf_error(&text);
    if (reading->err == QK_OK)
        reading->stopped =
            reading->rows->row(reading->rows->arg, (const char *)text.data, json.len) != 0;
    buf_fini(&text);
    return reading->err == QK_OK && !reading->stopped;
}

static bool on_body(void *arg, struct bytes piece)
{
    struct reading *reading = arg;

    if (split_feed(&reading->split, piece) != QK_OK)
        return reading->split.valued; /* the reason is coming */
    return !reading->split.stopped;
}

/* A list that the node cannot finish ends with a line {"error", "reason"}, which is no element
 * since neither a comma nor a bracket follows it. */
static enum quorumkeep_error cut(struct quorumkeep *client, const struct split *split)
{
    struct bytes tail = buf_bytes(&split->element);
    const uint8_t *line = tail.len == 0 ? NULL : memrchr(tail.data, '{', tail.len);
    json_t *json = line == NULL ? NULL
                                : json_loadb((const char *)line,
                                             tail.len - (size_t)(line - tail.data), 0, NULL);
    const char *word = json_string_value(json_object_get(json, "error"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    enum quorumkeep_error error;

    if (word == NULL || reason == NULL)
        error = client_fail(client, QUORUMKEEP_CUT, "the reply ended early");
    else
        error = client_fail(client, QUORUMKEEP_CUT, "%s: %s", word, reason);
    json_decref(json);
    return error;
}

static enum quorumkeep_error settle(struct quorumkeep *client, struct reading *reading,
                                    json_t **ret_rest)
{
    struct bytes rest = buf_bytes(&reading->split.rest);
    enum qk_err err = reading->err != QK_OK ? reading->err : split_end(&reading->split);

    if (reading->stopped)
        return client_fail(client, QUORUMKEEP_STOPPED, "stopped by the callback");
    if (err == QK_ERR_NOMEM)
        return client_fail(client, QUORUMKEEP_NOMEM, "out of memory");
    if (err == QK_ERR_TOO_BIG)
        return client_fail(client, QUORUMKEEP_TOO_BIG, "a row is too long");
    if (err != QK_OK)
        return cut(client, &reading->split);
    if (ret_rest == NULL || reading->rows->name == NULL)
        return QUORUMKEEP_OK;
    *ret_rest = json_loadb((const char *)rest.data, rest.len, 0, NULL);
    return *ret_rest != NULL
               ? QUORUMKEEP_OK
               : client_fail(client, QUORUMKEEP_PROTOCOL, "the reply is not what was asked for");
}

static enum quorumkeep_error read_rows(struct quorumkeep *client, const struct client_order *order,
                                       const struct client_rows *rows, json_t **ret_rest,
                                       bool *ret_given)
{
    struct reading reading = {.rows = rows};
    struct client_order streamed = *order;
    struct client_reply reply;
    enum quorumkeep_error error;

    split_init(&reading.split, rows->name, on_element, &reading);
    streamed.on_body = on_body;
    streamed.arg = &reading;
    error = client_ask(client, &streamed, &reply);
    if (error == QUORUMKEEP_OK || reading.stopped)
        error = settle(client, &reading, ret_rest);
    *ret_given = reading.given;
    client_reply_fini(&reply);
    split_fini(&reading.split);
    return error;
}

/* A reply that broke off before its first row is asked for again. */
enum quorumkeep_error client_rows(struct quorumkeep *client, const struct client_order *order,
                                  const struct client_rows *rows, json_t **ret_rest)
{
    enum quorumkeep_error error;
    unsigned tries = 0;
    bool given;

    do {
        error = read_rows(client, order, rows, ret_rest, &given);
    } while (error == QUORUMKEEP_CUT && order->safe && !given && tries++ < AGAIN_MAX);
    return error;
}

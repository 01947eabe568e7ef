#include "cli/load_http.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBLEM_BYTES 160

struct http_state {
    http_parser parser;
    struct load_conn *conn;
    uint64_t units;
    bool asked;
    char problem[PROBLEM_BYTES]; /* the status, and the beginning of the body with it */
    size_t problem_len;
};

static int on_headers(http_parser *parser)
{
    struct http_state *state = parser->data;

    state->problem_len = 0;
    if (parser->status_code / 100 != 2)
        state->problem_len = (size_t)snprintf(state->problem, PROBLEM_BYTES,
                                              "status %u: ", (unsigned)parser->status_code);
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct http_state *state = parser->data;

    for (size_t i = 0; i < len && state->problem_len > 0; i++)
        if (state->problem_len < PROBLEM_BYTES - 1)
            state->problem[state->problem_len++] = at[i];
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct http_state *state = parser->data;

    if (!state->asked)
        return 1; /* a reply that nobody asked for */
    state->asked = false;
    state->problem[state->problem_len] = '\0';
    load_done(state->conn, 0, state->units, state->problem_len > 0 ? state->problem : NULL);
    return 0;
}

static const http_parser_settings settings = {
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static enum qk_err http_open(struct load_conn *conn)
{
    struct http_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return QK_ERR_NOMEM;
    http_parser_init(&state->parser, HTTP_RESPONSE);
    state->parser.data = state;
    state->conn = conn;
    conn->state = state;
    return QK_OK;
}

static void http_ask(struct load_conn *conn, unsigned slot)
{
    struct http_state *state = conn->state;
    struct load_http *http = conn->arg;

    (void)slot;
    state->units = http->build(http, &conn->out);
    state->asked = true;
}

static bool http_take(struct load_conn *conn, struct bytes in)
{
    struct http_state *state = conn->state;

    return http_parser_execute(&state->parser, &settings, (const char *)in.data, in.len) == in.len;
}

static void http_close(struct load_conn *conn)
{
    free(conn->state);
    conn->state = NULL;
}

const struct load_wire load_http_wire = {
    .open = http_open, .ask = http_ask, .take = http_take, .close = http_close};

void load_http_put(struct buf *out, const char *method, struct bytes path,
                   struct bytes authorization, struct bytes body)
{
    buf_put_str(out, method);
    buf_put_str(out, " ");
    buf_put_bytes(out, path);
    buf_put_str(out, " HTTP/1.1\r\nHost: bench\r\n");
    if (authorization.len > 0) {
        buf_put_str(out, "Authorization: ");
        buf_put_bytes(out, authorization);
        buf_put_str(out, "\r\n");
    }
    if (body.len > 0)
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    buf_put_str(out, "\r\n");
    buf_put_bytes(out, body);
}

#include "service/replication/endpoint.h"

#include <assert.h>
#include <stdio.h>

#include "base/encode.h"
#include "doc/replication.h"
#include "service/inner.h"

static const char *method_name(enum method method)
{
    switch (method) {
    case METHOD_GET:
        return "GET";
    case METHOD_HEAD:
        return "HEAD";
    case METHOD_PUT:
        return "PUT";
    case METHOD_POST:
        return "POST";
    case METHOD_DELETE:
        return "DELETE";
    case METHOD_COPY:
    case METHOD_LIST:
    case METHOD_PATCH:
        break;
    }
    assert(false);
    return "GET";
}

static void on_reply(void *arg, const struct fetch_reply *reply)
{
    struct endpoint *endpoint = arg;

    endpoint->local = NULL;
    endpoint->remote = NULL;
    endpoint->cb(endpoint->arg, reply);
}

static enum qk_err ask_local(struct endpoint *endpoint, const struct endpoint_request *wish)
{
    struct buf target = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct inner_request request = {.who = &endpoint->who,
                                    .method = wish->method,
                                    .body = wish->body,
                                    .accept = wish->accept,
                                    .from = wish->from,
                                    .into = wish->into,
                                    .reply_bytes_max = ENDPOINT_REPLY_BYTES_MAX};
    enum qk_err err;

    buf_put_u8(&target, '/');
    percent_encode(bytes_str(endpoint->side->name), &target);
    buf_put_str(&target, wish->path);
    request.target = buf_bytes(&target);
    err = buf_error(&target);
    if (err == QK_OK)
        err = inner_start(endpoint->service, &request, on_reply, endpoint, &endpoint->local);
    buf_fini(&target);
    return err;
}

static enum qk_err ask_remote(struct endpoint *endpoint, const struct endpoint_request *wish)
{
    const struct replication_side *side = endpoint->side;
    struct buf url = BUF_INIT(REPLICATION_URL_BYTES_MAX + HTTP_URI_BYTES_MAX);
    char type[FLOW_TYPE_BYTES + 32];
    struct fetch_request request = {.method = method_name(wish->method),
                                    .user = side->user,
                                    .password = side->password,
                                    .accept = wish->accept,
                                    .body = wish->body,
                                    .from = wish->from,
                                    .into = wish->into,
                                    .reply_bytes_max = ENDPOINT_REPLY_BYTES_MAX,
                                    .silence_ms = wish->silence_ms};
    enum qk_err err;

    (void)snprintf(type, sizeof type, "Content-Type: %s",
                   wish->from == NULL ? "application/json" : wish->from->type);
    if (wish->method == METHOD_POST || wish->method == METHOD_PUT)
        request.fields[request.fields_n++] = type;
    for (unsigned i = 0; i < side->fields_n; i++)
        request.fields[request.fields_n++] = side->fields[i];
    buf_put_str(&url, side->name);
    buf_put_str(&url, wish->path);
    buf_put_u8(&url, '\0');
    request.url = (const char *)url.data;
    err = buf_error(&url);
    if (err == QK_OK)
        err = fetch_start(endpoint->fetch, &request, on_reply, endpoint, &endpoint->remote);
    buf_fini(&url);
    return err;
}

enum qk_err endpoint_ask(struct endpoint *endpoint, const struct endpoint_request *request,
                         fetch_cb cb, void *arg)
{
    assert(endpoint->local == NULL && endpoint->remote == NULL);
    endpoint->cb = cb;
    endpoint->arg = arg;
    if (endpoint->side->local)
        return ask_local(endpoint, request);
    return ask_remote(endpoint, request);
}

void endpoint_cancel(struct endpoint *endpoint)
{
    if (endpoint->local != NULL)
        inner_cancel(endpoint->service, endpoint->local);
    if (endpoint->remote != NULL)
        fetch_cancel(endpoint->remote);
    endpoint->local = NULL;
    endpoint->remote = NULL;
}

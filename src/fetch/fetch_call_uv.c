/* What libcurl is told of one call, and what it asks of it: sockets, the reply, the body. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/encode.h"
#include "base/limits.h"
#include "fetch/fetch_private_uv.h"

#define CONNECT_MS 15000L

static bool address_of(const struct curl_sockaddr *from, uint8_t *ret_address)
{
    memset(ret_address, 0, LINK_ALLOW_ADDRESS_BYTES);
    if (from->family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, &from->addr, sizeof in);
        ret_address[10] = ret_address[11] = 0xff;
        memcpy(ret_address + 12, &in.sin_addr, 4);
        return true;
    }
    if (from->family == AF_INET6 && from->addrlen >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;

        memcpy(&in6, (const void *)&from->addr, sizeof in6);
        memcpy(ret_address, &in6.sin6_addr, LINK_ALLOW_ADDRESS_BYTES);
        return true;
    }
    return false;
}

static curl_socket_t socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch_call *call = arg;
    uint8_t bytes[LINK_ALLOW_ADDRESS_BYTES];

    (void)purpose;
    if (!address_of(address, bytes) || !fetch_may_reach(&call->fetch->allow, bytes)) {
        call->refused = true;
        return CURL_SOCKET_BAD;
    }
    call->refused = false; /* another address of the same name was */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- flows ----------------------------------------------------------------------------------- */

static void on_flow(void *arg)
{
    struct fetch_call *call = arg;

    call->wake = true;
    fetch_wake(call->fetch);
}

/* Its head is there: a reply that is what was asked for goes on its way. */
static void flow_start(struct fetch_call *call)
{
    curl_off_t length = -1;
    char *type = NULL;
    long status = 0;

    (void)fetch_curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->flows = call->into != NULL && status == 200;
    if (!call->flows || call->into->begun)
        return;
    (void)fetch_curl.easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    (void)fetch_curl.easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
    flow_begin(call->into, bytes_str(type == NULL ? "" : type),
               length < 0 ? FLOW_LENGTH_UNKNOWN : (uint64_t)length);
}

void fetch_call_flowed(struct fetch_call *call)
{
    flow_start(call);
    if (call->flows)
        flow_end(call->into);
}

/* What is refused now comes again. */
static size_t take_into_flow(struct fetch_call *call, struct bytes bytes)
{
    if (flow_is_full(call->into))
        return CURL_WRITEFUNC_PAUSE;
    return flow_put(call->into, bytes) == QK_OK ? bytes.len : 0;
}

static size_t give_body(char *out, size_t size, size_t n, void *arg)
{
    struct fetch_call *call = arg;
    struct bytes bytes = bytes_slice(flow_waiting(call->from), 0, size * n);

    if (bytes.len == 0)
        return flow_is_over(call->from) ? 0 : CURL_READFUNC_PAUSE;
    memcpy(out, bytes.data, bytes.len);
    flow_take(call->from, bytes.len);
    return bytes.len;
}

void fetch_call_let_go(struct fetch_call *call)
{
    if (call->from != NULL)
        call->from->came = NULL;
    if (call->into != NULL)
        call->into->room = NULL;
}

static void call_flows(struct fetch_call *call, const struct fetch_request *request)
{
    call->from = request->from;
    call->into = request->into;
    if (call->from != NULL) {
        call->from->came = on_flow;
        call->from->came_arg = call;
    }
    if (call->into != NULL) {
        call->into->room = on_flow;
        call->into->room_arg = call;
    }
}

/* --- options --------------------------------------------------------------------------------- */

static size_t take_reply(char *data, size_t size, size_t n, void *arg)
{
    struct fetch_call *call = arg;

    flow_start(call);
    if (call->flows)
        return take_into_flow(call, bytes_of(data, size * n));
    buf_put(&call->reply, data, size * n);
    if (buf_error(&call->reply) == QK_OK)
        return size * n;
    call->too_big = true;
    return 0;
}

/* A body that waits for its flow would keep an answer waiting that comes before its end: libcurl
 * looks at that only once it may send. */
static size_t answer_comes(char *line, size_t size, size_t n, void *arg)
{
    (void)line;
    on_flow(arg);
    return size * n;
}

static void call_body_flow(struct fetch_call *call)
{
    uint64_t length = call->from->length;

    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_READFUNCTION, give_body);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_READDATA, call);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, answer_comes);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_INFILESIZE_LARGE,
                                 length > INT64_MAX ? (curl_off_t)-1 : (curl_off_t)length);
}

static void call_body(struct fetch_call *call, const struct fetch_request *request)
{
    bool has_body = strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0;

    if (strcmp(request->method, "HEAD") == 0)
        (void)fetch_curl.easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
    else if (call->from != NULL)
        call_body_flow(call);
    else if (has_body) {
        (void)fetch_curl.easy_setopt(call->easy, CURLOPT_POST, 1L);
        (void)fetch_curl.easy_setopt(call->easy, CURLOPT_POSTFIELDS,
                                     call->request.len == 0 ? ""
                                                            : (const char *)call->request.data);
        (void)fetch_curl.easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                     (curl_off_t)call->request.len);
    }
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static enum qk_err field_add(struct fetch_call *call, const char *field)
{
    struct curl_slist *more = fetch_curl.slist_append(call->fields, field);

    if (more == NULL)
        return QK_ERR_NOMEM;
    call->fields = more;
    return QK_OK;
}

/* As a field of our own: a password that libcurl knows as one stays with the connection, which is
 * kept for the next request, long after the last one that had it. */
static enum qk_err login_add(struct fetch_call *call, const struct fetch_request *request)
{
    struct buf login = BUF_SECRET_INIT(HTTP_HEADER_BYTES_MAX);
    struct buf field = BUF_SECRET_INIT((size_t)2 * HTTP_HEADER_BYTES_MAX);
    enum qk_err err;

    buf_put_str(&login, request->user);
    buf_put_u8(&login, ':');
    buf_put_str(&login, request->password == NULL ? "" : request->password);
    buf_put_str(&field, "Authorization: Basic ");
    base64_encode(buf_bytes(&login), &field);
    buf_put_u8(&field, 0);
    err = buf_error(&login) != QK_OK ? buf_error(&login) : buf_error(&field);
    if (err == QK_OK)
        err = field_add(call, (const char *)field.data);
    buf_fini(&login);
    buf_fini(&field);
    return err;
}

static enum qk_err call_fields(struct fetch_call *call, const struct fetch_request *request)
{
    char accept[FLOW_TYPE_BYTES];
    /* Without "Expect" a large body goes at once. */
    const char *const own[] = {accept, "Expect:"};
    enum qk_err err = QK_OK;
    bool has_own = false; /* that one counts */

    (void)snprintf(accept, sizeof accept, "Accept: %s",
                   request->accept == NULL ? "application/json" : request->accept);
    for (unsigned i = 0; i < request->fields_n; i++)
        has_own = has_own || strncasecmp(request->fields[i], "authorization:", 14) == 0;
    if (request->user != NULL && !has_own)
        err = login_add(call, request);
    for (unsigned i = 0; err == QK_OK && i < 2 + request->fields_n; i++)
        err = field_add(call, i < 2 ? own[i] : request->fields[i - 2]);
    (void)fetch_curl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->fields);
    return err;
}

/* What may fail for want of memory is asked for; the others cannot fail. */
enum qk_err fetch_call_options(struct fetch_call *call, const struct fetch_request *request)
{
    CURL *easy = call->easy;
    bool ok = fetch_curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              fetch_curl.easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
              fetch_curl.easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
              fetch_curl.easy_setopt(easy, CURLOPT_USERAGENT, "quorumkeep/" QK_VERSION) == CURLE_OK;

    if (ok && call->fetch->ca_file != NULL)
        ok = fetch_curl.easy_setopt(easy, CURLOPT_CAINFO, call->fetch->ca_file) == CURLE_OK &&
             fetch_curl.easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    (void)fetch_curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)fetch_curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(request->silence_ms / 1000));
    call_flows(call, request);
    call_body(call, request);
    return ok ? call_fields(call, request) : QK_ERR_NOMEM;
}

/* libcurl says which sockets it waits for, and until when (socket_wanted, timer_wanted); the loop
 * tells it what happened (on_poll, on_timer); after each, what has ended is handed over (harvest).
 * A callback may start and cancel calls: harvest looks anew after each. */
#include "fetch/fetch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/encode.h"
#include "base/limits.h"
#include "fetch/library.h"
#include "secret/secret.h"

#define CONNECT_MS 15000L

static struct fetch_library curl; /* zeros until the first call */

struct fetch {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct fetch_call *calls;
    unsigned calls_n;
    struct link_allow allow;
    char *ca_file;
    unsigned handles_n; /* of the loop's, not yet closed */
    bool closing;
};

struct fetch_socket {
    uv_poll_t poll;
    struct fetch *fetch;
    curl_socket_t fd;
};

struct fetch_call {
    struct fetch_call *next, *previous;
    struct fetch *fetch;
    CURL *easy;
    struct curl_slist *fields;
    struct buf request, reply; /* secret */
    fetch_cb cb;
    void *arg;
    bool refused, too_big;
    char why[CURL_ERROR_SIZE];
};

/* --- ends ------------------------------------------------------------------------------------ */

static void handle_closed(struct fetch *fetch)
{
    fetch->handles_n--;
    if (!fetch->closing || fetch->handles_n > 0)
        return;
    free(fetch->ca_file);
    free(fetch);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct fetch_socket *socket = handle->data;
    struct fetch *fetch = socket->fetch;

    free(socket);
    handle_closed(fetch);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void call_free(struct fetch_call *call)
{
    struct fetch *fetch = call->fetch;

    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        fetch->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    fetch->calls_n--;
    if (call->easy != NULL) {
        (void)curl.multi_remove_handle(fetch->multi, call->easy);
        curl.easy_cleanup(call->easy);
    }
    curl.slist_free_all(call->fields);
    buf_fini(&call->request);
    buf_fini(&call->reply);
    free(call);
}

static enum qk_err outcome_of(const struct fetch_call *call, CURLcode code)
{
    if (code == CURLE_OK)
        return QK_OK;
    if (call->refused)
        return QK_ERR_DENIED;
    if (call->too_big)
        return QK_ERR_TOO_BIG;
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return QK_ERR_UNAUTHENTICATED;
    return code == CURLE_OPERATION_TIMEDOUT ? QK_ERR_TIMEOUT : QK_ERR_IO;
}

static const char *why_of(const struct fetch_call *call, enum qk_err err, CURLcode code)
{
    if (err == QK_ERR_DENIED)
        return "its address is none that may be reached from here: [replication] allow";
    if (err == QK_ERR_TOO_BIG)
        return "its reply is too large";
    return call->why[0] != '\0' ? call->why : curl.easy_strerror(code);
}

static void call_end(struct fetch_call *call, CURLcode code)
{
    struct fetch_reply reply = {.err = outcome_of(call, code)};
    struct buf body = call->reply;
    fetch_cb cb = call->cb;
    void *arg = call->arg;
    char why[FETCH_WHY_BYTES] = "";
    long status = 0;

    (void)curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (reply.err != QK_OK)
        snprintf(why, sizeof why, "%s", why_of(call, reply.err, code));
    call->reply = BUF_SECRET_INIT(0);
    call_free(call);
    reply.status = (int)status;
    reply.body = buf_bytes(&body);
    reply.why = why;
    cb(arg, &reply);
    buf_fini(&body);
}

static void harvest(struct fetch *fetch)
{
    struct fetch_call *call = NULL;
    CURLMsg *message;
    int left;

    while (!fetch->closing && (message = curl.multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_end(call, message->data.result);
    }
}

/* --- the loop -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    int running;

    (void)curl.multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(fetch);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fetch_socket *socket = poll->data;
    struct fetch *fetch = socket->fetch;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;

    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    (void)curl.multi_socket_action(fetch->multi, socket->fd, flags, &running);
    harvest(fetch);
}

static int timer_wanted(CURLM *multi, long ms, void *arg)
{
    struct fetch *fetch = arg;

    (void)multi;
    if (fetch->closing)
        return 0;
    /* Never at once: libcurl must not be entered from inside itself. */
    if (ms < 0)
        (void)uv_timer_stop(&fetch->timer);
    else
        (void)uv_timer_start(&fetch->timer, on_timer, ms == 0 ? 1 : (uint64_t)ms, 0);
    return 0;
}

static struct fetch_socket *socket_new(struct fetch *fetch, curl_socket_t fd)
{
    struct fetch_socket *socket = calloc(1, sizeof *socket);

    if (socket == NULL)
        return NULL;
    if (uv_poll_init_socket(fetch->loop, &socket->poll, fd) != 0) {
        free(socket);
        return NULL;
    }
    socket->poll.data = socket;
    socket->fetch = fetch;
    socket->fd = fd;
    fetch->handles_n++;
    (void)curl.multi_assign(fetch->multi, fd, socket);
    return socket;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct fetch *fetch = arg;
    struct fetch_socket *socket = socket_arg;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            (void)uv_poll_stop(&socket->poll);
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
            (void)curl.multi_assign(fetch->multi, fd, NULL);
        }
        return 0;
    }
    if (socket == NULL)
        socket = socket_new(fetch, fd);
    if (socket == NULL)
        return -1;
    events |= (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&socket->poll, events, on_poll) == 0 ? 0 : -1;
}

/* --- one call -------------------------------------------------------------------------------- */

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

static size_t take_reply(char *data, size_t size, size_t n, void *arg)
{
    struct fetch_call *call = arg;

    buf_put(&call->reply, data, size * n);
    if (buf_error(&call->reply) == QK_OK)
        return size * n;
    call->too_big = true;
    return 0;
}

static void call_body(struct fetch_call *call, const struct fetch_request *request)
{
    bool has_body = strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0;

    if (strcmp(request->method, "HEAD") == 0)
        (void)curl.easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
    else if (has_body) {
        (void)curl.easy_setopt(call->easy, CURLOPT_POST, 1L);
        (void)curl.easy_setopt(call->easy, CURLOPT_POSTFIELDS,
                               call->request.len == 0 ? "" : (const char *)call->request.data);
        (void)curl.easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)call->request.len);
    }
    (void)curl.easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static enum qk_err field_add(struct fetch_call *call, const char *field)
{
    struct curl_slist *more = curl.slist_append(call->fields, field);

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
    /* Without "Expect" a large body goes at once. */
    static const char *const OWN[] = {"Accept: application/json", "Expect:"};
    enum qk_err err = QK_OK;
    bool has_own = false; /* that one counts */

    for (unsigned i = 0; i < request->fields_n; i++)
        has_own = has_own || strncasecmp(request->fields[i], "authorization:", 14) == 0;
    if (request->user != NULL && !has_own)
        err = login_add(call, request);
    for (unsigned i = 0; err == QK_OK && i < 2 + request->fields_n; i++)
        err = field_add(call, i < 2 ? OWN[i] : request->fields[i - 2]);
    (void)curl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->fields);
    return err;
}

/* What may fail for want of memory is asked for; the others cannot fail. */
static enum qk_err call_options(struct fetch_call *call, const struct fetch_request *request)
{
    CURL *easy = call->easy;
    bool ok = curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl.easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
              curl.easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
              curl.easy_setopt(easy, CURLOPT_USERAGENT, "quorumkeep/" QK_VERSION) == CURLE_OK;

    if (ok && call->fetch->ca_file != NULL)
        ok = curl.easy_setopt(easy, CURLOPT_CAINFO, call->fetch->ca_file) == CURLE_OK &&
             curl.easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    (void)curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl.easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why);
    (void)curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
    (void)curl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    (void)curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(request->silence_ms / 1000));
    call_body(call, request);
    return ok ? call_fields(call, request) : QK_ERR_NOMEM;
}

/* With the first call. */
static enum qk_err multi_start(struct fetch *fetch)
{
    enum qk_err err = fetch->multi == NULL ? fetch_library_load(&curl) : QK_OK;

    if (err != QK_OK || fetch->multi != NULL)
        return err;
    fetch->multi = curl.multi_init();
    if (fetch->multi == NULL)
        return QK_ERR_NOMEM;
    (void)curl.multi_setopt(fetch->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    (void)curl.multi_setopt(fetch->multi, CURLMOPT_SOCKETDATA, fetch);
    (void)curl.multi_setopt(fetch->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    (void)curl.multi_setopt(fetch->multi, CURLMOPT_TIMERDATA, fetch);
    return QK_OK;
}

enum qk_err fetch_start(struct fetch *fetch, const struct fetch_request *request, fetch_cb cb,
                        void *arg, struct fetch_call **ret_call)
{
    struct fetch_call *call;
    enum qk_err err;

    assert(!fetch->closing && request->fields_n <= FETCH_FIELDS_MAX);
    if (strncmp(request->url, "http://", 7) != 0 && strncmp(request->url, "https://", 8) != 0)
        return QK_ERR_INVALID;
    if (fetch->calls_n == FETCH_CALLS_MAX)
        return QK_ERR_BUSY;
    err = multi_start(fetch);
    if (err != QK_OK)
        return err;
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return QK_ERR_NOMEM;
    *call = (struct fetch_call){.next = fetch->calls,
                                .fetch = fetch,
                                .easy = curl.easy_init(),
                                .request = BUF_SECRET_INIT(request->body.len),
                                .reply = BUF_SECRET_INIT(request->reply_bytes_max),
                                .cb = cb,
                                .arg = arg};
    if (call->next != NULL)
        call->next->previous = call;
    fetch->calls = call;
    fetch->calls_n++;
    buf_put_bytes(&call->request, request->body);
    err = call->easy == NULL ? QK_ERR_NOMEM : buf_error(&call->request);
    if (err == QK_OK)
        err = call_options(call, request);
    if (err == QK_OK && curl.multi_add_handle(fetch->multi, call->easy) != CURLM_OK)
        err = QK_ERR_NOMEM;
    if (err != QK_OK) {
        call_free(call);
        return err;
    }
    *ret_call = call;
    return QK_OK;
}

void fetch_cancel(struct fetch_call *call)
{
    call_free(call);
}

/* --- life ------------------------------------------------------------------------------------ */

enum qk_err fetch_new(struct uv_loop_s *loop, const struct fetch_settings *settings,
                      struct fetch **ret_fetch)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    if (fetch == NULL)
        return QK_ERR_NOMEM;
    fetch->loop = loop;
    fetch->allow = settings->allow;
    if (settings->ca_file != NULL)
        fetch->ca_file = strdup(settings->ca_file);
    if (settings->ca_file != NULL && fetch->ca_file == NULL) {
        free(fetch);
        return QK_ERR_NOMEM;
    }
    (void)uv_timer_init(loop, &fetch->timer); /* cannot fail */
    fetch->timer.data = fetch;
    fetch->handles_n = 1;
    *ret_fetch = fetch;
    return QK_OK;
}

void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    while (fetch->calls != NULL)
        call_free(fetch->calls);
    fetch->closing = true;
    if (fetch->multi != NULL)
        (void)curl.multi_cleanup(fetch->multi); /* its sockets go by socket_wanted */
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

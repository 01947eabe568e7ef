/* libcurl says which sockets it waits for, and until when (socket_wanted, timer_wanted); the loop
 * tells it what happened (on_poll, on_timer); after each, what has ended is handed over (harvest).
 * A callback may start and cancel calls: harvest looks anew after each. */
#include "fetch/fetch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "fetch/fetch_private_uv.h"
#include "secret/secret.h"

struct fetch_library fetch_curl;

struct fetch_socket {
    uv_poll_t poll;
    struct fetch *fetch;
    curl_socket_t fd;
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
    fetch_call_let_go(call);
    if (call->easy != NULL) {
        (void)fetch_curl.multi_remove_handle(fetch->multi, call->easy);
        fetch_curl.easy_cleanup(call->easy);
    }
    fetch_curl.slist_free_all(call->fields);
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
    return call->why[0] != '\0' ? call->why : fetch_curl.easy_strerror(code);
}

static void call_end(struct fetch_call *call, CURLcode code)
{
    struct fetch_reply reply = {.err = outcome_of(call, code)};
    struct buf body = call->reply;
    fetch_cb cb = call->cb;
    void *arg = call->arg;
    char why[FETCH_WHY_BYTES] = "";
    long status = 0;

    (void)fetch_curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (reply.err != QK_OK)
        snprintf(why, sizeof why, "%s", why_of(call, reply.err, code));
    call->reply = BUF_SECRET_INIT(0);
    if (reply.err == QK_OK)
        fetch_call_flowed(call);
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

    while (!fetch->closing && (message = fetch_curl.multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)fetch_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_end(call, message->data.result);
    }
}

/* --- the loop -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    int running;

    (void)fetch_curl.multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(fetch);
}

/* libcurl takes up a call again inside of easy_pause: it writes to flows then and reads from them,
 * which may wake others, and ends none. */
static void on_waker(uv_timer_t *waker)
{
    struct fetch *fetch = waker->data;
    int running;

    for (struct fetch_call *call = fetch->calls; call != NULL; call = call->next) {
        if (call->wake) {
            call->wake = false;
            (void)fetch_curl.easy_pause(call->easy, CURLPAUSE_CONT);
        }
    }
    (void)fetch_curl.multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(fetch);
}

void fetch_wake(struct fetch *fetch)
{
    if (!fetch->closing && !uv_is_active((const uv_handle_t *)&fetch->waker))
        (void)uv_timer_start(&fetch->waker, on_waker, 0, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fetch_socket *socket = poll->data;
    struct fetch *fetch = socket->fetch;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;

    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    (void)fetch_curl.multi_socket_action(fetch->multi, socket->fd, flags, &running);
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
    (void)fetch_curl.multi_assign(fetch->multi, fd, socket);
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
            (void)fetch_curl.multi_assign(fetch->multi, fd, NULL);
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

/* With the first call. */
static enum qk_err multi_start(struct fetch *fetch)
{
    enum qk_err err = fetch->multi == NULL ? fetch_library_load(&fetch_curl) : QK_OK;

    if (err != QK_OK || fetch->multi != NULL)
        return err;
    fetch->multi = fetch_curl.multi_init();
    if (fetch->multi == NULL)
        return QK_ERR_NOMEM;
    (void)fetch_curl.multi_setopt(fetch->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    (void)fetch_curl.multi_setopt(fetch->multi, CURLMOPT_SOCKETDATA, fetch);
    (void)fetch_curl.multi_setopt(fetch->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    (void)fetch_curl.multi_setopt(fetch->multi, CURLMOPT_TIMERDATA, fetch);
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
                                .easy = fetch_curl.easy_init(),
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
        err = fetch_call_options(call, request);
    if (err == QK_OK && fetch_curl.multi_add_handle(fetch->multi, call->easy) != CURLM_OK)
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
    (void)uv_timer_init(loop, &fetch->waker);
    fetch->timer.data = fetch;
    fetch->waker.data = fetch;
    fetch->handles_n = 2;
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
        (void)fetch_curl.multi_cleanup(fetch->multi); /* its sockets go by socket_wanted */
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
    uv_close((uv_handle_t *)&fetch->waker, on_timer_closed);
}

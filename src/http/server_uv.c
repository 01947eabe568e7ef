/* The server as a whole: made, drained, closed; and its clock.
 *
 * The end: http_close closes listeners and connections; when the last of these is gone, `closed` is
 * called. A request whose handler still waits for something below keeps the memory (and the runner,
 * for its drain callback) until it ends; then all is freed. */
#include "http/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/log.h"
#include "http/connection.h"
#include "http/forward.h"
#include "http/listener.h"
#include "http/tls.h"

/* Forwarded requests are looked at this often; a drain's grace is as exact as this. */
#define TICK_MS 100
/* Links, files, the loop: what is open beside clients. */
#define DESCRIPTORS_OTHER 512

struct later_list {
    struct later *first, *last;
};

struct runner {
    uv_timer_t tick;
    uv_idle_t idle;
    struct later_list coming, running; /* what is added while some run waits a turn of the loop */
    bool settle;
    unsigned handles_open;
    struct http *http;
};

static struct later *list_pop(struct later_list *list)
{
    struct later *later = list->first;

    if (later == NULL)
        return NULL;
    list->first = later->next;
    if (list->first == NULL)
        list->last = NULL;
    later->next = NULL;
    later->queued = false;
    return later;
}

static void list_push(struct later_list *list, struct later *later)
{
    if (list->last == NULL)
        list->first = later;
    else
        list->last->next = later;
    list->last = later;
    later->next = NULL;
    later->queued = true;
}

static bool list_remove(struct later_list *list, struct later *later)
{
    struct later *before = NULL;

    for (struct later *at = list->first; at != NULL; before = at, at = at->next) {
        if (at != later)
            continue;
        if (before == NULL)
            list->first = at->next;
        else
            before->next = at->next;
        if (list->last == at)
            list->last = before;
        at->next = NULL;
        at->queued = false;
        return true;
    }
    return false;
}

static void on_runner_closed(uv_handle_t *handle)
{
    struct runner *runner = handle->data;

    if (--runner->handles_open == 0) {
        auth_fini(&runner->http->auth);
        tls_server_free(runner->http->tls);
        free(runner->http->read_buffer);
        free(runner->http);
        free(runner);
    }
}

/* Nothing is left that could need the runner. */
static void http_free(struct http *http)
{
    assert(http->runner->coming.first == NULL && http->runner->running.first == NULL);
    forward_free(http->forward);
    http->forward = NULL;
    uv_close((uv_handle_t *)&http->runner->tick, on_runner_closed);
    uv_close((uv_handle_t *)&http->runner->idle, on_runner_closed);
}

static void settle_drain(struct http *http)
{
    void (*drained)(void *arg) = http->drained;

    if (drained == NULL)
        return;
    if (!http->closing && http->connections_n > 0 && http_now_ms(http) < http->drain_until_ms)
        return;
    http->drained = NULL;
    drained(http->drained_arg);
}

static void on_settle(struct http *http)
{
    settle_drain(http);
    if (!http->closing || http->connections_n > 0 || http->listeners_n > 0)
        return;
    if (!http->announced) {
        http->announced = true;
        if (http->closed != NULL)
            http->closed(http->closed_arg);
    }
    if (http->exchanges_n == 0 && http->runner->coming.first == NULL)
        http_free(http);
}

static void on_idle(uv_idle_t *idle)
{
    struct runner *runner = idle->data;
    struct later *later;

    runner->running = runner->coming;
    runner->coming = (struct later_list){NULL, NULL};
    while ((later = list_pop(&runner->running)) != NULL)
        later->run(later);
    if (runner->coming.first == NULL)
        (void)uv_idle_stop(idle);
    if (runner->settle) {
        runner->settle = false;
        on_settle(runner->http);
    }
}

void http_later(struct http *http, struct later *later)
{
    assert(http->runner != NULL && later->run != NULL);
    if (later->queued)
        return;
    list_push(&http->runner->coming, later);
    (void)uv_idle_start(&http->runner->idle, on_idle);
}

void http_later_cancel(struct http *http, struct later *later)
{
    if (later->queued && !list_remove(&http->runner->running, later))
        (void)list_remove(&http->runner->coming, later);
}

void http_settle(struct http *http)
{
    /* Called from within handlers and close callbacks: decided in the loop. */
    if (!http->closing && http->drained == NULL)
        return;
    http->runner->settle = true;
    (void)uv_idle_start(&http->runner->idle, on_idle);
}

uint64_t http_now_ms(const struct http *http)
{
    return uv_now(http->config.loop);
}

static void on_tick(uv_timer_t *tick)
{
    struct runner *runner = tick->data;

    forward_tick(runner->http->forward);
    http_settle(runner->http);
}

/* Frees `http` if it fails. */
static enum qk_err runner_new(struct http *http)
{
    struct runner *runner = calloc(1, sizeof *runner);

    if (runner == NULL) {
        auth_fini(&http->auth);
        free(http->read_buffer);
        free(http);
        return QK_ERR_NOMEM;
    }
    runner->http = http;
    runner->handles_open = 2;
    (void)uv_timer_init(http->config.loop, &runner->tick);
    (void)uv_idle_init(http->config.loop, &runner->idle);
    runner->tick.data = runner;
    runner->idle.data = runner;
    http->runner = runner;
    /* Alone it keeps no process running. */
    uv_unref((uv_handle_t *)&runner->tick);
    (void)uv_timer_start(&runner->tick, on_tick, TICK_MS, TICK_MS);
    return QK_OK;
}

static void set_default(unsigned *value, unsigned otherwise)
{
    *value = *value == 0 ? otherwise : *value;
}

static void fill_config(struct http *http, const struct http_config *config)
{
    struct http_timing *timing = &http->config.timing;

    http->config = *config;
    http->config.listen = NULL;
    http->config.control_path = NULL;
    set_default(&timing->header_ms, 10000);
    set_default(&timing->idle_ms, 60000);
    set_default(&timing->body_ms, 30000);
    set_default(&timing->write_ms, 60000);
    set_default(&timing->linger_ms, 2000);
    set_default(&timing->forward_ms, 60000);
    set_default(&http->config.connections_max, HTTP_CONNECTIONS_MAX);
    if (http->config.bodies_bytes_max == 0)
        http->config.bodies_bytes_max = HTTP_BODIES_BYTES_MAX;
}

/* Systems give a process 1024 descriptors unless it asks for more. */
static void raise_descriptors(unsigned connections_max)
{
    rlim_t wanted = (rlim_t)connections_max + DESCRIPTORS_OTHER;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_warn("http",
                 "%u clients may connect, but this process may open %llu descriptors: raise the "
                 "hard limit (ulimit -Hn, LimitNOFILE=)",
                 connections_max, (unsigned long long)limit.rlim_cur);
}

static enum qk_err open_tls(struct http *http, const struct http_config *config, char *ret_reason)
{
    const struct tls_files files = {config->tls_cert, config->tls_key, config->tls_client_ca};

    http->config.tls_cert = NULL; /* borrowed for the call */
    http->config.tls_key = NULL;
    http->config.tls_client_ca = NULL;
    if (files.cert == NULL)
        return QK_OK;
    return tls_server_new(&files, ret_reason, HTTP_REASON_BYTES, &http->tls);
}

enum qk_err http_reload_tls(struct http *http, char *ret_reason)
{
    return http->tls == NULL ? QK_OK : tls_server_reload(http->tls, ret_reason, HTTP_REASON_BYTES);
}

static enum qk_err open_listeners(struct http *http, const struct http_config *config,
                                  char *ret_reason)
{
    enum qk_err err = QK_OK;

    if (config->listen != NULL)
        err = listener_open_tcp(http, config->listen, config->insecure_http || http->tls != NULL,
                                ret_reason);
    if (err == QK_OK && config->control_path != NULL)
        err = listener_open_control(http, config->control_path, ret_reason);
    return err;
}

enum qk_err http_new(const struct http_config *config, char *ret_reason, struct http **ret_http)
{
    struct http *http = calloc(1, sizeof *http);
    enum qk_err err;

    assert(config->loop != NULL && config->routes != NULL && ret_reason != NULL);
    (void)snprintf(ret_reason, HTTP_REASON_BYTES, "the interface for clients: out of memory");
    if (http == NULL)
        return QK_ERR_NOMEM;
    fill_config(http, config);
    http->read_buffer = malloc(CONNECTION_READ_BYTES);
    err = http->read_buffer == NULL ? QK_ERR_NOMEM : auth_init(&http->auth);
    if (err == QK_OK)
        err = open_tls(http, config, ret_reason);
    if (err != QK_OK) {
        free(http->read_buffer);
        free(http);
        return err;
    }
    err = runner_new(http);
    if (err != QK_OK)
        return err;
    err = forward_new(http, &http->forward);
    if (err == QK_OK)
        err = open_listeners(http, config, ret_reason);
    if (err == QK_OK)
        raise_descriptors(http->config.connections_max);
    if (err != QK_OK) {
        http_close(http, NULL, NULL);
        return err;
    }
    ret_reason[0] = '\0';
    *ret_http = http;
    return QK_OK;
}

static void close_listeners(struct http *http)
{
    for (unsigned i = 0; i < HTTP_LISTENERS_N; i++) {
        if (http->listeners[i] != NULL)
            listener_close(http->listeners[i]);
        http->listeners[i] = NULL;
    }
}

void http_drain(struct http *http, unsigned grace_ms, void (*cb)(void *arg), void *arg)
{
    assert(!http->draining && cb != NULL);
    http->draining = true;
    http->drained = cb;
    http->drained_arg = arg;
    http->drain_until_ms = http_now_ms(http) + grace_ms;
    uv_ref((uv_handle_t *)&http->runner->tick);
    close_listeners(http);
    for (struct connection *c = http->connections; c != NULL; c = connection_next(c))
        connection_finish(c);
    http_settle(http);
}

void http_close(struct http *http, void (*cb)(void *arg), void *arg)
{
    assert(!http->closing);
    http->closing = true;
    http->draining = true;
    http->closed = cb;
    http->closed_arg = arg;
    (void)uv_timer_stop(&http->runner->tick);
    close_listeners(http);
    while (http->connections != NULL)
        connection_abort(http->connections);
    forward_close(http->forward);
    http_settle(http);
}

uint16_t http_port(const struct http *http)
{
    uint16_t port = 0;

    for (unsigned i = 0; i < HTTP_LISTENERS_N && port == 0; i++)
        port = http->listeners[i] == NULL ? 0 : listener_port(http->listeners[i]);
    return port;
}

void http_forward_receive(struct http *http, const uint8_t peer[static NODE_ID_BYTES],
                          struct bytes message)
{
    forward_receive(http->forward, peer, message);
}

void http_forward_peer_down(struct http *http, const uint8_t peer[static NODE_ID_BYTES])
{
    forward_peer_down(http->forward, peer);
}

void http_forward_drained(struct http *http, const uint8_t peer[static NODE_ID_BYTES])
{
    forward_drained(http->forward, peer);
}

/* The loop: requests that are due go to slots that are free, replies free them again.
 *
 * All goes well: connections open one after the other, then requests run through the warm-up, then
 * through what is measured, and then what is in flight is waited for. A connection that
 * fails takes its slots out of the run and counts as a failure; when the last one is gone the run
 * ends with an error. At a fixed rate what was due and is not answered at the end counts with the
 * time that it has waited: leaving it out would be the omission that the rate is there to avoid. */
#include "cli/load.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "client/tls.h"

#define OPEN_TIMEOUT_MS 60000
#define OUT_BYTES_MAX (64 * MIB)
#define READ_BYTES (256 * KIB)
#define EVENTS_N 256
#define LATE_MAX 10000000U /* counted one by one at the end of a run at a rate */
#define WAIT_NS_MAX 1000000000U
#define DRAIN_TURN_NS 50000000U
#define STUCK_NS 30000000000U

struct idle {
    uint32_t conn, slot;
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    struct load_conn *conns;
    size_t conns_alive;
    struct idle *idle; /* a ring: each slot is in it once at the most */
    size_t idle_at, idle_n, idle_size;
    int epoll_fd;
    bool measuring;
    uint64_t from_ns; /* of what is measured */
    uint64_t next_due_ns, replies, last_reply_ns;
    uint8_t *room; /* READ_BYTES */
};

uint64_t load_scatter(uint64_t i)
{
    /* splitmix64 (Vigna): a permutation of the 64-bit numbers. */
    i += 0x9e3779b97f4a7c15U;
    i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9U;
    i = (i ^ (i >> 27)) * 0x94d049bb133111ebU;
    return i ^ (i >> 31);
}

void load_key(uint64_t i, char ret_key[static LOAD_KEY_BYTES])
{
    (void)snprintf(ret_key, LOAD_KEY_BYTES, "%016llx", (unsigned long long)load_scatter(i));
}

static void idle_put(struct load *load, size_t conn, unsigned slot)
{
    assert(load->idle_n < load->idle_size);
    load->idle[(load->idle_at + load->idle_n) % load->idle_size] =
        (struct idle){(uint32_t)conn, slot};
    load->idle_n++;
}

static void note_failure(struct load *load, const char *problem)
{
    if (load->result->problem[0] == '\0')
        (void)snprintf(load->result->problem, LOAD_TEXT_BYTES, "%s", problem);
    load->result->failed++;
}

/* At a rate what was due in the warm-up stays its own, however late it is answered. */
static bool is_counted(const struct load *load, const struct load_slot *slot)
{
    return load->plan->rate == 0 || slot->due_ns >= load->from_ns;
}

void load_done(struct load_conn *conn, unsigned slot, uint64_t units, const char *problem)
{
    struct load *load = conn->load;
    struct load_result *result = load->result;

    assert(slot < load->plan->slots_n && conn->slots[slot].busy);
    conn->slots[slot].busy = false;
    load->last_reply_ns = load_now_ns();
    load->replies++;
    idle_put(load, conn->number, slot);
    if (problem != NULL) {
        note_failure(load, problem);
    } else if (load->measuring && is_counted(load, &conn->slots[slot])) {
        result->done++;
        result->units += units;
        load_histogram_add(&result->latency, load->last_reply_ns - conn->slots[slot].due_ns);
    }
}

static void drop(struct load *load, struct load_conn *conn, const char *problem)
{
    if (conn->dead)
        return;
    conn->dead = true;
    load->conns_alive--;
    client_channel_close(&conn->channel); /* leaves the epoll set with it */
    note_failure(load, problem);
}

static void want(struct load *load, struct load_conn *conn, bool writable)
{
    struct epoll_event event = {.events = EPOLLIN | (writable ? (uint32_t)EPOLLOUT : 0U),
                                .data.ptr = conn};

    if (conn->writable_wanted == writable)
        return;
    conn->writable_wanted = writable;
    (void)epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, conn->channel.fd, &event);
}

static ssize_t send_some(struct load_conn *conn, struct bytes bytes, short *ret_events)
{
    ssize_t put;

    if (conn->channel.tls != NULL)
        return client_tls_send(conn->channel.tls, bytes.data, bytes.len, ret_events);
    put = send(conn->channel.fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    *ret_events = put < 0 && (errno == EAGAIN || errno == EINTR) ? POLLOUT : 0;
    return put;
}

static ssize_t recv_some(struct load_conn *conn, uint8_t *room, short *ret_events)
{
    ssize_t got;

    if (conn->channel.tls != NULL)
        return client_tls_recv(conn->channel.tls, room, READ_BYTES, ret_events);
    got = recv(conn->channel.fd, room, READ_BYTES, 0);
    *ret_events = got < 0 && (errno == EAGAIN || errno == EINTR) ? POLLIN : 0;
    return got;
}

static void flush(struct load *load, struct load_conn *conn)
{
    while (!conn->dead && conn->sent < conn->out.len) {
        short events = 0;
        ssize_t put =
            send_some(conn, bytes_slice(buf_bytes(&conn->out), conn->sent, conn->out.len), &events);

        if (put < 0 && events == 0) {
            drop(load, conn, "a connection was closed while a request was sent");
            return;
        }
        if (put < 0) {
            want(load, conn, true);
            return;
        }
        conn->sent += (size_t)put;
    }
    if (conn->dead)
        return;
    buf_reset(&conn->out);
    conn->sent = 0;
    want(load, conn, false);
}

static void take(struct load *load, struct load_conn *conn)
{
    short events = 0;
    ssize_t got;

    do {
        got = recv_some(conn, load->room, &events);
        if (got < 0 && events != 0)
            break;
        if (got <= 0) {
            drop(load, conn, "a connection was closed by the server");
            return;
        }
        load->result->bytes_in += (uint64_t)got;
        if (!load->plan->wire->take(conn, bytes_of(load->room, (size_t)got))) {
            drop(load, conn, "a reply that is none of this protocol");
            return;
        }
    } while (conn->channel.tls != NULL); /* which may hold more than the socket shows */
    flush(load, conn);                   /* what the wire has to answer */
}

static enum qk_err open_one(struct load *load, size_t number, struct buf *message)
{
    const struct load_plan *plan = load->plan;
    struct load_conn *conn = &load->conns[number];
    const struct client_target *target = &plan->targets[number % plan->targets_n];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    const int on = 1;
    enum qk_err err;

    *conn = (struct load_conn){.load = load,
                               .number = number,
                               .slots_n = plan->slots_n,
                               .out = BUF_SECRET_INIT(OUT_BYTES_MAX),
                               .channel = {.fd = -1},
                               .arg = plan->arg};
    conn->slots = calloc(plan->slots_n, sizeof(*conn->slots));
    if (conn->slots == NULL)
        return QK_ERR_NOMEM;
    err = client_channel_open(target, OPEN_TIMEOUT_MS, &conn->channel, message);
    if (err != QK_OK)
        return err;
    /* A request is one write, and nothing is gained by holding it back. */
    (void)setsockopt(conn->channel.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, conn->channel.fd, &event) != 0)
        return QK_ERR_IO;
    load->conns_alive++;
    err = plan->wire->open(conn);
    if (err == QK_OK)
        flush(load, conn);
    for (unsigned i = 0; i < plan->slots_n; i++)
        idle_put(load, number, i);
    return err;
}

static void issue(struct load *load, uint64_t due_ns)
{
    struct idle idle = load->idle[load->idle_at];
    struct load_conn *conn = &load->conns[idle.conn];

    load->idle_at = (load->idle_at + 1) % load->idle_size;
    load->idle_n--;
    if (conn->dead)
        return;
    assert(!conn->slots[idle.slot].busy);
    conn->slots[idle.slot] = (struct load_slot){.due_ns = due_ns, .busy = true};
    load->plan->wire->ask(conn, idle.slot);
    flush(load, conn);
}

/* Gives what is due to slots that are free. */
static void issue_due(struct load *load)
{
    double gap_ns = load->plan->rate > 0 ? 1e9 / load->plan->rate : 0;

    /* No more than there are now: a reply that comes meanwhile waits for the next turn. */
    for (size_t n = load->idle_n; n > 0 && load->idle_n > 0; n--) {
        if (gap_ns == 0) {
            issue(load, load_now_ns());
            continue;
        }
        if (load->next_due_ns > load_now_ns())
            return;
        issue(load, load->next_due_ns);
        load->next_due_ns += (uint64_t)gap_ns;
    }
}

/* At a rate a request may be due within the millisecond; a kernel before 5.11 knows only whole
 * ones. */
static int wait_events(const struct load *load, uint64_t wait_ns, struct epoll_event *events)
{
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000U),
                                  .tv_nsec = (long)(wait_ns % 1000000000U)};
    int n = -1;

    errno = ENOSYS;
    if (load->plan->rate > 0 && wait_ns > 0)
        n = epoll_pwait2(load->epoll_fd, events, EVENTS_N, &wait, NULL);
    if (n >= 0 || errno != ENOSYS)
        return n;
    return epoll_wait(load->epoll_fd, events, EVENTS_N, (int)((wait_ns + 999999U) / 1000000U));
}

static void take_events(struct load *load, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_N];
    uint64_t now_ns = load_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    int n = wait_events(load, wait_ns < WAIT_NS_MAX ? wait_ns : WAIT_NS_MAX, events);

    for (int i = 0; i < n; i++) {
        struct load_conn *conn = events[i].data.ptr;

        if (!conn->dead && (events[i].events & EPOLLOUT) != 0)
            flush(load, conn);
        if (!conn->dead && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            take(load, conn);
    }
}

static uint64_t servers_cpu_ns(const struct load_plan *plan)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < plan->pids_n; i++)
        sum += load_cpu_ns(plan->pids[i]);
    return sum;
}

/* What was due and has no reply, with the time it has waited so far. */
static void count_unfinished(struct load *load, uint64_t end_ns)
{
    struct load_result *result = load->result;
    double gap_ns = load->plan->rate > 0 ? 1e9 / load->plan->rate : 0;

    for (size_t i = 0; i < load->plan->conns_n; i++) {
        for (unsigned at = 0; at < load->plan->slots_n; at++) {
            const struct load_slot *slot = &load->conns[i].slots[at];

            if (!slot->busy || slot->due_ns > end_ns || !is_counted(load, slot))
                continue;
            result->unfinished++;
            if (gap_ns > 0)
                load_histogram_add(&result->latency, end_ns - slot->due_ns);
        }
    }
    if (load->next_due_ns < load->from_ns)
        load->next_due_ns = load->from_ns;
    for (uint64_t n = 0; gap_ns > 0 && load->next_due_ns < end_ns && n < LATE_MAX; n++) {
        result->unfinished++;
        load_histogram_add(&result->latency, end_ns - load->next_due_ns);
        load->next_due_ns += (uint64_t)gap_ns;
    }
}

/* Waits for the replies to what was asked. */
static void drain(struct load *load)
{
    uint64_t until_ns = load_now_ns() + STUCK_NS;
    uint64_t slots_n = load->conns_alive * load->plan->slots_n;

    while (load->idle_n < slots_n && load_now_ns() < until_ns) {
        take_events(load, load_now_ns() + DRAIN_TURN_NS);
        slots_n = load->conns_alive * load->plan->slots_n;
    }
}

static bool goes_on(const struct load *load, uint64_t end_ns)
{
    const struct load_plan *plan = load->plan;

    return load->conns_alive > 0 && load_now_ns() < end_ns &&
           (plan->stop == NULL || *plan->stop == 0) &&
           (plan->requests_max == 0 || load->replies < plan->requests_max);
}

static enum qk_err run(struct load *load, struct buf *message)
{
    const struct load_plan *plan = load->plan;
    struct load_result *result = load->result;
    uint64_t begin_ns = load_now_ns(), from_ns = begin_ns + plan->warm_up_ns;
    uint64_t end_ns = from_ns + plan->measure_ns, servers_ns = 0, own_ns = 0, until_ns;

    load->next_due_ns = load->last_reply_ns = begin_ns;
    while (goes_on(load, end_ns)) {
        if (!load->measuring && load_now_ns() >= from_ns) {
            load->measuring = true;
            from_ns = load->from_ns = load_now_ns();
            result->bytes_in = 0;
            servers_ns = servers_cpu_ns(plan);
            own_ns = load_own_cpu_ns();
        }
        issue_due(load);
        until_ns = load->measuring ? end_ns : from_ns;
        if (plan->rate > 0 && load->idle_n > 0 && load->next_due_ns < until_ns)
            until_ns = load->next_due_ns;
        take_events(load, until_ns);
        if (load_now_ns() > load->last_reply_ns + STUCK_NS) {
            buf_printf(message, "no reply for %u s", (unsigned)(STUCK_NS / 1000000000U));
            return QK_ERR_TIMEOUT;
        }
    }
    end_ns = load_now_ns();
    if (plan->rate == 0) {
        drain(load); /* counts: a run of slow requests would show none at all */
        end_ns = load_now_ns();
    }
    result->elapsed_ns = load->measuring ? end_ns - from_ns : 0;
    result->servers_cpu_ns = servers_cpu_ns(plan) - servers_ns;
    result->own_cpu_ns = load_own_cpu_ns() - own_ns;
    count_unfinished(load, end_ns);
    load->measuring = false;
    drain(load); /* so that the next run does not bear it */
    if (load->conns_alive > 0)
        return QK_OK;
    buf_printf(message, "every connection has failed: %s", result->problem);
    return QK_ERR_CLOSED;
}

static void finish(struct load *load)
{
    for (size_t i = 0; load->conns != NULL && i < load->plan->conns_n; i++) {
        struct load_conn *conn = &load->conns[i];

        if (conn->load == NULL)
            continue; /* it never began */
        load->plan->wire->close(conn);
        client_channel_close(&conn->channel);
        buf_fini(&conn->out);
        free(conn->slots);
    }
    free(load->conns);
    free(load->idle);
    free(load->room);
    if (load->epoll_fd >= 0)
        close(load->epoll_fd);
}

enum qk_err load_run(const struct load_plan *plan, struct load_result *ret_result,
                     struct buf *message)
{
    struct load load = {.plan = plan, .result = ret_result, .epoll_fd = -1};
    enum qk_err err = QK_ERR_NOMEM;

    assert(plan->conns_n > 0 && plan->conns_n <= LOAD_CONNS_MAX && plan->targets_n > 0);
    assert(plan->slots_n > 0 && plan->slots_n <= LOAD_SLOTS_MAX);

    memset(ret_result, 0, sizeof(*ret_result));
    load.idle_size = plan->conns_n * plan->slots_n;
    load.conns = calloc(plan->conns_n, sizeof(*load.conns));
    load.idle = calloc(load.idle_size, sizeof(*load.idle));
    load.room = malloc(READ_BYTES);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load.conns == NULL || load.idle == NULL || load.room == NULL || load.epoll_fd < 0) {
        buf_put_str(message, "out of memory");
        goto out;
    }
    err = QK_OK;
    for (size_t i = 0; i < plan->conns_n && err == QK_OK; i++)
        err = open_one(&load, i, message);
    if (err == QK_OK)
        err = run(&load, message);

out:
    finish(&load);
    return err;
}

/* The load generator: its histogram, its keys, and what it counts of a server that misbehaves. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/load_documents.h"

#define MS UINT64_C(1000000)

static struct load_histogram histogram;
static struct load_result result;

Test(load_histogram, every_value_is_known_to_one_part_in_128)
{
    for (uint64_t value = 1; value < UINT64_C(1) << 39; value += value / 3 + 1) {
        memset(&histogram, 0, sizeof(histogram));
        load_histogram_add(&histogram, value);
        load_histogram_add(&histogram, UINT64_C(1) << 39); /* so that the maximum hides nothing */
        cr_assert_geq(load_histogram_at(&histogram, 0.5), value);
        cr_assert_leq(load_histogram_at(&histogram, 0.5) - value, value / 128);
    }
}

Test(load_histogram, shares_and_maximum)
{
    memset(&histogram, 0, sizeof(histogram));
    cr_assert_eq(load_histogram_at(&histogram, 0.99), 0);
    for (uint64_t i = 1; i <= 100; i++)
        load_histogram_add(&histogram, i);
    cr_assert_eq(load_histogram_at(&histogram, 0.5), 50);
    cr_assert_eq(load_histogram_at(&histogram, 0.99), 99);
    cr_assert_eq(load_histogram_at(&histogram, 1), 100);
    cr_assert_eq(load_histogram_at(&histogram, 0), 1);
    load_histogram_add(&histogram, UINT64_MAX);
    cr_assert_eq(histogram.max, UINT64_MAX);
    cr_assert(load_histogram_mean(&histogram) > (double)UINT64_MAX / 102);
}

Test(load, keys_differ_and_are_in_no_order)
{
    char keys[1000][LOAD_KEY_BYTES];
    size_t rises = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        load_key(i, keys[i]);
        cr_assert_eq(strlen(keys[i]), LOAD_KEY_BYTES - 1);
        for (uint64_t k = 0; k < i; k++)
            cr_assert_str_neq(keys[i], keys[k]);
        rises += i > 0 && strcmp(keys[i - 1], keys[i]) < 0 ? 1 : 0;
    }
    cr_assert(rises > 400 && rises < 600);
}

enum server { SERVES, STALLS, REFUSES, GARBLES, CLOSES };

static const char good[] = "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
static const char bad[] = "HTTP/1.1 503 no\r\nContent-Length: 6\r\n\r\nsealed";

/* A child that answers each request on each connection, in its way. */
static void serve(int listener, enum server how)
{
    struct pollfd fds[8] = {{.fd = listener, .events = POLLIN}};
    nfds_t n = 1;
    bool stalled = how != STALLS;
    char room[4096];

    for (;;) {
        (void)poll(fds, n, -1);
        if ((fds[0].revents & POLLIN) != 0 && n < 8)
            fds[n++] = (struct pollfd){.fd = accept(listener, NULL, NULL), .events = POLLIN};
        for (nfds_t i = 1; i < n; i++) {
            const char *reply = how == REFUSES ? bad : how == GARBLES ? "what?\r\n\r\n" : good;

            if ((fds[i].revents & POLLIN) == 0 || recv(fds[i].fd, room, sizeof(room), 0) <= 0)
                continue;
            if (!stalled)
                (void)poll(NULL, 0, 300);
            stalled = true;
            if (how == CLOSES)
                close(fds[i].fd);
            else
                (void)!write(fds[i].fd, reply, strlen(reply));
        }
    }
}

/* Runs `plan` with PUTs against a server of that kind. */
static enum qk_err put_load(enum server how, struct load_plan *plan)
{
    char folder[] = "/tmp/test_load.XXXXXX", path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct client_target target;
    struct load_documents documents;
    struct buf message = BUF_INIT(1024);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    enum qk_err err;
    pid_t child;

    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 8), 0);
    child = fork();
    if (child == 0)
        serve(listener, how);
    cr_assert_eq(client_target_parse(path, &target, &message), QK_OK);
    cr_assert_eq(load_documents_init(&documents, LOAD_PUT, "db", 300), QK_OK);
    plan->wire = &load_http_wire;
    plan->arg = &documents;
    plan->targets = &target;
    plan->targets_n = plan->slots_n = 1;
    plan->conns_n = 2;
    err = load_run(plan, &result, &message);
    kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    close(listener);
    (void)unlink(path);
    (void)rmdir(folder);
    load_documents_fini(&documents);
    buf_fini(&message);
    return err;
}

Test(load, as_fast_as_it_is_answered)
{
    struct load_plan plan = {.measure_ns = 10000 * MS, .requests_max = 200};

    cr_assert_eq(put_load(SERVES, &plan), QK_OK);
    cr_assert_geq(result.done, 200);
    cr_assert_leq(result.done, 202);
    cr_assert_eq(result.units, result.done);
    cr_assert_eq(result.latency.n, result.done);
    cr_assert_eq(result.failed + result.unfinished, 0);
    cr_assert_str_eq(result.problem, "");
}

/* While the server stands still for 300 ms, 1,000 requests a second are due that it does not see:
 * a closed loop would show two slow ones. */
Test(load, at_a_rate_a_pause_shows_as_all_that_was_due_in_it)
{
    struct load_plan plan = {.measure_ns = 500 * MS, .rate = 1000};
    uint64_t late = 0;

    cr_assert_eq(put_load(STALLS, &plan), QK_OK);
    for (double share = 0; share <= 1; share += 0.01)
        late += load_histogram_at(&result.latency, share) >= 100 * MS ? 1 : 0;
    cr_assert_geq(late, 25, "%llu %% waited 100 ms", (unsigned long long)late);
    cr_assert_geq(result.latency.n + 2, result.elapsed_ns / MS, "what was due is not all there");
}

Test(load, at_a_rate_what_was_due_in_the_warm_up_is_not_counted)
{
    struct load_plan plan = {.warm_up_ns = 200 * MS, .measure_ns = 300 * MS, .rate = 1000};

    cr_assert_eq(put_load(STALLS, &plan), QK_OK);
    /* The stall goes on into the measured part, and what it held up is answered there. */
    cr_assert_leq(result.done, result.elapsed_ns / MS + 2);
    cr_assert_leq(result.latency.max, result.elapsed_ns);
}

Test(load, what_is_refused_counts_as_failed_with_the_reason)
{
    struct load_plan plan = {.measure_ns = 10000 * MS, .requests_max = 10};

    cr_assert_eq(put_load(REFUSES, &plan), QK_OK);
    cr_assert_eq(result.done, 0);
    cr_assert_geq(result.failed, 10);
    cr_assert_str_eq(result.problem, "status 503: sealed");
}

Test(load, garbage_and_a_closed_connection_end_the_run_with_an_error)
{
    struct load_plan plan = {.measure_ns = 10000 * MS};

    cr_assert_eq(put_load(GARBLES, &plan), QK_ERR_CLOSED);
    cr_assert_eq(result.done, 0);
    cr_assert_eq(put_load(CLOSES, &plan), QK_ERR_CLOSED);
    cr_assert_eq(result.failed, 2);
}

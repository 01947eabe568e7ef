/* The launcher as the node sees it: a process on the other end of a socket. Programs are shell
 * scripts in a directory of the test's own. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/launcher.h"

#define WAIT_MS 200000 /* bounds a test that hangs, under slow tools too */

struct bench {
    char dir[64], path[128];
    struct launcher_programs programs;
    struct launcher_process process;
    uint8_t packet[LAUNCHER_PACKET_BYTES_MAX];
    struct launcher_reply reply;
    uint32_t id;
};

static void script_write(struct bench *b, const char *text)
{
    FILE *file;

    memcpy(b->dir, "/tmp/qk-launcher-XXXXXX", 24);
    cr_assert_not_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof b->path, "%s/hook", b->dir);
    file = fopen(b->path, "w");
    cr_assert_not_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(b->path, 0700), 0);
}

static struct bench *bench_new(const char *script)
{
    struct bench *b = calloc(1, sizeof *b);
    char reason[PROGRAM_REASON_BYTES];

    cr_assert_not_null(b);
    script_write(b, script);
    b->programs.n = 1;
    cr_assert_eq(program_check(b->path, b->programs.paths[0], reason), QK_OK, "%s", reason);
    cr_assert_eq(launcher_start(&b->programs, &b->process), QK_OK);
    return b;
}

static void bench_free(struct bench *b)
{
    launcher_end(&b->process);
    (void)unlink(b->path);
    (void)rmdir(b->dir);
    free(b);
}

static void ask(struct bench *b, const char *input, unsigned timeout_ms)
{
    struct launcher_request request = {++b->id, 0, timeout_ms, bytes_str(input)};
    struct buf out = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);

    launcher_request_encode(&request, &out);
    cr_assert_eq(send(b->process.fd, out.data, out.len, 0), (ssize_t)out.len);
    buf_fini(&out);
}

/* The bytes of a packet; 0: the launcher has ended. */
static size_t receive(struct bench *b)
{
    struct pollfd one = {.fd = b->process.fd, .events = POLLIN};
    ssize_t n;

    cr_assert_eq(poll(&one, 1, WAIT_MS), 1, "no reply");
    n = recv(b->process.fd, b->packet, sizeof b->packet, 0);
    return n < 0 ? 0 : (size_t)n;
}

static const struct attest_result *reply(struct bench *b)
{
    size_t n = receive(b);

    cr_assert_gt(n, 0);
    cr_assert_eq(launcher_reply_decode(bytes_of(b->packet, n), &b->reply), QK_OK);
    return &b->reply.result;
}

static bool is_text(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_str(text));
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

Test(launcher, the_program_gets_the_input_and_its_output_and_status_come_back)
{
    struct bench *b = bench_new("cat; echo oops >&2; exit 3");
    const struct attest_result *result;

    ask(b, "{\"a\":1}", 10000);
    result = reply(b);
    cr_assert_eq(b->reply.id, 1);
    cr_assert_eq(result->end, ATTEST_EXITED);
    cr_assert_eq(result->code, 3);
    cr_assert(is_text(result->output, "{\"a\":1}"));
    cr_assert(is_text(result->errors, "oops\n"));
    bench_free(b);
}

Test(launcher, its_environment_is_clean_and_nothing_is_inherited)
{
    struct bench *b;
    const struct attest_result *result;
    int open_fd = open("/dev/null", O_RDONLY); /* without close-on-exec */

    cr_assert_geq(open_fd, 3);
    cr_assert_eq(setenv("QUORUMKEEP_PASSWORD", "secret", 1), 0);
    b = bench_new("env | grep -cv '^\\(PATH\\|LC_ALL\\|PWD\\|_\\|OLDPWD\\|SHLVL\\)='; "
                  "ls /proc/$$/fd | sort -n | tail -n 1; pwd; umask; ulimit -c; ulimit -n");
    ask(b, "", 10000);
    result = reply(b);
    /* The shell itself keeps its script open, as 10 or as 255. */
    cr_assert(is_text(result->output, "0\n10\n/\n0077\n0\n64\n") ||
                  is_text(result->output, "0\n255\n/\n0077\n0\n64\n"),
              "%.*s", (int)result->output.len, (const char *)result->output.data);
    bench_free(b);
    (void)close(open_fd);
}

Test(launcher, one_that_hangs_is_killed_with_all_it_started)
{
    struct bench *b = bench_new("sleep 600 & echo $!; sleep 600");
    const struct attest_result *result;
    char pid[16] = "";
    uint64_t began_ms = now_ms();

    ask(b, "", 300);
    result = reply(b);
    cr_assert_eq(result->end, ATTEST_TIMEOUT);
    cr_assert_geq(now_ms() - began_ms, 300);
    cr_assert_lt(result->output.len, sizeof pid);
    memcpy(pid, result->output.data, result->output.len);
    cr_assert_gt(strtol(pid, NULL, 10), 1);
    for (int i = 0; i < 200 && kill((pid_t)strtol(pid, NULL, 10), 0) == 0; i++)
        (void)usleep(10000); /* reaped by init, or by nobody in a bare container: then a zombie */
    {
        char path[64], line[512] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/%ld/stat", strtol(pid, NULL, 10));
        file = fopen(path, "r");
        if (file != NULL) {
            cr_assert_not_null(fgets(line, sizeof line, file));
            cr_assert_not_null(strstr(line, ") Z "), "%s", line);
            (void)fclose(file);
        }
    }
    bench_free(b);
}

Test(launcher, one_that_crashes_is_told_by_its_signal)
{
    struct bench *b = bench_new("kill -SEGV $$");
    const struct attest_result *result;

    ask(b, "x", 10000);
    result = reply(b);
    cr_assert_eq(result->end, ATTEST_SIGNALED);
    cr_assert_eq(result->code, SIGSEGV);
    bench_free(b);
}

Test(launcher, one_that_writes_too_much_is_ended)
{
    struct bench *b = bench_new("while :; do echo 0123456789012345678901234567890123456789; done");
    uint64_t began_ms = now_ms();

    ask(b, "", 20000);
    cr_assert_eq(reply(b)->end, ATTEST_OVERFLOW);
    cr_assert_lt(now_ms() - began_ms, 10000);
    bench_free(b);
}

Test(launcher, an_input_that_is_not_read_does_no_harm)
{
    struct bench *b = bench_new("exec 0<&-; echo yes");
    char *input = calloc(1, LAUNCHER_INPUT_BYTES_MAX + 1);

    cr_assert_not_null(input);
    memset(input, 'x', LAUNCHER_INPUT_BYTES_MAX);
    ask(b, input, 10000);
    cr_assert(is_text(reply(b)->output, "yes\n"));
    free(input);
    bench_free(b);
}

Test(launcher, many_at_once_are_all_answered)
{
    struct bench *b = bench_new("sleep 0.05; cat");
    bool seen[4 * LAUNCHER_RUNS_MAX + 1] = {false};

    for (unsigned i = 0; i < 4 * LAUNCHER_RUNS_MAX; i++)
        ask(b, "x", 20000);
    for (unsigned i = 0; i < 4 * LAUNCHER_RUNS_MAX; i++) {
        cr_assert(is_text(reply(b)->output, "x"));
        cr_assert_leq(b->reply.id, 4 * LAUNCHER_RUNS_MAX);
        cr_assert_not(seen[b->reply.id]);
        seen[b->reply.id] = true;
    }
    bench_free(b);
}

Test(launcher, it_can_execute_but_not_trace)
{
    struct bench *b = bench_new("grep -E '^(Seccomp|NoNewPrivs):' /proc/$$/status | tr -d '\\t'");
    const struct attest_result *result;

    ask(b, "", 10000);
    result = reply(b);
    cr_assert_not_null(memmem(result->output.data, result->output.len, "Seccomp:2", 9), "%.*s",
                       (int)result->output.len, (const char *)result->output.data);
    cr_assert_not_null(memmem(result->output.data, result->output.len, "NoNewPrivs:1", 12));
    bench_free(b);
}

Test(launcher, a_program_whose_mode_was_opened_meanwhile_is_not_run)
{
    struct bench *b = bench_new("echo yes");
    const struct attest_result *result;

    cr_assert_eq(chmod(b->path, 0722), 0);
    ask(b, "", 10000);
    result = reply(b);
    cr_assert_eq(result->end, ATTEST_FAILED);
    cr_assert_not_null(memmem(result->errors.data, result->errors.len, "chmod go-w", 10));
    bench_free(b);
}

Test(launcher, a_program_that_is_gone_is_told)
{
    struct bench *b = bench_new("echo yes");

    cr_assert_eq(unlink(b->path), 0);
    ask(b, "", 10000);
    cr_assert_eq(reply(b)->end, ATTEST_FAILED);
    bench_free(b);
}

Test(launcher, a_script_without_an_interpreter_fails_with_its_reason)
{
    struct bench *b = bench_new("");
    FILE *file = fopen(b->path, "w");
    const struct attest_result *result;

    cr_assert_not_null(file);
    fprintf(file, "#!/nonexistent/interpreter\n");
    cr_assert_eq(fclose(file), 0);
    ask(b, "", 10000);
    result = reply(b);
    cr_assert_eq(result->end, ATTEST_EXITED);
    cr_assert_eq(result->code, 127);
    cr_assert_not_null(memmem(result->errors.data, result->errors.len, "could not be run", 16));
    bench_free(b);
}

Test(launcher, what_is_no_request_ends_it)
{
    static const char *const bad[] = {"", "hello", "QKL1\0\0\0\1"};

    for (size_t i = 1; i < sizeof bad / sizeof bad[0]; i++) {
        struct bench *b = bench_new("echo yes");

        cr_assert_gt(send(b->process.fd, bad[i], strlen(bad[i]), 0), 0);
        cr_assert_eq(receive(b), 0);
        bench_free(b);
    }
}

Test(launcher, a_program_beyond_the_list_ends_it)
{
    struct bench *b = bench_new("echo yes");
    struct launcher_request request = {1, 1, 1000, BYTES_NONE};
    struct buf out = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);

    launcher_request_encode(&request, &out);
    cr_assert_eq(send(b->process.fd, out.data, out.len, 0), (ssize_t)out.len);
    cr_assert_eq(receive(b), 0);
    buf_fini(&out);
    bench_free(b);
}

Test(launcher, signals_for_the_node_do_not_end_it)
{
    struct bench *b = bench_new("echo yes");

    ask(b, "", 10000);
    cr_assert(is_text(reply(b)->output, "yes\n")); /* it is up */
    cr_assert_eq(kill(b->process.pid, SIGTERM), 0);
    cr_assert_eq(kill(b->process.pid, SIGINT), 0);
    ask(b, "", 10000);
    cr_assert(is_text(reply(b)->output, "yes\n"));
    bench_free(b);
}

/* --- the check of programs ------------------------------------------------------------------- */

static void expect_refused(const char *path, enum qk_err err, const char *words)
{
    char real[PROGRAM_PATH_BYTES_MAX + 1], reason[PROGRAM_REASON_BYTES] = "";

    cr_assert_eq(program_check(path, real, reason), err, "%s: %s", path, reason);
    cr_assert_not_null(strstr(reason, words), "%s", reason);
}

Test(program, only_what_nobody_else_can_change_is_fit)
{
    struct bench *b = calloc(1, sizeof *b);
    char link[160], real[PROGRAM_PATH_BYTES_MAX + 1], reason[PROGRAM_REASON_BYTES];

    cr_assert_not_null(b);
    script_write(b, "exit 0");
    expect_refused("hook", QK_ERR_INVALID, "not an absolute path");
    expect_refused(b->dir, QK_ERR_INVALID, "not a file");
    snprintf(link, sizeof link, "%s/none", b->dir);
    expect_refused(link, QK_ERR_NOT_FOUND, "No such file");
    cr_assert_eq(chmod(b->path, 0600), 0);
    expect_refused(b->path, QK_ERR_DENIED, "not executable");
    cr_assert_eq(chmod(b->path, 0770), 0);
    expect_refused(b->path, QK_ERR_DENIED, "chmod go-w");
    cr_assert_eq(chmod(b->path, 0702), 0);
    expect_refused(b->path, QK_ERR_DENIED, "chmod go-w");
    cr_assert_eq(chmod(b->path, 0700), 0);
    cr_assert_eq(chmod(b->dir, 0777), 0);
    expect_refused(b->path, QK_ERR_DENIED, b->dir);
    cr_assert_eq(chmod(b->dir, 0700), 0);
    snprintf(link, sizeof link, "%s/link", b->dir);
    cr_assert_eq(symlink(b->path, link), 0);
    cr_assert_eq(program_check(link, real, reason), QK_OK);
    cr_assert_str_eq(real, b->path);
    if (geteuid() == 0) {
        cr_assert_eq(chown(b->path, 12345, 12345), 0);
        expect_refused(link, QK_ERR_DENIED, "belongs to user 12345");
    }
    (void)unlink(link);
    (void)unlink(b->path);
    (void)rmdir(b->dir);
    free(b);
}

/* --- the packets ----------------------------------------------------------------------------- */

static bool request_survives(struct bytes in)
{
    struct launcher_request request;
    struct buf again = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    bool same = launcher_request_decode(in, &request) != QK_OK;

    if (!same) {
        launcher_request_encode(&request, &again);
        same = bytes_equal(in, buf_bytes(&again));
    }
    buf_fini(&again);
    return same;
}

static bool reply_survives(struct bytes in)
{
    struct launcher_reply message;
    struct buf again = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    bool same = launcher_reply_decode(in, &message) != QK_OK;

    if (!same) {
        launcher_reply_encode(&message, &again);
        same = bytes_equal(in, buf_bytes(&again));
    }
    buf_fini(&again);
    return same;
}

static void torture(struct buf *packet, bool (*survives)(struct bytes in))
{
    for (size_t i = 0; i < packet->len; i++) {
        cr_assert(survives(bytes_of(packet->data, i)), "cut at %zu", i);
        for (unsigned bit = 0; bit < 8; bit++) {
            packet->data[i] ^= (uint8_t)(1u << bit);
            cr_assert(survives(buf_bytes(packet)), "byte %zu, bit %u", i, bit);
            packet->data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buf_put_u8(packet, 0);
    cr_assert(survives(buf_bytes(packet)));
}

Test(launcher_wire, a_packet_cut_flipped_or_too_long_is_no_other_packet)
{
    struct launcher_request request = {7, 1, 2000, bytes_str("{\"version\":1}")};
    struct launcher_reply message = {
        7, {ATTEST_EXITED, 3, bytes_str("{\"decision\":\"allow\"}"), bytes_str("oops")}};
    struct buf out = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    struct launcher_request read;

    launcher_request_encode(&request, &out);
    cr_assert_eq(launcher_request_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_eq(read.id, 7);
    cr_assert(bytes_equal(read.input, request.input));
    torture(&out, request_survives);
    cr_assert_eq(launcher_request_decode(buf_bytes(&out), &read), QK_ERR_INVALID);
    buf_reset(&out);
    launcher_reply_encode(&message, &out);
    torture(&out, reply_survives);
    buf_fini(&out);
}

Test(launcher_wire, limits_hold)
{
    static const uint8_t big[LAUNCHER_INPUT_BYTES_MAX + 1];
    struct launcher_request request = {1, 0, LAUNCHER_TIMEOUT_MS_MAX,
                                       bytes_of(big, LAUNCHER_INPUT_BYTES_MAX)};
    struct launcher_reply message = {1, {.output = bytes_of(big, LAUNCHER_OUTPUT_BYTES_MAX + 1)}};
    struct buf out = BUF_INIT(2 * LAUNCHER_PACKET_BYTES_MAX);
    struct launcher_request read;
    struct launcher_reply got;

    launcher_request_encode(&request, &out);
    cr_assert_leq(out.len, LAUNCHER_PACKET_BYTES_MAX);
    cr_assert_eq(launcher_request_decode(buf_bytes(&out), &read), QK_OK);
    buf_reset(&out);
    request.input.len++;
    launcher_request_encode(&request, &out);
    cr_assert_eq(launcher_request_decode(buf_bytes(&out), &read), QK_ERR_INVALID);
    buf_reset(&out);
    request.input.len = 1;
    request.timeout_ms++;
    launcher_request_encode(&request, &out);
    cr_assert_eq(launcher_request_decode(buf_bytes(&out), &read), QK_ERR_INVALID);
    buf_reset(&out);
    launcher_reply_encode(&message, &out);
    cr_assert_eq(launcher_reply_decode(buf_bytes(&out), &got), QK_ERR_INVALID);
    buf_fini(&out);
}

/* The engine by itself, and a worker as the node gets it: forked by the scripter, confined. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/script_engine.h"
#include "node/scripter.h"
#include "secret/memory.h"

static void map_is(const char *design, const char *document, const char *expected)
{
    struct buf out = BUF_INIT(1024 * 1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(script_engine_design(engine, bytes_str(design)), QK_OK);
    cr_assert_eq(script_engine_map(engine, bytes_str(document), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_str_eq((char *)out.data, expected);
    buf_fini(&out);
    script_engine_free(engine);
}

Test(script, maps_emit_rows)
{
    map_is("{\"maps\":[\"function (d) { emit(1) }; \\n\"]}", "{}", "[[[0,1,null]],[]]");
    map_is("{\"maps\":[\"function (doc) { emit(doc.a, doc.b); emit([1, doc.a]); }\"]}",
           "{\"a\":\"x\",\"b\":{\"c\":1.5}}", "[[[0,\"x\",{\"c\":1.5}],[0,[1,\"x\"],null]],[]]");
    map_is(
        "{\"maps\":[\"function (d) { if (d.n) emit(d.n) }\",\"function (d) { emit(null, 1) }\"]}",
        "{}", "[[[1,null,1]],[]]");
}

Test(script, a_map_that_fails_gives_nothing_and_harms_no_other)
{
    map_is("{\"maps\":[\"function (d) { emit(1); d.x.y; }\",\"function (d) { emit(d.x) }\"]}", "{}",
           "[[[1,null,null]],[[0,\"TypeError: cannot read property 'y' of undefined\"]]]");
    map_is("{\"maps\":[\"function (d) { d.x = 1; emit(1) }\",\"function (d) { emit(d.x) }\"]}",
           "{}", "[[[0,1,null],[1,null,null]],[]]");
}

Test(script, shared_code_is_required_from_lib)
{
    map_is("{\"maps\":[\"function (d) { emit(require('views/lib/m').twice(d.n)) }\"],"
           "\"lib\":{\"m\":\"exports.twice = require('./n').f;\","
           "\"n\":\"exports.f = function (n) { return 2 * n; };\"}}",
           "{\"n\":4}", "[[[0,8,null]],[]]");
}

Test(script, what_is_no_function_fails_with_each_document)
{
    struct buf out = BUF_INIT(1024 * 1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(script_engine_design(engine, bytes_str("{\"maps\":[\"function (\",\"7\"]}")),
                 QK_OK);
    cr_assert_eq(script_engine_map(engine, bytes_str("{}"), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((char *)out.data, "[[],[[0,\"compilation_error: SyntaxError"));
    cr_expect_not_null(strstr((char *)out.data, "[1,\"compilation_error: Error: the map is no"));
    buf_fini(&out);
    script_engine_free(engine);
}

Test(script, memory_has_an_end)
{
    struct buf out = BUF_INIT(1024 * 1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(
        script_engine_design(
            engine, bytes_str("{\"maps\":[\"function (d) { var s = 'xxxxxxxxxxxxxxxx', a = []; "
                              "while (true) { s += s; a.push(s); } }\"]}")),
        QK_OK);
    cr_assert_eq(script_engine_map(engine, bytes_str("{}"), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((char *)out.data, "[[],[[0,\""), "%s", (char *)out.data);
    buf_fini(&out);
    script_engine_free(engine);
}

Test(script, what_is_no_document_is_refused)
{
    struct buf out = BUF_INIT(1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(script_engine_design(engine, bytes_str("{\"maps\":[\"function (d) {}\"]}")),
                 QK_OK);
    cr_assert_eq(script_engine_map(engine, bytes_str("{\"a\":"), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((char *)out.data, "SyntaxError"));
    cr_expect_eq(script_engine_design(engine, bytes_str("{")), QK_ERR_INVALID);
    buf_fini(&out);
    script_engine_free(engine);
}

/* --- a worker --- */

static void send_frame(int fd, const char *text)
{
    uint8_t head[4];

    put_u32(head, (uint32_t)strlen(text));
    cr_assert_eq(write(fd, head, 4), 4);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* False at the end of the worker. */
static bool read_some(int fd, uint8_t *to, size_t len)
{
    while (len > 0) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        ssize_t n;

        cr_assert_eq(poll(&polled, 1, 60000), 1, "the worker stands still");
        n = read(fd, to, len);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_frame(int fd, char *to, size_t size)
{
    uint8_t head[4];

    if (!read_some(fd, head, 4))
        return false;
    cr_assert_lt(get_u32(head), size);
    to[get_u32(head)] = '\0';
    return read_some(fd, (uint8_t *)to, get_u32(head));
}

static int worker_of(struct scripter *scripter, const char *design)
{
    int fd = -1;

    cr_assert_eq(scripter_connect(scripter, &fd), QK_OK);
    send_frame(fd, design);
    return fd;
}

Test(script, workers_answer_documents_in_order_and_end_with_their_socket)
{
    struct scripter scripter;
    char answer[256];
    int one, two;

    scripter_start(&scripter);
    one = worker_of(&scripter, "{\"maps\":[\"function (d) { emit(d._id) }\"]}");
    two = worker_of(&scripter, "{\"maps\":[\"function (d) { emit(2) }\"]}");
    send_frame(one, "{\"_id\":\"a\"}");
    send_frame(one, "{\"_id\":\"b\"}");
    send_frame(two, "{}");
    cr_assert(read_frame(one, answer, sizeof answer));
    cr_expect_str_eq(answer, "[[[0,\"a\",null]],[]]");
    cr_assert(read_frame(one, answer, sizeof answer));
    cr_expect_str_eq(answer, "[[[0,\"b\",null]],[]]");
    cr_assert(read_frame(two, answer, sizeof answer));
    cr_expect_str_eq(answer, "[[[0,2,null]],[]]");
    (void)close(one);
    (void)close(two);
    scripter_end(&scripter);
}

Test(script, a_document_without_end_ends_the_worker)
{
    struct scripter scripter;
    char answer[256];
    int fd;

    scripter_start(&scripter);
    fd = worker_of(&scripter, "{\"maps\":[\"function (d) { while (d.loop) {} }\"]}");
    send_frame(fd, "{}");
    cr_assert(read_frame(fd, answer, sizeof answer));
    cr_expect_str_eq(answer, "[[],[]]");
    send_frame(fd, "{\"loop\":true}");
    cr_expect_not(read_frame(fd, answer, sizeof answer));
    (void)close(fd);
    scripter_end(&scripter);
}

/* Whoever broke out of the engine would find a process that can do nothing. */
static void confined(int fd)
{
    uint8_t outcome[4] = {0};

    if (process_confine_worker() != QK_OK)
        _exit(9);
    outcome[0] = open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM;
    outcome[1] = socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;
    outcome[2] = fork() < 0 && errno == EPERM;
    outcome[3] = kill(getppid(), 0) < 0 && errno == EPERM;
    (void)!write(fd, outcome, sizeof outcome);
    _exit(0);
}

Test(script, a_worker_can_open_send_start_and_signal_nothing)
{
    uint8_t outcome[4] = {0};
    int pair[2];

    cr_assert_eq(pipe(pair), 0);
    if (fork() == 0)
        confined(pair[1]);
    (void)close(pair[1]);
    cr_assert_eq(read(pair[0], outcome, sizeof outcome), (ssize_t)sizeof outcome);
    cr_expect_eq(outcome[0], 1);
    cr_expect_eq(outcome[1], 1);
    cr_expect_eq(outcome[2], 1);
    cr_expect_eq(outcome[3], 1);
    (void)close(pair[0]);
}

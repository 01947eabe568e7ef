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
#include "node/script_worker.h"
#include "node/scripter.h"
#include "secret/memory.h"

static void map_is(const char *design, const char *document, const char *expected)
{
    struct buf out = BUF_INIT(1024 * 1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(script_engine_design(engine, bytes_str(design)), QK_OK);
    cr_assert_eq(script_engine_call(engine, SCRIPT_MAP, bytes_str(document), &out), QK_OK);
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
    cr_assert_eq(script_engine_call(engine, SCRIPT_MAP, bytes_str("{}"), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((char *)out.data, "[[],[[0,\"compilation_error: SyntaxError"));
    cr_expect_not_null(strstr((char *)out.data, "[1,\"compilation_error: Error: the source is"));
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
    cr_assert_eq(script_engine_call(engine, SCRIPT_MAP, bytes_str("{}"), &out), QK_OK);
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
    cr_assert_eq(script_engine_call(engine, SCRIPT_MAP, bytes_str("{\"a\":"), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((char *)out.data, "SyntaxError"));
    cr_expect_eq(script_engine_design(engine, bytes_str("{")), QK_ERR_INVALID);
    buf_fini(&out);
    script_engine_free(engine);
}

static void call_is(const char *design, enum script_call what, const char *given,
                    const char *expected)
{
    struct buf out = BUF_INIT(1024 * 1024);
    struct script_engine *engine;

    cr_assert_eq(script_engine_new(&engine), QK_OK);
    cr_assert_eq(script_engine_design(engine, bytes_str(design)), QK_OK);
    cr_assert_eq(script_engine_call(engine, what, bytes_str(given), &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_str_eq((char *)out.data, expected);
    buf_fini(&out);
    script_engine_free(engine);
}

Test(script, reduces_give_a_value_and_null_where_they_fail)
{
    const char *design = "{\"reduces\":[\"function (keys, values, re) { return [keys, re, "
                         "sum(values)] }\",\"function () { throw 'no' }\",\"function () {}\"]}";

    call_is(design, SCRIPT_REDUCE, "[0,false,[[1,\"a\"],[2,\"b\"]],[3,4]]",
            "[[[1,\"a\"],[2,\"b\"]],false,7]");
    call_is(design, SCRIPT_REDUCE, "[0,true,null,[3,4]]", "[null,true,7]");
    call_is(design, SCRIPT_REDUCE, "[1,false,[],[]]", "null");
    call_is(design, SCRIPT_REDUCE, "[2,false,[],[]]", "null");
    call_is(design, SCRIPT_REDUCE, "[9,false,[],[]]", "null");
}

Test(script, a_reduce_that_grows_gives_an_error_for_its_value)
{
    call_is("{\"reduces\":[\"function () { return new Array(4096).join('xy') }\"]}", SCRIPT_REDUCE,
            "[0,false,[],[]]",
            "{\"error\":\"reduce_overflow_error\",\"reason\":\"Reduce output must shrink more "
            "rapidly: input size 15, output size 8192\"}");
}

Test(script, filters_say_yes_no_or_what_is_wrong)
{
    const char *design = "{\"filter\":\"function (doc, req) { return doc.n == req.query.n && "
                         "this.only && require('lib/x').yes }\",\"request\":{\"query\":{\"n\":"
                         "\"4\"}},\"design\":{\"only\":1,\"lib\":{\"x\":\"exports.yes = 1\"}}}";

    call_is(design, SCRIPT_FILTER, "{\"n\":4}", "true");
    call_is(design, SCRIPT_FILTER, "{\"n\":5}", "false");
    call_is("{\"filter\":\"function (d) { return d.a.b }\"}", SCRIPT_FILTER, "{}",
            "\"TypeError: cannot read property 'b' of undefined\"");
    call_is("{}", SCRIPT_FILTER, "{}", "\"TypeError: cannot read property 'call' of undefined\"");
    call_is("{\"view\":\"function (d) { if (d.n > 1) emit(d.n) }\"}", SCRIPT_FILTER, "{\"n\":2}",
            "true");
    call_is("{\"view\":\"function (d) { if (d.n > 1) emit(d.n) }\"}", SCRIPT_FILTER, "{\"n\":1}",
            "false");
}

Test(script, all_validation_functions_must_agree)
{
    const char *design =
        "{\"validates\":[{\"lib\":{\"m\":\"exports.max = 5\"},\"validate_doc_update\":\"function "
        "(n, "
        "o, user, sec) { if (n.v > require('lib/m').max) throw {forbidden: user.name + ' ' + n.v} "
        "}\"},{\"validate_doc_update\":\"function (n, o) { if (o && o.v > n.v) throw "
        "{unauthorized: "
        "'less'}; if (n.bad) n.a.b.c; }\"}]}";

    call_is(design, SCRIPT_VALIDATE, "[{\"v\":5},null,{\"name\":\"anna\"},{}]", "[]");
    call_is(design, SCRIPT_VALIDATE, "[{\"v\":6},null,{\"name\":\"anna\"},{}]",
            "[\"forbidden\",\"anna 6\"]");
    call_is(design, SCRIPT_VALIDATE, "[{\"v\":1},{\"v\":2},{},{}]", "[\"unauthorized\",\"less\"]");
    call_is(design, SCRIPT_VALIDATE, "[{\"bad\":1},null,{},{}]",
            "[\"error\",\"TypeError: cannot read property 'b' of undefined\"]");
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

/* A call of a map, in that compartment. */
static void send_document(int fd, uint8_t compartment, const char *text)
{
    struct buf call = BUF_INIT(4096);
    uint8_t all[SCRIPT_COMPARTMENT_BYTES] = {compartment};

    script_put_call(SCRIPT_MAP, all, bytes_str(text), &call);
    cr_assert_eq(write(fd, call.data, call.len), (ssize_t)call.len);
    buf_fini(&call);
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
    send_document(one, 0, "{\"_id\":\"a\"}");
    send_document(one, 0, "{\"_id\":\"b\"}");
    send_document(two, 0, "{}");
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

static void answer_is(int fd, const char *expected)
{
    char answer[256];

    cr_assert(read_frame(fd, answer, sizeof answer));
    cr_expect_str_eq(answer, expected);
}

/* Who may read the documents under one key gets nothing of those under another by a map that keeps
 * what it was shown. */
Test(script, nothing_is_kept_from_one_compartment_for_another)
{
    struct scripter scripter;
    int fd, i;

    scripter_start(&scripter);
    fd = worker_of(&scripter, "{\"maps\":[\"function (d) { var kept = this.kept || 0; "
                              "this.kept = d.n; emit(kept) }\"]}");
    send_document(fd, 1, "{\"n\":11}");
    answer_is(fd, "[[[0,0,null]],[]]");
    send_document(fd, 2, "{\"n\":22}");
    answer_is(fd, "[[[0,0,null]],[]]");
    send_document(fd, 1, "{\"n\":12}");
    answer_is(fd, "[[[0,11,null]],[]]");
    for (i = 3; i < 3 + SCRIPT_HEAPS_MAX; i++) { /* more than there are heaps */
        send_document(fd, (uint8_t)i, "{\"n\":1}");
        answer_is(fd, "[[[0,0,null]],[]]");
    }
    send_document(fd, 2, "{\"n\":23}");
    answer_is(fd, "[[[0,0,null]],[]]");
    (void)close(fd);
    scripter_end(&scripter);
}

Test(script, what_is_no_call_has_an_empty_answer)
{
    static const uint8_t short_call[] = {0, 0, 0, 3, 'm', 0, 0};
    struct buf call = BUF_INIT(4096);
    uint8_t all[SCRIPT_COMPARTMENT_BYTES] = {0};
    struct scripter scripter;
    int fd;

    scripter_start(&scripter);
    fd = worker_of(&scripter, "{\"maps\":[]}");
    cr_assert_eq(write(fd, short_call, sizeof short_call), (ssize_t)sizeof short_call);
    answer_is(fd, "");
    script_put_call((enum script_call)'x', all, bytes_str("{}"), &call);
    cr_assert_eq(write(fd, call.data, call.len), (ssize_t)call.len);
    answer_is(fd, "");
    send_document(fd, 0, "{}");
    answer_is(fd, "[[],[]]");
    (void)close(fd);
    fd = worker_of(&scripter, "no design");
    send_document(fd, 0, "{}");
    answer_is(fd, "");
    (void)close(fd);
    buf_fini(&call);
    scripter_end(&scripter);
}

Test(script, a_document_without_end_ends_the_worker)
{
    struct scripter scripter;
    char answer[256];
    int fd;

    scripter_start(&scripter);
    fd = worker_of(&scripter, "{\"maps\":[\"function (d) { while (d.loop) {} }\"]}");
    send_document(fd, 0, "{}");
    cr_assert(read_frame(fd, answer, sizeof answer));
    cr_expect_str_eq(answer, "[[],[]]");
    send_document(fd, 0, "{\"loop\":true}");
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

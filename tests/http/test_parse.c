#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/parse.h"

static struct parse parse;

static void setup(void)
{
    parse_init(&parse);
}

static void teardown(void)
{
    parse_fini(&parse);
}

TestSuite(parse, .init = setup, .fini = teardown);

/* Feeds `text` in pieces of `step` bytes and writes what came out, a line a request. */
static void run(struct bytes text, size_t step, size_t body_max, struct buf *out)
{
    struct bytes value = BYTES_NONE;
    size_t at = 0, taken = 0;
    enum parse_event event = PARSE_MORE;

    while (at < text.len && event != PARSE_FAILED) {
        struct bytes piece = bytes_slice(text, at, step);

        event = parse_feed(&parse, piece, &taken);
        cr_assert(taken > 0 || event != PARSE_MORE);
        at += taken;
        if (event == PARSE_HEAD) {
            buf_printf(out, "%d%s ", (int)parse.method, parse.list ? "L" : "");
            buf_put_bytes(out, parse_target(&parse));
            if (parse_field(&parse, "x", &value) > 0) {
                buf_put_str(out, " x=");
                buf_put_bytes(out, value);
            }
            event = parse_take_body(&parse, body_max);
        }
        if (event == PARSE_DONE) {
            buf_put_str(out, " [");
            buf_put_bytes(out, buf_bytes(&parse.body));
            buf_put_str(out, parse.keep_alive ? "]\n" : "] close\n");
            parse_next(&parse);
            event = PARSE_MORE;
        }
    }
    if (event == PARSE_FAILED)
        buf_printf(out, "!%d", parse.failure.status);
    buf_put_u8(out, 0);
}

static void expect(const char *text, const char *want)
{
    size_t len = strlen(text);

    for (size_t step = 1; step <= len; step++) {
        struct buf out = BUF_INIT(1 * MIB);

        run(bytes_str(text), step, 1000, &out);
        cr_assert_str_eq((const char *)out.data, want, "in steps of %zu", step);
        buf_fini(&out);
        parse_fini(&parse);
        parse_init(&parse);
    }
}

static int status_of(const char *text)
{
    struct buf out = BUF_INIT(1 * MIB);
    int status;

    run(bytes_str(text), SIZE_MAX, 1000, &out);
    buf_fini(&out);
    status = parse.failure.status;
    parse_fini(&parse);
    parse_init(&parse);
    return status;
}

Test(parse, one_request_split_anywhere_is_the_same)
{
    expect("PUT /db/doc?rev=1-a HTTP/1.1\r\nHost: h\r\nX:  a b \r\nContent-Length: 5\r\n\r\nhello",
           "2 /db/doc?rev=1-a x=a b [hello]\n");
}

Test(parse, pipelined_requests_come_in_order)
{
    expect("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
           "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
           "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nfoo\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
           "\r\nDELETE /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
           "0 /a []\n3 /b [abc]\n3 /c [foo0123456789]\n4 /d [] close\n");
}

Test(parse, list_is_a_method_split_or_pipelined)
{
    expect("LIST /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
           "LIST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nxLIST /d HTTP/1.1\r\nHost: "
           "h\r\n\r\n",
           "6L /a []\n0 /b []\n6L /c [x]\n6L /d []\n");
    expect("PATCH /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "7 /a [x]\n");
}

Test(parse, what_only_begins_like_list_is_no_list)
{
    expect("LISTEN /a HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    expect("LOCK /a HTTP/1.1\r\nHost: h\r\n\r\n", "0 /a []\n"); /* method_known is false */
    expect("LINK /a HTTP/1.1\r\nHost: h\r\n\r\n", "0 /a []\n");
    expect("list /a HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    expect("L / HTTP/1.1\r\n\r\n", "!501");
}

Test(parse, a_body_that_looks_like_a_request_is_a_body)
{
    expect(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nLIST /x LIST / HTTP/1.1\r\nHost: "
        "h\r\n\r\n",
        "3 / [LIST /x ]\n6L / []\n");
}

Test(parse, http_1_0_closes_unless_asked_to_stay)
{
    expect("GET / HTTP/1.0\r\n\r\n", "0 / [] close\n");
    expect("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "0 / []\n");
}

Test(parse, an_upgrade_is_ignored)
{
    expect("POST / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
           "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 2\r\n\r\nhi"
           "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
           "3 / [hi]\n0 /b []\n");
}

Test(parse, smuggling_is_refused)
{
    static const char *const BAD[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n",
        "POST / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\rX",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\x01: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(status_of(BAD[i]), 400, "%zu: %d", i, status_of(BAD[i]));
}

Test(parse, other_transfer_codings_are_not_implemented)
{
    static const char *const BAD[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(status_of(BAD[i]), 501, "%zu: %d", i, status_of(BAD[i]));
}

Test(parse, malformed_chunks_are_refused)
{
    static const char *const BAD[] = {
        "x",           "\r\n",          "-1\r\n",        "5\nhello\r\n",    "5\r\nhelloXX0\r\n\r\n",
        "5\rXhello",   "5\r\nhello\n0", "5\r\nhello\r0", "5 \r\nhello\r\n", "5;a\nb\r\nhello\r\n",
        "0\r\nA: b\n", "0\r\n\rX",      "+5\r\nhello",   "0x5\r\nhello",
    };
    char text[256];

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                       BAD[i]);
        cr_assert_eq(status_of(text), 400, "%s: %d", BAD[i], status_of(text));
    }
}

Test(parse, a_body_at_its_limit_passes_and_one_past_it_does_not)
{
    struct buf text = BUF_INIT(1 * MIB);
    static const char ZEROS[1001] = {0};

    for (unsigned len = 1000; len <= 1001; len++) {
        buf_reset(&text);
        buf_printf(&text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %u\r\n\r\n", len);
        buf_put(&text, ZEROS, len);
        buf_put_u8(&text, 0);
        cr_assert_eq(status_of((const char *)text.data), len == 1000 ? 0 : 413);
        buf_reset(&text);
        buf_printf(&text, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
                   len - 1);
        for (unsigned i = 0; i < len - 1; i++)
            buf_put_u8(&text, 'x');
        buf_put_str(&text, "\r\n1\r\ny\r\n0\r\n\r\n");
        buf_put_u8(&text, 0);
        cr_assert_eq(status_of((const char *)text.data), len == 1000 ? 0 : 413);
    }
    cr_assert_eq(status_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                           "chunked\r\n\r\nfffffffffffffff\r\n"),
                 413);
    buf_fini(&text);
}

static int status_with_head(size_t head_bytes)
{
    struct buf text = BUF_INIT(1 * MIB);
    int status;

    buf_put_str(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    while (text.len < head_bytes - 4)
        buf_put_u8(&text, 'x');
    buf_put_str(&text, "\r\n\r\n");
    buf_put_u8(&text, 0);
    status = status_of((const char *)text.data);
    buf_fini(&text);
    return status;
}

Test(parse, the_header_has_a_limit_in_bytes)
{
    cr_assert_eq(status_with_head(HTTP_HEADER_BYTES_MAX), 0);
    cr_assert_eq(status_with_head(HTTP_HEADER_BYTES_MAX + 1), 431);
    cr_assert_eq(status_with_head(HTTP_HEADER_BYTES_MAX * 2), 431);
}

Test(parse, the_header_has_a_limit_in_fields)
{
    for (unsigned fields = HTTP_FIELDS_MAX; fields <= HTTP_FIELDS_MAX + 1; fields++) {
        struct buf text = BUF_INIT(1 * MIB);

        buf_put_str(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (unsigned i = 1; i < fields; i++)
            buf_printf(&text, "X%u:\r\n", i);
        buf_put_str(&text, "\r\n");
        buf_put_u8(&text, 0);
        cr_assert_eq(status_of((const char *)text.data), fields == HTTP_FIELDS_MAX ? 0 : 431);
        buf_fini(&text);
    }
}

Test(parse, the_uri_has_a_limit)
{
    for (size_t len = HTTP_URI_BYTES_MAX; len <= HTTP_URI_BYTES_MAX + 1; len++) {
        struct buf text = BUF_INIT(1 * MIB);

        buf_put_str(&text, "GET /");
        for (size_t i = 1; i < len; i++)
            buf_put_u8(&text, 'x');
        buf_put_str(&text, " HTTP/1.1\r\nHost: h\r\n\r\n");
        buf_put_u8(&text, 0);
        cr_assert_eq(status_of((const char *)text.data), len == HTTP_URI_BYTES_MAX ? 0 : 414);
        buf_fini(&text);
    }
}

Test(parse, endless_empty_lines_are_refused)
{
    struct buf text = BUF_INIT(1 * MIB);

    while (text.len < HTTP_HEADER_BYTES_MAX + 10)
        buf_put_str(&text, "\r\n");
    buf_put_u8(&text, 0);
    cr_assert_eq(status_of((const char *)text.data), 400);
    buf_fini(&text);
}

Test(parse, versions_other_than_1_are_refused)
{
    cr_assert_eq(status_of("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
    cr_assert_eq(status_of("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), 505);
    cr_assert_eq(status_of("GET /\r\n\r\n"), 505);
    cr_assert_eq(status_of("GET / HTTP/x\r\n\r\n"), 505);
}

Test(parse, expectations)
{
    size_t taken;
    struct bytes text = bytes_str("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
                                  "Content-Length: 1\r\n\r\n");

    cr_assert_eq(parse_feed(&parse, text, &taken), PARSE_HEAD);
    cr_assert_eq(taken, text.len);
    cr_assert(parse.expects_continue && parse.has_body);
    cr_assert_eq(status_of(""), 0);
    teardown();
    setup();
    cr_assert_eq(status_of("PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n"), 417);
}

Test(parse, truncation_and_flipped_bits_end_in_an_answer_or_in_waiting)
{
    static const char TEXT[] = "POST /db?x=1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: x\r\n\r\n"
                               "LIST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
    char text[sizeof TEXT];

    for (size_t i = 0; i < sizeof TEXT - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct buf out = BUF_INIT(1 * MIB);

            memcpy(text, TEXT, sizeof TEXT);
            text[i] = (char)(text[i] ^ (1 << bit));
            run(bytes_of(text, sizeof TEXT - 1), 7, 1000, &out);
            buf_fini(&out);
            parse_fini(&parse);
            parse_init(&parse);
        }
        memcpy(text, TEXT, i);
        text[i] = '\0';
        cr_assert_eq(status_of(text), 0);
    }
}

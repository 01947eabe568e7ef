#include "http/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char LIST_TOKEN[] = "LIST ";
#define LIST_TOKEN_LEN (sizeof LIST_TOKEN - 1)

static enum parse_event parse_fail(struct parse *parse, int status, const char *error,
                                   const char *reason)
{
    if (parse->failure.status == 0)
        parse->failure = (struct parse_failure){status, error, reason};
    return PARSE_FAILED;
}

/* The same for http-parser's callbacks, which must return non-zero to stop it. */
static int parse_stop(struct parse *parse, int status, const char *error, const char *reason)
{
    (void)parse_fail(parse, status, error, reason);
    return -1;
}

static int head_put(struct parse *parse, struct parse_span *span, const char *at, size_t len)
{
    if (span->len == 0)
        span->at = (uint16_t)parse->head.len;
    buf_put(&parse->head, at, len);
    if (buf_error(&parse->head) != QK_OK)
        return parse_stop(parse, 431, "header_too_large", "the request's header is too large");
    span->len = (uint16_t)(span->len + len);
    return 0;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;

    if (parse->target.len + len > HTTP_URI_BYTES_MAX)
        return parse_stop(parse, 414, "uri_too_long", "the request's URI is longer than 8 KiB");
    return head_put(parse, &parse->target, at, len);
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;

    if (parse->in_value || parse->fields_n == 0) {
        if (parse->fields_n == HTTP_FIELDS_MAX)
            return parse_stop(parse, 431, "header_too_large",
                              "the request has more than 100 header fields");
        parse->names[parse->fields_n] = (struct parse_span){0, 0};
        parse->values[parse->fields_n] = (struct parse_span){0, 0};
        parse->fields_n++;
        parse->in_value = false;
    }
    return head_put(parse, &parse->names[parse->fields_n - 1], at, len);
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;

    assert(parse->fields_n > 0);
    parse->in_value = true;
    return head_put(parse, &parse->values[parse->fields_n - 1], at, len);
}

/* Stops before the last line feed of the head, which is then ours. */
static int on_head(http_parser *parser)
{
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
};

void parse_init(struct parse *parse)
{
    assert(parse != NULL);
    memset(parse, 0, sizeof *parse);
    http_parser_init(&parse->parser, HTTP_REQUEST);
    parse->parser.data = parse;
    parse->phase = PARSE_AT_START;
    parse->head = BUF_SECRET_INIT(HTTP_HEADER_BYTES_MAX);
    parse->body = BUF_SECRET_INIT(0);
}

void parse_fini(struct parse *parse)
{
    buf_fini(&parse->head);
    buf_fini(&parse->body);
}

void parse_next(struct parse *parse)
{
    assert(parse->phase == PARSE_AT_END);
    parse_fini(parse);
    parse_init(parse);
}

bool parse_is_idle(const struct parse *parse)
{
    return parse->phase == PARSE_AT_START && parse->list_matched == 0;
}

static struct bytes span_bytes(const struct parse *parse, struct parse_span span)
{
    return bytes_slice(buf_bytes(&parse->head), span.at, span.len);
}

struct bytes parse_target(const struct parse *parse)
{
    return span_bytes(parse, parse->target);
}

static struct bytes trimmed(struct bytes value)
{
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    return value;
}

static bool same_word(struct bytes text, const char *word)
{
    return text.len == strlen(word) &&
           (text.len == 0 || strncasecmp((const char *)text.data, word, text.len) == 0);
}

unsigned parse_field(const struct parse *parse, const char *name, struct bytes *ret_value)
{
    unsigned found = 0;

    for (unsigned i = 0; i < parse->fields_n; i++) {
        if (!same_word(span_bytes(parse, parse->names[i]), name))
            continue;
        if (found++ == 0)
            *ret_value = trimmed(span_bytes(parse, parse->values[i]));
    }
    return found;
}

static bool is_token_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool names_are_tokens(const struct parse *parse)
{
    for (unsigned i = 0; i < parse->fields_n; i++) {
        struct bytes name = span_bytes(parse, parse->names[i]);

        for (size_t at = 0; at < name.len; at++) {
            if (!is_token_byte(name.data[at]))
                return false;
        }
    }
    return true;
}

static void read_method(struct parse *parse)
{
    static const struct {
        unsigned theirs;
        enum method ours;
    } METHODS[] = {
        {HTTP_GET, METHOD_GET},     {HTTP_HEAD, METHOD_HEAD},     {HTTP_PUT, METHOD_PUT},
        {HTTP_POST, METHOD_POST},   {HTTP_DELETE, METHOD_DELETE}, {HTTP_COPY, METHOD_COPY},
        {HTTP_PATCH, METHOD_PATCH},
    };

    for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++) {
        if (parse->parser.method == METHODS[i].theirs) {
            parse->method = METHODS[i].ours;
            parse->method_known = true;
        }
    }
    if (parse->list)
        parse->method = METHOD_LIST;
}

/* What of the head decides where the body ends. */
static enum parse_event read_framing(struct parse *parse)
{
    struct bytes value = BYTES_NONE;
    unsigned codings = parse_field(parse, "transfer-encoding", &value);
    unsigned lengths;

    if (codings > 0) {
        if (codings > 1 || !same_word(value, "chunked") || parse->minor_0)
            return parse_fail(parse, 501, "not_implemented",
                              "the only transfer coding understood is one 'chunked' in HTTP/1.1");
        parse->chunked = true;
        parse->has_body = true;
    }
    lengths = parse_field(parse, "content-length", &value);
    if (lengths > 1 || (lengths > 0 && codings > 0))
        return parse_fail(parse, 400, "bad_request", "the request's length is ambiguous");
    /* http-parser has checked the digits and the range; absent is its UINT64_MAX. */
    if (lengths == 1) {
        parse->body_left = parse->parser.content_length;
        parse->has_body = parse->body_left > 0;
    }
    return PARSE_HEAD;
}

static enum parse_event read_head(struct parse *parse)
{
    struct bytes value = BYTES_NONE;
    unsigned hosts;

    if (parse->parser.http_major != 1 || parse->parser.http_minor > 1)
        return parse_fail(parse, 505, "http_version_not_supported", "use HTTP/1.1");
    if (!names_are_tokens(parse))
        return parse_fail(parse, 400, "bad_request", "a header field's name is malformed");
    parse->minor_0 = parse->parser.http_minor == 0;
    hosts = parse_field(parse, "host", &value);
    if (hosts > 1 || (hosts == 0 && !parse->minor_0))
        return parse_fail(parse, 400, "bad_request", "the request needs exactly one Host field");
    read_method(parse);
    parse->keep_alive = http_should_keep_alive(&parse->parser) != 0 && !parse->parser.upgrade;
    if ((parse->parser.flags & F_CONNECTION_UPGRADE) != 0 && !parse->minor_0)
        parse->keep_alive = (parse->parser.flags & F_CONNECTION_CLOSE) == 0;
    if (parse_field(parse, "expect", &value) > 0 && !parse->minor_0) {
        if (!same_word(value, "100-continue"))
            return parse_fail(parse, 417, "expectation_failed", "only 100-continue is understood");
        parse->expects_continue = true;
    }
    return read_framing(parse);
}

static enum parse_event fail_from_parser(struct parse *parse)
{
    enum http_errno code = HTTP_PARSER_ERRNO(&parse->parser);

    if (code == HPE_INVALID_METHOD)
        return parse_fail(parse, 501, "not_implemented", "the method is not known");
    if (code == HPE_INVALID_VERSION)
        return parse_fail(parse, 505, "http_version_not_supported", "use HTTP/1.1");
    if (code == HPE_HEADER_OVERFLOW)
        return parse_fail(parse, 431, "header_too_large", "the request's header is too large");
    if (code == HPE_UNEXPECTED_CONTENT_LENGTH)
        return parse_fail(parse, 400, "bad_request", "the request's length is ambiguous");
    return parse_fail(parse, 400, "bad_request", http_errno_description(code));
}

/* A folded line: http-parser joins it to the line before, others end the field there. */
static bool has_fold(const struct parse *parse, struct bytes taken)
{
    uint8_t last = parse->last;

    for (size_t i = 0; i < taken.len; i++) {
        if (last == '\n' && (taken.data[i] == ' ' || taken.data[i] == '\t'))
            return true;
        last = taken.data[i];
    }
    return false;
}

/* Gives `in` to http-parser, up to the end of the head. */
static enum parse_event feed_head(struct parse *parse, struct bytes in, size_t *ret_taken)
{
    size_t room = HTTP_HEADER_BYTES_MAX - parse->head_bytes;
    size_t offered = in.len <= room ? in.len : room;
    size_t taken = http_parser_execute(&parse->parser, &SETTINGS, (const char *)in.data, offered);
    bool complete = HTTP_PARSER_ERRNO(&parse->parser) == HPE_PAUSED;

    *ret_taken = taken;
    if (parse->failure.status != 0)
        return PARSE_FAILED;
    if (!complete && HTTP_PARSER_ERRNO(&parse->parser) != HPE_OK)
        return fail_from_parser(parse);
    if (complete) {
        assert(taken < offered);
        if (in.data[taken++] != '\n')
            return parse_fail(parse, 400, "bad_request", "a line of the header ends wrongly");
        *ret_taken = taken;
    }
    if (has_fold(parse, bytes_slice(in, 0, taken)))
        return parse_fail(parse, 400, "bad_request", "a header field is folded over two lines");
    parse->head_bytes += taken;
    if (taken > 0)
        parse->last = in.data[taken - 1];
    if (complete) {
        parse->phase = PARSE_AT_HEAD;
        return read_head(parse);
    }
    if (parse->head_bytes == HTTP_HEADER_BYTES_MAX)
        return parse_fail(parse, 431, "header_too_large",
                          "the request's header is larger than 32 KiB");
    return PARSE_MORE;
}

/* The bytes held back while they could have become "LIST " (or "GET " in their place). */
static enum parse_event feed_held(struct parse *parse, const char *text, size_t len)
{
    size_t taken = 0;

    parse->phase = PARSE_IN_HEAD;
    parse->list_matched = 0;
    return feed_head(parse, bytes_of(text, len), &taken);
}

/* The start of a message. http-parser knows no LIST: that token is given to it as GET. Empty lines
 * before a message are skipped, as RFC 9112 (2.2) asks; not endlessly, the head's limit holds. */
static enum parse_event feed_start(struct parse *parse, struct bytes in, size_t *ret_taken)
{
    size_t at = 0;

    while (at < in.len && parse->phase == PARSE_AT_START) {
        uint8_t byte = in.data[at];

        if (parse->list_matched == 0 && (byte == '\r' || byte == '\n')) {
            if (++parse->head_bytes == HTTP_HEADER_BYTES_MAX)
                return parse_fail(parse, 400, "bad_request", "no request among the empty lines");
            at++;
        } else if (byte != (uint8_t)LIST_TOKEN[parse->list_matched]) {
            *ret_taken = at;
            return feed_held(parse, LIST_TOKEN, parse->list_matched);
        } else if (++at, ++parse->list_matched == LIST_TOKEN_LEN) {
            parse->list = true;
            *ret_taken = at;
            return feed_held(parse, "GET ", 4);
        }
    }
    *ret_taken = at;
    return PARSE_MORE;
}

static enum parse_event feed_body(struct parse *parse, struct bytes in, size_t *ret_taken)
{
    enum qk_err err;

    if (parse->chunked) {
        err = chunk_feed(&parse->chunk, in, &parse->body, ret_taken);
    } else {
        *ret_taken = in.len < parse->body_left ? in.len : (size_t)parse->body_left;
        buf_put(&parse->body, in.data, *ret_taken);
        parse->body_left -= *ret_taken;
        err = buf_error(&parse->body);
    }
    if (err == QK_ERR_TOO_BIG)
        return parse_fail(parse, 413, "too_large", "the request entity is too large");
    if (err == QK_ERR_NOMEM)
        return parse_fail(parse, 503, "busy", "out of memory");
    if (err != QK_OK)
        return parse_fail(parse, 400, "bad_request", "a chunk of the request is malformed");
    if (parse->chunked ? !chunk_is_end(&parse->chunk) : parse->body_left > 0)
        return PARSE_MORE;
    parse->phase = PARSE_AT_END;
    return PARSE_DONE;
}

static enum parse_event parse_step(struct parse *parse, struct bytes in, size_t *ret_taken)
{
    *ret_taken = 0;
    switch (parse->phase) {
    case PARSE_AT_START:
        return feed_start(parse, in, ret_taken);
    case PARSE_IN_HEAD:
        return feed_head(parse, in, ret_taken);
    case PARSE_IN_BODY:
        return feed_body(parse, in, ret_taken);
    case PARSE_AT_HEAD:
        return PARSE_HEAD;
    case PARSE_AT_END:
        return PARSE_DONE;
    }
    return PARSE_FAILED;
}

enum parse_event parse_feed(struct parse *parse, struct bytes in, size_t *ret_taken)
{
    enum parse_event event = PARSE_MORE;
    size_t total = 0, taken;

    assert(parse != NULL && ret_taken != NULL);
    if (parse->failure.status != 0)
        event = PARSE_FAILED;
    while (total < in.len && event == PARSE_MORE) {
        event = parse_step(parse, bytes_slice(in, total, in.len), &taken);
        total += taken;
    }
    *ret_taken = total;
    return event;
}

enum parse_event parse_take_body(struct parse *parse, size_t bytes_max)
{
    assert(parse->phase == PARSE_AT_HEAD);
    if (!parse->has_body) {
        parse->phase = PARSE_AT_END;
        return PARSE_DONE;
    }
    parse->phase = PARSE_IN_BODY;
    parse->body = BUF_SECRET_INIT(bytes_max);
    chunk_init(&parse->chunk);
    if (!parse->chunked && parse->body_left > bytes_max)
        return parse_fail(parse, 413, "too_large", "the request entity is too large");
    return PARSE_MORE;
}

enum parse_event parse_stream_body(struct parse *parse, size_t room)
{
    assert(parse->phase == PARSE_AT_HEAD && parse->has_body);
    parse->phase = PARSE_IN_BODY;
    parse->body = BUF_SECRET_INIT(room);
    chunk_init(&parse->chunk);
    parse->chunk.streamed = true;
    return PARSE_MORE;
}

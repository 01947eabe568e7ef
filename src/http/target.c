#include "http/target.h"

#include <assert.h>
#include <string.h>

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Appends one decoded byte of `text` at `*at` and moves `*at` past it. */
static const char *decode_byte(struct bytes text, size_t *at, bool plus_is_space,
                               struct buf *decoded)
{
    uint8_t byte = text.data[(*at)++];
    int high, low;

    if (byte == '%') {
        if (text.len - *at < 2)
            return "a percent escape in the URI is cut short";
        high = hex_value(text.data[*at]);
        low = hex_value(text.data[*at + 1]);
        if (high < 0 || low < 0)
            return "a percent escape in the URI is not two hex digits";
        byte = (uint8_t)(high << 4 | low);
        *at += 2;
    } else if (byte == '+' && plus_is_space) {
        byte = ' ';
    }
    if (byte == 0)
        return "the URI contains a zero byte";
    buf_put_u8(decoded, byte);
    return NULL;
}

/* How many bytes at the beginning stand for themselves: mostly all. */
static size_t plain_bytes(struct bytes text, bool plus_is_space)
{
    size_t n = 0;

    while (n < text.len && text.data[n] != '%' && text.data[n] != 0 &&
           !(plus_is_space && text.data[n] == '+'))
        n++;
    return n;
}

/* `ret_out` points into `decoded`, which must not grow afterwards: target_parse reserved it all. */
static const char *decode(struct bytes text, bool plus_is_space, struct buf *decoded,
                          struct bytes *ret_out)
{
    size_t start = decoded->len, plain = plain_bytes(text, plus_is_space);
    const char *reason = NULL;

    buf_put(decoded, text.data, plain);
    for (size_t at = plain; at < text.len && reason == NULL;)
        reason = decode_byte(text, &at, plus_is_space, decoded);
    *ret_out = bytes_slice(buf_bytes(decoded), start, decoded->len - start);
    return reason;
}

static size_t find_byte(struct bytes text, uint8_t byte)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.data, byte, text.len);

    return at == NULL ? text.len : (size_t)(at - text.data);
}

static const char *parse_segments(struct bytes path, struct buf *decoded, struct request *request)
{
    const char *reason = NULL;

    while (path.len > 1 && reason == NULL) { /* `path` begins with a slash; a last one is none */
        struct bytes raw = bytes_slice(path, 1, path.len);
        size_t len = find_byte(raw, '/');

        if (len == 0)
            return "the path has an empty segment";
        if (request->segments_n == REQUEST_SEGMENTS_MAX)
            return "the path has too many segments";
        reason = decode(bytes_slice(raw, 0, len), false, decoded,
                        &request->segments[request->segments_n++]);
        path = bytes_slice(raw, len, raw.len);
    }
    return reason;
}

static const char *parse_param(struct bytes pair, struct buf *decoded, struct request *request)
{
    size_t equals = find_byte(pair, '=');
    struct request_param *param;
    const char *reason;

    if (pair.len == 0)
        return NULL;
    if (request->params_n == REQUEST_PARAMS_MAX)
        return "the query has too many parameters";
    param = &request->params[request->params_n++];
    reason = decode(bytes_slice(pair, 0, equals), true, decoded, &param->name);
    if (reason == NULL)
        reason = decode(bytes_slice(pair, equals + 1, pair.len), true, decoded, &param->value);
    return reason;
}

static const char *parse_params(struct bytes query, struct buf *decoded, struct request *request)
{
    const char *reason = NULL;

    while (query.len > 0 && reason == NULL) {
        size_t len = find_byte(query, '&');

        reason = parse_param(bytes_slice(query, 0, len), decoded, request);
        query = bytes_slice(query, len + 1, query.len);
    }
    return reason;
}

/* Absolute form names the host first; which one is no concern of ours. */
static struct bytes strip_origin(struct bytes target)
{
    static const char SCHEME[] = "http://";
    size_t len = sizeof SCHEME - 1;

    if (target.len >= len && strncasecmp((const char *)target.data, SCHEME, len) == 0) {
        target = bytes_slice(target, len, target.len);
        target = bytes_slice(target, find_byte(target, '/'), target.len);
        if (target.len == 0)
            target = bytes_str("/");
    }
    return target;
}

enum qk_err target_parse(struct bytes target, struct buf *decoded, struct request *request,
                         const char **ret_reason)
{
    struct bytes origin = strip_origin(target);
    size_t path_len = find_byte(origin, '?');
    const char *reason = NULL;
    enum qk_err err;

    assert(decoded->len == 0 && request->segments_n == 0 && request->params_n == 0);
    err = buf_reserve(decoded, origin.len);
    if (err != QK_OK) {
        *ret_reason = qk_err_text(err);
        return err;
    }
    if (origin.len == 0 || origin.data[0] != '/')
        reason = "the URI must begin with a slash";
    else if (find_byte(origin, '#') < origin.len)
        reason = "the URI has a fragment";
    if (reason == NULL)
        reason = parse_segments(bytes_slice(origin, 0, path_len), decoded, request);
    if (reason == NULL)
        reason = parse_params(bytes_slice(origin, path_len + 1, origin.len), decoded, request);
    *ret_reason = reason;
    return reason == NULL ? QK_OK : QK_ERR_INVALID;
}

#include "doc/multipart.h"

#include <assert.h>
#include <string.h>

static struct bytes from(struct bytes all, size_t at)
{
    return bytes_slice(all, at, all.len);
}

/* Where `what` begins in `all`; all.len if nowhere. */
static size_t find(struct bytes all, const void *what, size_t len)
{
    const uint8_t *at = all.len == 0 ? NULL : memmem(all.data, all.len, what, len);

    return at == NULL ? all.len : (size_t)(at - all.data);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct bytes trim(struct bytes text)
{
    while (text.len > 0 && is_blank(text.data[0]))
        text = from(text, 1);
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

/* --- heads ------------------------------------------------------------------------------------ */

bool multipart_field(struct bytes head, const char *name, struct bytes *ret_value)
{
    size_t name_len = strlen(name);

    while (head.len > 0) {
        size_t len = find(head, "\r\n", 2);
        struct bytes line = bytes_slice(head, 0, len);

        if (line.len > name_len && line.data[name_len] == ':' &&
            strncasecmp((const char *)line.data, name, name_len) == 0) {
            *ret_value = trim(from(line, name_len + 1));
            return true;
        }
        head = from(head, len + 2);
    }
    return false;
}

/* The value that `text` begins with, quoted or not, unquoted into `out`; `*ret_len` is how much of
 * `text` it takes. */
static bool take_value(struct bytes text, struct buf *out, size_t *ret_len)
{
    size_t at = 0;

    if (text.len == 0 || text.data[0] != '"') {
        while (at < text.len && text.data[at] != ';' && !is_blank(text.data[at]))
            buf_put_u8(out, text.data[at++]);
        *ret_len = at;
        return at > 0;
    }
    for (at = 1; at < text.len && text.data[at] != '"'; at++) {
        if (text.data[at] == '\\' && at + 1 < text.len)
            at++;
        buf_put_u8(out, text.data[at]);
    }
    *ret_len = at + 1;
    return at < text.len;
}

bool multipart_param(struct bytes value, const char *name, struct buf *out)
{
    size_t name_len = strlen(name), len = 0;
    bool wanted;

    for (value = from(value, find(value, ";", 1)); value.len > 0;
         value = from(value, find(value, ";", 1))) {
        value = trim(from(value, 1));
        len = find(value, "=", 1);
        wanted = trim(bytes_slice(value, 0, len)).len == name_len &&
                 strncasecmp((const char *)value.data, name, name_len) == 0;
        value = trim(from(value, len + 1));
        buf_reset(out);
        if (!take_value(value, out, &len) && wanted)
            return false;
        if (wanted)
            return buf_error(out) == QK_OK;
        if (buf_error(out) != QK_OK)
            out->failed = QK_OK; /* another parameter's, longer than the one wanted may be */
        value = from(value, len);
    }
    return false;
}

enum qk_err multipart_boundary(struct bytes content_type, struct bytes *ret_boundary)
{
    struct buf boundary = BUF_INIT(MULTIPART_BOUNDARY_BYTES_MAX);
    bool good = multipart_param(content_type, "boundary", &boundary) && boundary.len > 0;
    size_t at = 0;

    for (size_t i = 0; good && i < boundary.len; i++)
        good = boundary.data[i] >= ' ' && boundary.data[i] < 0x7f;
    /* It is borrowed from where it stands, so one with escapes is none. */
    if (good)
        at = find(content_type, boundary.data, boundary.len);
    good = good && at < content_type.len && boundary.data[boundary.len - 1] != ' ';
    if (good)
        *ret_boundary = bytes_slice(content_type, at, boundary.len);
    buf_fini(&boundary);
    return good ? QK_OK : QK_ERR_INVALID;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* `rest` stands behind a boundary: the end, or the line's end. */
static enum qk_err pass_line(struct multipart *multipart)
{
    struct bytes rest = multipart->rest;

    if (bytes_starts_with(rest, bytes_str("--"))) {
        multipart->ended = true;
        return QK_OK;
    }
    while (rest.len > 0 && is_blank(rest.data[0]))
        rest = from(rest, 1);
    if (!bytes_starts_with(rest, bytes_str("\r\n")))
        return QK_ERR_INVALID;
    multipart->rest = from(rest, 2);
    return QK_OK;
}

/* The first CRLF--boundary in `rest`; rest.len if there is none. */
static size_t find_delimiter(const struct multipart *multipart, struct bytes rest)
{
    uint8_t delimiter[4 + MULTIPART_BOUNDARY_BYTES_MAX];

    memcpy(delimiter, "\r\n--", 4);
    memcpy(delimiter + 4, multipart->boundary.data, multipart->boundary.len);
    return find(rest, delimiter, 4 + multipart->boundary.len);
}

enum qk_err multipart_open(struct bytes body, struct bytes boundary,
                           struct multipart *ret_multipart)
{
    struct multipart multipart = {.boundary = boundary};
    struct bytes first = from(body, 2);
    size_t at;
    enum qk_err err;

    assert(boundary.len > 0 && boundary.len <= MULTIPART_BOUNDARY_BYTES_MAX);

    if (bytes_starts_with(body, bytes_str("--")) && bytes_starts_with(first, boundary)) {
        multipart.rest = from(first, boundary.len);
    } else {
        at = find_delimiter(&multipart, body);
        if (at == body.len)
            return QK_ERR_INVALID;
        multipart.rest = from(body, at + 4 + boundary.len);
    }
    err = pass_line(&multipart);
    if (err == QK_OK)
        *ret_multipart = multipart;
    return err;
}

/* A head may have no lines at all; then its empty line comes at once. */
static enum qk_err split_head(struct bytes part, struct multipart_part *ret_part)
{
    size_t at;

    if (bytes_starts_with(part, bytes_str("\r\n"))) {
        *ret_part = (struct multipart_part){BYTES_NONE, from(part, 2)};
        return QK_OK;
    }
    at = find(bytes_slice(part, 0, MULTIPART_HEAD_BYTES_MAX), "\r\n\r\n", 4);
    if (at >= part.len || at >= MULTIPART_HEAD_BYTES_MAX)
        return QK_ERR_INVALID;
    *ret_part = (struct multipart_part){bytes_slice(part, 0, at), from(part, at + 4)};
    return QK_OK;
}

/* The content begins behind the head's empty line, and an empty one may share its line break with
 * the delimiter: so the head is looked for first. */
enum qk_err multipart_next(struct multipart *multipart, struct multipart_part *ret_part)
{
    struct multipart_part part;
    size_t len;
    enum qk_err err;

    if (multipart->ended)
        return QK_ERR_NOT_FOUND;
    err = split_head(multipart->rest, &part);
    if (err != QK_OK)
        return err;
    len = find_delimiter(multipart, part.content);
    if (len == part.content.len)
        return QK_ERR_INVALID;
    multipart->rest = from(part.content, len + 4 + multipart->boundary.len);
    err = pass_line(multipart);
    if (err != QK_OK)
        return err;
    part.content = bytes_slice(part.content, 0, len);
    *ret_part = part;
    return QK_OK;
}

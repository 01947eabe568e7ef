#include "http/reply.h"

#include <http_parser.h>
#include <string.h>

#define HEAD_BYTES_USUAL 512

bool reply_is_bodyless(int status)
{
    return status == 204 || status == 304 || (status >= 100 && status < 200);
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Nothing that a handler gives may end a field. */
static void put_clean(const char *text, struct buf *out)
{
    size_t len = strlen(text);
    uint8_t *at = buf_extend(out, len);

    if (at == NULL)
        return;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(is_control(text[i]) ? '?' : text[i]);
}

static void put_field(const char *name, const char *value, struct buf *out)
{
    put_clean(name, out);
    buf_put_str(out, ": ");
    put_clean(value, out);
    buf_put_str(out, "\r\n");
}

/* `value` in decimal, with zeros before it up to `width` digits. */
static void put_number(size_t value, unsigned width, struct buf *out)
{
    char digits[24];
    size_t at = sizeof digits;

    while (value > 0 || width > 0 || at == sizeof digits) {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
        width -= width > 0;
    }
    buf_put(out, digits + at, sizeof digits - at);
}

static void put_separated(int value, unsigned width, const char *after, struct buf *out)
{
    put_number(value < 0 ? 0 : (size_t)value, width, out);
    buf_put_str(out, after);
}

/* RFC 9110, 5.6.7. Names are written out because strftime's follow the locale, and without printf,
 * which took longer than all the rest of a head. */
static void put_date(time_t now, struct buf *out)
{
    static const char DAYS[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm utc;

    if (gmtime_r(&now, &utc) == NULL)
        return;
    buf_put_str(out, "Date: ");
    buf_put_str(out, DAYS[utc.tm_wday]);
    buf_put_str(out, ", ");
    put_separated(utc.tm_mday, 2, " ", out);
    buf_put_str(out, MONTHS[utc.tm_mon]);
    buf_put_str(out, " ");
    put_separated(utc.tm_year + 1900, 4, " ", out);
    put_separated(utc.tm_hour, 2, ":", out);
    put_separated(utc.tm_min, 2, ":", out);
    put_separated(utc.tm_sec, 2, " GMT\r\n", out);
}

static void put_length(const struct reply_head *head, struct buf *out)
{
    if (reply_is_bodyless(head->status))
        return;
    if (head->content_type != NULL)
        put_field("Content-Type", head->content_type, out);
    if (head->length != SIZE_MAX) {
        buf_put_str(out, "Content-Length: ");
        put_number(head->length, 1, out);
        buf_put_str(out, "\r\n");
    } else if (head->chunked) {
        buf_put_str(out, "Transfer-Encoding: chunked\r\n");
    }
}

static bool has_field(const struct reply_head *head, const char *name)
{
    for (unsigned i = 0; i < head->fields_n; i++) {
        if (strcmp(head->fields[i].name, name) == 0)
            return true;
    }
    return false;
}

void reply_write_head(const struct reply_head *head, struct buf *out)
{
    /* With its usual fields it fits into this: no growing, which copies and wipes. */
    if (buf_reserve(out, HEAD_BYTES_USUAL) != QK_OK)
        return;
    buf_put_str(out, "HTTP/1.1 ");
    put_separated(head->status, 3, " ", out);
    buf_put_str(out, http_status_str((enum http_status)head->status));
    buf_put_str(out, "\r\nServer: Quorumkeep/" QK_VERSION "\r\n");
    put_date(head->now, out);
    if (!has_field(head, "Cache-Control"))
        buf_put_str(out, "Cache-Control: must-revalidate\r\n");
    for (unsigned i = 0; i < head->fields_n; i++)
        put_field(head->fields[i].name, head->fields[i].value, out);
    put_length(head, out);
    if (head->close)
        buf_put_str(out, "Connection: close\r\n");
    else if (head->keep_alive)
        buf_put_str(out, "Connection: keep-alive\r\n");
    buf_put_str(out, "\r\n");
}

void reply_write_chunk(struct bytes body, struct buf *out)
{
    if (body.len == 0)
        return;
    buf_printf(out, "%zx\r\n", body.len);
    buf_put_bytes(out, body);
    buf_put_str(out, "\r\n");
}

void reply_write_last_chunk(struct buf *out)
{
    buf_put_str(out, "0\r\n\r\n");
}

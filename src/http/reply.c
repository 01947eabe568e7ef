#include "http/reply.h"

#include <http_parser.h>
#include <string.h>

bool reply_is_bodyless(int status)
{
    return status == 204 || status == 304 || (status >= 100 && status < 200);
}

static void put_clean(const char *text, struct buf *out)
{
    for (; *text != '\0'; text++)
        buf_put_u8(out, (uint8_t)((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text));
}

static void put_field(const char *name, const char *value, struct buf *out)
{
    put_clean(name, out);
    buf_put_str(out, ": ");
    put_clean(value, out);
    buf_put_str(out, "\r\n");
}

/* RFC 9110, 5.6.7. Names are written out because strftime's follow the locale. */
static void put_date(time_t now, struct buf *out)
{
    static const char DAYS[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm utc;

    if (gmtime_r(&now, &utc) == NULL)
        return;
    buf_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", DAYS[utc.tm_wday], utc.tm_mday,
               MONTHS[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

static void put_length(const struct reply_head *head, struct buf *out)
{
    if (reply_is_bodyless(head->status))
        return;
    if (head->content_type != NULL)
        put_field("Content-Type", head->content_type, out);
    if (head->length != SIZE_MAX)
        buf_printf(out, "Content-Length: %zu\r\n", head->length);
    else if (head->chunked)
        buf_put_str(out, "Transfer-Encoding: chunked\r\n");
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
    buf_printf(out, "HTTP/1.1 %d %s\r\n", head->status,
               http_status_str((enum http_status)head->status));
    buf_put_str(out, "Server: Quorumkeep/" QK_VERSION "\r\n");
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

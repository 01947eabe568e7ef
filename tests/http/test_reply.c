#include <criterion/criterion.h>

#include <string.h>

#include "http/metrics.h"
#include "http/reply.h"

static char text[8192];

static const char *write_head(const struct reply_head *head)
{
    struct buf out = BUF_INIT(sizeof text - 1);

    reply_write_head(head, &out);
    memcpy(text, out.data, out.len);
    text[out.len] = '\0';
    buf_fini(&out);
    return text;
}

Test(reply, the_date_is_that_of_rfc_9110)
{
    struct reply_head head = {.status = 200, .length = 0, .now = 784111777};

    cr_assert_not_null(strstr(write_head(&head), "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
}

Test(reply, lengths_are_announced_as_they_are_known)
{
    struct reply_head head = {.status = 200, .length = 7, .content_type = "a/b"};

    cr_assert_not_null(strstr(write_head(&head), "\r\nContent-Length: 7\r\n"));
    head.length = SIZE_MAX;
    cr_assert_null(strstr(write_head(&head), "Length"));
    head.chunked = true;
    cr_assert_not_null(strstr(write_head(&head), "\r\nTransfer-Encoding: chunked\r\n"));
    head.status = 304;
    cr_assert_null(strstr(write_head(&head), "chunked"));
    cr_assert_not_null(strstr(text, "HTTP/1.1 304 Not Modified\r\n"));
}

Test(reply, a_handlers_word_on_caches_takes_the_place_of_the_usual)
{
    struct reply_field field = {.name = "Cache-Control", .value = "no-store"};
    struct reply_head head = {.status = 200, .fields = &field, .fields_n = 1};

    cr_assert_not_null(strstr(write_head(&head), "\r\nCache-Control: no-store\r\n"));
    cr_assert_null(strstr(text, "must-revalidate"));
    head.fields_n = 0;
    cr_assert_not_null(strstr(write_head(&head), "\r\nCache-Control: must-revalidate\r\n"));
}

Test(reply, no_field_can_end_its_line)
{
    struct reply_field field = {.name = "ETag", .value = "\"1\"\r\nX: y\x7f"};
    struct reply_head head = {.status = 200, .fields = &field, .fields_n = 1};

    cr_assert_not_null(strstr(write_head(&head), "\r\nETag: \"1\"?\?X: y?\r\n"));
}

Test(metrics, requests_are_counted_by_class_and_status_and_time)
{
    struct metrics metrics = {0};
    struct buf out = BUF_INIT(1 << 20);

    metrics_count(&metrics, ROUTE_CLASS_READ, 200, 400000);
    metrics_count(&metrics, ROUTE_CLASS_READ, 201, 2000000);
    metrics_count(&metrics, ROUTE_CLASS_WRITE, 503, 60000000000);
    metrics_count(&metrics, ROUTE_CLASS_WRITE, 0, 1);
    metrics_write(&metrics, &out);
    buf_put_u8(&out, 0);
    cr_assert_not_null(strstr(
        (char *)out.data, "\nquorumkeep_http_requests_total{class=\"read\",status=\"2xx\"} 2\n"));
    cr_assert_not_null(strstr(
        (char *)out.data, "\nquorumkeep_http_requests_total{class=\"write\",status=\"5xx\"} 1\n"));
    cr_assert_not_null(
        strstr((char *)out.data,
               "\nquorumkeep_http_request_seconds_bucket{class=\"read\",le=\"0.0005\"} 1\n"));
    cr_assert_not_null(
        strstr((char *)out.data,
               "\nquorumkeep_http_request_seconds_bucket{class=\"read\",le=\"0.0025\"} 2\n"));
    cr_assert_not_null(
        strstr((char *)out.data,
               "\nquorumkeep_http_request_seconds_bucket{class=\"write\",le=\"10\"} 0\n"));
    cr_assert_not_null(
        strstr((char *)out.data,
               "\nquorumkeep_http_request_seconds_bucket{class=\"write\",le=\"+Inf\"} 1\n"));
    cr_assert_not_null(
        strstr((char *)out.data, "\nquorumkeep_http_request_seconds_sum{class=\"read\"} 0.0024"));
    buf_fini(&out);
}

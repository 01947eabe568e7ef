#include "doc/multipart.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BODY                                                                                       \
    "preamble\r\n--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b \t\r\n\r\nab\r\n-\r\n--b"  \
    "\r\ncontent-disposition: attachment; filename=\"a \\\"b\\\"\"\r\n\r\n\r\n--b--\r\nepilogue"

static struct bytes boundary_of(const char *type)
{
    struct bytes boundary = BYTES_NONE;

    cr_assert_eq(multipart_boundary(bytes_str(type), &boundary), QK_OK, "%s", type);
    return boundary;
}

Test(multipart, boundary_is_found_quoted_or_not)
{
    struct bytes none;

    cr_assert(bytes_equal(boundary_of("multipart/related; boundary=abc"), bytes_str("abc")));
    cr_assert(bytes_equal(boundary_of("multipart/related;type=\"x;boundary=no\";Boundary=\"a b\""),
                          bytes_str("a b")));
    cr_assert(bytes_equal(boundary_of("multipart/mixed; boundary = q ; x=y"), bytes_str("q")));
    cr_assert_eq(multipart_boundary(bytes_str("multipart/related"), &none), QK_ERR_INVALID);
    cr_assert_eq(multipart_boundary(bytes_str("multipart/related; boundary="), &none),
                 QK_ERR_INVALID);
    cr_assert_eq(multipart_boundary(bytes_str("multipart/related; boundary=\"\""), &none),
                 QK_ERR_INVALID);
    cr_assert_eq(multipart_boundary(bytes_str("multipart/related; boundary=\"abc"), &none),
                 QK_ERR_INVALID);
    cr_assert_eq(multipart_boundary(BYTES_NONE, &none), QK_ERR_INVALID);
}

Test(multipart, boundary_has_a_longest_length)
{
    char type[MULTIPART_BOUNDARY_BYTES_MAX + 64];
    struct bytes boundary;

    memcpy(type, "a/b; boundary=", 14);
    memset(type + 14, 'x', sizeof(type) - 14);
    cr_assert_eq(multipart_boundary(bytes_of(type, 14 + MULTIPART_BOUNDARY_BYTES_MAX), &boundary),
                 QK_OK);
    cr_assert_eq(multipart_boundary(bytes_of(type, 15 + MULTIPART_BOUNDARY_BYTES_MAX), &boundary),
                 QK_ERR_INVALID);
}

Test(multipart, parts_come_in_their_order)
{
    struct buf name = BUF_INIT(16);
    struct multipart multipart;
    struct multipart_part part;
    struct bytes value;

    cr_assert_eq(multipart_open(bytes_str(BODY), bytes_str("b"), &multipart), QK_OK);
    cr_assert_eq(multipart_next(&multipart, &part), QK_OK);
    cr_assert(bytes_equal(part.content, bytes_str("{}")));
    cr_assert(multipart_field(part.head, "content-type", &value));
    cr_assert(bytes_equal(value, bytes_str("application/json")));
    cr_assert_not(multipart_field(part.head, "content", &value));
    cr_assert_eq(multipart_next(&multipart, &part), QK_OK);
    cr_assert_eq(part.head.len, 0);
    cr_assert(bytes_equal(part.content, bytes_str("ab\r\n-")));
    cr_assert_eq(multipart_next(&multipart, &part), QK_OK);
    cr_assert_eq(part.content.len, 0);
    cr_assert(multipart_field(part.head, "Content-Disposition", &value));
    cr_assert(multipart_param(value, "filename", &name));
    cr_assert(bytes_equal(buf_bytes(&name), bytes_str("a \"b\"")));
    cr_assert_not(multipart_param(value, "name", &name));
    cr_assert_eq(multipart_next(&multipart, &part), QK_ERR_NOT_FOUND);
    cr_assert_eq(multipart_next(&multipart, &part), QK_ERR_NOT_FOUND);
    buf_fini(&name);
}

/* Whether it has an end, with no view outside of the body. */
static bool walks(struct bytes body)
{
    struct multipart multipart;
    struct multipart_part part;
    enum qk_err err = multipart_open(body, bytes_str("b"), &multipart);

    while (err == QK_OK) {
        err = multipart_next(&multipart, &part);
        if (err != QK_OK)
            break;
        cr_assert(part.content.data >= body.data);
        cr_assert(part.content.data + part.content.len <= body.data + body.len);
    }
    return err == QK_ERR_NOT_FOUND;
}

/* On the heap and of the exact size, so that a sanitizer sees a read past it. */
Test(multipart, cut_anywhere_before_its_end_is_invalid)
{
    size_t end = strlen(BODY) - strlen("\r\nepilogue");

    for (size_t len = 0; len <= strlen(BODY); len++) {
        uint8_t *body = malloc(len + 1);

        memcpy(body, BODY, len);
        cr_assert_eq(walks(bytes_of(body, len)), len >= end, "cut at %zu", len);
        free(body);
    }
}

Test(multipart, flipped_anywhere_never_leaves_the_body)
{
    char body[] = BODY;

    for (size_t at = 0; at < 8 * (sizeof(body) - 1); at++) {
        body[at / 8] = (char)(body[at / 8] ^ (1 << at % 8));
        (void)walks(bytes_of(body, sizeof(body) - 1));
        body[at / 8] = (char)(body[at / 8] ^ (1 << at % 8));
    }
}

Test(multipart, head_has_a_longest_length)
{
    struct buf body = BUF_INIT(64 * 1024);

    buf_put_str(&body, "--b\r\nX: ");
    for (size_t i = 0; i < MULTIPART_HEAD_BYTES_MAX; i++)
        buf_put_u8(&body, 'x');
    buf_put_str(&body, "\r\n\r\n\r\n--b--");
    cr_assert_not(walks(buf_bytes(&body)));
    buf_fini(&body);
}

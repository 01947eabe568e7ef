#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "client/split.h"

struct got {
    char text[512]; /* the elements, each in angle brackets */
    unsigned stop_after;
};

static bool on_element(void *arg, struct bytes json)
{
    struct got *got = arg;
    size_t len = strlen(got->text);

    (void)snprintf(got->text + len, sizeof(got->text) - len, "<%.*s>", (int)json.len,
                   (const char *)json.data);
    return got->stop_after == 0 || --got->stop_after > 0;
}

static enum qk_err take_apart(const char *name, struct bytes text, size_t piece, struct got *got,
                              struct buf *rest)
{
    struct split split;
    enum qk_err err = QK_OK;

    split_init(&split, name, on_element, got);
    for (size_t at = 0; at < text.len && err == QK_OK; at += piece)
        err = split_feed(&split, bytes_slice(text, at, piece));
    if (err == QK_OK)
        err = split_end(&split);
    if (rest != NULL)
        buf_put_bytes(rest, buf_bytes(&split.rest));
    split_fini(&split);
    return err;
}

static void expect(const char *name, const char *text, const char *elements)
{
    for (size_t piece = 1; piece < 9; piece++) {
        struct got got = {.text = ""};

        cr_assert_eq(take_apart(name, bytes_str(text), piece, &got, NULL), QK_OK, "%s", text);
        cr_assert_str_eq(got.text, elements, "%s: %s", text, got.text);
    }
}

static void expect_refused(const char *name, const char *text)
{
    struct got got = {.text = ""};

    cr_assert_eq(take_apart(name, bytes_str(text), 3, &got, NULL), QK_ERR_INVALID, "%s: %s", text,
                 got.text);
}

Test(split, the_elements_of_the_named_array_are_given)
{
    expect("docs", "{\"docs\":[]}", "");
    expect("docs", "{\"docs\":[\n{\"a\":[1,{\"docs\":[2]}]},\n \"x,]\\\"\" , 3\n]\n,\"b\":{}}\n",
           "<{\"a\":[1,{\"docs\":[2]}]}><\"x,]\\\"\"><3>");
    expect("rows", "{\"a\":{\"rows\":[9]},\"x\":\"rows\",\"rows\" : [ {} ]}", "<{}>");
    expect("rows", "{\"rows\":[1],\"rows\":[2]}", "<1>");
}

Test(split, what_stands_around_the_array_is_kept)
{
    struct got got = {.text = ""};
    struct buf rest = BUF_INIT(1024);

    cr_assert_eq(take_apart("docs", bytes_str("{\"n\":2,\"docs\":[{\"a\":1},{}],\"b\":\"x\"}"), 5,
                            &got, &rest),
                 QK_OK);
    cr_assert(bytes_equal(buf_bytes(&rest), bytes_str("{\"n\":2,\"docs\":[],\"b\":\"x\"}")));
    buf_fini(&rest);
}

Test(split, a_sequence_is_of_lines_or_of_arrays)
{
    expect(NULL, "", "");
    expect(NULL, "\n\n", "");
    expect(NULL, "{\"a\":1}\n\n{\"b\":\"}\"}\n{}", "<{\"a\":1}><{\"b\":\"}\"}><{}>");
    expect(NULL, "[{\"a\":1},\n{\"b\":[2]}]\n[]\n[3]", "<{\"a\":1}><{\"b\":[2]}><3>");
}

Test(split, what_is_not_whole_is_refused_at_every_length)
{
    static const char text[] = "{\"docs\":[{\"a\":[1,\"\\\\\"]},\"x\"],\"b\":1}";

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct got got = {.text = ""};

        cr_assert_eq(take_apart("docs", bytes_of(text, len), 4, &got, NULL), QK_ERR_INVALID, "%zu",
                     len);
    }
    expect_refused(NULL, "{\"a\":");
    expect_refused(NULL, "[1,2");
    expect_refused("docs", "{}");
    expect_refused("docs", "[1]");
    expect_refused("docs", "\"docs\"");
    expect_refused("docs", "{\"docs\":[]}{");
    expect_refused("docs", "{\"docs\":[]}x");
    expect_refused("docs", "{\"docs\":[]}\"x\"");
    expect_refused("docs", "{\"docs\":[1}]}");
    expect_refused("docs", "{\"docs\":[{}{}]}");
    expect_refused(NULL, "]");
    expect_refused(NULL, "{},{}");
}

Test(split, every_byte_flipped_is_taken_or_refused)
{
    static const char text[] = "{\"docs\":[{\"a\":[1,\"\\\\\"]},\"x\"],\"b\":1}";

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct got got = {.text = ""};
            char bad[sizeof(text)];

            memcpy(bad, text, sizeof(text));
            bad[i] = (char)(bad[i] ^ (1 << bit));
            (void)!take_apart("docs", bytes_of(bad, sizeof(text) - 1), 4, &got, NULL);
        }
    }
}

Test(split, nesting_is_bounded)
{
    char deep[SPLIT_DEPTH_MAX + 2];
    struct got got = {.text = ""};

    memset(deep, '[', sizeof(deep));
    cr_assert_eq(take_apart(NULL, bytes_of(deep, sizeof(deep)), 7, &got, NULL), QK_ERR_INVALID);
}

Test(split, who_wants_no_more_gets_no_more)
{
    struct got got = {.stop_after = 2};

    cr_assert_eq(take_apart("docs", bytes_str("{\"docs\":[1,2,3,4"), 3, &got, NULL), QK_OK);
    cr_assert_str_eq(got.text, "<1><2>");
}

Test(split, an_error_line_behind_the_rows_is_no_row)
{
    static const char text[] =
        "{\"rows\":[\n{\"id\":\"a\"}\n{\"error\":\"sealed\",\"reason\":\"x\"}\n";
    struct got got = {.text = ""};
    struct split split;

    split_init(&split, "rows", on_element, &got);
    (void)!split_feed(&split, bytes_str(text));
    cr_assert_eq(split_end(&split), QK_ERR_INVALID);
    cr_assert_not_null(memmem(split.element.data, split.element.len, "sealed", 6));
    split_fini(&split);
}

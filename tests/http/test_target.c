#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "http/target.h"

static struct buf decoded;
static struct request request;

static enum qk_err parse(const char *target)
{
    const char *reason = NULL;
    enum qk_err err;

    buf_fini(&decoded);
    decoded = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX);
    memset(&request, 0, sizeof request);
    err = target_parse(bytes_str(target), &decoded, &request, &reason);
    cr_assert((err == QK_OK) == (reason == NULL));
    return err;
}

static bool segment_is(unsigned i, const char *text)
{
    return bytes_equal(request.segments[i], bytes_str(text));
}

static bool param_is(unsigned i, const char *name, const char *value)
{
    return bytes_equal(request.params[i].name, bytes_str(name)) &&
           bytes_equal(request.params[i].value, bytes_str(value));
}

static void release(void)
{
    buf_fini(&decoded);
}

TestSuite(target, .fini = release);

Test(target, the_root_has_no_segments)
{
    cr_assert_eq(parse("/"), QK_OK);
    cr_assert_eq(request.segments_n, 0);
    cr_assert_eq(request.params_n, 0);
}

Test(target, an_escaped_slash_stays_inside_its_segment)
{
    cr_assert_eq(parse("/db/a%2Fb%2fc"), QK_OK);
    cr_assert_eq(request.segments_n, 2);
    cr_assert(segment_is(0, "db"));
    cr_assert(segment_is(1, "a/b/c"));
}

Test(target, design_and_local_ids_are_two_segments)
{
    cr_assert_eq(parse("/db/_design/x"), QK_OK);
    cr_assert_eq(request.segments_n, 3);
    cr_assert(segment_is(1, "_design"));
    cr_assert_eq(parse("/db/_local/y"), QK_OK);
    cr_assert(segment_is(2, "y"));
}

Test(target, a_slash_at_the_end_is_no_segment)
{
    cr_assert_eq(parse("/db/"), QK_OK);
    cr_assert_eq(request.segments_n, 1);
    cr_assert_eq(parse("/db//doc"), QK_ERR_INVALID);
    cr_assert_eq(parse("//"), QK_ERR_INVALID);
}

Test(target, dots_are_segments_like_others)
{
    cr_assert_eq(parse("/../.%2e/."), QK_OK);
    cr_assert_eq(request.segments_n, 3);
    cr_assert(segment_is(0, ".."));
    cr_assert(segment_is(1, ".."));
    cr_assert(segment_is(2, "."));
}

Test(target, parameters_are_decoded_with_plus_as_blank)
{
    cr_assert_eq(parse("/a+b?startkey=%22x+y%22&limit=10&flag&empty=&=v&&z=1=2"), QK_OK);
    cr_assert(segment_is(0, "a+b"));
    cr_assert_eq(request.params_n, 6);
    cr_assert(param_is(0, "startkey", "\"x y\""));
    cr_assert(param_is(1, "limit", "10"));
    cr_assert(param_is(2, "flag", ""));
    cr_assert(param_is(3, "empty", ""));
    cr_assert(param_is(4, "", "v"));
    cr_assert(param_is(5, "z", "1=2"));
}

Test(target, bad_escapes_are_refused)
{
    static const char *const BAD[] = {"/%",     "/%4",  "/%zz",   "/a%0gb", "/%00",
                                      "/a?b=%", "/?%1", "/?a%00", "/?=%0",  "/%%41"};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(parse(BAD[i]), QK_ERR_INVALID, "%s", BAD[i]);
}

Test(target, the_absolute_form_is_stripped_of_its_host)
{
    cr_assert_eq(parse("http://example.org:80/db/x?a=b"), QK_OK);
    cr_assert_eq(request.segments_n, 2);
    cr_assert(param_is(0, "a", "b"));
    cr_assert_eq(parse("HTTP://example.org"), QK_OK);
    cr_assert_eq(request.segments_n, 0);
}

Test(target, what_is_no_path_is_refused)
{
    static const char *const BAD[] = {"", "*", "db", "a:80", "?a=b", "/a#b", "https://x/"};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(parse(BAD[i]), QK_ERR_INVALID, "%s", BAD[i]);
}

Test(target, segments_and_parameters_have_a_limit)
{
    char target[1024] = "/x?", path[4 * REQUEST_SEGMENTS_MAX] = "";

    for (int i = 0; i < REQUEST_SEGMENTS_MAX; i++)
        strncat(path, "/a", sizeof path - strlen(path) - 1);
    cr_assert_eq(parse(path), QK_OK);
    cr_assert_eq(request.segments_n, REQUEST_SEGMENTS_MAX);
    strncat(path, "/", sizeof path - strlen(path) - 1);
    cr_assert_eq(parse(path), QK_OK);
    strncat(path, "a", sizeof path - strlen(path) - 1);
    cr_assert_eq(parse(path), QK_ERR_INVALID);
    for (int i = 0; i < REQUEST_PARAMS_MAX; i++)
        strncat(target, "a=1&", sizeof target - strlen(target) - 1);
    cr_assert_eq(parse(target), QK_OK);
    cr_assert_eq(request.params_n, REQUEST_PARAMS_MAX);
    strncat(target, "a", sizeof target - strlen(target) - 1);
    cr_assert_eq(parse(target), QK_ERR_INVALID);
}

Test(target, any_single_byte_is_survived_in_any_place)
{
    char target[] = "/db/a%2Fb?k=%22v%22&x";
    size_t len = strlen(target);

    for (size_t i = 0; i < len; i++) {
        char kept = target[i];

        for (int byte = 1; byte < 256; byte++) {
            target[i] = (char)byte;
            (void)parse(target);
        }
        target[i] = kept;
    }
    for (size_t cut = 0; cut < len; cut++) {
        target[len - cut] = '\0';
        (void)parse(target);
    }
}

#include <criterion/criterion.h>

#include <string.h>

#include "base/encode.h"
#include "http/auth.h"
#include "secret/secret.h"

static struct bytes name, password;
static struct buf text;

static enum qk_err parse(const char *value)
{
    buf_fini(&text);
    text = BUF_SECRET_INIT(4096);
    return auth_parse_basic(bytes_str(value), &text, &name, &password);
}

static void release(void)
{
    buf_fini(&text);
}

TestSuite(auth, .fini = release);

Test(auth, name_and_password_are_split_at_the_first_colon)
{
    cr_assert_eq(parse("Basic YWRtaW46c2U6Y3JldA=="), QK_OK);
    cr_assert(bytes_equal(name, bytes_str("admin")));
    cr_assert(bytes_equal(password, bytes_str("se:cret")));
    cr_assert_eq(parse("bAsIc   YTo="), QK_OK);
    cr_assert(bytes_equal(name, bytes_str("a")));
    cr_assert_eq(password.len, 0);
}

Test(auth, anything_else_is_refused)
{
    static const char *const BAD[] = {
        "",
        "Basic",
        "Basic ",
        "BasicYTpi",
        "Basic YQ==",
        "Basic OmI=",
        "Basic YTpi=",
        "Basic YTp",
        "Digest YTpi",
        "Basic YTpi YTpi",
        "Basic YQA6Yg==" /* a zero byte */,
        "Bearer YTpi",
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(parse(BAD[i]), QK_ERR_INVALID, "%s", BAD[i]);
}

Test(auth, names_and_passwords_have_a_limit)
{
    for (size_t len = USER_NAME_BYTES_MAX; len <= USER_NAME_BYTES_MAX + 1; len++) {
        struct buf plain = BUF_INIT(4096), value = BUF_INIT(4096);

        for (size_t i = 0; i < len; i++)
            buf_put_u8(&plain, 'n');
        buf_put_str(&plain, ":p");
        buf_put_str(&value, "Basic ");
        base64_encode(buf_bytes(&plain), &value);
        buf_put_u8(&value, 0);
        cr_assert_eq(parse((char *)value.data),
                     len == USER_NAME_BYTES_MAX ? QK_OK : QK_ERR_INVALID);
        buf_fini(&plain);
        buf_fini(&value);
    }
}

Test(auth, the_cache_knows_exactly_one_pair)
{
    struct principal who = {.kind = PRINCIPAL_USER, .name = "admin", .credential_version = 3};
    struct auth_cache cache = {0};
    struct auth auth;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
    cr_assert_eq(auth_init(&auth), QK_OK);
    cr_assert_null(auth_cache_get(&auth, &cache, bytes_str("Basic YTpi")));
    auth_cache_put(&auth, &cache, bytes_str("Basic YTpi"), &who);
    cr_assert_str_eq(auth_cache_get(&auth, &cache, bytes_str("Basic YTpi"))->name, "admin");
    cr_assert_null(auth_cache_get(&auth, &cache, bytes_str("Basic YTpj")));
    cr_assert_null(auth_cache_get(&auth, &cache, bytes_str("")));
    auth_cache_drop(&cache);
    cr_assert_null(auth_cache_get(&auth, &cache, bytes_str("Basic YTpi")));
    auth_fini(&auth);
    secret_arena_fini();
}

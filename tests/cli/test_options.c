#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/number.h"
#include "cli/options.h"
#include "quorumkeep/version.h"

#define ARGV(...) (char *[]){__VA_ARGS__}, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *))

static enum qk_err parse(char **argv, int argc, const char *permitted, struct options *options)
{
    struct buf message = BUF_INIT(4096);
    enum qk_err err = options_parse(argc, argv, permitted, options, &message);

    cr_assert_eq(err == QK_OK, message.len == 0, "an error says something, success nothing");
    buf_fini(&message);
    return err;
}

Test(options, stand_anywhere_and_take_values_both_ways)
{
    struct options options;

    cr_assert_eq(parse(ARGV("a", "--rev", "1-x", "--json", "b", "--user=me"), "rev", &options),
                 QK_OK);
    cr_assert_eq(options.args_n, 2);
    cr_assert_str_eq(options.args[0], "a");
    cr_assert_str_eq(options.args[1], "b");
    cr_assert_str_eq(options.rev, "1-x");
    cr_assert_str_eq(options.user, "me");
    cr_assert(options.json && !options.help);
}

Test(options, those_of_other_verbs_are_refused)
{
    char many_word[] = "a", *many[OPTIONS_ARGS_MAX + 1];
    struct options options;

    cr_assert_eq(parse(ARGV("--rev", "1-x"), "ttl", &options), QK_ERR_INVALID);
    cr_assert_eq(parse(ARGV("--re", "1-x"), "rev", &options), QK_ERR_INVALID);
    cr_assert_eq(parse(ARGV("--nope"), "rev", &options), QK_ERR_INVALID);
    cr_assert_eq(parse(ARGV("-j"), "rev", &options), QK_ERR_INVALID);
    cr_assert_eq(parse(ARGV("--rev"), "rev", &options), QK_ERR_INVALID);
    cr_assert_eq(parse(ARGV("--json=1"), "rev", &options), QK_ERR_INVALID);
    for (int i = 0; i <= OPTIONS_ARGS_MAX; i++)
        many[i] = many_word;
    cr_assert_eq(parse(many, OPTIONS_ARGS_MAX, "", &options), QK_OK);
    cr_assert_eq(parse(many, OPTIONS_ARGS_MAX + 1, "", &options), QK_ERR_INVALID);
}

Test(options, double_dash_ends_them)
{
    struct options options;

    cr_assert_eq(parse(ARGV("--", "--json", "-h"), "", &options), QK_OK);
    cr_assert_eq(options.args_n, 2);
    cr_assert(!options.json && !options.help);
    cr_assert_eq(parse(ARGV("-", "-h"), "", &options), QK_OK);
    cr_assert_eq(options.args_n, 1);
    cr_assert(options.help);
}

Test(options, every_verb_names_only_known_ones_and_has_an_example)
{
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        const char *list = verb->options;

        cr_assert_not_null(verb->run);
        cr_assert(strncmp(verb->example, "quorumkeep ", 11) == 0 ||
                      strstr(verb->example, "quorumkeep ") != NULL,
                  "%s", verb->name);
        cr_assert_gt(strlen(verb->about), 0);
        while (*list != '\0') {
            size_t len = strcspn(list, " ");
            bool known = false;

            for (size_t i = 0; i < OPTION_SPECS_N; i++)
                known = known || (strlen(option_specs[i].name) == len + 2 &&
                                  strncmp(option_specs[i].name + 2, list, len) == 0);
            cr_assert(known, "%s of %s", list, verb->name);
            list += len;
            list += strspn(list, " ");
        }
    }
}

Test(number, digits_only_within_the_maximum)
{
    uint64_t value = 7;

    cr_assert_eq(number_parse("0", 10, &value), QK_OK);
    cr_assert_eq(value, 0);
    cr_assert_eq(number_parse("18446744073709551615", UINT64_MAX, &value), QK_OK);
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_eq(number_parse("18446744073709551616", UINT64_MAX, &value), QK_ERR_INVALID);
    cr_assert_eq(number_parse("99999999999999999999999", UINT64_MAX, &value), QK_ERR_INVALID);
    cr_assert_eq(number_parse("11", 10, &value), QK_ERR_INVALID);
    cr_assert_eq(number_parse("", 10, &value), QK_ERR_INVALID);
    cr_assert_eq(number_parse("-1", 10, &value), QK_ERR_INVALID);
    cr_assert_eq(number_parse("1 ", 10, &value), QK_ERR_INVALID);
}

static enum qk_err read_credential(const char *text, struct buf *out)
{
    char path[] = "/tmp/qk-cred-XXXXXX";
    struct buf message = BUF_INIT(4096);
    int fd = mkstemp(path);
    enum qk_err err;

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    err = credential_read("password", path, out, &message);
    cr_assert_eq(err == QK_OK, message.len == 0);
    buf_fini(&message);
    unlink(path);
    return err;
}

Test(credentials, the_first_line_of_a_file_is_read)
{
    struct buf out = BUF_SECRET_INIT(16);

    cr_assert_eq(read_credential("hunter2\r\nmore\n", &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("hunter2")));
    buf_reset(&out);
    cr_assert_eq(read_credential("no newline", &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("no newline")));
    buf_reset(&out);
    cr_assert_eq(read_credential("", &out), QK_ERR_INVALID);
    cr_assert_eq(read_credential("\n", &out), QK_ERR_INVALID);
    cr_assert_eq(read_credential("seventeen bytes!!\n", &out), QK_ERR_TOO_BIG);
    buf_fini(&out);
}

Test(credentials, a_missing_file_is_an_error)
{
    struct buf out = BUF_SECRET_INIT(16), message = BUF_INIT(4096);

    cr_assert_eq(credential_read("password", "/nonexistent", &out, &message), QK_ERR_IO);
    cr_assert_gt(message.len, 0);
    buf_fini(&message);
    buf_fini(&out);
}

Test(credentials, basic_is_that_of_rfc_7617)
{
    struct buf out = BUF_SECRET_INIT(256);

    cr_assert_eq(client_basic("Aladdin", bytes_str("open sesame"), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
    buf_fini(&out);
}

Test(version, of_the_headers_is_that_of_the_build)
{
    char text[64];

    cr_assert_str_eq(QUORUMKEEP_VERSION, QK_VERSION);
    (void)snprintf(text, sizeof(text), "%d.%d.%d", QUORUMKEEP_VERSION_MAJOR,
                   QUORUMKEEP_VERSION_MINOR, QUORUMKEEP_VERSION_PATCH);
    cr_assert_str_eq(text, QUORUMKEEP_VERSION);
}

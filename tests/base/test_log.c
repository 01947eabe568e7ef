#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

/* What log_line writes to stderr, in `ret_text`. */
static void captured(enum log_level level, const char *value, char *ret_text, size_t size)
{
    int ends[2], kept = dup(STDERR_FILENO);
    ssize_t got;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    (void)close(ends[1]);
    log_line(level, "test", "value %s.", value);
    cr_assert_geq(dup2(kept, STDERR_FILENO), 0);
    (void)close(kept);
    got = read(ends[0], ret_text, size - 1);
    cr_assert_geq(got, 0);
    ret_text[got] = '\0';
    (void)close(ends[0]);
}

Test(log_line, a_value_cannot_forge_a_line)
{
    char text[2048];

    captured(LOG_WARN, "a\n2026-01-01T00:00:00.000Z error x: \r\x1b[2J\x7f", text, sizeof text);
    cr_assert_not_null(strstr(text, " warn  test: value a?2026-01-01"));
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
    for (const char *c = text; c[1] != '\0'; c++)
        cr_assert(*c >= 0x20 && *c != 0x7f);
}

Test(log_line, a_long_value_is_cut_and_still_one_line)
{
    char value[4000], text[8000];

    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    captured(LOG_ERROR, value, text, sizeof text);
    cr_assert_gt(strlen(text), 1000);
    cr_assert_lt(strlen(text), 1200);
    cr_assert_eq(text[strlen(text) - 1], '\n');
}

Test(log_line, levels_below_the_set_one_are_silent)
{
    static const char *const words[] = {" debug ", " info ", " warn ", " error "};
    char text[2048];

    for (int set = LOG_DEBUG; set <= LOG_ERROR; set++) {
        log_set_level((enum log_level)set);
        for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
            captured((enum log_level)level, "v", text, sizeof text);
            cr_assert_eq(strlen(text) > 0, level >= set);
            cr_assert(level < set || strstr(text, words[level]) != NULL);
        }
    }
}

Test(err, every_error_has_a_text_of_its_own)
{
    static const enum qk_err all[] = {
#define ERR_LIST(code, text) code,
        QK_ERR_MAP(ERR_LIST)
#undef ERR_LIST
    };
    const size_t n = sizeof all / sizeof all[0];

    cr_assert(strlen(qk_err_text(QK_OK)) > 0);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            cr_assert_str_neq(qk_err_text(all[i]), qk_err_text(all[k]));
}

/* Just enough of Criterion's interface for the tests of this tree, with nothing but fork(2) below:
 * Criterion's sandbox needs addresses that ThreadSanitizer keeps for itself, and starts each test
 * anew, which valgrind pays for each time. Used with -Dplain_tests=true by lanes/tsan and
 * lanes/valgrind. As in Criterion each test is a process of its own. */
#pragma GCC system_header
#ifndef LANES_PLAIN_CRITERION_CRITERION_H
#define LANES_PLAIN_CRITERION_CRITERION_H

#include <float.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds */
    int signal;     /* that it must end by */
    bool disabled;
};

struct plain_test {
    const char *suite, *name; /* a suite's own options have no name */
    void (*run)(void);
    struct plain_options options;
    struct plain_test *next;
};

void plain_add(struct plain_test *test);
/* Says what failed; ends the test unless `go_on`. */
void plain_check(bool holds, bool go_on, const char *what, const char *file, int line,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
void plain_skip(void) __attribute__((noreturn));

#define PLAIN_ADD(suite_, id_, name_, run_, ...)                                                   \
    __attribute__((constructor)) static void plain_add_##suite_##_##id_(void)                      \
    {                                                                                              \
        static struct plain_test test = {#suite_, name_, run_, {__VA_ARGS__}, NULL};               \
        plain_add(&test);                                                                          \
    }

#define Test(suite_, name_, ...)                                                                   \
    static void plain_run_##suite_##_##name_(void);                                                \
    PLAIN_ADD(suite_, name_, #name_, plain_run_##suite_##_##name_, __VA_ARGS__)                    \
    static void plain_run_##suite_##_##name_(void)
#define TestSuite(suite_, ...) PLAIN_ADD(suite_, suite, NULL, NULL, __VA_ARGS__)

/* `on_`: whether the test goes on after it failed. */
#define PLAIN_CHECK(on_, holds_, what_, ...)                                                       \
    plain_check((holds_), on_, what_, __FILE__, __LINE__, "" __VA_ARGS__)
#define cr_assert(holds_, ...) PLAIN_CHECK(false, !!(holds_), #holds_, __VA_ARGS__)
#define cr_assert_not(holds_, ...) PLAIN_CHECK(false, !(holds_), "not " #holds_, __VA_ARGS__)
#define cr_assert_eq(a_, b_, ...) PLAIN_CHECK(false, (a_) == (b_), #a_ " == " #b_, __VA_ARGS__)
#define cr_assert_neq(a_, b_, ...) PLAIN_CHECK(false, (a_) != (b_), #a_ " != " #b_, __VA_ARGS__)
#define cr_assert_lt(a_, b_, ...) PLAIN_CHECK(false, (a_) < (b_), #a_ " < " #b_, __VA_ARGS__)
#define cr_assert_leq(a_, b_, ...) PLAIN_CHECK(false, (a_) <= (b_), #a_ " <= " #b_, __VA_ARGS__)
#define cr_assert_gt(a_, b_, ...) PLAIN_CHECK(false, (a_) > (b_), #a_ " > " #b_, __VA_ARGS__)
#define cr_assert_geq(a_, b_, ...) PLAIN_CHECK(false, (a_) >= (b_), #a_ " >= " #b_, __VA_ARGS__)
#define cr_assert_null(a_, ...) PLAIN_CHECK(false, (a_) == NULL, #a_ " is null", __VA_ARGS__)
#define cr_assert_not_null(a_, ...)                                                                \
    PLAIN_CHECK(false, (a_) != NULL, #a_ " is not null", __VA_ARGS__)
#define cr_assert_str_eq(a_, b_, ...)                                                              \
    PLAIN_CHECK(false, strcmp((a_), (b_)) == 0, #a_ " is " #b_, __VA_ARGS__)
#define cr_assert_str_neq(a_, b_, ...)                                                             \
    PLAIN_CHECK(false, strcmp((a_), (b_)) != 0, #a_ " is not " #b_, __VA_ARGS__)
#define cr_assert_arr_eq(a_, b_, len_, ...)                                                        \
    PLAIN_CHECK(false, memcmp((a_), (b_), (len_)) == 0, #a_ " is " #b_, __VA_ARGS__)
#define cr_assert_arr_neq(a_, b_, len_, ...)                                                       \
    PLAIN_CHECK(false, memcmp((a_), (b_), (len_)) != 0, #a_ " is not " #b_, __VA_ARGS__)
#define cr_expect(holds_, ...) PLAIN_CHECK(true, !!(holds_), #holds_, __VA_ARGS__)
#define cr_expect_not(holds_, ...) PLAIN_CHECK(true, !(holds_), "not " #holds_, __VA_ARGS__)
#define cr_expect_eq(a_, b_, ...) PLAIN_CHECK(true, (a_) == (b_), #a_ " == " #b_, __VA_ARGS__)
#define cr_expect_neq(a_, b_, ...) PLAIN_CHECK(true, (a_) != (b_), #a_ " != " #b_, __VA_ARGS__)
#define cr_expect_lt(a_, b_, ...) PLAIN_CHECK(true, (a_) < (b_), #a_ " < " #b_, __VA_ARGS__)
#define cr_expect_leq(a_, b_, ...) PLAIN_CHECK(true, (a_) <= (b_), #a_ " <= " #b_, __VA_ARGS__)
#define cr_expect_gt(a_, b_, ...) PLAIN_CHECK(true, (a_) > (b_), #a_ " > " #b_, __VA_ARGS__)
#define cr_expect_geq(a_, b_, ...) PLAIN_CHECK(true, (a_) >= (b_), #a_ " >= " #b_, __VA_ARGS__)
#define cr_expect_null(a_, ...) PLAIN_CHECK(true, (a_) == NULL, #a_ " is null", __VA_ARGS__)
#define cr_expect_not_null(a_, ...) PLAIN_CHECK(true, (a_) != NULL, #a_ " is not null", __VA_ARGS__)
#define cr_expect_str_eq(a_, b_, ...)                                                              \
    PLAIN_CHECK(true, strcmp((a_), (b_)) == 0, #a_ " is " #b_, __VA_ARGS__)
#define cr_expect_str_neq(a_, b_, ...)                                                             \
    PLAIN_CHECK(true, strcmp((a_), (b_)) != 0, #a_ " is not " #b_, __VA_ARGS__)
#define cr_expect_arr_eq(a_, b_, len_, ...)                                                        \
    PLAIN_CHECK(true, memcmp((a_), (b_), (len_)) == 0, #a_ " is " #b_, __VA_ARGS__)
#define cr_expect_arr_neq(a_, b_, len_, ...)                                                       \
    PLAIN_CHECK(true, memcmp((a_), (b_), (len_)) != 0, #a_ " is not " #b_, __VA_ARGS__)
#define cr_assert_str_empty(a_, ...) PLAIN_CHECK(false, *(a_) == '\0', #a_ " is empty", __VA_ARGS__)
#define cr_assert_float_eq(a_, b_, apart_, ...)                                                    \
    PLAIN_CHECK(false, (a_) - (b_) <= (apart_) && (b_) - (a_) <= (apart_), #a_ " is about " #b_,   \
                __VA_ARGS__)
#define cr_assert_fail(...) PLAIN_CHECK(false, false, "fail", __VA_ARGS__)
#define cr_skip_test(...) (printf("" __VA_ARGS__), printf("\n"), plain_skip())
#define cr_log_info(...) (printf("" __VA_ARGS__), printf("\n"))

#endif

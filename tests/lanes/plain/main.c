/* Runs the tests of a program one after the other, each in a process of its own; see criterion.h.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77
/* The tools that this is for are ten to fifty times slower than the machine. */
#define TIMEOUT_FACTOR 50
#define SLOW_S 20 /* is told: what makes a lane long is one test, as a rule */

static struct plain_test *tests, *suites;
static bool failed;

void plain_add(struct plain_test *test)
{
    struct plain_test **at = test->name == NULL ? &suites : &tests;

    while (*at != NULL)
        at = &(*at)->next;
    *at = test;
}

void plain_check(bool holds, bool go_on, const char *what, const char *file, int line,
                 const char *format, ...)
{
    va_list args;

    if (holds)
        return;
    (void)printf("%s:%d: not so: %s ", file, line, what);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
    (void)fflush(stdout);
    failed = true;
    if (!go_on)
        _exit(1);
}

void plain_skip(void)
{
    (void)fflush(stdout);
    _exit(SKIPPED);
}

static const struct plain_options *options_of(const char *suite)
{
    static const struct plain_options none;

    for (const struct plain_test *at = suites; at != NULL; at = at->next)
        if (strcmp(at->suite, suite) == 0)
            return &at->options;
    return &none;
}

static void run_here(const struct plain_test *test, const struct plain_options *suite)
{
    double seconds =
        test->options.timeout > suite->timeout ? test->options.timeout : suite->timeout;

    (void)alarm(seconds > 0 ? (unsigned)(seconds * TIMEOUT_FACTOR) : 0);
    if (suite->init != NULL)
        suite->init();
    if (test->options.init != NULL)
        test->options.init();
    test->run();
    if (test->options.fini != NULL)
        test->options.fini();
    if (suite->fini != NULL)
        suite->fini();
    exit(failed ? 1 : 0);
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* 0 passed, SKIPPED, else failed. */
static int run_apart(const struct plain_test *test)
{
    pid_t child;
    int status = 0;

    (void)fflush(stdout);
    child = fork();
    if (child == 0)
        run_here(test, options_of(test->suite));
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (test->options.signal != 0)
        return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal ? 0 : 1;
    if (WIFSIGNALED(status))
        (void)printf("ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* main [NAME|-NAME]...: only tests whose SUITE/NAME contains one of the names, and none of those
 * after a dash. */
static bool wanted(const struct plain_test *test, int argc, char **argv)
{
    char full[512];
    bool named = false, any = false;

    (void)snprintf(full, sizeof full, "%s/%s", test->suite, test->name);
    for (int i = 1; i < argc; i++) {
        bool leave_out = argv[i][0] == '-';
        bool matches = strstr(full, argv[i] + (leave_out ? 1 : 0)) != NULL;

        if (leave_out && matches)
            return false;
        named = named || !leave_out;
        any = any || (!leave_out && matches);
    }
    return any || !named;
}

int main(int argc, char **argv)
{
    unsigned passed_n = 0, failed_n = 0, skipped_n = 0;

    if (argc > 1 && strncmp(argv[1], "--", 2) == 0)
        argc = 1; /* Criterion's options */
    for (const struct plain_test *test = tests; test != NULL; test = test->next) {
        double began_s = now_s();
        int rc;

        if (test->options.disabled || !wanted(test, argc, argv))
            continue;
        rc = run_apart(test);
        if (now_s() - began_s > SLOW_S)
            (void)printf("slow: %s/%s took %.0f s\n", test->suite, test->name, now_s() - began_s);
        passed_n += rc == 0;
        skipped_n += rc == SKIPPED;
        if (rc == 0 || rc == SKIPPED)
            continue;
        failed_n++;
        (void)printf("FAILED %s/%s (status %d)\n", test->suite, test->name, rc);
    }
    (void)printf("%u passed, %u failed, %u skipped\n", passed_n, failed_n, skipped_n);
    return failed_n == 0 ? 0 : 1;
}

#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret/crypto.h"
#include "secret/secret.h"

/* The signal that ends a child which runs `act`, 0 if none does. Address sanitizers catch SEGV by
 * default: the child puts the default action back first. */
static int ended_by(void (*act)(void *), void *arg)
{
    int status = 0;
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL);
        (void)signal(SIGBUS, SIG_DFL);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(2); /* abort() is expected to speak */
        act(arg);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* The arena is made in the child: a parent's arena does not exist there at all. */
struct plan {
    enum secret_arena kind;
    size_t len;
    int mark; /* a pipe */
};

static struct secret *child_secret(const struct plan *plan)
{
    struct secret *secret = NULL;

    if (secret_arena_init(plan->kind, 64 * KIB) != QK_OK ||
        secret_new_random(plan->len, &secret) != QK_OK)
        _exit(77);
    return secret;
}

static void read_at_rest(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at = secret_borrow(secret);

    secret_return(secret);
    (void)at[0];
}

static void write_while_read_only(void *arg)
{
    struct secret *secret = child_secret(arg);
    volatile uint8_t *at = (volatile uint8_t *)(uintptr_t)secret_borrow(secret);

    at[0] = 1;
}

static void read_guard_before(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at = secret_borrow(secret);

    (void)at[-1];
}

static void read_guard_after(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at = secret_borrow(secret);

    (void)at[64 * KIB];
}

static void overflow_a_key(void *arg)
{
    struct secret *secret = child_secret(arg);
    volatile uint8_t *at = secret_borrow_mut(secret);

    at[secret_len(secret)] ^= 1;
    secret_return_mut(secret);
}

static void borrow_wiped(void *arg)
{
    struct secret *secret = child_secret(arg);

    secret_wipe_all();
    (void)secret_borrow(secret);
}

static void borrow_twice_return_once(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at = secret_borrow(secret);

    (void)secret_borrow(secret);
    secret_return(secret);
    (void)at[0]; /* still open */
    _exit(0);
}

static void read_after_scope(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at;

    secret_scope_begin();
    secret_scope_begin();
    at = secret_borrow(secret);
    secret_return(secret);
    (void)at[0];
    secret_scope_end();
    (void)at[0]; /* the outer scope is still open */
    secret_scope_end();
    if (write(((const struct plan *)arg)->mark, "x", 1) != 1)
        _exit(80);
    (void)at[0];
}

static void read_after_turn(void *arg)
{
    struct secret *secret;
    const volatile uint8_t *at;

    secret_turns_begin();
    secret = child_secret(arg);
    for (int i = 0; i < 2; i++) {
        secret_turn_end();
        at = secret_borrow(secret);
        secret_return(secret);
        (void)at[0]; /* the turn is not over */
    }
    secret_turn_end();
    if (write(((const struct plan *)arg)->mark, "x", 1) != 1)
        _exit(80);
    (void)at[0];
}

static void expect_marked_fault(void (*act)(void *))
{
    int fds[2];
    char mark = 0;
    struct plan plan = {SECRET_ARENA_AUTO, 32, 0};

    cr_assert_eq(pipe(fds), 0);
    plan.mark = fds[1];
    cr_assert_eq(ended_by(act, &plan), SIGSEGV);
    (void)close(fds[1]);
    cr_assert_eq(read(fds[0], &mark, 1), 1);
    (void)close(fds[0]);
}

Test(arena, a_turn_closes_its_pages_at_its_end)
{
    expect_marked_fault(read_after_turn);
}

/* One scope from before the turn's first key, another from behind it. */
static void read_after_turn_with_scopes(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at;

    secret_turns_begin();
    secret_scope_begin();
    at = secret_borrow(secret);
    secret_return(secret);
    secret_scope_begin();
    (void)secret_borrow(secret);
    secret_return(secret);
    secret_scope_end();
    secret_scope_end();
    (void)at[0]; /* the turn goes on */
    secret_turn_end();
    if (write(((const struct plan *)arg)->mark, "x", 1) != 1)
        _exit(80);
    (void)at[0];
}

Test(arena, scopes_within_a_turn_end_with_it)
{
    expect_marked_fault(read_after_turn_with_scopes);
}

static void *open_and_close(void *arg)
{
    (void)secret_borrow(arg);
    secret_return(arg);
    return NULL;
}

/* A job of the pool works in no turns: what it closes is closed while the loop rests. */
static void read_after_another_thread(void *arg)
{
    struct secret *secret = child_secret(arg);
    const volatile uint8_t *at = secret_borrow(secret);
    pthread_t thread;

    secret_return(secret);
    secret_turns_begin();
    if (pthread_create(&thread, NULL, open_and_close, secret) != 0 ||
        pthread_join(thread, NULL) != 0 || write(((const struct plan *)arg)->mark, "x", 1) != 1)
        _exit(80);
    (void)at[0];
}

Test(arena, a_thread_without_turns_leaves_nothing_open)
{
    expect_marked_fault(read_after_another_thread);
}

/* In a turn the pages that were used stay open, but a key that lasts only for reading: those that
 * are written, one for each record, lie elsewhere. */
static void write_a_lasting_key_in_a_turn(void *arg)
{
    struct secret *secret = child_secret(arg), *derived;
    volatile uint8_t *at;
    uint8_t commitment[KEY_BYTES];

    secret_turns_begin();
    if (kdf_derive_pair(secret, "qk.record.v1", bytes_str("x"), &derived, commitment) != QK_OK)
        _exit(80);
    secret_free(derived);
    at = (volatile uint8_t *)(uintptr_t)secret_borrow(secret);
    secret_return(secret);
    (void)at[0];
    if (write(((const struct plan *)arg)->mark, "x", 1) != 1)
        _exit(80);
    at[0] = 1;
}

Test(arena, a_turn_leaves_no_lasting_key_writable)
{
    expect_marked_fault(write_a_lasting_key_in_a_turn);
}

Test(arena, a_scope_closes_its_pages_at_its_end)
{
    int fds[2];
    char mark = 0;
    struct plan plan = {SECRET_ARENA_AUTO, 32, 0};

    cr_assert_eq(pipe(fds), 0);
    plan.mark = fds[1];
    cr_assert_eq(ended_by(read_after_scope, &plan), SIGSEGV);
    cr_assert_eq(read(fds[0], &mark, 1), 1); /* it came as far as the end of the scope */
    (void)close(fds[0]);
    (void)close(fds[1]);
}

Test(arena, every_access_outside_a_borrow_faults)
{
    static const enum secret_arena kinds[] = {SECRET_ARENA_AUTO, SECRET_ARENA_MLOCK,
                                              SECRET_ARENA_UNLOCKED};

    for (size_t i = 0; i < 3; i++) {
        struct plan plan = {kinds[i], 32, -1};

        cr_assert_eq(ended_by(read_at_rest, &plan), SIGSEGV);
        cr_assert_eq(ended_by(write_while_read_only, &plan), SIGSEGV);
        cr_assert_eq(ended_by(read_guard_before, &plan), SIGSEGV);
        cr_assert_eq(ended_by(read_guard_after, &plan), SIGSEGV);
        cr_assert_eq(ended_by(overflow_a_key, &plan), SIGABRT);
        cr_assert_eq(ended_by(borrow_wiped, &plan), SIGABRT);
        cr_assert_eq(ended_by(borrow_twice_return_once, &plan), 0);
    }
}

static void use_parents_secret(void *arg)
{
    const volatile uint8_t *at = secret_borrow(arg);

    (void)at[0];
}

Test(arena, a_forked_child_has_no_arena)
{
    struct secret *secret;
    int signal;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 64 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &secret), QK_OK);
    signal = ended_by(use_parents_secret, secret);
    cr_assert(signal == SIGSEGV || signal == SIGABRT);
    secret_free(secret);
    secret_arena_fini();
}

/* Without the capability to lock at will, the limit counts. */
static void init_without_limit(void *arg)
{
    const struct rlimit none = {0, 0};

    if (geteuid() == 0 && setuid(65534) != 0)
        _exit(78);
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        _exit(79);
    _exit(secret_arena_init(*(enum secret_arena *)arg, 64 * KIB));
}

Test(arena, memory_that_cannot_be_locked_is_refused)
{
    enum secret_arena kind = SECRET_ARENA_AUTO;

    cr_assert_eq(ended_by(init_without_limit, &kind), QK_ERR_LOCKED_MEMORY);
    kind = SECRET_ARENA_MLOCK;
    cr_assert_eq(ended_by(init_without_limit, &kind), QK_ERR_LOCKED_MEMORY);
    kind = SECRET_ARENA_UNLOCKED;
    cr_assert_eq(ended_by(init_without_limit, &kind), QK_OK);
}

/* The VmFlags line of the mapping that holds `at`. */
static void flags_of(uintptr_t at, char *ret_line, size_t len)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool inside = false;

    cr_assert_not_null(maps);
    ret_line[0] = 0;
    while (fgets(ret_line, (int)len, maps) != NULL) {
        unsigned long from, to;

        if (sscanf(ret_line, "%lx-%lx %*4s", &from, &to) == 2)
            inside = at >= from && at < to;
        else if (inside && strncmp(ret_line, "VmFlags:", 8) == 0)
            break;
    }
    (void)fclose(maps);
}

static void expect_flags(enum secret_arena kind, bool locked)
{
    struct secret *secret;
    char line[512];
    uintptr_t at;

    cr_assert_eq(secret_arena_init(kind, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(32, &secret), QK_OK);
    at = (uintptr_t)secret_borrow(secret);
    flags_of(at, line, sizeof line);
    cr_assert_eq(strstr(line, " lo") != NULL, locked, "%s", line);
    cr_assert_not_null(strstr(line, " dd"), "%s", line);
    cr_assert_not_null(strstr(line, " rd"), "%s", line);
    secret_return(secret);
    flags_of(at, line, sizeof line);
    cr_assert_eq(strstr(line, " lo") != NULL, locked, "%s", line);
    cr_assert_not_null(strstr(line, " dd"), "%s", line);
    cr_assert_null(strstr(line, " rd"), "%s", line);
    secret_free(secret);
    secret_arena_fini();
}

Test(arena, mappings_are_locked_and_dump_proof)
{
    expect_flags(SECRET_ARENA_AUTO, true);
    expect_flags(SECRET_ARENA_MLOCK, true);
    expect_flags(SECRET_ARENA_UNLOCKED, false);
}

Test(arena, fills_up_and_gives_back)
{
    struct secret *all[512] = {NULL}, *large;
    size_t n = 0;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, 32 * KIB), QK_OK);
    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, 32 * KIB), QK_ERR_EXISTS);
    while (secret_new_random(96, &all[n]) == QK_OK)
        n++;
    cr_assert_eq(n, 32 * KIB / 128);
    cr_assert_eq(secret_stats().secrets_n, n);
    cr_assert_eq(secret_stats().bytes_used, 32 * KIB);
    cr_assert_eq(secret_new_zero(8 * KIB, &large), QK_ERR_NOMEM);
    for (size_t i = 0; i < n; i++)
        secret_free(all[i]);
    cr_assert_eq(secret_stats().bytes_used, 0);
    cr_assert_eq(secret_new_zero(SECRET_BYTES_MAX, &large), QK_OK);
    memset(secret_borrow_mut(large), 7, SECRET_BYTES_MAX);
    secret_return_mut(large);
    secret_free(large);
    cr_assert_eq(secret_new_zero(SECRET_BYTES_MAX, &large), QK_OK);
    for (size_t i = 0; i < SECRET_BYTES_MAX; i++)
        cr_assert_eq(secret_borrow(large)[i], 0);
    for (size_t i = 0; i < SECRET_BYTES_MAX; i++)
        secret_return(large);
    secret_free(large);
    secret_arena_fini();
    cr_assert_eq(secret_new_zero(32, &large), QK_ERR_LOCKED_MEMORY);
}

Test(arena, copies_clones_and_compares)
{
    struct secret *a, *b, *c;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 64 * KIB), QK_OK);
    cr_assert_eq(secret_new_copy((const uint8_t *)"0123456789abcdef", 16, &a), QK_OK);
    cr_assert_eq(secret_new_clone(a, &b), QK_OK);
    cr_assert_eq(secret_new_random(16, &c), QK_OK);
    cr_assert(secret_equal(a, b));
    cr_assert(!secret_equal(a, c));
    secret_borrow_mut(b)[15] ^= 1;
    secret_return_mut(b);
    cr_assert(!secret_equal(a, b));
    secret_wipe_all();
    cr_assert(secret_is_wiped(a));
    cr_assert(!secret_equal(a, a));
    secret_free(b);
    cr_assert_eq(secret_new_clone(a, &b), QK_ERR_SEALED);
    secret_free(a);
    secret_free(c);
    secret_free(NULL);
    secret_arena_fini();
}

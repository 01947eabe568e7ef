#include "node/launcher_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MEMORY_BYTES (1024ul * 1024 * 1024)
#define LIMIT_FILE_BYTES (16ul * 1024 * 1024)
#define LIMIT_FILES 64ul

/* --- the program's side, between fork and execve ---------------------------------------------- */

static void child_limit(int what, rlim_t most)
{
    struct rlimit limit = {most, most};

    if (setrlimit((__rlimit_resource_t)what, &limit) != 0)
        _exit(126);
}

static void child_limits(unsigned timeout_ms)
{
    child_limit(RLIMIT_CPU, timeout_ms / 1000 + 1);
    child_limit(RLIMIT_AS, LIMIT_MEMORY_BYTES);
    child_limit(RLIMIT_FSIZE, LIMIT_FILE_BYTES);
    child_limit(RLIMIT_NOFILE, LIMIT_FILES);
    child_limit(RLIMIT_CORE, 0);
}

static void child_signals(void)
{
    sigset_t none;

    for (int signum = 1; signum < NSIG; signum++)
        (void)signal(signum, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_close_others(void)
{
    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
        return;
    for (int fd = 3; fd < 4096; fd++) /* before Linux 5.9; the launcher itself has few open */
        (void)close(fd);
}

__attribute__((noreturn)) static void child_exec(const char *path, const int theirs[RUN_FDS],
                                                 unsigned timeout_ms)
{
    char *argv[] = {NULL, NULL};
    char search[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *env[] = {search, locale, NULL};
    char name[PROGRAM_PATH_BYTES_MAX + 1];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)setpgid(0, 0);
    child_signals();
    for (int i = 0; i < RUN_FDS; i++)
        if (dup2(theirs[i], i) < 0)
            _exit(126);
    child_close_others();
    child_limits(timeout_ms);
    (void)umask(077);
    if (chdir("/") != 0)
        _exit(126);
    snprintf(name, sizeof name, "%s", path);
    argv[0] = name;
    (void)execve(path, argv, env);
    dprintf(STDERR_FILENO, "it could not be run: %s\n", strerror(errno));
    _exit(127);
}

/* --- the launcher's side ---------------------------------------------------------------------- */

static void fd_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* `ours` and `theirs` by number of the program's descriptor; ours do not block. */
static enum qk_err pipes_open(int ours[RUN_FDS], int theirs[RUN_FDS])
{
    for (int i = 0; i < RUN_FDS; i++) {
        int both[2];

        if (pipe2(both, O_CLOEXEC) != 0)
            return QK_ERR_IO;
        ours[i] = both[i == 0 ? 1 : 0];
        theirs[i] = both[i == 0 ? 0 : 1];
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK) != 0)
            return QK_ERR_IO;
    }
    return QK_OK;
}

enum qk_err run_start(struct run *run, const char *path, const struct launcher_request *request,
                      uint64_t now_ms)
{
    int theirs[RUN_FDS] = {-1, -1, -1};
    enum qk_err err;
    pid_t pid = -1;

    memset(run, 0, sizeof *run);
    run->fds[0] = run->fds[1] = run->fds[2] = -1;
    err = pipes_open(run->fds, theirs);
    if (err == QK_OK)
        pid = fork();
    if (pid == 0)
        child_exec(path, theirs, request->timeout_ms);
    for (int i = 0; i < RUN_FDS; i++) {
        fd_close(&theirs[i]);
        if (pid < 0)
            fd_close(&run->fds[i]);
    }
    if (pid < 0)
        return QK_ERR_IO;
    (void)setpgid(pid, pid); /* also here: whichever of the two comes first */
    run->used = true;
    run->pid = pid;
    run->id = request->id;
    run->deadline_ms = now_ms + request->timeout_ms;
    run->input_len = request->input.len;
    if (request->input.len > 0)
        memcpy(run->input, request->input.data, request->input.len);
    return QK_OK;
}

void run_poll(const struct run *run, struct pollfd *ret_fds)
{
    for (int i = 0; i < RUN_FDS; i++)
        ret_fds[i] = (struct pollfd){.fd = run->used ? run->fds[i] : -1,
                                     .events = i == 0 ? POLLOUT : POLLIN};
}

static void run_write(struct run *run)
{
    ssize_t n;

    if (run->fds[0] < 0)
        return;
    n = write(run->fds[0], run->input + run->input_at, run->input_len - run->input_at);
    if (n > 0)
        run->input_at += (size_t)n;
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 || run->input_at == run->input_len)
        fd_close(&run->fds[0]);
}

/* What comes beyond `most` is read and dropped; `ret_over` says so. */
static void run_read(int *fd, uint8_t *bytes, size_t *len, size_t most, bool *ret_over)
{
    uint8_t piece[4096];

    while (*fd >= 0) {
        ssize_t n = read(*fd, piece, sizeof piece);
        size_t keep;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            fd_close(fd);
            return;
        }
        keep = (size_t)n < most - *len ? (size_t)n : most - *len;
        memcpy(bytes + *len, piece, keep);
        *len += keep;
        if (keep < (size_t)n) {
            *ret_over = true;
            return; /* the rest waits: a flood must not hold the launcher here */
        }
    }
}

void run_io(struct run *run)
{
    bool ignored = false;

    run_write(run);
    run_read(&run->fds[1], run->output, &run->output_len, sizeof run->output, &run->overflow);
    run_read(&run->fds[2], run->errors, &run->errors_len, sizeof run->errors, &ignored);
}

/* The group while its leader is not yet reaped, so that its number cannot be another's. */
void run_kill(struct run *run)
{
    int status;

    if (!run->used)
        return;
    (void)kill(-run->pid, SIGKILL);
    (void)kill(run->pid, SIGKILL);
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        ;
    for (int i = 0; i < RUN_FDS; i++)
        fd_close(&run->fds[i]);
    run->used = false;
}

static void result_of(const siginfo_t *info, struct attest_result *ret_result)
{
    ret_result->end = info->si_code == CLD_EXITED ? ATTEST_EXITED : ATTEST_SIGNALED;
    ret_result->code = (unsigned)info->si_status;
}

bool run_is_over(struct run *run, uint64_t now_ms, struct attest_result *ret_result)
{
    siginfo_t info = {0};
    bool ended = waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                 info.si_pid == run->pid;

    if (ended)
        run_io(run); /* what it wrote last */
    if (!ended && !run->overflow && now_ms < run->deadline_ms)
        return false;
    memset(ret_result, 0, sizeof *ret_result);
    if (run->overflow)
        ret_result->end = ATTEST_OVERFLOW;
    else if (ended)
        result_of(&info, ret_result);
    else
        ret_result->end = ATTEST_TIMEOUT;
    ret_result->output = bytes_of(run->output, run->output_len);
    ret_result->errors = bytes_of(run->errors, run->errors_len);
    run_kill(run);
    return true;
}

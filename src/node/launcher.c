#include "node/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/launcher_run.h"
#include "secret/memory.h"

struct serving {
    int fd;
    const struct launcher_programs *programs;
    struct run runs[LAUNCHER_RUNS_MAX];
    struct pollfd polled[1 + LAUNCHER_RUNS_MAX * RUN_FDS];
};

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- serving -----------------------------------------------------------------------------------
 */

static void reply(struct serving *serving, uint32_t id, const struct attest_result *result)
{
    struct buf out = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    struct launcher_reply message = {id, *result};
    ssize_t n = -1;

    launcher_reply_encode(&message, &out);
    if (buf_error(&out) == QK_OK)
        do
            n = send(serving->fd, out.data, out.len, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    if (n < 0)
        _exit(1); /* nobody listens */
    buf_fini(&out);
}

static struct run *free_run(struct serving *serving)
{
    for (unsigned i = 0; i < LAUNCHER_RUNS_MAX; i++)
        if (!serving->runs[i].used)
            return &serving->runs[i];
    return NULL;
}

static void begin(struct serving *serving, struct run *run, const struct launcher_request *request)
{
    static const char no_run[] = "it could not be run";
    struct attest_result failed = {.end = ATTEST_FAILED, .errors = bytes_str(no_run)};
    char real[PROGRAM_PATH_BYTES_MAX + 1], reason[PROGRAM_REASON_BYTES];
    const char *path = serving->programs->paths[request->program];

    /* Again at each run: its mode or owner may have been changed since the start. */
    if (program_check(path, real, reason) != QK_OK) {
        failed.errors = bytes_slice(bytes_str(reason), 0, LAUNCHER_ERRORS_BYTES_MAX);
        reply(serving, request->id, &failed);
    } else if (run_start(run, path, request, now_ms()) != QK_OK) {
        reply(serving, request->id, &failed);
    }
}

/* False at the end of the node, or where it says what it may not say. */
static bool receive(struct serving *serving, struct run *run)
{
    static uint8_t packet[LAUNCHER_PACKET_BYTES_MAX + 1];
    struct launcher_request request;
    ssize_t n = recv(serving->fd, packet, sizeof packet, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0 || launcher_request_decode(bytes_of(packet, (size_t)n), &request) != QK_OK ||
        request.program >= serving->programs->n)
        return false;
    begin(serving, run, &request);
    return true;
}

static int wait_ms(const struct serving *serving)
{
    uint64_t now = now_ms(), left = 60000;

    for (unsigned i = 0; i < LAUNCHER_RUNS_MAX; i++) {
        const struct run *run = &serving->runs[i];
        uint64_t mine = run->deadline_ms > now ? run->deadline_ms - now : 0;

        if (run->used && mine < left)
            left = mine;
    }
    return (int)left;
}

static void on_child(int signum)
{
    (void)signum; /* it only ends the wait */
}

/* Waits for a packet, for output, for the end of a program or of its time. */
static void wait_for_something(struct serving *serving)
{
    int ms = wait_ms(serving);
    struct timespec most = {ms / 1000, (long)(ms % 1000) * 1000000};
    sigset_t none;

    (void)sigemptyset(&none);
    serving->polled[0] =
        (struct pollfd){.fd = free_run(serving) != NULL ? serving->fd : -1, .events = POLLIN};
    for (unsigned i = 0; i < LAUNCHER_RUNS_MAX; i++)
        run_poll(&serving->runs[i], &serving->polled[1 + i * RUN_FDS]);
    (void)ppoll(serving->polled, sizeof serving->polled / sizeof serving->polled[0], &most, &none);
}

static void drive(struct serving *serving)
{
    for (unsigned i = 0; i < LAUNCHER_RUNS_MAX; i++) {
        struct run *run = &serving->runs[i];
        struct attest_result result;
        uint32_t id = run->id;

        if (!run->used)
            continue;
        run_io(run);
        if (run_is_over(run, now_ms(), &result))
            reply(serving, id, &result);
    }
}

void launcher_serve(int fd, const struct launcher_programs *programs)
{
    struct serving *serving = calloc(1, sizeof *serving);
    struct sigaction action = {.sa_handler = on_child};
    struct run *run;
    sigset_t child;
    bool go_on = serving != NULL;

    if (serving == NULL)
        return;
    serving->fd = fd;
    serving->programs = programs;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL); /* delivered in ppoll alone: none is missed */
    (void)sigaction(SIGCHLD, &action, NULL);
    while (go_on) {
        wait_for_something(serving);
        drive(serving);
        run = free_run(serving);
        if (run != NULL)
            go_on = receive(serving, run);
    }
    for (unsigned i = 0; i < LAUNCHER_RUNS_MAX; i++)
        run_kill(&serving->runs[i]);
    free(serving);
}

/* --- the process -------------------------------------------------------------------------------
 */

/* Standard descriptors that were closed would be taken by the next ones opened. */
static enum qk_err standard_fds_fill(void)
{
    for (int fd = 0; fd <= STDERR_FILENO;) {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return QK_ERR_IO;
        if (fd > STDERR_FILENO)
            (void)close(fd);
        else
            (void)fcntl(fd, F_SETFD, 0);
    }
    return QK_OK;
}

/* Signals that end or steer the node are for the node: the launcher goes when the node has gone. */
__attribute__((noreturn)) static void be_launcher(int fd, pid_t parent,
                                                  const struct launcher_programs *programs)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE};

    (void)prctl(PR_SET_NAME, "qk-launcher", 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)setsid();
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    if (getppid() != parent || chdir("/") != 0 || process_confine_launcher() != QK_OK)
        _exit(1);
    launcher_serve(fd, programs);
    _exit(0);
}

enum qk_err launcher_start(const struct launcher_programs *programs,
                           struct launcher_process *ret_process)
{
    pid_t parent = getpid(), pid;
    int pair[2];

    if (standard_fds_fill() != QK_OK ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return QK_ERR_IO;
    pid = fork();
    if (pid == 0) {
        (void)close(pair[0]);
        be_launcher(pair[1], parent, programs);
    }
    (void)close(pair[1]);
    if (pid < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
        (void)close(pair[0]);
        return QK_ERR_IO;
    }
    *ret_process = (struct launcher_process){pair[0], pid};
    return QK_OK;
}

void launcher_end(struct launcher_process *process)
{
    if (process->pid <= 0)
        return;
    (void)close(process->fd);
    (void)kill(process->pid, SIGKILL); /* its programs go with it, by PR_SET_PDEATHSIG */
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *process = (struct launcher_process){-1, 0};
}

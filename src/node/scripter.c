#include "node/scripter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/script_worker.h"
#include "secret/memory.h"

/* Under the node's own, as the hashers. */
#define SCRIPTER_NICE 5
/* Where the kernel has no close_range: the node has opened few when it forks this. */
#define DESCRIPTORS_MAX 1024

union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* One packet of one byte with a descriptor. */
static struct msghdr message_of(struct iovec *byte, union control *control)
{
    return (struct msghdr){.msg_iov = byte,
                           .msg_iovlen = 1,
                           .msg_control = control->bytes,
                           .msg_controllen = sizeof control->bytes};
}

/* --- inside the process --- */

/* All other descriptors are somebody else's: a worker may write to whatever it has. Returns the
 * number that `fd` has then. */
static int keep_only(int fd)
{
    const int kept = STDERR_FILENO + 1;

    if (fd != kept && dup2(fd, kept) != kept)
        _exit(1);
    if (syscall(SYS_close_range, (unsigned)kept + 1, ~0U, 0U) != 0)
        for (int other = kept + 1; other < DESCRIPTORS_MAX; other++)
            (void)close(other);
    return kept;
}

/* A descriptor, or -1 when the node has ended. */
static int receive(int fd)
{
    char mark;
    struct iovec byte = {&mark, 1};
    union control control = {.bytes = {0}};
    struct msghdr message = message_of(&byte, &control);
    struct cmsghdr *head;
    int got = -1;
    ssize_t n;

    do {
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    head = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(&got, CMSG_DATA(head), sizeof got);
    return got;
}

static void serve(int fd)
{
    int worker;

    while ((worker = receive(fd)) >= 0) {
        pid_t parent = getpid();

        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            if (getppid() == parent)
                script_worker_be(keep_only(worker));
            _exit(1);
        }
        (void)close(worker); /* without a child the node sees its end */
    }
}

/* Signals that end or steer the node are for the node: this one goes when the node has gone. Its
 * children are reaped by the kernel. */
__attribute__((noreturn)) static void be_scripter(int fd, pid_t parent)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGCHLD};

    (void)prctl(PR_SET_NAME, "qk-scripter", 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)setsid();
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)setpriority(PRIO_PROCESS, 0, SCRIPTER_NICE);
    if (getppid() != parent || chdir("/") != 0 || process_confine() != QK_OK)
        _exit(1);
    serve(keep_only(fd));
    _exit(0);
}

/* --- in the node --- */

void scripter_start(struct scripter *ret_scripter)
{
    pid_t parent = getpid(), pid;
    int pair[2];

    *ret_scripter = (struct scripter){-1, 0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    /* In the place of a standard descriptor that was closed it would be written to by logging. */
    pid = pair[0] > STDERR_FILENO && pair[1] > STDERR_FILENO ? fork() : -1;
    if (pid == 0) {
        (void)close(pair[0]);
        be_scripter(pair[1], parent);
    }
    (void)close(pair[1]);
    if (pid < 0)
        (void)close(pair[0]);
    else
        *ret_scripter = (struct scripter){pair[0], pid};
}

static bool send_fd(int to, int fd)
{
    char mark = 'w';
    struct iovec byte = {&mark, 1};
    union control control = {.bytes = {0}};
    struct msghdr message = message_of(&byte, &control);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

enum qk_err scripter_connect(void *arg, int *ret_fd)
{
    struct scripter *scripter = arg;
    int pair[2];
    bool sent;

    if (scripter->fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return QK_ERR_IO;
    sent = send_fd(scripter->fd, pair[1]);
    (void)close(pair[1]);
    if (!sent || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
        (void)close(pair[0]);
        return QK_ERR_IO;
    }
    *ret_fd = pair[0];
    return QK_OK;
}

void scripter_end(struct scripter *scripter)
{
    if (scripter->pid <= 0)
        return;
    (void)close(scripter->fd);
    (void)kill(scripter->pid, SIGKILL); /* its workers go with it, by PR_SET_PDEATHSIG */
    while (waitpid(scripter->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *scripter = (struct scripter){-1, 0};
}

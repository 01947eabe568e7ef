#include "node/hasher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret/crypto.h"
#include "secret/memory.h"

/* Under the node's own, whose loop answers those who are logged in. */
#define HASHER_NICE 5
/* A try takes a fraction of a second; past this the process stands still. */
#define HASHER_WAIT_S 60

/* Request: the hash, then the password. Reply: the outcome, then the hash. */
#define REQUEST_BYTES_MAX (PASSWORD_HASH_BYTES + PASSWORD_BYTES_MAX)
#define REPLY_BYTES (1 + PASSWORD_HASH_BYTES)

/* --- inside the process --- */

static bool serve_one(int fd)
{
    static uint8_t request[REQUEST_BYTES_MAX], reply[REPLY_BYTES];
    char hash[PASSWORD_HASH_BYTES];
    ssize_t n;

    do {
        n = recv(fd, request, sizeof request, 0);
    } while (n < 0 && errno == EINTR);
    if (n < PASSWORD_HASH_BYTES)
        return false; /* the node has ended */
    memcpy(hash, request, sizeof hash);
    reply[0] = (uint8_t)login_password_check(
        bytes_of(request + PASSWORD_HASH_BYTES, (size_t)n - PASSWORD_HASH_BYTES), hash);
    secret_wipe(request, sizeof request);
    memcpy(reply + 1, hash, sizeof hash);
    do {
        n = send(fd, reply, sizeof reply, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    secret_wipe(reply, sizeof reply);
    secret_wipe(hash, sizeof hash);
    return n == sizeof reply;
}

/* Signals that end or steer the node are for the node: this one goes when the node has gone. */
__attribute__((noreturn)) static void be_hasher(int fd, pid_t parent)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE};

    (void)prctl(PR_SET_NAME, "qk-hasher", 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)setsid();
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)setpriority(PRIO_PROCESS, 0, HASHER_NICE);
    if (getppid() != parent || chdir("/") != 0 || crypto_start() != QK_OK ||
        process_confine() != QK_OK)
        _exit(1);
    while (serve_one(fd))
        ;
    _exit(0);
}

/* --- in the node --- */

static enum qk_err process_start(struct hasher *hasher)
{
    const struct timeval most = {.tv_sec = HASHER_WAIT_S};
    pid_t parent = getpid(), pid;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return QK_ERR_IO;
    /* In the place of a standard descriptor that was closed it would be written to by logging. */
    pid = pair[0] > STDERR_FILENO && pair[1] > STDERR_FILENO ? fork() : -1;
    if (pid == 0) {
        (void)close(pair[0]);
        for (unsigned i = 0; i < hasher->n; i++)
            (void)close(hasher->processes[i].fd);
        be_hasher(pair[1], parent);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return QK_ERR_IO;
    }
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    hasher->processes[hasher->n++] = (struct hasher_process){pair[0], pid};
    return QK_OK;
}

void hasher_start(struct hasher *ret_hasher)
{
    unsigned wanted = login_running_max();

    ret_hasher->n = 0;
    while (ret_hasher->n < wanted && process_start(ret_hasher) == QK_OK)
        ;
}

static bool exchange(int fd, struct bytes request, uint8_t reply[static REPLY_BYTES])
{
    ssize_t n;

    do {
        n = send(fd, request.data, request.len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)request.len)
        return false;
    do {
        n = recv(fd, reply, REPLY_BYTES, 0);
    } while (n < 0 && errno == EINTR);
    return n == REPLY_BYTES;
}

enum qk_err hasher_check(void *arg, unsigned slot, struct bytes password, char *hash)
{
    struct hasher *hasher = arg;
    struct hasher_process *process = &hasher->processes[slot];
    uint8_t request[REQUEST_BYTES_MAX], reply[REPLY_BYTES];
    enum qk_err err = QK_ERR_CLOSED;

    if (password.len > PASSWORD_BYTES_MAX || slot >= hasher->n || process->fd < 0)
        return login_password_check(password, hash);
    memcpy(request, hash, PASSWORD_HASH_BYTES);
    if (password.len > 0)
        memcpy(request + PASSWORD_HASH_BYTES, password.data, password.len);
    if (exchange(process->fd, bytes_of(request, PASSWORD_HASH_BYTES + password.len), reply)) {
        memcpy(hash, reply + 1, PASSWORD_HASH_BYTES);
        err = (enum qk_err)reply[0];
    }
    secret_wipe(request, sizeof request);
    secret_wipe(reply, sizeof reply);
    if (err != QK_ERR_CLOSED)
        return err;
    /* An answer that comes after all must never be taken for another's: nobody reads it. */
    (void)close(process->fd);
    process->fd = -1;
    return login_password_check(password, hash);
}

void hasher_end(struct hasher *hasher)
{
    for (unsigned i = 0; i < hasher->n; i++) {
        struct hasher_process *process = &hasher->processes[i];

        if (process->fd >= 0)
            (void)close(process->fd);
        (void)kill(process->pid, SIGKILL);
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    hasher->n = 0;
}

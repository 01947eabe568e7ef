/* Processes of their own that compute Argon2id for logins. It takes 64 MiB, which the kernel fills
 * and frees under a lock of the address space, and so stopped every borrow of a key (mprotect) in
 * the node for tens of milliseconds a login. Forked before any key or thread exists, they hold
 * none; each knows how to compare a password with a hash and nothing else, at a lower priority, and
 * ends with the node. */
#ifndef NODE_HASHER_H
#define NODE_HASHER_H

#include <stdbool.h>
#include <sys/types.h>

#include "service/login.h"

struct hasher_process {
    int fd; /* the node's end, blocking: for threads of the pool; -1: lost */
    pid_t pid;
};

struct hasher {
    struct hasher_process processes[LOGIN_RUNNING_MAX];
    unsigned n;
};

/* Forks login_running_max() of them. Must come before keys and threads. Those that cannot be made
 * are done without: the node then computes in its own memory. */
void hasher_start(struct hasher *ret_hasher);
/* As struct login_hasher has it. One that is lost is done without from then on. */
enum qk_err hasher_check(void *hasher, unsigned slot, struct bytes password, char *hash);
/* Ends them and waits for their ends. No hasher_check may be under way. */
void hasher_end(struct hasher *hasher);

#endif

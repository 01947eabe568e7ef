/* The launcher: a process of its own that runs the operator's programs for the node, whose seccomp
 * filter forbids execve. Forked before any key exists, it holds none; it knows a fixed list of
 * programs and runs only these, each with a clean environment, no inherited descriptor, limits, a
 * process group of its own, killed at its time limit. It ends when the node's end of the pair does.
 */
#ifndef NODE_LAUNCHER_H
#define NODE_LAUNCHER_H

#include <sys/types.h>

#include "node/launcher_wire.h"
#include "node/program.h"

#define LAUNCHER_RUNS_MAX 16 /* at once; more wait in the socket */

struct launcher_programs {
    unsigned n;
    char paths[LAUNCHER_PROGRAMS_MAX][PROGRAM_PATH_BYTES_MAX + 1]; /* as program_check resolved */
};

struct launcher_process {
    int fd; /* the node's end, non-blocking, close-on-exec */
    pid_t pid;
};

/* Forks it. Must come before keys and threads. QK_ERR_IO. */
MUST_USE enum qk_err launcher_start(const struct launcher_programs *programs,
                                    struct launcher_process *ret_process);
/* Closes the node's end and waits for its end; what it runs is killed. */
void launcher_end(struct launcher_process *process);

/* The inside of the launcher process: serves `fd` until it is closed. */
void launcher_serve(int fd, const struct launcher_programs *programs);

#endif

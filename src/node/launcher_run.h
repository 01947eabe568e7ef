/* One program being run by the launcher, from fork to reply. For launcher.c alone. */
#ifndef NODE_LAUNCHER_RUN_H
#define NODE_LAUNCHER_RUN_H

#include <poll.h>
#include <stdbool.h>

#include "node/launcher.h"

#define RUN_FDS 3 /* standard input, output, error: the launcher's ends; -1: closed */

struct run {
    bool used;
    uint32_t id;
    pid_t pid;
    int fds[RUN_FDS];
    uint64_t deadline_ms;
    bool overflow;
    size_t input_len, input_at, output_len, errors_len;
    uint8_t input[LAUNCHER_INPUT_BYTES_MAX];
    uint8_t output[LAUNCHER_OUTPUT_BYTES_MAX];
    uint8_t errors[LAUNCHER_ERRORS_BYTES_MAX];
};

/* Starts `path`; on an error `run` is unused. */
MUST_USE enum qk_err run_start(struct run *run, const char *path,
                               const struct launcher_request *request, uint64_t now_ms);
/* What to poll for: RUN_FDS entries, fd -1 where nothing. */
void run_poll(const struct run *run, struct pollfd *ret_fds);
/* Moves what can be moved. */
void run_io(struct run *run);
/* True if it is over at `now_ms`: the group is killed, the program reaped, `ret_result` points into
 * `run`, which is unused from then on. */
bool run_is_over(struct run *run, uint64_t now_ms, struct attest_result *ret_result);
/* Kills what is left of it. */
void run_kill(struct run *run);

#endif

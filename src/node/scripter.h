/* The process that makes script workers: forked before any key or thread exists, it holds none, and
 * so does what it forks. It gets a socket and gives it to a new worker; it ends with the node, and
 * its workers with it. */
#ifndef NODE_SCRIPTER_H
#define NODE_SCRIPTER_H

#include <sys/types.h>

#include "service/script.h"

struct scripter {
    int fd; /* the node's end; -1: none */
    pid_t pid;
};

/* Must come before keys and threads. Without one (fd -1) there are no views in JavaScript. */
void scripter_start(struct scripter *ret_scripter);
/* As struct script_door has it: the node's end of a new worker's socket. QK_ERR_IO. */
enum qk_err scripter_connect(void *scripter, int *ret_fd);
void scripter_end(struct scripter *scripter);

#endif

/* What makes the process as a whole a poor place to look for keys. */
#ifndef SECRET_MEMORY_H
#define SECRET_MEMORY_H

#include "base/err.h"

/* At the start of main, before any key exists: no core dumps (PR_SET_DUMPABLE 0, RLIMIT_CORE 0),
 * no new privileges, inherited descriptors above 2 closed. QK_ERR_IO if the kernel refuses. */
MUST_USE enum qk_err process_harden(void);

/* After start, when nothing needs executing any more: a seccomp filter for all threads under which
 * ptrace, process_vm_readv/writev, execve and execveat fail with EPERM. Cannot be undone.
 * QK_ERR_UNSUPPORTED if the kernel has no seccomp. */
MUST_USE enum qk_err process_confine(void);
/* The same for a process that exists to execute programs: execve and execveat stay allowed, and the
 * filter is inherited by what it executes. */
MUST_USE enum qk_err process_confine_launcher(void);
/* For a process that computes with what it is sent: it may read and write the descriptors that it
 * has, ask for memory and the time, and end; every other system call fails with EPERM. */
MUST_USE enum qk_err process_confine_worker(void);

#endif

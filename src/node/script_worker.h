/* A process that runs the functions of one design document over documents of one database: what it
 * is sent, and nothing else. It may read and write its socket, ask for memory and the time, and
 * end; every other system call fails. A call that takes longer than SCRIPT_DOCUMENT_S ends it.
 *
 * Frames in both directions: length u32, then so many bytes. The first it gets is the design, each
 * further one a call (service/script.h); it answers each call with one frame, in order, an empty
 * one where the answer could not be made.
 *
 * Each compartment has a heap of its own, so that nothing that a function keeps of a document comes
 * out with another one. */
#ifndef NODE_SCRIPT_WORKER_H
#define NODE_SCRIPT_WORKER_H

#include "service/script.h"

#define SCRIPT_DOCUMENT_S 5
#define SCRIPT_HEAPS_MAX 8 /* each up to SCRIPT_MEMORY_BYTES_MAX */
#define SCRIPT_ADDRESS_BYTES_MAX ((size_t)1 << 30)

/* Serves until the other end is closed. */
void script_worker_serve(int fd);
/* Confines this process as said above, then serves and exits. */
__attribute__((noreturn)) void script_worker_be(int fd);

#endif

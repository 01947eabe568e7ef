/* A process that runs the maps of one design document over documents of one database: what it is
 * sent, and nothing else. It may read and write its socket, ask for memory and the time, and end;
 * every other system call fails. A document that takes longer than SCRIPT_DOCUMENT_S ends it.
 *
 * Frames in both directions: length u32, then so many bytes. The first it gets is the design
 * (script_engine.h), each further one a document; it answers each document with one frame, in
 * order, an empty one where the answer could not be made. */
#ifndef NODE_SCRIPT_WORKER_H
#define NODE_SCRIPT_WORKER_H

#include "service/script.h"

#define SCRIPT_DOCUMENT_S 5
#define SCRIPT_ADDRESS_BYTES_MAX ((size_t)1 << 30)

/* Serves until the other end is closed. */
void script_worker_serve(int fd);
/* Confines this process as said above, then serves and exits. */
__attribute__((noreturn)) void script_worker_be(int fd);

#endif

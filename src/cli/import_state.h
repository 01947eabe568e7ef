/* How far an import of a file has come: a small file beside it, "FILE.import", so that the same
 * command goes on after a stop. */
#ifndef CLI_IMPORT_STATE_H
#define CLI_IMPORT_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "cli/cli.h"

#define IMPORT_ID_BYTES 21 /* 20 hex digits and the end */

struct import_state {
    char path[PATH_MAX];      /* empty: nothing is kept (standard input) */
    char id[IMPORT_ID_BYTES]; /* random: the ids of documents that have none begin with it */
    uint64_t done;            /* documents of the file that need not be sent again */
    uint64_t written, there, refused;
    /* what it belongs to */
    const char *db;
    char cluster[40];
    long long file_bytes, file_time;
};

/* Of `file` (NULL: standard input) into `db`: what an earlier run left, else a new one.
 * CLI_CONFLICT if what was left is of another import. */
MUST_USE enum cli_exit import_state_open(struct import_state *state, const char *file,
                                         const struct stat *about, const char *db,
                                         const char *cluster);
/* Replaces the file, synced; then what it says is on the disk. */
MUST_USE enum cli_exit import_state_save(const struct import_state *state);
/* The import is done: the file goes. */
void import_state_remove(const struct import_state *state);

#endif

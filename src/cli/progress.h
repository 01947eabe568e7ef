/* A line on a terminal that says how far something is; nothing where standard error is none. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;       /* there is a terminal */
    const char *what; /* "imported" */
    uint64_t total;   /* of `at`; 0: unknown */
    uint64_t begun_ms, said_ms;
};

void progress_begin(struct progress *progress, const char *what, uint64_t total);
/* `done` documents, `at` of `total`; at most some ten times a second. */
void progress_say(struct progress *progress, uint64_t done, uint64_t at);
/* Clears the line. */
void progress_end(struct progress *progress);

#endif

/* Checking the chain of an audit log over all of its files, without a node. */
#ifndef AUDIT_AUDIT_VERIFY_H
#define AUDIT_AUDIT_VERIFY_H

#include <limits.h>

#include "audit/audit.h"
#include "audit/audit_line.h"

/* A mark as a line of the file says it; whether it is right only an unsealed node can tell. */
struct audit_mark {
    uint64_t seq;                   /* of its line; it covers all lines before */
    uint8_t head[AUDIT_HASH_BYTES]; /* the hash of the line before */
    uint8_t log[NODE_ID_BYTES];     /* the node whose log it says that this is */
    uint8_t mac[AUDIT_HASH_BYTES];
    char time[AUDIT_TIME_BYTES];
};

/* What a walk over the files found. */
struct audit_check {
    uint64_t lines_n;               /* good lines from the start */
    uint64_t seq_first, seq_last;   /* of the first and last good line; 0 if none */
    uint64_t dropped;               /* lines to this one were deleted, as a line says; 0: none */
    uint8_t head[AUDIT_HASH_BYTES]; /* hash of the last good line; zeros if none */
    unsigned files_n;
    uint64_t marks_n;
    struct audit_mark mark; /* the last one, if marks_n > 0 */
    uint64_t unmarked_n;    /* good lines after it */
    uint64_t bad_line;      /* 1-based, in `bad_file`; 0 if all are good */
    char bad_file[PATH_MAX];
    const char *bad_reason; /* static text; NULL if all are good */
    bool torn;              /* the last line has no end: a crash while writing it */
};

/* Walks all files of the log `path`. `on_mark` (may be NULL) is given each mark in a good line, in
 * order. QK_OK: walked (see `ret_check` for what it found); QK_ERR_IO: unreadable. */
MUST_USE enum qk_err audit_verify(const char *path,
                                  void (*on_mark)(void *arg, const struct audit_mark *mark),
                                  void *arg, struct audit_check *ret_check);

#endif

/* Finding lines in the files of an audit log, for people: newest first is cheap, the chain is not
 * checked. Touches nothing but the files: for any thread. */
#ifndef AUDIT_AUDIT_READ_H
#define AUDIT_AUDIT_READ_H

#include "audit/audit.h"

#define AUDIT_READ_MAX 10000 /* lines */
#define AUDIT_FILTERS_MAX 8
#define AUDIT_FILTER_BYTES 128

struct audit_filter {
    char name[32];
    char value[AUDIT_FILTER_BYTES]; /* as it stands in the line */
};

struct audit_query {
    uint64_t since;           /* lines after this one */
    unsigned limit;           /* at most so many, AUDIT_READ_MAX */
    bool oldest;              /* those that follow `since` first; else the newest */
    char events[512];         /* "release,denial"; empty: all */
    char from[32], until[32]; /* a time or its beginning, from <= time < until; empty: none */
    struct audit_filter filters[AUDIT_FILTERS_MAX]; /* all must fit */
    unsigned filters_n;
};

/* Appends the lines to `out`, oldest first, whole; fewer where `out` is full. `ret_last`: all lines
 * to this one were looked at, so that the next query goes on after it. QK_ERR_IO, QK_ERR_NOMEM. */
MUST_USE enum qk_err audit_read(const char *path, const struct audit_query *query, struct buf *out,
                                uint64_t *ret_last);

#endif

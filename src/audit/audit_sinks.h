/* Where each line of the audit log goes besides its file. Nothing here waits for long: a socket's
 * queue holds ten lines on some machines, so whoever reads it is given a moment, once. */
#ifndef AUDIT_AUDIT_SINKS_H
#define AUDIT_AUDIT_SINKS_H

#include "audit/audit.h"

#define AUDIT_SINKS_WAIT_MS 100

struct audit_sinks {
    bool to_stdout;
    bool torn;        /* the last line on standard output has no end */
    char syslog[108]; /* sockaddr_un's size; empty: none */
    int syslog_fd;    /* -1: not connected */
    int wait_ms;      /* of the line being written, for all places together */
};

/* QK_ERR_INVALID: the socket's path is too long. */
MUST_USE enum qk_err audit_sinks_init(struct audit_sinks *sinks,
                                      const struct audit_settings *settings);
void audit_sinks_fini(struct audit_sinks *sinks);
/* One line, its newline included. QK_ERR_IO: at least one of them did not take it. `patient`: waits
 * up to AUDIT_SINKS_WAIT_MS for one that is full. */
MUST_USE enum qk_err audit_sinks_write(struct audit_sinks *sinks, struct bytes line, bool patient);

#endif

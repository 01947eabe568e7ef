/* Where each line of the audit log goes besides its file. Nothing here waits: what is not taken at
 * once was not taken. */
#ifndef SERVICE_AUDIT_SINKS_H
#define SERVICE_AUDIT_SINKS_H

#include "service/audit.h"

struct audit_sinks {
    bool to_stdout;
    bool torn;        /* the last line on standard output has no end */
    char syslog[108]; /* sockaddr_un's size; empty: none */
    int syslog_fd;    /* -1: not connected */
};

/* QK_ERR_INVALID: the socket's path is too long. */
MUST_USE enum qk_err audit_sinks_init(struct audit_sinks *sinks,
                                      const struct audit_settings *settings);
void audit_sinks_fini(struct audit_sinks *sinks);
/* One line, its newline included. QK_ERR_IO: at least one of them did not take it. */
MUST_USE enum qk_err audit_sinks_write(struct audit_sinks *sinks, struct bytes line);

#endif

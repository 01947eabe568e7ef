/* The inside of an audit log: what audit.c, audit_open.c and audit_rotate.c share. */
#ifndef AUDIT_AUDIT_PRIVATE_H
#define AUDIT_AUDIT_PRIVATE_H

#include "audit/audit.h"
#include "audit/audit_sinks.h"

struct audit {
    int fd;        /* of the file */
    int fd_before; /* of the one before it, until that is on the disk; -1: none */
    int fd_folder; /* a rename must reach the disk, too */
    bool renamed;  /* since the last sync */
    bool stuck;    /* a rename failed, and that was said */
    uint64_t size; /* of the good file */
    uint64_t seq;  /* of the last line */
    uint8_t head[AUDIT_HASH_BYTES];
    bool dirty;    /* appended to since the last sync */
    bool syncing;  /* a job is out */
    bool failing;  /* the last line was not taken everywhere; said once */
    bool dropping; /* old files are being deleted: the line about it renames nothing */
    uint64_t lost_n;
    bool telling;
    uint64_t lost_told_n; /* of them, told by a line */
    uint64_t unmarked_n;
    void (*full)(void *arg);
    void *full_arg;
    bool in_full;
    struct audit_settings settings;
    struct audit_sinks sinks;
    char path[];
};

enum qk_err audit_err_of_errno(int code);
/* The file is full, it is time: renames it and goes on in a new one. Errors leave the old one in
 * use. */
MUST_USE enum qk_err audit_rotate(struct audit *audit);
/* Deletes the oldest files, if there are more than are to be kept. */
void audit_drop_old(struct audit *audit);

#endif

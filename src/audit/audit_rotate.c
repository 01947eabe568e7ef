/* A file that is full is renamed by the sequence of its last line, and a new one is made. A crash
 * between the two leaves no <path>: the next start goes on from the newest of the renamed ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "audit/audit_files.h"
#include "audit/audit_private.h"

enum qk_err audit_rotate(struct audit *audit)
{
    char name[PATH_MAX];
    enum qk_err err = audit_files_name(audit->path, audit->seq, name);
    int fd;

    if (err != QK_OK)
        return err;
    /* Nothing is overwritten: a file of that name is not of this chain. */
    if (renameat2(AT_FDCWD, audit->path, AT_FDCWD, name, RENAME_NOREPLACE) != 0)
        return audit_err_of_errno(errno);
    fd = open(audit->path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err = audit_err_of_errno(errno);
        if (rename(name, audit->path) != 0)
            log_error("audit", "%s: it is %s now, and lines go there", audit->path, name);
        return err;
    }
    audit->fd_before = audit->fd;
    audit->fd = fd;
    audit->size = 0;
    audit->renamed = audit->dirty = true;
    return QK_OK;
}

static void tell_dropped(struct audit *audit, uint64_t last)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)last);
    audit_event(audit, "audit_dropped", "through", text, NULL);
}

/* The line first: a file that a line calls deleted and that is still there is deleted next time; a
 * file that is missing without a line is a finding. */
void audit_drop_old(struct audit *audit)
{
    struct audit_files files;
    char name[PATH_MAX];
    unsigned extra = 0;

    if (audit->settings.files_keep > 0 && audit_files_list(audit->path, &files) == QK_OK &&
        files.n > audit->settings.files_keep)
        extra = files.n - audit->settings.files_keep;
    else if (audit->settings.files_keep == 0)
        return;
    if (extra > 0) {
        audit->dropping = true;
        tell_dropped(audit, files.last[extra - 1]);
        audit->dropping = false;
    }
    for (unsigned i = 0; i < extra && !audit->failing; i++)
        if (audit_files_name(audit->path, files.last[i], name) != QK_OK || unlink(name) != 0)
            log_warn("audit", "%s.%llu could not be deleted", audit->path,
                     (unsigned long long)files.last[i]);
    audit_files_fini(&files);
}

/* The node's own backups: every so often, full, to a directory, by the [backup] section of its
 * configuration. Each node that has the section makes its own, leader or not, of what the whole
 * cluster has committed.
 *
 *     DIRECTORY/NAME-20260102T030405Z-INDEX.qkbackup      .NAME.part while it is written
 *
 * Written under another name, synced, renamed; then the oldest of this node's beyond `keep` go.
 * A failure is told in status and metrics and tried again, sooner than the next is due. */
#ifndef SERVICE_BACKUP_BACKUP_SCHEDULE_H
#define SERVICE_BACKUP_BACKUP_SCHEDULE_H

#include "service/backup/backup.h"

#define BACKUP_DIRECTORY_BYTES_MAX 511

struct backup_settings {
    char directory[BACKUP_DIRECTORY_BYTES_MAX + 1];
    uint64_t every_s;
    unsigned keep;
};

MUST_USE enum qk_err backup_schedule_new(struct backups *backups, struct service *service,
                                         const struct backup_settings *settings,
                                         struct backup_schedule **ret_schedule);
/* Begins nothing any more, ends what is under way. Takes NULL. */
void backup_schedule_stop(struct backup_schedule *schedule);
/* After the loop has ended. Takes NULL. */
void backup_schedule_free(struct backup_schedule *schedule);
/* Its part of them; takes NULL. */
void backup_schedule_figures(const struct backup_schedule *schedule,
                             struct backup_figures *ret_figures);

#endif

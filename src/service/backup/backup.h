/* Backups: the store as of one moment, read in one transaction and handed out as the file that
 * wire/backup.h describes. Ciphertext and wrapped keys only; never node.sec, nothing node-local.
 *
 * A run gives one piece after the other, each when it is asked for, so that whoever takes them sets
 * the pace; the pool reads and hashes. Memory is constant. What was acknowledged before
 * backup_begin is in it (a read point first), and so is MK's version that opens it: the MAC's key
 * is taken when the transaction begins and wiped with the other keys when the node is sealed. */
#ifndef SERVICE_BACKUP_BACKUP_H
#define SERVICE_BACKUP_BACKUP_H

#include "base/bytes.h"
#include "service/service.h"
#include "wire/backup.h"

#define BACKUPS_MAX 2          /* at a time; a reader pins the file's old pages */
#define BACKUP_STALL_MS 60000u /* a run whose piece nobody takes for so long ends */
#define BACKUP_REASON_BYTES 256

struct backups;
struct backup_run;
struct backup_schedule;
struct backup_settings;

/* The backup that an increment goes on from. */
struct backup_base {
    uint8_t id[BACKUP_ID_BYTES];
    uint64_t stamp;
    uint64_t index;
};

/* Made once a process, before the cluster boots; freed after the loop has ended. */
MUST_USE enum qk_err backups_new(struct service *service, struct backups **ret_backups);
/* Takes NULL. */
void backups_free(struct backups *backups);
/* Backups of the node's own from now on. */
MUST_USE enum qk_err backups_schedule(struct backups *backups,
                                      const struct backup_settings *settings);
/* The node stops: none of its own begins any more. Takes NULL. */
void backups_stop(struct backups *backups);
/* The node is sealed: runs fail with QK_ERR_SEALED and their keys are wiped. Takes NULL. */
void backups_seal(struct backups *backups);
/* Runs fail with `err` and let go of the store; true when none holds it any more, else `idle` (may
 * be NULL) is called once, from the loop, when that is so. Takes NULL. */
bool backups_let_go(struct backups *backups, enum qk_err err, void (*idle)(void *arg), void *arg);

/* A piece, borrowed until the next call on the run, or the error that ends the run. `end`: it was
 * the last one. Fires from the loop, once for each backup_next that returned QK_OK. */
typedef void (*backup_cb)(void *arg, enum qk_err err, struct bytes piece, bool end);

/* Begins a run; the first piece comes by itself. `base` NULL: a full backup. `local`: what this
 * node has, without a read point. QK_ERR_NOT_FOUND: there are no recovery shares, which alone open
 * a backup; QK_ERR_BUSY: BACKUPS_MAX are under way; QK_ERR_SEALED. The caller
 * ends the run with backup_end, whatever became of it. */
MUST_USE enum qk_err backup_begin(struct backups *backups, const struct backup_base *base,
                                  bool local, backup_cb cb, void *arg, struct backup_run **ret_run);
/* The next piece. Not-OK: the run has failed meanwhile, no callback comes. */
MUST_USE enum qk_err backup_next(struct backup_run *run);
/* No callback fires afterwards. Takes NULL. */
void backup_end(struct backup_run *run);
/* From the first piece on. */
const struct backup_head *backup_run_head(const struct backup_run *run);
uint64_t backup_run_estimate(const struct backup_run *run);
/* For people, why `err`. */
const char *backup_reason(enum qk_err err);

/* For status and metrics: backups of the schedule, and those that clients took here. */
struct backup_figures {
    unsigned running_n;
    uint64_t done_n, failed_n; /* since the start */
    bool scheduled;
    uint64_t last_s, last_index; /* the newest good one of the schedule; 0: none is known */
    uint64_t every_s;
    bool failed; /* the schedule's last attempt */
    bool stale;  /* nothing good for twice the interval */
    char reason[BACKUP_REASON_BYTES];
};
void backup_figures(const struct backups *backups, struct backup_figures *ret_figures);

/* A client's backup ended: counted. */
void backup_count(struct backups *backups, bool good);

#endif

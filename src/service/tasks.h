/* What runs for longer than a request and is shown while it does: the rows of _active_tasks, in
 * CouchDB's shape. Each row is of this node alone. The loop's thread only. */
#ifndef SERVICE_TASKS_H
#define SERVICE_TASKS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct service;
struct task;

/* Begins a row of that "type" ("indexer", "replication", "database_compaction", ...), a static
 * text. QK_ERR_NOMEM. The caller ends it with task_end. */
MUST_USE enum qk_err task_begin(struct service *service, const char *type, struct task **ret_task);
/* Sets a member, taking over the reference to `value` (NULL: without memory, the row keeps what it
 * had); "updated_on" follows. NULL for `task` is fine: a task that found no memory is not shown. */
void task_set(struct task *task, const char *name, json_t *value);
/* Sets "changes_done", "total_changes" and "progress" (percent). */
void task_progress(struct task *task, uint64_t done, uint64_t total);
/* Takes NULL. */
void task_end(struct task *task);
/* The whole list, for the caller to release; NULL without memory. */
json_t *tasks_json(const struct service *service);

#endif

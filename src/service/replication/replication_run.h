/* One run of a replication: CouchDB's protocol between two endpoints, from the last checkpoint that
 * both remember to the end of the source's changes, or for ever if it is continuous.
 *
 *     both there? (the target made, if so wished) -> both logs -> common sequence
 *     -> page of changes -> which revisions are missing -> get some -> write them ... all of the
 * page
 *     -> after a while, and at the end: the checkpoint to both logs -> next page
 *
 * A request that fails for a reason that may pass is made again, RUN_TRIES_MAX times; then, or for
 * another reason, the run ends. Who goes on begins a new run: it starts at the checkpoint. A
 * document that one side will not give or take is counted and passed over, as by CouchDB. */
#ifndef SERVICE_REPLICATION_REPLICATION_RUN_H
#define SERVICE_REPLICATION_REPLICATION_RUN_H

#include "doc/replication.h"
#include "service/replication/endpoint.h"

#define RUN_WHY_BYTES 320
#define REPLICATION_ID_BYTES 32 /* hex */

struct replication_run;

struct replication_outcome {
    bool ok;
    int status;        /* for a reply; 200 */
    const char *error; /* CouchDB's word */
    const char *why;   /* for people, without secrets */
};
/* The end, once, from the loop; the run is still there until replication_run_free. */
typedef void (*replication_run_cb)(void *arg, const struct replication_outcome *outcome);

/* `spec` is borrowed until replication_run_free. Begins at once. */
MUST_USE enum qk_err replication_run_new(struct service *service, struct fetch *fetch,
                                         const struct replication_spec *spec,
                                         const struct principal *who, const char *id,
                                         replication_run_cb cb, void *arg,
                                         struct replication_run **ret_run);
/* At any time, also inside its callback. */
void replication_run_free(struct replication_run *run);

/* What it has done so far, for _active_tasks and _scheduler. */
struct replication_view {
    struct replication_counts counts;
    const json_t *through_seq, *checkpointed_seq; /* NULL: none yet */
    uint64_t pending;
    const char *error; /* of the request that is being tried again; NULL: none */
};
void replication_run_view(const struct replication_run *run, struct replication_view *ret_view);
/* The reply of _replicate after a run that ended well; NULL without memory. */
json_t *replication_run_result(const struct replication_run *run);

#endif

/* The inside of the replicator: what its files share. Nobody else includes this. */
#ifndef SERVICE_REPLICATION_REPLICATOR_PRIVATE_H
#define SERVICE_REPLICATION_REPLICATOR_PRIVATE_H

#include "service/replication/replication_run.h"
#include "service/replication/replicator_docs.h"
#include "service/timer_uv.h"

#define JOB_WAITERS_MAX 16
#define JOB_ID_BYTES (REPLICATION_ID_BYTES + sizeof "+continuous")

enum job_state {
    JOB_PENDING, /* to be begun, maybe after a while */
    JOB_RUNNING,
    JOB_CRASHING, /* the last run failed; tried again after a while */
    JOB_COMPLETED,
    JOB_FAILED, /* its document is none: not tried again */
};

/* Who waits for a replication that ends. */
struct job_waiter {
    struct exchange *exchange;
    uint64_t said_ms; /* a sign of life was sent */
};

struct job {
    struct job *next;
    struct replicator *replicator;
    char id[JOB_ID_BYTES];
    struct replication_spec spec;
    struct principal who;
    struct replication_run *run; /* NULL: it does not run */
    enum job_state state;
    struct job_waiter waiters[JOB_WAITERS_MAX]; /* of _replicate */
    unsigned waiters_n;
    bool seen;      /* in the last reading of the documents */
    char *doc_id;   /* NULL: of _replicate */
    char *doc_rev;  /* that it was made from */
    json_t *noting; /* the document with what came of it, to be written; NULL: nothing */
    unsigned errors_n;
    uint64_t retry_ms;
    char why[RUN_WHY_BYTES];
    char started[32], changed[32];    /* RFC 3339 */
    struct replication_counts before; /* of its earlier runs */
    struct task *task;
};

struct replicator {
    struct service *service;
    struct fetch *fetch;
    struct timer *timer;
    struct job *jobs;
    unsigned jobs_n;
    bool stopped;
    bool leading;
    bool watching;
    bool dirty;       /* the documents have changed since they were read */
    uint64_t read_ms; /* not before: the last reading failed */
    uint8_t watched[DATABASE_ID_BYTES];
    const struct store *watched_store;
    struct endpoint docs; /* reads and writes the documents, as the control socket */
    struct replication_side docs_side;
    bool docs_busy;
    struct job *noted; /* whose document is being written */
};

/* --- replicator_jobs.c ---------------------------------------------------------------------- */

/* Takes over what `spec` owns, also on errors. */
MUST_USE enum qk_err job_new(struct replicator *replicator, struct replication_spec *spec,
                             const struct principal *who, struct job **ret_job);
/* Ends its run; who waits is answered with `err`. */
void job_free(struct job *job, enum qk_err err);
struct job *job_find(struct replicator *replicator, const char *id);
void job_id_of(const struct replicator *replicator, const struct replication_spec *spec,
               char ret_id[static JOB_ID_BYTES]);
void job_begin(struct job *job);
/* Each tick: begins what is due, tells who waits, shows progress. May free the job. */
void job_tick(struct job *job);
void job_time(char ret_text[static 32]);
struct replication_counts job_counts(const struct job *job);
const char *job_state_text(enum job_state state);

/* --- replicator_reading.c: documents to jobs ------------------------------------------------ */

/* Reads the documents, or writes what came of one, if that is due. */
void replicator_docs_tick(struct replicator *replicator);
void replicator_docs_stop(struct replicator *replicator);

#endif

/* The inside of a run: what its files share. Nobody else includes this. */
#ifndef SERVICE_REPLICATION_REPLICATION_RUN_PRIVATE_H
#define SERVICE_REPLICATION_REPLICATION_RUN_PRIVATE_H

#include "service/replication/replication_run.h"

struct timer;

#define RUN_TRIES_MAX 5
#define RUN_RETRY_MS 250u
#define RUN_PAGE_ROWS 500
#define RUN_DOCS_MAX 100 /* of one _bulk_get; less where they are large */
#define RUN_BRIEF_MAX 32 /* of one with contents of attachments: some 11 MiB of JSON */
#define RUN_CHECKPOINT_MS 5000u
#define RUN_SILENCE_MS 60000u
#define RUN_POLL_MS 25000u /* a feed without changes ends so and is asked for again */

enum run_step {
    RUN_SOURCE,
    RUN_TARGET,
    RUN_CREATE,
    RUN_SOURCE_LOG,
    RUN_TARGET_LOG,
    RUN_CHANGES,
    RUN_DIFF,
    RUN_GET,
    RUN_GET_BRIEF,
    RUN_WRITE,
    RUN_STREAM,
    RUN_STREAM_PUT,
    RUN_COMMIT,
    RUN_TARGET_MARK,
    RUN_SOURCE_MARK,
    RUN_END,
    RUN_FAILED,
};

struct replication_run {
    struct service *service;
    const struct replication_spec *spec;
    struct endpoint source, target;
    struct timer *timer;
    char log_path[sizeof "/_local/" + REPLICATION_ID_BYTES];
    replication_run_cb cb;
    void *arg;
    enum run_step step;
    unsigned tries;
    bool freed, working; /* on the pool: freed when that comes back */
    bool idle;           /* the last page was empty */
    bool no_source_log;  /* the source takes no checkpoint from us */
    json_t *source_log, *target_log;
    json_t *since, *marked; /* replicated, and checkpointed, up to here; NULL: the beginning */
    json_t *start;
    json_t *next_since, *missing; /* of the page at hand */
    size_t at, asked_n, docs_max;
    json_t *brief, *lengthy; /* of those asked for, what still goes with its attachments */
    struct buf body;         /* of the next request */
    struct buf reply;        /* of _bulk_get, while the pool works on it */
    enum qk_err worked;      /* what came of that */
    struct replication_docs docs;
    bool is_brief;    /* they are from `brief`, with contents */
    struct flow flow; /* of RUN_STREAM */
    bool stream_put;  /* its other half is due */
    uint64_t marked_ms, pending;
    struct replication_session session;
    char why[RUN_WHY_BYTES];
    const char *error;
    int status;
    bool trouble;
};

/* --- replication_run.c: what a step may end with ------------------------------------------- */

/* The next request. */
void run_to(struct replication_run *run, enum run_step step);
void run_end(struct replication_run *run, enum run_step step);
/* The reply cannot be used: the request is made again if the reason may pass, else the run ends. */
void run_trouble(struct replication_run *run, const struct fetch_reply *reply);
/* It is not of the protocol, or there is no memory for it: the end. */
void run_nonsense(struct replication_run *run, enum qk_err err);

/* --- replication_changes.c: both sides, their logs, pages of changes ------------------------ */

void run_take_source(struct replication_run *run, const struct fetch_reply *reply);
void run_take_target(struct replication_run *run, const struct fetch_reply *reply);
void run_take_create(struct replication_run *run, const struct fetch_reply *reply);
void run_take_source_log(struct replication_run *run, const struct fetch_reply *reply);
void run_take_target_log(struct replication_run *run, const struct fetch_reply *reply);
void run_take_changes(struct replication_run *run, const struct fetch_reply *reply);
MUST_USE enum qk_err run_changes_body(struct replication_run *run);
void run_changes_path(const struct replication_run *run, struct buf *path);
/* All of the page is there: on, or its checkpoint first. */
void run_page_done(struct replication_run *run);
/* Puts a copy there; of NULL, NULL. */
void run_set_json(json_t **place, const json_t *value);

/* --- replication_docs.c: the documents of a page -------------------------------------------- */

void run_take_diff(struct replication_run *run, const struct fetch_reply *reply);
void run_take_get(struct replication_run *run, const struct fetch_reply *reply);
void run_take_write(struct replication_run *run, const struct fetch_reply *reply);

/* The next of the page. */
void run_next_docs(struct replication_run *run);

/* --- replication_stream.c: a document whose attachments are long ---------------------------- */

void run_stream(struct replication_run *run);
/* From the loop: what is to be written has begun to come. */
void run_stream_put(struct replication_run *run);

/* --- replication_marks.c: checkpoints ------------------------------------------------------- */

void run_http_date(char ret_text[static 32]);
void run_take_commit(struct replication_run *run, const struct fetch_reply *reply);
void run_take_target_mark(struct replication_run *run, const struct fetch_reply *reply);
void run_take_source_mark(struct replication_run *run, const struct fetch_reply *reply);

/* replication_run.c: nothing is under way any more. */
void run_gone(struct replication_run *run);

#endif

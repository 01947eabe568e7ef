/* Calls of functions in JavaScript for who waits for their answers: gathered, run together, read.
 *
 *     script_job_put ... -> script_job_run -> done -> script_job_answer ... -> script_job_reset
 *
 * A job makes its worker when there is something to run, and waits in the line of those that want
 * one. Between two runs it keeps it, unless somebody else needs a worker. A call that ends the
 * worker (too slow, too much memory) has an empty answer, and another worker gets the rest. */
#ifndef SERVICE_SCRIPT_JOB_H
#define SERVICE_SCRIPT_JOB_H

#include "service/script.h"

struct script_job;

/* The functions are those of `design` (script.h), which is taken over, on errors too. `done` fires
 * once for each run, from the loop, never inside of a call: QK_OK, QK_ERR_TIMEOUT (calls have ended
 * SCRIPT_JOB_DEATHS_MAX workers), QK_ERR_SEALED, QK_ERR_NOMEM, QK_ERR_IO; the job may be freed
 * inside of it. Ends with script_job_free. */
#define SCRIPT_JOB_DEATHS_MAX 3
MUST_USE enum qk_err script_job_new(struct service *service, struct buf *design,
                                    void (*done)(void *arg, enum qk_err err), void *arg,
                                    struct script_job **ret_job);
void script_job_free(struct script_job *job); /* takes NULL; `done` fires no more */

/* Not while it runs. Errors stick, script_job_run tells them. */
void script_job_put(struct script_job *job, enum script_call what, struct bytes json);
size_t script_job_calls_n(const struct script_job *job);
size_t script_job_bytes(const struct script_job *job); /* of what was put */
/* Starts; something was put. Not QK_OK: `done` does not fire. */
MUST_USE enum qk_err script_job_run(struct script_job *job);
bool script_job_runs(const struct script_job *job);
/* Of the next call, in the order in which they were put; empty: none. Valid until the reset. */
struct bytes script_job_answer(struct script_job *job);
/* Forgets calls and answers. */
void script_job_reset(struct script_job *job);
/* The same for one that will be idle for long: lets go of its worker and memory. */
void script_job_rest(struct script_job *job);

/* The node seals: those that run are told, the others let go of their workers. */
void script_jobs_close(struct service *service);

#endif

/* Writes: evaluate on the leader, propose, and on a failed condition evaluate again.
 *
 *     submit_start -> all its latches free? -> evaluate -> consensus_submit -> results
 *          ^ waits in line per document                        |  some batch's condition failed:
 *                                                              +- evaluate again (bounded)
 *
 * A write that ends without having proposed anything (a conflict, a missing database) is answered
 * after a read point, so that a leader replaced without knowing gives no stale answer.
 *
 * A latch per document keeps writes to one document in line, so that in the usual case no condition
 * fails; correctness rests on the conditions alone, since a leader may change at any time. A write
 * takes its place in all its lines at once, so lines cannot wait for each other in a circle. */
#ifndef SERVICE_SUBMIT_H
#define SERVICE_SUBMIT_H

#include "base/bytes.h"
#include "service/exchange.h"
#include "service/service.h"
#include "wire/command.h"

/* Rounds of one write that ended with a failed condition: more than a race explains. */
#define SUBMIT_ROUNDS_MAX 16
/* Commands are filled up to this size; what is left goes in the next one. */
#define SUBMIT_COMMAND_BYTES (8 * MIB)
/* Writes that wait or run at a time. */
#define SUBMIT_WRITES_MAX 20000

struct submit;

struct submit_ops {
    /* Decides on everything that is still open, from the store as it is now, and appends one batch
     * for each to `command` (already begun), which may stop at SUBMIT_COMMAND_BYTES. Adding no
     * batch ends the write successfully. Not QK_OK ends it with that error, but for
     * QK_ERR_KEY_FULL: nothing of the command is proposed, the key is rotated, and all that is
     * open is decided again. */
    enum qk_err (*evaluate)(void *arg, struct wire_command *command);
    /* The outcome of batch `at` of the last command: applied, or to be decided again. */
    void (*result)(void *arg, size_t at, const struct wire_result *result);
    /* The end, once: QK_OK, or why what is still open was not done.
     * QK_ERR_UNKNOWN_OUTCOME: the last command's batches may or may not be applied. */
    void (*done)(void *arg, enum qk_err err);
};

MUST_USE enum qk_err submitter_new(struct service *service, struct submitter **ret_submitter);
/* Everything must have ended (consensus closed); NULL is fine. */
void submitter_free(struct submitter *submitter);

/* Starts a write under the latches of `keys` (record keys, copied; equal ones count once). `done`
 * fires exactly once if this returns QK_OK, maybe inside this call: touch nothing of `arg`
 * afterwards. QK_ERR_BUSY, QK_ERR_NOMEM. */
MUST_USE enum qk_err submit_start(struct service *service, const struct bytes *keys, size_t keys_n,
                                  const struct submit_ops *ops, void *arg);
/* The same for one whose evaluation may have to wait. `wait` is asked when nothing was added: if
 * there is something to be waited for, it calls `cb` once, from the loop, and then all that is open
 * is decided again. QK_ERR_NOT_FOUND: there is not. */
typedef enum qk_err (*submit_wait)(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg);
MUST_USE enum qk_err submit_start_waiting(struct service *service, const struct bytes *keys,
                                          size_t keys_n, const struct submit_ops *ops,
                                          submit_wait wait, void *arg);
size_t submit_writes_n(const struct submitter *submitter); /* waiting or running */

/* The reply to a write that ended with `err` and has nothing more precise to say. */
void submit_reply_err(struct service *service, struct exchange *exchange, enum qk_err err);

#endif
